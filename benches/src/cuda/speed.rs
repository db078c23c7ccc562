//! How long a meta-step takes on a device, and on one thread of the CPU beside it.

use std::error::Error;
use std::time::{Duration, Instant};

use sinew_runtime::Path;
use sinew_trainer::cuda::{Device, Kernel, Launch, Limits};
use sinew_trainer::engine::{Cpu, Cuda, EngineError};

use super::Watched;
use super::check::Way;
use crate::measure::median;
use crate::meta_step::{self, MetaStep, Step};

/// How far the meta-gradients of both sides may be apart, of their norm: of thousands of rectified values and maxima a few fall on the other
/// side.
pub const TOLERANCE: f64 = 1e-3;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Before anything is measured, so that clocks are up.
    pub warm_up: Duration,
    /// Most samples, of one step each.
    pub samples: usize,
    /// No new samples after this time, once there are [`Plan::FEWEST`].
    pub budget: Duration,
    /// Launches without a wait are repeated until they last about this long.
    pub queue: Duration,
}

impl Plan {
    /// Samples that are taken whatever the time.
    pub const FEWEST: usize = 7;

    /// What a report is made from.
    pub const FULL: Self = Self {
        warm_up: Duration::from_millis(300),
        samples: 3000,
        budget: Duration::from_secs(5),
        queue: Duration::from_millis(100),
    };

    /// To see that it runs.
    pub const QUICK: Self = Self { warm_up: Duration::ZERO, samples: 2, budget: Duration::ZERO, queue: Duration::ZERO };
}

/// Times of one thing, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// A quarter of the samples are below the first, a quarter above the second.
    pub quartiles: [f64; 2],
    /// How many samples.
    pub samples: usize,
}

impl Spread {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let count = samples.len();
        let quartiles = [count / 4, (3 * count / 4).min(count.saturating_sub(1))].map(|place| samples[place]);
        Self { median: median(samples), quartiles, samples: count }
    }
}

/// What was measured of a meta-step.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// Tasks of a batch.
    pub tasks: u64,
    /// Operations, as [`crate::count`] counts them.
    pub operations: u64,
    /// On one thread of the CPU.
    pub cpu: Spread,
    /// On the device: gradient, update and the wait for their outcome.
    pub device: Spread,
    /// The launches of a step, one step after another without a wait: microseconds of a step.
    pub queued: f64,
    /// As `queued`, the one launch of the inner loop alone, where it is one.
    pub fused: Option<f64>,
    /// Launches of a step.
    pub launches: usize,
    /// How far the meta-gradients of both sides are apart, of the norm.
    pub apart: f64,
}

impl Measured {
    /// How often the device is done in the time of the CPU.
    pub fn times_as_fast(&self) -> f64 {
        self.cpu.median / self.device.median
    }

    /// Whether both sides found the same.
    pub fn passed(&self) -> bool {
        self.apart <= TOLERANCE
    }
}

/// Meta-steps by their names.
pub fn all() -> Vec<(&'static str, MetaStep)> {
    let many = |tasks| MetaStep { tasks, ..meta_step::mlp() };
    vec![
        ("sinusoid_1", meta_step::sinusoid(1)),
        ("sinusoid_5", meta_step::sinusoid(5)),
        ("mlp_5", meta_step::mlp()),
        ("mlp_5", many(256)),
        ("mlp_5", many(4096)),
        ("conv_5", meta_step::images()),
        ("conv_4", meta_step::conv_4()),
    ]
}

/// Billions of operations in a second, at most: each FP32 lane does a product and a sum in each cycle of the clock that the driver tells.
pub fn peak(limits: &Limits) -> f64 {
    // The CUDA C++ programming guide, "Arithmetic instructions", throughput by compute capability.
    let lanes = if limits.architecture <= [8, 0] { 64 } else { 128 };
    2.0 * f64::from(lanes) * f64::from(limits.multiprocessors) * f64::from(limits.clock) / 1e6
}

/// Times a meta-step, first on the CPU, then on the device, each in one go.
///
/// # Errors
/// If an engine fails, or has no room.
pub fn measure<D: Device>(
    device: &Watched<D>,
    (name, step): (&'static str, &MetaStep),
    plan: Plan,
) -> Result<Measured, Box<dyn Error>> {
    let network = step.network();
    let mut here = step.on(Cpu::on(Path::detect(), &network, 1)?)?;
    let mut whole = || here.ask().and_then(|()| here.wait()).map(drop);
    let cpu = samples(&mut whole, plan)?;
    let mut there = step.on(Way::OneLaunch.engine(device, &network)?)?;
    let mut whole = || there.ask().and_then(|()| there.wait()).map(drop);
    let measured = samples(&mut whole, plan)?;
    let apart = apart(&there.gradient()?, &here.gradient()?);
    let (queued, fused, launches) = launches_alone(device, &mut there, plan)?;
    let (tasks, operations) = (step.tasks, step.operations());
    Ok(Measured { name, tasks, operations, cpu, device: measured, queued, fused, launches, apart })
}

/// The distance of two vectors, of the norm of the second; infinite where their lengths differ.
fn apart(got: &[f32], want: &[f32]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let distance = norm(&mut got.iter().zip(want).map(|(got, want)| f64::from(*got) - f64::from(*want)));
    distance / norm(&mut want.iter().map(|want| f64::from(*want)))
}

fn samples(run: &mut dyn FnMut() -> Result<(), EngineError>, plan: Plan) -> Result<Spread, EngineError> {
    // At least twice: an engine has all of its memory after the second step.
    let began = Instant::now();
    run()?;
    run()?;
    while began.elapsed() < plan.warm_up {
        run()?;
    }
    let (began, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < Plan::FEWEST || (samples.len() < plan.samples && began.elapsed() < plan.budget) {
        let before = Instant::now();
        run()?;
        samples.push(before.elapsed().as_nanos() as f64 / 1e3);
    }
    Ok(Spread::of(samples))
}

/// The time of a step's launches and of the inner loop's alone, many times one after another and one wait; and how many they are.
fn launches_alone<D: Device>(
    device: &Watched<D>,
    step: &mut Step<Cuda<Watched<D>>>,
    plan: Plan,
) -> Result<(f64, Option<f64>, usize), Box<dyn Error>> {
    let lists = device.during(|| step.ask())?;
    step.wait()?;
    let is_fused = |launch: &&Launch| matches!(launch.kernel, Kernel::DenseShared | Kernel::DenseGlobal);
    let fused: Vec<Launch> = lists.iter().flatten().filter(is_fused).cloned().collect();
    // SAFETY: these are the launches of the step's engine as it made them. It keeps the memory that they use, and is asked for nothing until
    // they are done, for it is borrowed.
    let queued = unsafe { queued(device, &lists, plan) }?;
    let fused = if fused.is_empty() {
        None
    } else {
        // SAFETY: as above.
        Some(unsafe { self::queued(device, &[fused], plan) }?)
    };
    Ok((queued, fused, lists.iter().map(Vec::len).sum()))
}

/// Microseconds of lists of launches that are run again and again.
///
/// # Safety
/// As [`Device::run`], of every run until this returns.
unsafe fn queued<D: Device>(device: &Watched<D>, lists: &[Vec<Launch>], plan: Plan) -> Result<f64, Box<dyn Error>> {
    const SAMPLES: usize = 5;
    let mut memory = device.allocate(1)?;
    device.write(&mut memory, &[0])?;
    let run = |times: u32| -> Result<Duration, Box<dyn Error>> {
        let before = Instant::now();
        for _ in 0..times {
            // SAFETY: the caller's promise.
            lists.iter().try_for_each(|launches| unsafe { device.run(launches) })?;
        }
        device.read(&memory, &mut [0])?;
        Ok(before.elapsed())
    };
    // The second run of a list may record it, the third replays it.
    let mut times = 4;
    while run(times)? < plan.queue {
        times *= 2;
    }
    let samples: Result<Vec<f64>, _> =
        (0..SAMPLES).map(|_| run(times).map(|spent| spent.as_nanos() as f64 / 1e3 / f64::from(times))).collect();
    Ok(median(samples?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_in_order() {
        let spread = Spread::of(vec![5.0, 1.0, 3.0, 2.0, 4.0, 7.0, 6.0]);
        assert_eq!(spread, Spread { median: 4.0, quartiles: [2.0, 6.0], samples: 7 });
        assert_eq!(Spread::of(vec![2.0]).quartiles, [2.0, 2.0]);
    }

    #[test]
    fn peaks_are_those_of_the_data_sheets() {
        // In TFLOP/s: H100 SXM 67, RTX 4090 82.6, Orin 5.3, Xavier 1.4.
        for (limits, peak) in
            [(Limits::h100(), 67.0), (Limits::rtx_4090(), 82.6), (Limits::orin(), 5.3), (Limits::xavier(), 1.41)]
        {
            let got = super::peak(&limits) / 1e3;
            assert!((got - peak).abs() <= 0.01 * peak, "{}: {got}", limits.name);
        }
    }

    #[test]
    fn vectors_are_compared_by_their_norm() {
        assert_eq!(apart(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(apart(&[3.0, 9.0], &[3.0, 4.0]), 1.0);
        assert!(apart(&[3.0], &[3.0, 4.0]).is_infinite() && apart(&[f32::NAN], &[1.0]).is_nan());
    }
}
