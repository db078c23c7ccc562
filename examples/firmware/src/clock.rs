//! A clock that counts instructions.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// SysTick has 24 bits and counts down.
const RELOAD: u32 = 0x00ff_ffff;

/// Starts it.
pub fn start(clock: &mut SYST) {
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(RELOAD);
    clock.clear_current();
    clock.enable_counter();
}

/// The time, to be given to [`since`].
pub fn now() -> u32 {
    SYST::get_current()
}

/// Instructions since `before`, at most 10 million: qemu's `-icount shift=6` lets each take 64 ns, and a tick of 25 MHz takes 40.
pub fn since(before: u32) -> u32 {
    (before.wrapping_sub(now()) & RELOAD) * 40 / 64
}
