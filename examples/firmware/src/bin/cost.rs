//! What adapting and predicting cost: instructions, whatever the data are, and memory, to the byte, and stack.
//!
//! `cargo run --release --bin cost`, in this folder, runs it under qemu. Exits with 0 if the work hardly depends on the data and the
//! memory is what is documented.
#![no_std]
#![no_main]

#[path = "../clock.rs"]
mod clock;
#[path = "../stack.rs"]
mod stack;
// Only what the other firmware does with the bundles is not needed.
#[allow(dead_code)]
#[path = "../scenario.rs"]
mod scenario;

use core::panic::PanicInfo;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::hprintln;
use scenario::{MEMORY, SHOTS};
use sinew_runtime::{Adapter, Bundle, Outcome, Path, SetupError};

/// Tasks that are drawn.
const TASKS: u32 = 1000;

/// Most bytes of stack that anything here may take, set-up included.
const STACK: usize = 16 * 1024;

#[entry]
fn main() -> ! {
    static mut VALUES: [f32; MEMORY] = [0.0; MEMORY];
    if let Some(mut peripherals) = Peripherals::take() {
        stack::paint();
        clock::start(&mut peripherals.SYST);
        let arm = check("arm, 8-32-1, 8 samples, 5 steps", scenario::ARM, VALUES);
        let all_kinds = check("all activations and losses, 8 samples, 3 steps", scenario::ALL_KINDS, VALUES);
        let taken = stack::taken();
        hprintln!("stack: {} bytes at most, of {}", taken, STACK);
        if arm.and(all_kinds).is_some() && taken <= STACK {
            debug::exit(EXIT_SUCCESS);
        }
    }
    debug::exit(EXIT_FAILURE);
    loop {}
}

/// `None` if a cost is not as it should be.
fn check(name: &str, bundle: &'static [u8], memory: &mut [f32; MEMORY]) -> Option<()> {
    hprintln!("{}", name);
    let bundle = Bundle::parse(bundle).ok()?;
    let values = Adapter::memory_len_on(Path::SCALAR, &bundle, SHOTS).ok()?;
    let documented = documented(&bundle)?;
    hprintln!(
        "  RAM: {} bytes of the caller's memory, documented {}, and {} of the adapter itself",
        4 * values,
        4 * documented,
        size_of::<Adapter<'_>>()
    );
    let short = Adapter::new_on(Path::SCALAR, &bundle, SHOTS, memory.get_mut(..values - 1)?);
    let refused = matches!(short, Err(SetupError::Memory { expected, .. }) if expected == values);
    let mut adapter = Adapter::new_on(Path::SCALAR, &bundle, SHOTS, memory.get_mut(..values)?).ok()?;
    let (mut adapting, mut predicting) = (Range::NONE, Range::NONE);
    let mut numbers = Numbers(1);
    let (mut x, mut y) = ([0.0; 8], [0.0; 8]);
    let (x, y) = (x.get_mut(..adapter.input_len())?, y.get_mut(..adapter.output_len())?);
    for task in 0..TASKS {
        adapter.reset();
        for _ in 0..SHOTS {
            numbers.fill(task, x);
            numbers.fill(task, y);
            adapter.observe(x, y).ok()?;
        }
        let before = clock::now();
        let report = adapter.adapt(|| false).ok()?;
        adapting.take_in(clock::since(before), task);
        // Of a task that gets worse with every step no step is committed; all of them are taken and judged nevertheless.
        if report.outcome == Outcome::OutOfTime {
            return None;
        }
        let before = clock::now();
        adapter.predict(x, y).ok()?;
        predicting.take_in(clock::since(before), task);
    }
    let close = adapting.print("adapt") & predicting.print("predict");
    (close && refused && values == documented).then_some(())
}

/// Values of memory by the formula that [`Adapter::memory_len_on`] documents, where so few rows as here are one unit of work.
fn documented(bundle: &Bundle<'_>) -> Option<usize> {
    let network = sinew_runtime::Network::new(bundle.network(), Path::SCALAR).ok()?;
    let behind = network.behind(network.frozen(network.adapted(bundle.rule().scope())));
    let (p, k, r) = (network.param_len(), behind.input_len(), bundle.numbers().map(|view| view.len()).sum::<usize>());
    let (i, n, o) = (bundle.input_mean().len(), network.input_len(), network.output_len());
    let forward = network.forward_len(SHOTS).max(behind.forward_len(SHOTS));
    let traces = forward + behind.backward_len(SHOTS) + network.panel_len();
    Some(4 * p + traces + SHOTS * (n + k) + r + 4 * i + 2 * o + SHOTS * (i + o))
}

/// The fewest and most instructions, and the tasks that took them.
struct Range {
    fewest: (u32, u32),
    most: (u32, u32),
}

impl Range {
    const NONE: Self = Self { fewest: (u32::MAX, 0), most: (0, 0) };

    fn take_in(&mut self, instructions: u32, task: u32) {
        self.fewest = self.fewest.min((instructions, task));
        self.most = self.most.max((instructions, task));
    }

    /// Whether they differ by under 1%.
    fn print(&self, name: &str) -> bool {
        let (fewest, most) = (self.fewest.0, self.most.0);
        let share = (most - fewest) * 10_000 / fewest;
        hprintln!(
            "  {}: {} to {} instructions over {} tasks, {}.{:02}% more (tasks {} and {})",
            name,
            fewest,
            most,
            TASKS,
            share / 100,
            share % 100,
            self.fewest.1,
            self.most.1
        );
        share < 100
    }
}

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
struct Numbers(u64);

impl Numbers {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in `[-1, 1)`.
    fn even(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    /// Fills a row of a task. Of sixteen tasks ten are as a robot sees them, and each of the others is an extreme.
    fn fill(&mut self, task: u32, row: &mut [f32]) {
        for value in row {
            let even = self.even();
            *value = match task % 16 {
                10 => 0.0,
                11 => 1e-40 * even,
                12 => 100.0 * even,
                13 => 1e18 * even,
                14 => f32::MAX * even,
                // Any finite number.
                15 => Some(f32::from_bits(self.bits() as u32)).filter(|any| any.is_finite()).unwrap_or(-0.0),
                _ => even,
            };
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    debug::exit(EXIT_FAILURE);
    loop {}
}
