//! Δm: what a model of several heads gains over models that were trained for one head each (Maninis, Radosavovic and Kokkinos 2019, eq. 4;
//! Vandenhende et al. 2021, eq. 3).
//!
//! Δm = 1/T Σ (−1)^l (M_i − S_i) / S_i, where S_i is the score of the model that was trained for head i alone, in a comparison that has one
//! for each head. A head's score is its first metric. Differences are paired, episode by episode and seed by seed; S_i is taken for
//! known, since it varies much less than a difference that is in doubt.

use super::combine::{self, Interval};
use super::{Entry, Kind, Table};

/// What one method gains, in percent; more is better, whatever the metric.
#[derive(Clone, Debug)]
pub struct Gain<'a> {
    /// The method.
    pub entry: &'a Entry,
    /// On each head.
    pub of_heads: Vec<Interval>,
    /// Δm, the mean over heads.
    pub mean: Interval,
}

/// The place of the first metric of each head; none where a head has none.
pub fn metrics_of_heads(table: &Table) -> Option<Vec<usize>> {
    let heads = table.metrics.iter().map(|metric| metric.head + 1).max().unwrap_or(0);
    (0..heads).map(|head| table.metrics.iter().position(|metric| metric.head == head)).collect()
}

/// What each learner gains; nothing unless there is, at its number of steps, one that was trained alone for each of two heads or more.
pub fn gains(table: &Table) -> Vec<Gain<'_>> {
    let Some(metrics) = metrics_of_heads(table).filter(|metrics| metrics.len() > 1) else { return Vec::new() };
    let learners = table.entries.iter().filter(|entry| entry.kind == Kind::Learner && entry.alone.is_none());
    learners.filter_map(|entry| of(entry, table, &metrics)).collect()
}

fn of<'a>(entry: &'a Entry, table: &Table, metrics: &[usize]) -> Option<Gain<'a>> {
    let mut gains: Vec<Vec<Vec<f64>>> = Vec::new();
    for (head, &metric) in metrics.iter().enumerate() {
        let is_alone = |other: &&Entry| other.alone == Some(head) && other.steps == entry.steps;
        let alone = table.entries.iter().find(is_alone)?;
        let sign = if table.metrics[metric].higher_is_better { 100.0 } else { -100.0 };
        let of = |entry: &Entry| -> Vec<Vec<f64>> {
            entry.scores.iter().map(|seed| seed.iter().map(|episode| episode[metric]).collect()).collect()
        };
        let (ours, theirs) = (of(entry), of(alone));
        let scale = sign / combine::over(&theirs, &table.clusters).mean;
        let pairs = ours.iter().zip(&theirs);
        gains.push(pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| scale * (a - b)).collect()).collect());
    }
    let share = 1.0 / gains.len() as f64;
    let seeds = 0..gains.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |seed: usize| -> Vec<f64> {
        (0..table.clusters.len()).map(|episode| share * gains.iter().map(|of| of[seed][episode]).sum::<f64>()).collect()
    };
    let means: Vec<Vec<f64>> = seeds.map(mean).collect();
    Some(Gain {
        entry,
        of_heads: gains.iter().map(|gain| combine::over(gain, &table.clusters)).collect(),
        mean: combine::over(&means, &table.clusters),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Metric;

    fn entry(name: &str, alone: Option<usize>, scores: [[f64; 3]; 2]) -> Entry {
        Entry {
            name: name.into(),
            kind: Kind::Learner,
            config: name.into(),
            steps: Some(0),
            takes_steps: true,
            scores: vec![scores.iter().map(|episode| episode.to_vec()).collect()],
            cost: None,
            training: None,
            alone,
        }
    }

    #[test]
    fn by_hand() {
        let metrics =
            vec![Metric::lower("error", "1"), Metric::lower("regret", "1"), Metric::higher("accuracy", "1").of_head(1)];
        let entries = vec![
            entry("first", Some(0), [[2.0, 9.0, 0.0], [4.0, 9.0, 0.0]]),
            entry("second", Some(1), [[7.0, 9.0, 0.4], [7.0, 9.0, 0.6]]),
            entry("both", None, [[1.0, 9.0, 0.5], [3.5, 9.0, 0.6]]),
        ];
        let table = Table { shots: 1, entries, clusters: vec![0, 1], metrics };
        let gains = gains(&table);
        assert_eq!((gains.len(), gains[0].entry.name.as_str()), (1, "both"));
        // An error of 2.25 for 3 is 25 % less, an accuracy of 0.55 for 0.5 is 10 % more.
        let means: Vec<f64> = gains[0].of_heads.iter().map(|gain| gain.mean).collect();
        assert!((means[0] - 25.0).abs() <= 1e-9 && (means[1] - 10.0).abs() <= 1e-9, "{means:?}");
        assert!((gains[0].mean.mean - 17.5).abs() <= 1e-9);
        let one = Table { entries: table.entries[1..].to_vec(), ..table.clone() };
        assert!(super::gains(&one).is_empty(), "nothing to compare the first head with");
    }
}
