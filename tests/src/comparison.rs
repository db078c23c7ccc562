//! Engines side by side: what each makes of the same tasks, and how far apart that is.
//!
//! A [`Trial`] is data: tasks of a network, and what is done with them. Whoever has an engine runs it there and on the CPU, and looks at the
//! [`Difference`]s.

mod drawn;
mod trials;

use std::error::Error;

use sinew_models::rule::Rate;
use sinew_models::spec::NetworkSpec;
use sinew_runtime::Path;
use sinew_trainer::engine::{
    BatchGradient, Cpu, Depth, Engine, InnerLoop, Learned, OuterStep, Parameters, Rows, Side, TaskRows,
};
use sinew_trainer::optimiser::Moments;

use crate::sample::{self, Numbers, single};

pub use drawn::{convolutional, dense};
pub use trials::{convolutions, dense_networks, inner, inner_loops, passes, updates};

/// What results may be apart, of the largest value of a result; both sides round.
pub const TOLERANCE: f64 = 2e-5;

/// What an engine makes of a trial: every result by its name.
pub type Results = Vec<Named>;

/// A result and its name.
pub type Named = (String, Vec<f32>);

/// Results, or what the engine failed at.
pub type Found = Result<Results, Box<dyn Error>>;

/// Tasks of a network, and for each its own parameters and a direction.
#[derive(Clone, Debug)]
pub struct Case {
    /// The network.
    pub spec: NetworkSpec,
    /// `[tasks, params]`; where tasks share parameters, they share the first task's.
    pub params: Vec<f32>,
    /// `[tasks, params]`.
    pub directions: Vec<f32>,
    /// The tasks.
    pub tasks: Vec<TaskRows>,
}

impl Case {
    /// Tasks with so many support and query rows.
    pub fn new(spec: NetworkSpec, sizes: &[[usize; 2]], seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let len = spec.param_len();
        let params = single(&numbers.values(len * sizes.len(), 0.5));
        let directions = single(&numbers.values(len * sizes.len(), 1.0));
        let mut rows = |rows: usize| Rows {
            x: single(&numbers.values(rows * spec.input.presented_len(), 1.5)),
            y: single(&sample::some_targets(&spec, rows, &mut numbers)),
            rows,
        };
        let tasks = sizes.iter().map(|[support, query]| TaskRows { support: rows(*support), query: rows(*query) });
        Self { tasks: tasks.collect(), spec, params, directions }
    }

    /// The parameters that tasks share.
    pub fn shared(&self) -> &[f32] {
        &self.params[..self.spec.param_len()]
    }
}

/// A step of the optimiser against a gradient of two tasks.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// How it steps.
    pub step: OuterStep,
    /// Whether a value of the gradient is not finite, so that nothing may be done.
    pub spoiled: bool,
    /// Whether there is a gradient by rates.
    pub with_rates: bool,
}

/// What is done with a case.
#[derive(Clone, Debug)]
pub enum Work {
    /// All single passes.
    Passes,
    /// The meta-gradient of an inner loop, and its losses alone.
    Inner {
        /// The inner loop.
        inner: InnerLoop,
        /// The mean inner rate.
        rate: f32,
    },
    /// A step of the optimiser, of parameters such as the network's.
    Update(Update),
}

/// A case, what is done with it, and how close an engine must come.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What is special about it.
    pub name: String,
    /// The tasks.
    pub case: Case,
    /// What is done.
    pub work: Work,
    /// What a result may be off.
    pub tolerance: f64,
}

/// How far a result is from what it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The result.
    pub name: String,
    /// Of the largest value; NaN where a value is not finite on one side alone, infinite where there are too few or too many.
    pub error: f64,
}

impl Trial {
    /// What an engine for the network of this trial makes of it.
    ///
    /// # Errors
    /// If the engine fails, or breaks what [`Engine`] promises.
    pub fn run<E: Engine>(&self, engine: &mut E) -> Found {
        match &self.work {
            Work::Passes => single_passes(engine, &self.case),
            Work::Inner { inner, rate } => inner_loop(engine, &self.case, inner, *rate),
            Work::Update(update) => updated(engine, [self.case.spec.param_len(), 3], update),
        }
    }

    /// What it must come to: what the engine on the CPU makes of it, one task after another and without fast paths.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn wanted(&self) -> Found {
        self.run(&mut Cpu::on(Path::SCALAR, &self.case.spec, 1)?)
    }

    /// The result that is furthest off.
    pub fn worst(&self, got: &Results, want: &Results) -> Difference {
        let none = Difference { name: "nothing".into(), error: 0.0 };
        differences(got, want).into_iter().fold(none, |worst, next| {
            let stays = larger(worst.error, next.error).total_cmp(&worst.error).is_eq();
            if stays { worst } else { next }
        })
    }
}

/// The larger of two errors, of which NaN is the largest: whichever comes first.
fn larger(most: f64, next: f64) -> f64 {
    if most.is_nan() || next <= most { most } else { next }
}

/// How far results are apart, each by its name.
pub fn differences(got: &Results, want: &Results) -> Vec<Difference> {
    let wrong = |name: String| Difference { name, error: f64::INFINITY };
    if got.len() != want.len() {
        return vec![wrong(format!("number of results: expected {}, got {}", want.len(), got.len()))];
    }
    let difference = |((name, got), (other, want)): (&Named, &Named)| {
        if name != other || got.len() != want.len() {
            return wrong(format!("{name}: expected {} values of {other}, got {}", want.len(), got.len()));
        }
        let largest = want.iter().fold(0.0_f64, |most, value| most.max(f64::from(value.abs())));
        let apart = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - f64::from(*want)).abs());
        let error = apart.fold(0.0, larger);
        Difference { name: name.clone(), error: error / largest.max(1e-3) }
    };
    got.iter().zip(want).map(difference).collect()
}

/// Whether results are the same to the bit.
pub fn same_bits(one: &Results, other: &Results) -> bool {
    let bits = |results: &Results| -> Vec<Vec<u32>> {
        results.iter().map(|(_, values)| values.iter().map(|value| value.to_bits()).collect()).collect()
    };
    bits(one) == bits(other)
}

fn single_passes<E: Engine>(engine: &mut E, case: &Case) -> Found {
    let mut results = Results::new();
    let tasks = engine.take(case.tasks.clone())?;
    let each = engine.upload(&case.params)?;
    let shared = engine.upload(case.shared())?;
    let directions = engine.upload(&case.directions)?;
    let mut into = engine.upload(&[])?;
    for (params, sharing) in [(Parameters::Shared(&shared), "shared"), (Parameters::Each(&each), "each")] {
        for side in [Side::Support, Side::Query] {
            let what = |pass: &str| format!("{pass}, {sharing}, {side:?}");
            for depth in [Depth::Outputs, Depth::Features] {
                engine.forward(params, &tasks, side, depth, &mut into)?;
                let values = engine.download(&into)?;
                let cotangent = single(&Numbers(5).values(values.len(), 1.0));
                let cotangent = engine.upload(&cotangent)?;
                results.push((what(&format!("{depth:?}")), values));
                engine.backward(params, &tasks, side, depth, &cotangent, &mut into, None)?;
                results.push((what(&format!("behind {depth:?}")), engine.download(&into)?));
                let mut inputs = engine.upload(&[f32::NAN; 3])?;
                engine.backward(params, &tasks, side, depth, &cotangent, &mut into, Some(&mut inputs))?;
                results.push((what(&format!("behind {depth:?} and inputs")), engine.download(&into)?));
                results.push((what(&format!("inputs behind {depth:?}")), engine.download(&inputs)?));
            }
            let mut losses = Vec::new();
            engine.gradient(params, &tasks, side, &mut losses, &mut into)?;
            results.push((what("losses"), losses));
            results.push((what("gradient"), engine.download(&into)?));
            engine.hessian_vector(params, &directions, &tasks, side, &mut into)?;
            results.push((what("product"), engine.download(&into)?));
        }
    }
    let mut pooled = BatchGradient::default();
    engine.pooled_gradient(&shared, &tasks, &mut pooled)?;
    results.push(("pooled".into(), engine.download(&pooled.params)?));
    results.push(("pooled losses".into(), engine.download(&pooled.losses)?));
    Ok(results)
}

/// Losses, and gradients by parameters and rates.
fn inner_loop<E: Engine>(engine: &mut E, case: &Case, inner: &InnerLoop, rate: f32) -> Found {
    let tasks = engine.take(case.tasks.clone())?;
    let params = engine.upload(case.shared())?;
    let count = match inner.rate {
        Rate::Constant => 1,
        Rate::PerLayerStep => inner.steps * case.spec.layer_count(),
        Rate::PerParameter => case.spec.param_len(),
    };
    let rates: Vec<f32> =
        Numbers(3).values(count, f64::from(rate) / 2.0).iter().map(|value| rate + *value as f32).collect();
    let rates = engine.upload(&rates)?;
    let mut gradient = BatchGradient::default();
    engine.meta_gradient(inner, &params, &rates, &tasks, &mut gradient)?;
    expect("tasks of a gradient", gradient.tasks, case.tasks.len())?;
    let mut results = vec![
        ("meta-gradient".into(), engine.download(&gradient.params)?),
        ("losses of it".into(), engine.download(&gradient.losses)?),
    ];
    expect("whether there is a gradient by rates", gradient.rates.is_some(), inner.learn_rates)?;
    if let Some(rates) = &gradient.rates {
        results.push(("by rates".into(), engine.download(rates)?));
    }
    let mut losses = Vec::new();
    engine.meta_losses(inner, &params, &rates, &tasks, &mut losses)?;
    results.push(("losses alone".into(), losses));
    Ok(results)
}

/// The norm, what is learned and its moments after a step, of so many parameters and rates.
fn updated<E: Engine>(engine: &mut E, lens: [usize; 2], update: &Update) -> Found {
    let mut numbers = Numbers(8);
    let mut values = |len: usize| single(&numbers.values(len, 1.0));
    let (mut params, mut rates) = (engine.upload(&values(lens[0]))?, engine.upload(&values(lens[1]))?);
    let mut moments = |engine: &mut E, len: usize| -> Result<Moments<E::Values>, Box<dyn Error>> {
        let first = engine.upload(&values(len))?;
        let second = engine.upload(&values(len).iter().map(|value| value.abs()).collect::<Vec<_>>())?;
        Ok(Moments { first, second, steps: 4 })
    };
    let mut moments = [moments(engine, lens[0])?, moments(engine, lens[1])?];
    let mut by_params = values(lens[0]);
    if update.spoiled {
        by_params[lens[0] / 2] = f32::INFINITY;
    }
    let by_rates = if update.with_rates { Some(engine.upload(&values(lens[1]))?) } else { None };
    let losses = engine.upload(&[1.0, 2.0])?;
    let mut gradient = BatchGradient { params: engine.upload(&by_params)?, rates: by_rates, losses, tasks: 2 };
    let learned = Learned { params: &mut params, rates: &mut rates, moments: moments.each_mut() };
    engine.update(&update.step, learned, &mut gradient)?;
    let mut losses = Vec::new();
    let norm = engine.outcome(&gradient, &mut losses)?;
    expect("losses of a gradient", losses, vec![1.0, 2.0])?;
    expect("whether the norm is finite", norm.is_finite(), !update.spoiled)?;
    let mut results = vec![("norm".into(), vec![if update.spoiled { 0.0 } else { norm as f32 }])];
    let [of_params, of_rates] = &moments;
    for (name, values) in [
        ("parameters", &params),
        ("rates", &rates),
        ("first moments", &of_params.first),
        ("second moments", &of_params.second),
        ("first moments of rates", &of_rates.first),
        ("second moments of rates", &of_rates.second),
    ] {
        results.push((name.into(), engine.download(values)?));
    }
    Ok(results)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<(), Box<dyn Error>> {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(values: &[f32]) -> Results {
        vec![("sound".into(), vec![1.0]), ("values".into(), values.to_vec())]
    }

    #[test]
    fn what_is_furthest_off_is_told() {
        let trial = passes().swap_remove(0);
        let want = results(&[4.0, -8.0]);
        let worst = |values: &[f32]| trial.worst(&results(values), &want);
        assert_eq!(worst(&[4.0, -8.0]).error, 0.0);
        assert_eq!(worst(&[4.5, -8.0]), Difference { name: "values".into(), error: 0.0625 });
        assert!(worst(&[f32::NAN, -8.0]).error.is_nan() && worst(&[4.0, f32::NAN]).error.is_nan());
        assert!(worst(&[4.0]).error.is_infinite());
        assert!(trial.worst(&vec![], &want).error.is_infinite());
        assert!(same_bits(&want, &want) && !same_bits(&want, &results(&[4.0, 8.0])));
    }

    #[test]
    fn the_cpu_finds_what_is_finite() {
        for trials in [passes(), inner_loops(), updates(), convolutions(4), dense_networks(12)] {
            for trial in trials {
                let results = trial.wanted().unwrap();
                assert!(results.iter().flat_map(|(_, values)| values).all(|value| value.is_finite()), "{}", trial.name);
            }
        }
    }
}
