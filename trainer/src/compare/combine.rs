//! Scores of several seeds on the same episodes, and what they say together.
//!
//! Tasks and seeds are both drawn, and every seed meets every task: two crossed random effects. The mean's variance is taken as
//! s²(means of clusters over seeds) / clusters + s²(means of seeds over clusters) / seeds, and the interval is Student's t with the degrees of
//! freedom of Satterthwaite (1946). What tasks and seeds do only together is in both terms, so the interval is a little too
//! wide rather than too narrow. With one seed the second term is missing: then the interval says what other tasks would do, not what
//! other seeds would.

use std::collections::BTreeMap;

use crate::metric::student_t;

/// A mean over clusters of tasks and over seeds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Clusters that were told of.
    pub clusters: usize,
    /// The mean; NaN without any.
    pub mean: f64,
    /// Half the width of its 95% interval; NaN for fewer than two clusters, infinite where a score is.
    pub ci95: f64,
}

/// The mean of the values that are told; NaN without any.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) =
        values.filter(|value| !value.is_nan()).fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// The variance of the mean of `values`, and its degrees of freedom; nothing for one value.
fn of_mean(values: &[f64], average: f64) -> Option<(f64, f64)> {
    let freedom = values.len().checked_sub(1).filter(|freedom| *freedom > 0)? as f64;
    let spread = values.iter().map(|value| (value - average).powi(2)).sum::<f64>() / freedom;
    Some((spread / values.len() as f64, freedom))
}

/// What `scores [seed][episode]` come to, where episodes of one of `clusters [episode]` are not independent of each other. A score that is
/// NaN is left out.
pub fn over(scores: &[Vec<f64>], clusters: &[u64]) -> Interval {
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (episode, cluster) in clusters.iter().enumerate() {
        members.entry(*cluster).or_default().push(episode);
    }
    // The mean of each cluster: [seed][cluster].
    let table: Vec<Vec<f64>> = scores
        .iter()
        .map(|row| members.values().map(|episodes| mean(episodes.iter().map(|episode| row[*episode]))).collect())
        .collect();
    let told = |value: &f64| !value.is_nan();
    let of_clusters: Vec<f64> =
        (0..members.len()).map(|cluster| mean(table.iter().map(|row| row[cluster]))).filter(told).collect();
    let of_seeds: Vec<f64> = table.iter().map(|row| mean(row.iter().copied())).filter(told).collect();
    let average = mean(of_clusters.iter().copied());
    let ci95 = if of_clusters.iter().any(|value| value.is_infinite()) {
        f64::INFINITY
    } else {
        half_width(of_mean(&of_clusters, average), of_mean(&of_seeds, mean(of_seeds.iter().copied())))
    };
    Interval { clusters: of_clusters.len(), mean: average, ci95 }
}

fn half_width(clusters: Option<(f64, f64)>, seeds: Option<(f64, f64)>) -> f64 {
    let Some((of_clusters, freedom)) = clusters else { return f64::NAN };
    let (of_seeds, few) = seeds.unwrap_or((0.0, 1.0));
    let variance = of_clusters + of_seeds;
    let together = variance.powi(2) / (of_clusters.powi(2) / freedom + of_seeds.powi(2) / few);
    // Rounded down, which widens, but not for the last bits of what is whole; 0 / 0 where nothing varies.
    let freedom = if together.is_nan() { freedom } else { together + 1e-9 };
    student_t((freedom as usize).max(1)) * variance.sqrt()
}

/// `ours − theirs`, seed by seed and episode by episode; a pair with a NaN, or of which both sides are infinite, is left out.
pub fn difference(ours: &[Vec<f64>], theirs: &[Vec<f64>], clusters: &[u64]) -> Interval {
    let of_seed = |(ours, theirs): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
        ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect()
    };
    over(&ours.iter().zip(theirs).map(of_seed).collect::<Vec<_>>(), clusters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Summary;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    proptest! {
        /// One seed is what `evaluate` says.
        #[test]
        fn one_seed_is_a_summary(values in prop::collection::vec(-9.0..9.0_f64, 2..30), shift in -1.0..1.0_f64) {
            let clusters: Vec<u64> = (0..values.len() as u64).collect();
            let (interval, summary) = (over(std::slice::from_ref(&values), &clusters), Summary::of(&values));
            prop_assert!(close(interval.mean, summary.mean) && close(interval.ci95, summary.ci95));
            let theirs: Vec<f64> = values.iter().map(|value| value * value + shift).collect();
            let summary = Summary::of_difference(&values, &theirs);
            let interval = difference(&[values], &[theirs], &clusters);
            prop_assert!(close(interval.mean, summary.mean) && close(interval.ci95, summary.ci95));
        }
    }

    #[test]
    fn by_hand() {
        // Means of clusters 2 and 5, of seeds 3 and 4: variances 4.5 / 2 and 0.5 / 2, one degree of freedom each.
        let interval = over(&[vec![1.0, 2.0, 4.5], vec![2.0, 3.0, 5.5]], &[8, 8, 9]);
        assert_eq!((interval.clusters, interval.mean), (2, 3.5));
        assert!(close(interval.ci95, student_t(1) * 2.5_f64.sqrt()));
        // Two seeds that say the same say no more than one.
        let twice = over(&[vec![1.0, 4.0, 2.5], vec![1.0, 4.0, 2.5]], &[1, 2, 3]);
        assert_eq!(twice, over(&[vec![1.0, 4.0, 2.5]], &[1, 2, 3]));
        // What cannot be told is left out, in one seed or in all.
        let told = over(&[vec![1.0, f64::NAN, f64::NAN], vec![2.0, f64::NAN, 5.0]], &[1, 2, 3]);
        assert_eq!((told.clusters, told.mean), (2, 3.25));
        assert!(over(&[vec![1.0]], &[1]).ci95.is_nan() && over(&[vec![]], &[]).mean.is_nan());
        let fell_apart = over(&[vec![1.0, f64::INFINITY, 3.0]], &[1, 2, 3]);
        assert_eq!((fell_apart.mean, fell_apart.ci95), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn pairs_cancel_what_they_share() {
        let theirs = [vec![1.0, 10.0, 100.0], vec![2.0, 20.0, f64::INFINITY]];
        let ours = theirs.clone().map(|row| row.into_iter().map(|value| value + 0.5).collect());
        // Where both fell apart there is nothing to be told.
        let difference = difference(&ours, &theirs, &[1, 2, 3]);
        assert_eq!((difference.clusters, difference.mean, difference.ci95), (3, 0.5, 0.0));
    }

    /// The interval holds the truth about as often as it says, where seeds matter as much as tasks.
    #[test]
    fn the_interval_covers() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (rounds, tasks, seeds) = (2000, 40, 3);
        let clusters: Vec<u64> = (0..tasks).collect();
        let mut held = 0;
        for _ in 0..rounds {
            let of_tasks: Vec<f64> = (0..tasks).map(|_| normal()).collect();
            let mut one = || {
                let seed = 0.2 * normal();
                of_tasks.iter().map(|task| task + seed + 0.3 * normal()).collect::<Vec<f64>>()
            };
            let scores: Vec<Vec<f64>> = (0..seeds).map(|_| one()).collect();
            let interval = over(&scores, &clusters);
            held += u32::from(interval.mean.abs() <= interval.ci95);
        }
        let share = f64::from(held) / f64::from(rounds);
        assert!((0.94..=0.995).contains(&share), "{share}");
    }
}
