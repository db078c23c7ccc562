//! A control loop at 1 kHz that predicts, and a thread beside it that adapts. The runtime alone, and what the loop's work takes with and
//! without adaptation beside it.
//!
//! ```text
//! every cycle, 1 ms     take the newest snapshot, if there is one; predict; every tenth cycle send a sample
//! beside the loop       read samples, adapt, hand a snapshot over
//! ```
//!
//! Nothing here asks the operating system for real-time priority or a processor of its own: what other programs take away shows in
//! the largest times.
//!
//! `cargo run -p sinew-examples --example live --release`, with `-- --cycles 1000000 --rate max` to leave out the waiting.

use std::env;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sinew_runtime::live::{AdapterSide, Channel, ControlSide};
use sinew_runtime::{Adapter, Bundle, Outcome};

/// Support rows of the adapter.
const CAPACITY: usize = 16;
/// One more than the samples that can be on the way.
const PLACES: usize = 17;
const CYCLES_PER_SAMPLE: usize = 10;
/// How long the thread beside the loop rests when there is nothing to do.
const REST: Duration = Duration::from_micros(100);
/// The scheduler may be this late, so the last part of a wait is spent awake.
const AWAKE: Duration = Duration::from_micros(200);

/// Edges that a rover has driven, as in `minimal`: what its sensors said, and the logarithm of the energy per metre.
const DRIVEN: [([f32; 10], f32); 4] = [
    ([-0.02, -0.34, 0.26, 0.11, -0.52, 0.31, 0.00, 0.04, 1.04, 0.11], 5.64),
    ([-0.62, -0.08, 0.45, 0.38, -0.14, 0.00, 0.00, 1.47, 0.03, 0.00], 4.88),
    ([-0.71, -0.53, 0.43, 0.03, -0.39, 0.00, 0.16, 1.31, 0.03, 0.00], 4.91),
    ([-0.70, 0.33, 0.96, -0.46, -0.21, 0.00, 1.26, 0.00, 0.00, 0.24], 4.94),
];

/// What the command line asks for.
struct Options {
    cycles: usize,
    /// `None` for no waiting.
    period: Option<Duration>,
}

/// What the thread beside the loop did.
#[derive(Default)]
struct Beside {
    adaptations: usize,
    committed: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read(env::args().skip(1))?;
    let bundle = Bundle::parse(include_bytes!("../bundles/terrain.safetensors"))?;
    println!("the loop's own work [µs]     p50      p99    p99.9      max");
    for adapts in [false, true] {
        // All memory there will ever be, before the first cycle.
        let mut memory = vec![0.0; Adapter::memory_len(&bundle, CAPACITY)?];
        let adapter = Adapter::new(&bundle, CAPACITY, &mut memory)?;
        let mut memory = vec![0.0; Channel::<PLACES>::memory_len(&adapter)];
        let mut channel = Channel::<PLACES>::new();
        let (mut control, mut beside) = channel.connect(adapter, &mut memory)?;
        let mut took = Vec::with_capacity(options.cycles);
        let done = AtomicBool::new(false);
        let (log, seen) = thread::scope(|scope| -> Result<_, Box<dyn Error>> {
            let thread = scope.spawn(|| if adapts { adapt(&mut beside, &done) } else { Beside::default() });
            let seen = run(&mut control, &options, &mut took);
            done.store(true, Ordering::Release);
            let log = thread.join().map_err(|_| "the thread beside the loop ended early")?;
            Ok((log, seen?))
        })?;
        // What was handed over after the last cycle.
        let seen = seen + u64::from(control.poll());
        let name = if adapts { "adapting beside it" } else { "alone" };
        took.sort_unstable();
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| percentile(&took, share));
        println!("{name:<22} {p50:>9.2} {p99:>8.2} {p999:>8.2} {max:>8.2}");
        if adapts {
            let (published, newest) = (beside.version().number, control.version().number);
            println!("\n{} adaptations, {} committed", log.adaptations, log.committed);
            println!(
                "{published} hand-overs: {seen} seen, {} overtaken by a newer one, {} missed",
                newest - seen,
                published - newest
            );
            println!("{} samples sent, {} dropped", control.sent(), control.dropped());
        }
    }
    Ok(())
}

/// The loop. Gives the number of snapshots that it saw, and what each cycle's work took, in nanoseconds.
fn run(control: &mut ControlSide<'_, '_>, options: &Options, took: &mut Vec<u32>) -> Result<u64, Box<dyn Error>> {
    let (mut seen, mut answer) = (0, [0.0]);
    let mut deadline = Instant::now();
    for cycle in 0..options.cycles {
        let (x, y) = &DRIVEN[cycle / CYCLES_PER_SAMPLE % DRIVEN.len()];

        let begun = Instant::now();
        seen += u64::from(control.poll());
        control.predict(x, &mut answer)?;
        if cycle % CYCLES_PER_SAMPLE == 0 {
            control.observe(x, &[*y])?;
        }
        took.push(begun.elapsed().as_nanos().try_into().unwrap_or(u32::MAX));

        // Deadlines are absolute: a late cycle does not delay those after it.
        if let Some(period) = options.period {
            deadline += period;
            thread::sleep(deadline.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
            while Instant::now() < deadline {
                std::hint::spin_loop();
            }
        }
    }
    Ok(seen)
}

/// The thread beside the loop, until the loop is done and there is nothing left that could be handed over.
fn adapt(beside: &mut AdapterSide<'_, '_>, done: &AtomicBool) -> Beside {
    let mut log = Beside::default();
    loop {
        let over = done.load(Ordering::Acquire);
        let work = beside.work(|| false);
        if let Some(report) = work.report {
            log.adaptations += 1;
            log.committed += usize::from(report.outcome == Outcome::Committed);
        } else if over {
            return log;
        } else {
            thread::sleep(REST);
        }
    }
}

/// The nearest rank, in microseconds.
fn percentile(sorted: &[u32], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |nanoseconds| f64::from(*nanoseconds) / 1000.0)
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { cycles: 5000, period: Some(Duration::from_millis(1)) };
        while let Some(word) = words.next() {
            if word == "--help" {
                println!(
                    "live [--cycles N] [--rate HERTZ | --rate max]: a loop of N cycles, alone and with an adapter beside it"
                );
                std::process::exit(0);
            }
            let value = words.next().ok_or_else(|| format!("expected a value after {word}"))?;
            match (word.as_str(), value.as_str()) {
                ("--cycles", cycles) => options.cycles = cycles.parse()?,
                ("--rate", "max") => options.period = None,
                ("--rate", hertz) => options.period = Some(Duration::from_secs(1) / hertz.parse()?),
                _ => return Err(format!("expected --cycles or --rate, got {word}").into()),
            }
        }
        Ok(options)
    }
}
