//! What a network of grasps predicts: success, and what else there is to know of a try, a head each.

use serde::{Deserialize, Serialize};
use sinew_models::spec::Loss;

use super::execute::Outcome;
use crate::episode::Samples;
use crate::metric;
use crate::world::{Column, Metric, Predictor};

/// What is predicted of a grasp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Whether it holds.
    Success,
    /// The share of its force that the worse contact has left before it slips, see [`Outcome::slip_margin`](super::execute::Outcome::slip_margin).
    SlipMargin,
    /// What the jaws measure between the pads when they are closed, in m; 0 where they closed on nothing.
    Width,
}

impl Quantity {
    pub(super) fn head(self) -> (Column, Loss) {
        let (name, unit, loss) = match self {
            Self::Success => ("success", "1", Loss::BinaryCrossEntropy),
            Self::SlipMargin => ("slip_margin", "1", Loss::MeanSquared),
            Self::Width => ("width", "m", Loss::MeanSquared),
        };
        (Column { name: name.into(), unit: unit.into() }, loss)
    }

    pub(super) fn metrics(self) -> Vec<Metric> {
        match self {
            Self::Success => vec![
                Metric::higher("auroc", "1"),
                Metric::lower("log_loss", "nat"),
                Metric::higher("pick_success", "1"),
            ],
            Self::SlipMargin => vec![Metric::lower("slip_margin_rmse", "1")],
            Self::Width => vec![Metric::lower("width_rmse", "m")],
        }
    }

    pub(super) fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Success => f64::from(u8::from(outcome.held())),
            Self::SlipMargin => outcome.slip_margin,
            Self::Width => outcome.width,
        }
    }
}

/// The metrics of a query whose targets are expectations of these quantities.
pub(super) fn judge(query: &Samples, quantities: &[Quantity], predictor: &mut Predictor<'_>) -> Vec<f64> {
    let mut all = vec![0.0; query.targets.len()];
    predictor(&query.inputs, &mut all);
    let mut scores = Vec::new();
    for (head, quantity) in quantities.iter().enumerate() {
        let column =
            |values: &[f32]| -> Vec<f32> { values.iter().copied().skip(head).step_by(quantities.len()).collect() };
        let (said, truth) = (column(&all), column(&query.targets));
        match quantity {
            Quantity::Success => scores.extend([
                metric::expected_auroc(&said, &truth),
                metric::expected_log_loss(&said, &truth),
                metric::expected_pick(&said, &truth),
            ]),
            Quantity::SlipMargin | Quantity::Width => scores.push(metric::rmse(&said, &truth)),
        }
    }
    scores
}
