//! One whole meta-step: exact second-order meta-gradient over a batch of tasks, and AdamW on the start.

use std::hint::black_box;

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Layer, Window};
use sinew_runtime::Path;
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, InnerLoop, Kept, Learned, OuterStep, Rows, TaskRows};
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

impl MetaStep {
    /// It, on so many threads.
    ///
    /// # Panics
    /// If there is no engine for the network.
    pub fn workload(&self, id: &'static str, path: Path, threads: usize) -> Workload {
        let rows = |rows: usize, seed: u64| {
            let Problem { x, y, .. } = (self.problem)(rows, seed);
            Rows { x, y, rows }
        };
        let task = |task| TaskRows { support: rows(self.support, 2 * task + 1), query: rows(self.query, 2 * task + 2) };
        let tasks: Vec<TaskRows> = (0..self.tasks).map(task).collect();
        let start = (self.problem)(1, 0);
        let mut engine = Cpu::on(path, &start.network, threads).expect("the network is within the limits");
        let (adapted, kept) = (engine.adapted(&Scope::All), Kept::Activations);
        let (steps, rate) = (self.steps, Rate::Constant);
        let inner = InnerLoop { steps, rate, adapted, learn_rates: false, first_order: false, kept };
        let operations = start.count().meta_step(self.tasks, self.support, self.query, self.steps as u64);
        let (mut params, mut rates) = (Aligned::copy_of(&start.parameters), Aligned::copy_of(&[0.01]));
        let zeros = |len| Moments { first: Aligned::zeros(len), second: Aligned::zeros(len), steps: 0 };
        let mut moments = [params.len(), rates.len()].map(zeros);
        // A rate of 0 keeps every run the same work; the arithmetic is that of any other rate.
        let step = OuterStep { adam: AdamW::default(), clip: None, rate: 0.0, rate_of_rates: 0.0 };
        let mut gradient = BatchGradient::default();
        Workload::new(id, operations, move || {
            let params = black_box(&mut params);
            engine.meta_gradient(&inner, params, &rates, &tasks, &mut gradient).expect("the lengths are right");
            let learned = Learned { params, rates: &mut rates, moments: moments.each_mut() };
            engine.update(&step, learned, &mut gradient).expect("the lengths are right");
        })
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
