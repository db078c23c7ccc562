//! Cards that are known, for plans without the card.

use super::Limits;

/// Bytes of a kibibyte and of a gibibyte.
const KIB: u32 = 1 << 10;
const GIB: u64 = 1 << 30;

impl Limits {
    /// A data centre's H100 with 80 GB.
    pub fn h100() -> Self {
        card("NVIDIA H100 80GB HBM3", [9, 0], 132, [227, 228], 2048, 80, 1980)
    }

    /// A desktop's GeForce RTX 4090.
    pub fn rtx_4090() -> Self {
        card("NVIDIA GeForce RTX 4090", [8, 9], 128, [99, 100], 1536, 24, 2520)
    }

    /// A robot's Jetson AGX Orin with 64 GB.
    pub fn orin() -> Self {
        card("Jetson AGX Orin", [8, 7], 16, [163, 164], 1536, 64, 1300)
    }

    /// A robot's Jetson AGX Xavier with 32 GB.
    pub fn xavier() -> Self {
        card("Jetson AGX Xavier", [7, 2], 8, [96, 96], 2048, 32, 1377)
    }
}

/// The compute capabilities' figures are those of the CUDA C++ programming guide, "Technical specifications per compute capability";
/// `shared` in KiB of a block and of a multiprocessor, `memory` in GiB, `clock` in MHz, the boost clock of the card's data
/// sheet.
fn card(
    name: &str,
    architecture: [u32; 2],
    multiprocessors: u32,
    shared: [u32; 2],
    threads: u32,
    memory: u64,
    clock: u32,
) -> Limits {
    Limits {
        name: name.to_owned(),
        architecture,
        multiprocessors,
        shared_of_block: shared[0] * KIB,
        shared_of_multiprocessor: shared[1] * KIB,
        threads_of_multiprocessor: threads,
        registers_of_multiprocessor: 64 * KIB,
        memory: memory * GIB,
        clock: clock * 1000,
    }
}
