//! A firmware that links only if nothing that a robot calls can panic.
//!
//! Its panic handler calls a function that no library has. Link-time optimisation removes the handler where no code reaches it; where
//! some code does, the linker names the missing function and fails. `panics.sh` links it, and says where the panics are if it cannot.
//! It is never run.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use sinew_runtime::{Adapter, Bundle, Guard};

#[entry]
fn main() -> ! {
    static mut MEMORY: [f32; 4096] = [0.0; 4096];
    let mut y = [0.0; 16];
    black_box(run(black_box(&[]), black_box(MEMORY), black_box(&[0.0; 16]), black_box(&mut y)));
    loop {
        black_box(());
    }
}

/// `None` where something failed: errors are told apart, but not printed. `black_box` hides every length and number from the compiler,
/// so that it keeps all code.
#[inline(never)]
fn run(bytes: &'static [u8], memory: &'static mut [f32], x: &[f32], y: &mut [f32]) -> Option<()> {
    let bundle = Bundle::parse(bytes).map_err(black_box).ok()?;
    let capacity = black_box(8);
    black_box(Adapter::memory_len(&bundle, capacity).map_err(black_box).ok()?);
    let mut adapter = Adapter::new(&bundle, capacity, memory).map_err(black_box).ok()?;
    adapter.set_steps(black_box(adapter.steps()));
    adapter.set_guard(black_box(Guard::Improve));
    while black_box(true) {
        let _ = black_box(adapter.observe(black_box(x), black_box(y)));
        let _ = black_box(adapter.adapt(|| black_box(false)));
        let _ = black_box(adapter.support_loss());
        let _ = black_box(adapter.predict(black_box(x), black_box(&mut *y)));
        black_box((adapter.parameters(), adapter.support().inputs(), adapter.support().targets()));
        if black_box(false) {
            adapter.rollback();
        }
        if black_box(false) {
            adapter.reset();
        }
    }
    Some(())
}

unsafe extern "C" {
    safe fn something_that_a_robot_calls_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    something_that_a_robot_calls_can_panic()
}
