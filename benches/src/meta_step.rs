//! One whole meta-step: exact second-order meta-gradient over a batch of tasks, and AdamW on the start.

use std::hint::black_box;

use sinew_models::rule::{Rate, Scope};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, InnerLoop, Kept, Rows, TaskRows};
use sinew_trainer::optimiser::{AdamW, Moments};

use crate::problem::Problem;
use crate::workload::Workload;

/// The sizes of a meta-step.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Of the network, the input first.
    pub sizes: &'static [usize],
    /// Tasks of a batch.
    pub tasks: u64,
    /// Support rows of a task, and as many query rows.
    pub rows: usize,
    /// Inner steps.
    pub steps: usize,
}

/// Sine waves as in Finn et al. (2017), 1-40-40-1, with this many inner steps.
pub const fn sinusoid(steps: usize) -> Shape {
    Shape { sizes: &[1, 40, 40, 1], tasks: 25, rows: 10, steps }
}

/// 16-64-64-4, 32 tasks, 5 inner steps.
pub const MLP: Shape = Shape { sizes: &[16, 64, 64, 4], tasks: 32, rows: 16, steps: 5 };

/// A meta-step on so many threads.
///
/// # Panics
/// If there is no engine for the network.
pub fn meta_step(id: &'static str, shape: Shape, threads: usize) -> Workload {
    let problem = |seed: u64| Problem::mlp(shape.sizes, shape.rows, seed);
    let rows = |problem: Problem| Rows { x: problem.x, y: problem.y, rows: problem.rows };
    let tasks: Vec<TaskRows> = (0..shape.tasks)
        .map(|task| TaskRows { support: rows(problem(2 * task + 1)), query: rows(problem(2 * task + 2)) })
        .collect();
    let start = problem(0);
    let mut engine = Cpu::new(&start.network, threads).expect("the network is within the limits");
    let (adapted, kept) = (engine.adapted(&Scope::All), Kept::Activations);
    let (steps, rate) = (shape.steps, Rate::Constant);
    let inner = InnerLoop { steps, rate, adapted, learn_rates: false, first_order: false, kept };
    let operations = start.count().meta_step(shape.tasks, shape.rows, shape.rows, shape.steps as u64);
    let (mut params, rates) = (Aligned::copy_of(&start.parameters), Aligned::copy_of(&[0.01]));
    let (mut moments, mut gradient) = (Moments::zeros(params.len()), BatchGradient::default());
    Workload::new(id, operations, move || {
        engine.meta_gradient(&inner, black_box(&params), &rates, &tasks, &mut gradient).expect("the lengths are right");
        // A rate of 0 keeps every run the same work; the arithmetic is that of any other rate.
        AdamW::default().step(0.0, &mut moments, &mut params, &gradient.params);
        black_box(&params);
    })
}

/// All of them: one thread, and two.
pub fn all() -> Vec<Workload> {
    vec![
        meta_step("meta_step/sinusoid_1", sinusoid(1), 1),
        meta_step("meta_step/sinusoid_5", sinusoid(5), 1),
        meta_step("meta_step/mlp_5", MLP, 1),
        meta_step("meta_step/sinusoid_5_two_threads", sinusoid(5), 2),
        meta_step("meta_step/mlp_5_two_threads", MLP, 2),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_run() {
        super::all().iter_mut().for_each(|workload| (workload.run)());
    }
}
