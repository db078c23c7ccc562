//! Adapts in WebAssembly, without an allocator: the module exports one function, which gives the bits of a scenario one by one.
//!
//! `run.mjs` loads it and compares them with those that the host computes, by the module's own word for them.
#![no_std]

#[path = "../../firmware/src/golden.rs"]
mod golden;
#[path = "../../firmware/src/scenario.rs"]
mod scenario;

use core::panic::PanicInfo;

use scenario::Bits;

/// The scenarios, with the bits that they give on every target.
const SCENARIOS: [(&[u8], Bits); 2] = [(scenario::ARM, golden::ARM), (scenario::ALL_KINDS, golden::ALL_KINDS)];
/// Words of bits of one scenario.
const WORDS: usize = 11;

/// Plays scenario `number` and gives word `word` of its bits, as the host computed it where `host` is not 0 and as it is computed here
/// otherwise; −1 past the last scenario or word, or if something failed.
#[unsafe(no_mangle)]
pub extern "C" fn bits(number: usize, word: usize, host: u32) -> i64 {
    let Some((bundle, expected)) = SCENARIOS.get(number) else {
        return -1;
    };
    let bits =
        if host != 0 { Some(*expected) } else { scenario::play(bundle, &mut [0.0; scenario::MEMORY], |_| {}).ok() };
    bits.and_then(|bits| words(&bits).get(word).copied()).map_or(-1, i64::from)
}

fn words(bits: &Bits) -> [u32; WORDS] {
    let Bits { losses: [before, after], parameters: [a, b, c, d], checksum, prediction: [p, q], start: [s, t] } = *bits;
    [before, after, a, b, c, d, checksum, p, q, s, t]
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
