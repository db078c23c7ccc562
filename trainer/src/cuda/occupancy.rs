//! How many threads of a kernel a multiprocessor holds at once, told from its registers and shared memory.
//!
//! The figures are of "Compute Capabilities" in NVIDIA's CUDA C++ Programming Guide, the rounding is that of its occupancy calculator.

use super::Limits;

/// What a multiprocessor has for the blocks that it runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiprocessor {
    /// Most threads.
    pub threads: u32,
    /// Most blocks.
    pub blocks: u32,
    /// Registers.
    pub registers: u32,
    /// Bytes of shared memory.
    pub shared: u32,
    /// Shared memory is given out in multiples of so many bytes.
    pub unit: u32,
    /// Bytes of shared memory that the driver takes for each block.
    pub reserved: u32,
}

/// What a kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Threads of a block.
    pub threads: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block, static and dynamic.
    pub shared: u32,
}

const THREADS_OF_WARP: u32 = 32;
/// Registers are given to warps in multiples of so many.
const REGISTERS_UNIT: u32 = 256;
/// A multiprocessor has so many parts, each with as many registers.
const PARTS: u32 = 4;

impl Multiprocessor {
    /// That of a compute capability, where it is known.
    pub const fn of(architecture: [u32; 2]) -> Option<Self> {
        let (threads, blocks, kilobytes) = match architecture {
            [7, 0 | 2] => (2048, 32, 96),
            [7, 5] => (1024, 16, 64),
            [8, 0] => (2048, 32, 164),
            [8, 6] => (1536, 16, 100),
            [8, 7] => (1536, 16, 164),
            [8, 9] => (1536, 24, 100),
            [9, 0] => (2048, 32, 228),
            _ => return None,
        };
        let [unit, reserved] = Self::shares(architecture);
        Some(Self { threads, blocks, registers: 65536, shared: kilobytes * 1024, unit, reserved })
    }

    /// That of a device that says what it has; a compute capability that is not known is taken to run as few blocks as any.
    pub fn on(limits: &Limits) -> Self {
        let blocks = Self::of(limits.architecture).map_or(16, |known| known.blocks);
        let [unit, reserved] = Self::shares(limits.architecture);
        Self {
            threads: limits.threads_of_multiprocessor,
            blocks,
            registers: limits.registers_of_multiprocessor,
            shared: limits.shared_of_multiprocessor,
            unit,
            reserved,
        }
    }

    /// In what multiples shared memory is given out, and what the driver takes of it.
    const fn shares(architecture: [u32; 2]) -> [u32; 2] {
        if architecture[0] == 7 { [256, 0] } else { [128, 1024] }
    }

    /// How many blocks it runs at once; 0 if not even one fits.
    pub fn resident(&self, demand: Demand) -> u32 {
        let warps = demand.threads.div_ceil(THREADS_OF_WARP);
        let registers = (demand.registers * THREADS_OF_WARP).next_multiple_of(REGISTERS_UNIT);
        let shared = (demand.shared + self.reserved).next_multiple_of(self.unit);
        let Some(by_threads) = (self.threads / THREADS_OF_WARP).checked_div(warps) else { return 0 };
        let by_registers = self.registers.checked_div(registers).map_or(u32::MAX, |fit| fit / PARTS * PARTS / warps);
        let by_shared = self.shared.checked_div(shared).unwrap_or(u32::MAX);
        self.blocks.min(by_threads).min(by_registers).min(by_shared)
    }

    /// Which part of the threads that it could run at once are of this kernel: 1 is all.
    pub fn occupancy(&self, demand: Demand) -> f64 {
        let warps = self.resident(demand) * demand.threads.div_ceil(THREADS_OF_WARP);
        f64::from(warps * THREADS_OF_WARP) / f64::from(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::{Demand, Multiprocessor};

    /// Against what NVIDIA's calculator says.
    #[test]
    fn blocks_are_bound_by_what_is_scarcest() {
        let cases = [
            // architecture, threads, registers, shared; blocks, occupancy in percent.
            ([8, 0], 256, 32, 0, 8, 100.0),
            ([8, 0], 256, 64, 0, 4, 50.0),
            ([8, 0], 256, 255, 0, 1, 12.5),
            ([8, 0], 1024, 64, 0, 1, 50.0),
            ([8, 0], 1024, 65, 0, 0, 0.0),
            ([8, 0], 32, 16, 0, 32, 50.0),
            ([8, 0], 128, 40, 0, 12, 75.0),
            ([8, 0], 256, 33, 0, 6, 75.0),
            ([8, 6], 1024, 64, 0, 1, 66.666_666),
            ([8, 7], 256, 40, 0, 6, 100.0),
            // 48 KiB and the driver's 1 KiB fit three times into 164.
            ([8, 7], 256, 32, 48 * 1024, 3, 50.0),
            ([9, 0], 256, 32, 227 * 1024, 1, 12.5),
            ([9, 0], 256, 32, 228 * 1024, 0, 0.0),
            ([7, 2], 256, 32, 96 * 1024, 1, 12.5),
            ([7, 2], 256, 32, 1, 8, 100.0),
            ([7, 5], 64, 32, 0, 16, 100.0),
            ([9, 0], 1, 255, 0, 8, 12.5),
        ];
        for (architecture, threads, registers, shared, blocks, percent) in cases {
            let processor = Multiprocessor::of(architecture).unwrap();
            let demand = Demand { threads, registers, shared };
            assert_eq!(processor.resident(demand), blocks, "{architecture:?} {demand:?}");
            let error = (100.0 * processor.occupancy(demand) - percent).abs();
            assert!(error <= 1e-4, "{architecture:?} {demand:?}: {error}");
        }
        let none = Demand { threads: 0, registers: 0, shared: 0 };
        assert_eq!(Multiprocessor::of([8, 0]).unwrap().resident(none), 0);
        assert_eq!(Multiprocessor::of([6, 1]), None);
    }
}
