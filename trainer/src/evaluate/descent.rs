//! Plain gradient descent from where a bundle starts, at the best of several rates: what a rule that was learned has to beat.

use sinew_models::rule::{Rate, Rule};

use super::{Evaluation, Method};
use crate::learn::State;
use crate::metric::Summary;
use crate::model::Model;

/// The name of its rows.
pub(super) const NAME: &str = "sgd";

/// `model` with another rule: gradient descent at `rate`, of the layers that its own rule adapts, from the same parameters.
pub fn descent(model: &Model, rate: f32) -> Model {
    let scope = model.rule.scope().clone();
    let rule = Rule::Gradient { steps: model.rule.steps(), rate: Rate::Constant, scope, momentum: false, rows: 0 };
    Model { rule, state: State { params: model.state.params.clone(), rates: vec![rate] }, ..model.clone() }
}

impl Evaluation {
    /// Adds a row `sgd` for each number of steps from 1 on: of `others`, which are the evaluations of [`descent`] on the same episodes and
    /// numbers of steps, the one with the best mean of the main metric. That it is chosen on the very episodes that it is judged on is in
    /// its favour.
    pub fn add_descent(&mut self, others: &[(f32, Self)]) {
        let Some(main) = self.metrics.first() else { return };
        let sign = if main.higher_is_better { -1.0 } else { 1.0 };
        let steps: Vec<usize> =
            self.scores.iter().filter(|(method, _)| method.name == "adapted").map(|(m, _)| m.steps).collect();
        for steps in steps.into_iter().filter(|steps| *steps > 0) {
            let mine = |evaluation: &'_ Self| {
                let mut all = evaluation.scores.iter();
                all.position(|(method, _)| method.name == "adapted" && method.steps == steps)
            };
            let ranked = others.iter().filter_map(|(rate, evaluation)| {
                let (_, scores) = evaluation.scores.get(mine(evaluation)?)?;
                let mean = Summary::of(&evaluation.independent(scores, 0)).mean;
                mean.is_finite().then_some((sign * mean, *rate, scores))
            });
            if let Some((_, rate, scores)) = ranked.min_by(|(a, ..), (b, ..)| a.total_cmp(b)) {
                self.scores.push((Method { name: NAME, steps }, scores.clone()));
                self.descent_rates.insert(steps, rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::world::Metric;

    fn evaluation(higher_is_better: bool, scores: [[f64; 2]; 2]) -> Evaluation {
        let methods = [0, 5].map(|steps| Method { name: "adapted", steps });
        let rows = scores.map(|row| row.map(|score| vec![score]).to_vec());
        Evaluation {
            source: "world".into(),
            metrics: vec![Metric { name: "score", unit: "", higher_is_better, head: 0 }],
            shots: 1,
            scores: methods.into_iter().zip(rows).collect(),
            refused: BTreeMap::new(),
            clusters: vec![0, 1],
            choice: None,
            descent_rates: BTreeMap::new(),
        }
    }

    #[test]
    fn the_best_rate_is_shown() {
        for (higher, best) in [(false, 0.1), (true, 0.2)] {
            let mut ours = evaluation(higher, [[1.0; 2], [0.5, 0.7]]);
            let others = [
                (0.1, evaluation(higher, [[1.0; 2], [0.6, 0.8]])),
                (0.2, evaluation(higher, [[1.0; 2], [0.7, 0.9]])),
                (0.3, evaluation(higher, [[1.0; 2], [f64::NAN; 2]])),
            ];
            ours.add_descent(&others);
            let rows = ours.rows(0);
            assert_eq!(rows.len(), 3);
            assert_eq!((rows[2].method, rows[2].steps, rows[2].rate), ("sgd", 5, Some(best)));
            assert!(rows[..2].iter().all(|row| row.rate.is_none()));
            assert!((rows[2].mean - if higher { 0.8 } else { 0.7 }).abs() <= 1e-12);
            // Nothing to show.
            ours.add_descent(&others[2..]);
            assert_eq!(ours.rows(0).len(), 3);
        }
    }
}
