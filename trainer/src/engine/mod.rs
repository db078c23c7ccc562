//! How gradients are made: batched over tasks, exact, over the very arithmetic that the robot runs.

mod arena;
pub mod cpu;
mod task;

use sinew_models::rule::Rate;
use sinew_runtime::network::{Batch, LayerSet, Network};
use sinew_runtime::rule::gradient::Rates;

pub use cpu::Cpu;

/// Rows as the network sees them: presented inputs, scaled targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// `[rows, presented]`.
    pub x: Vec<f32>,
    /// `[rows, outputs]`.
    pub y: Vec<f32>,
    /// How many there are.
    pub rows: usize,
}

impl Rows {
    /// All of them, to learn from.
    pub fn batch(&self) -> Batch<'_> {
        Batch::whole(&self.x, &self.y, self.rows)
    }
}

/// One task of a meta-batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRows {
    /// What the inner loop sees.
    pub support: Rows,
    /// What the adapted parameters are judged on.
    pub query: Rows,
}

/// The inner loop that is differentiated through.
#[derive(Clone, Debug)]
pub struct InnerLoop {
    /// Inner steps S.
    pub steps: usize,
    /// What the inner rates are.
    pub rate: Rate,
    /// The layers that are adapted.
    pub adapted: LayerSet,
    /// Whether the gradient with respect to the rates is wanted.
    pub learn_rates: bool,
    /// Whether the Hessian is left out (first-order MAML).
    pub first_order: bool,
}

impl InnerLoop {
    fn rates<'a>(&self, values: &'a [f32]) -> Rates<'a> {
        Rates { kind: self.rate, values, adapted: self.adapted }
    }

    /// Whether every layer is adapted.
    fn adapts_all(&self, network: &Network) -> bool {
        (0..network.layer_count()).all(|layer| self.adapted.has(layer))
    }

    /// Whether a gradient must be kept as a vector: where something other than one step needs it.
    fn keeps_gradients(&self, network: &Network) -> bool {
        self.learn_rates || self.rate == Rate::PerParameter || (!self.first_order && !self.adapts_all(network))
    }
}

/// A gradient over a batch of tasks, the mean over tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchGradient {
    /// With respect to the parameters: `[param_len]`.
    pub params: Vec<f32>,
    /// With respect to the inner rates, in the layout of `rule.rate`; empty where they are not learned.
    pub rates: Vec<f32>,
    /// Query loss after the inner loop of each task.
    pub losses: Vec<f32>,
}

impl BatchGradient {
    /// The median loss: one task that blew up does not hide the others.
    pub fn median_loss(&self) -> f64 {
        let losses: Vec<f64> = self.losses.iter().map(|loss| f64::from(*loss)).collect();
        crate::metric::Summary::of(&losses).median
    }
}
