//! One whole meta-step: exact second-order meta-gradient over a batch of tasks, and AdamW on the start.

use std::hint::black_box;

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Layer, NetworkSpec, Window};
use sinew_runtime::Path;
use sinew_trainer::engine::{
    BatchGradient, Cpu, Engine, EngineError, InnerLoop, Kept, Learned, OuterStep, Rows, TaskRows,
};
use sinew_trainer::optimiser::{AdamW, Moments};

use crate::problem::Problem;
use crate::workload::Workload;

/// A meta-step to time.
#[derive(Clone, Debug)]
pub struct MetaStep {
    /// Makes the network, its start and rows of data from their number and a seed.
    pub problem: fn(usize, u64) -> Problem,
    /// Tasks of a batch.
    pub tasks: u64,
    /// Support rows of a task.
    pub support: usize,
    /// Query rows of a task.
    pub query: usize,
    /// Inner steps.
    pub steps: usize,
}

/// Sine waves as in Finn et al. (2017), 1-40-40-1, with this many inner steps.
pub fn sinusoid(steps: usize) -> MetaStep {
    let problem = |rows, seed| Problem::mlp(&[1, 40, 40, 1], rows, seed);
    MetaStep { problem, tasks: 25, support: 10, query: 10, steps }
}

/// 16-64-64-4, 32 tasks, 5 inner steps.
pub fn mlp() -> MetaStep {
    MetaStep {
        problem: |rows, seed| Problem::mlp(&[16, 64, 64, 4], rows, seed),
        tasks: 32,
        support: 16,
        query: 16,
        steps: 5,
    }
}

/// The network for images that adaptation is timed on, 4 tasks of 5 classes with 1 support and 15 query rows each, 5 inner steps.
pub fn images() -> MetaStep {
    let problem = |rows, seed| {
        let backbone = [8, 16, 32].into_iter().flat_map(|outputs| [convolution(outputs, Activation::Relu), POOL]);
        Problem::classes(32, &backbone.chain([Layer::Flatten]).collect::<Vec<_>>(), rows, seed)
    };
    MetaStep { problem, tasks: 4, support: 5, query: 75, steps: 5 }
}

/// The four convolutions of Vinyals et al. (2016) with 32 channels on 28 × 28, layer norm in place of batch norm, 1 inner step.
pub fn conv_4() -> MetaStep {
    let problem = |rows, seed| {
        let norm = Layer::LayerNorm { activation: Activation::Relu };
        let backbone = (0..4).flat_map(|_| [convolution(32, Activation::Identity), norm, POOL]);
        Problem::classes(28, &backbone.chain([Layer::Flatten]).collect::<Vec<_>>(), rows, seed)
    };
    MetaStep { problem, tasks: 4, support: 5, query: 75, steps: 1 }
}

const POOL: Layer = Layer::MaxPool { window: Window::square(2, 2, 0) };

const fn convolution(outputs: usize, activation: Activation) -> Layer {
    Layer::Convolution { outputs, window: Window::square(3, 1, 1), activation }
}

/// A meta-step on an engine, with all that it needs there.
#[derive(Debug)]
pub struct Step<E: Engine> {
    engine: E,
    inner: InnerLoop,
    tasks: E::Tasks,
    params: E::Values,
    rates: E::Values,
    moments: [Moments<E::Values>; 2],
    gradient: BatchGradient<E::Values>,
    losses: Vec<f32>,
}

impl<E: Engine> Step<E> {
    /// Asks for the step, and does not wait where an engine need not.
    ///
    /// # Errors
    /// If the engine failed.
    pub fn ask(&mut self) -> Result<(), EngineError> {
        // A rate of 0 keeps every run the same work; the arithmetic is that of any other rate.
        let step = OuterStep { adam: AdamW::default(), clip: None, rate: 0.0, rate_of_rates: 0.0 };
        let params = black_box(&mut self.params);
        self.engine.meta_gradient(&self.inner, params, &self.rates, &self.tasks, &mut self.gradient)?;
        let learned = Learned { params, rates: &mut self.rates, moments: self.moments.each_mut() };
        self.engine.update(&step, learned, &mut self.gradient)
    }

    /// Waits for the norm of the gradient and the losses.
    ///
    /// # Errors
    /// If the engine failed.
    pub fn wait(&mut self) -> Result<f64, EngineError> {
        self.engine.outcome(&self.gradient, &mut self.losses)
    }

    /// The gradient by the parameters that the last step found.
    ///
    /// # Errors
    /// If the engine failed.
    pub fn gradient(&self) -> Result<Vec<f32>, EngineError> {
        self.engine.download(&self.gradient.params)
    }
}

impl MetaStep {
    /// The network.
    pub fn network(&self) -> NetworkSpec {
        (self.problem)(1, 0).network
    }

    /// Operations of one step.
    pub fn operations(&self) -> u64 {
        let count = (self.problem)(1, 0).count();
        count.meta_step(self.tasks, self.support, self.query, self.steps as u64)
    }

    /// It, on an engine for its network.
    ///
    /// # Errors
    /// If the engine has no room for it.
    pub fn on<E: Engine>(&self, mut engine: E) -> Result<Step<E>, EngineError> {
        let rows = |rows: usize, seed: u64| {
            let Problem { x, y, .. } = (self.problem)(rows, seed);
            Rows { x, y, rows }
        };
        let task = |task| TaskRows { support: rows(self.support, 2 * task + 1), query: rows(self.query, 2 * task + 2) };
        let tasks = engine.take((0..self.tasks).map(task).collect())?;
        let (adapted, kept) = (engine.adapted(&Scope::All), Kept::Activations);
        let (steps, rate) = (self.steps, Rate::Constant);
        let inner = InnerLoop { steps, rate, adapted, learn_rates: false, first_order: false, kept };
        let start = (self.problem)(1, 0).parameters;
        let (params, rates) = (engine.upload(&start)?, engine.upload(&[0.01])?);
        let mut zeros = |len: usize| engine.upload(&vec![0.0; len]);
        let mut moments = |len| Ok::<_, EngineError>(Moments { first: zeros(len)?, second: zeros(len)?, steps: 0 });
        let moments = [moments(start.len())?, moments(1)?];
        let (gradient, losses) = (BatchGradient::default(), Vec::new());
        Ok(Step { engine, inner, tasks, params, rates, moments, gradient, losses })
    }

    /// It, on so many threads.
    ///
    /// # Panics
    /// If there is no engine for the network.
    pub fn workload(&self, id: &'static str, path: Path, threads: usize) -> Workload {
        let engine = Cpu::on(path, &self.network(), threads).expect("the network is within the limits");
        let mut step = self.on(engine).expect("the CPU has room");
        Workload::new(id, self.operations(), move || step.ask().expect("the lengths are right"))
    }
}

/// All of them: one thread, and two.
pub fn all() -> Vec<Workload> {
    let path = Path::detect();
    let on = |id, step: MetaStep, threads| step.workload(id, path, threads);
    vec![
        on("meta_step/sinusoid_1", sinusoid(1), 1),
        on("meta_step/sinusoid_5", sinusoid(5), 1),
        on("meta_step/mlp_5", mlp(), 1),
        on("meta_step/conv_5", images(), 1),
        on("meta_step/conv_4", conv_4(), 1),
        on("meta_step/sinusoid_1_two_threads", sinusoid(1), 2),
        on("meta_step/sinusoid_5_two_threads", sinusoid(5), 2),
        on("meta_step/mlp_5_two_threads", mlp(), 2),
        on("meta_step/conv_5_two_threads", images(), 2),
        on("meta_step/conv_4_two_threads", conv_4(), 2),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_run() {
        super::all().iter_mut().for_each(|workload| (workload.run)());
    }
}
