//! Adapts on a Cortex-M4F or M7: every value must be the host's to the bit, and every instruction is counted.
//!
//! `cargo run --release --bin adapt`, in this folder, runs it under qemu as on an M4F. Exits with 0 if all bits are right.
#![no_std]
#![no_main]

#[path = "../clock.rs"]
mod clock;
#[path = "../golden.rs"]
mod golden;
#[path = "../scenario.rs"]
mod scenario;

use core::panic::PanicInfo;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::hprintln;
use scenario::Bits;

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; scenario::MEMORY] = [0.0; scenario::MEMORY];
    if let Some(mut peripherals) = Peripherals::take() {
        clock::start(&mut peripherals.SYST);
        let arm = check("arm, 8-32-1, 8 samples, 5 steps", scenario::ARM, &golden::ARM, MEMORY);
        let all_kinds = check("all activations and losses", scenario::ALL_KINDS, &golden::ALL_KINDS, MEMORY);
        if arm && all_kinds {
            debug::exit(EXIT_SUCCESS);
        }
    }
    debug::exit(EXIT_FAILURE);
    loop {}
}

/// Whether a scenario gives these bits.
fn check(name: &str, bundle: &[u8], expected: &Bits, memory: &mut [f32]) -> bool {
    hprintln!("{}", name);
    let mut before = clock::now();
    let got = scenario::play(bundle, memory, |part| {
        let instructions = clock::since(before);
        if !part.is_empty() {
            hprintln!("  {}: {} instructions", part, instructions);
        }
        before = clock::now();
    });
    match got {
        Ok(got) => {
            hprintln!("  losses {:08x?}, parameters {:08x?} …", got.losses, got.parameters);
            hprintln!("  checksum {:08x}, prediction {:08x?}, start {:08x?}", got.checksum, got.prediction, got.start);
            let same = got == *expected;
            hprintln!("  {}", if same { "the same bits as on the host" } else { "OTHER BITS THAN ON THE HOST" });
            same
        }
        Err(failure) => {
            hprintln!("  {}", failure);
            false
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(EXIT_FAILURE);
    loop {}
}
