//! What the scores come to: a line for each method.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Evaluation, Method, descent};
use crate::metric::{Ratio, Summary};

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// Support samples (of each class).
    pub shots: usize,
    /// Inner or fine-tuning steps.
    pub steps: usize,
    /// The rate of plain gradient descent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f32>,
    /// Episodes.
    pub episodes: usize,
    /// Mean.
    pub mean: f64,
    /// Half of the mean's 95% interval.
    pub ci95: f64,
    /// Median over episodes.
    pub median: f64,
    /// Mean over that of `unadapted` (see [`Method::name`]) on the same episodes, and half of its 95% interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<[f64; 2]>,
    /// Mean difference to `finetuned`, episode by episode, and half of its 95% interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside_finetuned: Option<[f64; 2]>,
    /// Updates that the guard refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<usize>,
}

impl Evaluation {
    /// The scores of one metric, by cluster: what is independent, and can be summarised.
    pub(super) fn independent(&self, scores: &[Vec<f64>], metric: usize) -> Vec<f64> {
        let mut clusters: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (row, cluster) in scores.iter().zip(&self.clusters) {
            clusters.entry(*cluster).or_default().push(row[metric]);
        }
        let mean = |values: &Vec<f64>| {
            let told: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
            told.iter().sum::<f64>() / told.len() as f64
        };
        clusters.values().map(mean).collect()
    }

    fn of(&self, name: &str, metric: usize) -> Option<Vec<f64>> {
        let (_, scores) = self.scores.iter().find(|(method, _)| method.name == name)?;
        Some(self.independent(scores, metric))
    }

    /// Whether it was compared with baselines.
    pub fn has_baselines(&self) -> bool {
        self.scores.iter().any(|(method, _)| method.name == "finetuned")
    }

    /// The lines for one metric, by its place in [`Evaluation::metrics`].
    pub fn rows(&self, metric: usize) -> Vec<Row> {
        let unadapted = self.of("unadapted", metric);
        let finetuned = self.of("finetuned", metric);
        let row = |(method, scores): &(Method, Vec<Vec<f64>>)| {
            let values = self.independent(scores, metric);
            let summary = Summary::of(&values);
            let each: Vec<f64> = scores.iter().map(|row| row[metric]).collect();
            let ratio = unadapted.as_ref().map(|other| {
                let ratio = Ratio::of_means(&values, other);
                [ratio.ratio, ratio.ci95]
            });
            let beside = finetuned.as_ref().map(|other| {
                let difference = Summary::of_difference(&values, other);
                [difference.mean, difference.ci95]
            });
            let ours = method.name == "adapted" && method.steps > 0;
            Row {
                method: method.name,
                shots: self.shots,
                steps: method.steps,
                rate: self.descent_rates.get(&method.steps).copied().filter(|_| method.name == descent::NAME),
                episodes: each.iter().filter(|score| !score.is_nan()).count(),
                mean: summary.mean,
                ci95: summary.ci95,
                median: Summary::of(&each).median,
                ratio: ratio.filter(|_| method.name != "unadapted"),
                beside_finetuned: beside.filter(|_| method.name != "finetuned"),
                refused: ours.then(|| self.refused.get(&method.steps).copied().unwrap_or(0)),
            }
        };
        self.scores.iter().map(row).collect()
    }

    /// Joins the episodes of another evaluation with the same methods, such as another fold. Fine-tuning steps may differ.
    pub fn join(&mut self, other: Self) {
        for ((_, scores), (_, more)) in self.scores.iter_mut().zip(other.scores) {
            scores.extend(more);
        }
        self.clusters.extend(other.clusters);
        for (steps, count) in other.refused {
            *self.refused.entry(steps).or_default() += count;
        }
    }
}
