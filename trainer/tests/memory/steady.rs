//! What meta-steps and single passes allocate after the first.

use std::time::Duration;

use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{
    BatchGradient, Cpu, Depth, Engine, InnerLoop, Learned, OuterStep, Parameters, Side, TaskRows,
};
use sinew_trainer::optimiser::{AdamW, Moments};

use crate::counting::taken;
use crate::problem::{How, KEPT, Problem, lasting};

/// An engine, and all that its caller keeps from one step to the next.
struct Run<'a> {
    engine: &'static mut Cpu,
    batches: [&'a Vec<TaskRows>; 2],
    inner: InnerLoop,
    rates: Aligned,
    params: Aligned,
    moments: [Moments<Aligned>; 2],
    gradient: BatchGradient<Aligned>,
    pooled: BatchGradient<Aligned>,
    losses: Vec<f32>,
    /// Where single passes leave what they make, and the gradient behind the network.
    into: [Aligned; 5],
    cotangent: Aligned,
    directions: Aligned,
}

/// How often each is done again.
const ROUNDS: usize = 10;

/// Passes in so many rounds of [`Run::meta_step`] and [`Run::single_passes`]; each hands work to the pool once.
const HANDED: [usize; 2] = [ROUNDS * 2 * 3, ROUNDS * 4 * 4];

impl Run<'_> {
    fn meta_step(&mut self) {
        let Self { engine, inner, params, rates, .. } = self;
        let step = OuterStep { adam: AdamW::default(), clip: Some(1.0), rate: 1e-3, rate_of_rates: 1e-3 };
        for batch in self.batches {
            engine.meta_gradient(inner, params, rates, batch, &mut self.gradient).unwrap();
            let learned = Learned { params, rates, moments: self.moments.each_mut() };
            engine.update(&step, learned, &mut self.gradient).unwrap();
            engine.outcome(&self.gradient, &mut self.losses).unwrap();
            engine.meta_losses(inner, params, rates, batch, &mut self.losses).unwrap();
            engine.pooled_gradient(params, batch, &mut self.pooled).unwrap();
        }
    }

    fn single_passes(&mut self) {
        let Self { engine, params, losses, cotangent, directions, .. } = self;
        let [outputs, gradient, inputs, at, product] = &mut self.into;
        let params = Parameters::Shared(params);
        for (batch, side) in self.batches.into_iter().flat_map(|batch| [(batch, Side::Support), (batch, Side::Query)]) {
            engine.forward(params, batch, side, Depth::Outputs, outputs).unwrap();
            cotangent.resize(outputs.len());
            engine.backward(params, batch, side, Depth::Outputs, cotangent, gradient, Some(inputs)).unwrap();
            engine.gradient(params, batch, side, losses, at).unwrap();
            directions.resize(at.len());
            engine.hessian_vector(params, directions, batch, side, product).unwrap();
        }
    }
}

pub fn nothing_allocates_after_the_first(threads: usize) {
    for problem in Problem::all() {
        for how in [How::Exact, How::LearnedRates] {
            for kept in KEPT {
                // A second batch is smaller: what is there suffices.
                let fewer = problem.tasks[problem.tasks.len() / 2..].to_vec();
                let (inner, rates) = problem.inner(5, kept, how);
                let zeros = |len| Moments { first: Aligned::zeros(len), second: Aligned::zeros(len), steps: 0 };
                let moments = [problem.params.len(), rates.len()].map(zeros);
                let mut run = Run {
                    engine: lasting(Cpu::new(&problem.spec, threads).unwrap()),
                    batches: [&problem.tasks, &fewer],
                    inner,
                    rates,
                    params: problem.params.clone(),
                    moments,
                    gradient: BatchGradient::default(),
                    pooled: BatchGradient::default(),
                    losses: Vec::new(),
                    into: Default::default(),
                    cotangent: Aligned::default(),
                    directions: Aligned::default(),
                };
                let what = format!("{}, {how:?}, {kept:?}, {threads} threads", problem.name);
                run.meta_step();
                run.single_passes();
                if threads > 1 {
                    // A thread that was late for the first step is there after this.
                    std::thread::sleep(Duration::from_millis(50));
                }
                let steps = taken(|| (0..ROUNDS).for_each(|_| run.meta_step()));
                let passes = taken(|| (0..ROUNDS).for_each(|_| run.single_passes()));
                for (taken, handed) in [steps, passes].into_iter().zip(HANDED) {
                    println!("{what}: {taken:?} for {handed} passes");
                    // rayon's queue of what is handed to a pool.
                    let most = if threads == 1 { 0 } else { handed / 63 + 1 };
                    assert!(taken.allocations <= most && taken.peak <= most * 2048, "{what}: {taken:?}");
                }
            }
        }
    }
}

pub fn an_empty_batch_gives_nothing(threads: usize) {
    for problem in &Problem::all() {
        for how in [How::Exact, How::LearnedRates] {
            let (inner, rates) = problem.inner(3, KEPT[0], how);
            let engine = lasting(Cpu::new(&problem.spec, threads).unwrap());
            let (none, params) = (Vec::new(), &problem.params);
            let stale = || BatchGradient {
                params: params.clone(),
                rates: Some(rates.clone()),
                losses: Aligned::copy_of(&[1.0]),
                tasks: 1,
            };
            let zero = |values: &Aligned, len: usize| values.len() == len && values.iter().all(|value| *value == 0.0);

            let mut gradient = stale();
            engine.meta_gradient(&inner, params, &rates, &none, &mut gradient).unwrap();
            assert!(zero(&gradient.params, params.len()) && gradient.losses.is_empty());
            let by_rates = gradient.rates.map(|by_rates| zero(&by_rates, rates.len()));
            assert_eq!(by_rates, inner.learn_rates.then_some(true));

            let mut pooled = stale();
            engine.pooled_gradient(params, &none, &mut pooled).unwrap();
            assert!(zero(&pooled.params, params.len()) && pooled.rates.is_none() && pooled.losses.is_empty());

            let mut losses = vec![1.0];
            engine.meta_losses(&inner, params, &rates, &none, &mut losses).unwrap();
            assert!(losses.is_empty());
            assert_eq!(engine.memory(&inner, rates.len(), &none), 0);

            let (mut into, mut inputs, nothing) = (params.clone(), params.clone(), Aligned::default());
            let shared = Parameters::Shared(params);
            let (side, depth) = (Side::Query, Depth::Outputs);
            engine.backward(shared, &none, side, depth, &nothing, &mut into, Some(&mut inputs)).unwrap();
            assert!(zero(&into, params.len()) && inputs.is_empty());
            engine.forward(shared, &none, side, depth, &mut into).unwrap();
            assert!(into.is_empty());
            let mut losses = vec![1.0];
            engine.gradient(shared, &none, side, &mut losses, &mut into).unwrap();
            assert!(losses.is_empty() && into.is_empty());
            engine.hessian_vector(shared, &nothing, &none, side, &mut into).unwrap();
            assert!(into.is_empty());
        }
    }
}
