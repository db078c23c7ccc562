//! A firmware that calls all that a robot needs, and nothing else: what the runtime takes of the flash.
//!
//! It is measured, never run. `black_box` hides the bundle and the samples from the compiler, so that it keeps all code.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use sinew_runtime::{Adapter, Bundle};

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; 4096] = [0.0; 4096];
    black_box(run(black_box(&[]), MEMORY));
    loop {
        black_box(());
    }
}

/// `None` where something failed: errors are told apart, but not printed.
fn run(bytes: &'static [u8], memory: &'static mut [f32]) -> Option<()> {
    let bundle = Bundle::parse(bytes).map_err(black_box).ok()?;
    let mut adapter = Adapter::new(&bundle, 8, memory).map_err(black_box).ok()?;
    let mut y = [0.0; 1];
    let (x, y) = (black_box(&[0.0; 8]), black_box(&mut y));
    adapter.observe(x, y).map_err(black_box).ok()?;
    black_box(adapter.adapt(|| black_box(false)).map_err(black_box).ok()?);
    adapter.predict(x, y).map_err(black_box).ok()?;
    black_box(y);
    adapter.rollback();
    adapter.reset();
    Some(())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        black_box(());
    }
}
