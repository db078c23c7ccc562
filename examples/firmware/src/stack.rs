//! How much of the stack was taken: what is free of it is painted, and later it is looked where the paint still is.

use cortex_m::register::msp;

/// What no code is likely to leave behind.
const PAINT: u32 = 0xc0de_f00d;
/// Bytes right below the stack pointer that are not painted: [`paint`] itself uses them.
const MARGIN: usize = 256;

unsafe extern "C" {
    /// The end of what the linker placed in RAM, down to which the stack may grow.
    static mut __sheap: u32;
    /// Where the stack begins.
    static mut _stack_start: u32;
}

/// Words from the end of the variables to `end`.
fn words(end: usize) -> (*mut u32, usize) {
    let begin = &raw mut __sheap;
    (begin, end.saturating_sub(begin as usize) / size_of::<u32>())
}

/// Paints what is free of the stack.
#[inline(never)]
pub fn paint() {
    let (begin, len) = words(msp::read() as usize - MARGIN);
    for place in 0..len {
        // SAFETY: between the end of the variables and the stack pointer, which nobody uses: there is no heap, and interrupts are off.
        unsafe { begin.add(place).write_volatile(PAINT) };
    }
}

/// Bytes of the stack that were taken at most since [`paint`], and before.
pub fn taken() -> usize {
    let (begin, len) = words(&raw mut _stack_start as usize);
    // SAFETY: all of it is RAM, aligned, and was written: by the paint, or by who took it.
    let free = (0..len).take_while(|&place| unsafe { begin.add(place).read_volatile() } == PAINT).count();
    (len - free) * size_of::<u32>()
}
