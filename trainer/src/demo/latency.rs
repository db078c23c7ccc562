//! How long things took: percentiles of many durations.

use std::time::Duration;

/// Durations, in µs, from the shortest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latencies(Vec<f64>);

impl Latencies {
    /// Sorts `durations`.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = durations.into_iter().map(|duration| duration.as_secs_f64() * 1e6).collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// All of them, in µs, from the shortest.
    pub fn sorted(&self) -> &[f64] {
        &self.0
    }

    /// The shortest, in µs, that `share` of all (from 0 to 1) do not exceed: the nearest rank. NaN where there are none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sinew_trainer::demo::latency::Latencies;
    /// let latencies = Latencies::of((1..=200).rev().map(Duration::from_micros));
    /// assert_eq!(latencies.percentile(0.5).round(), 100.0);
    /// assert_eq!(latencies.percentile(0.99).round(), 198.0);
    /// assert_eq!(latencies.percentile(1.0).round(), 200.0);
    /// ```
    pub fn percentile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    /// How many fall into each of `bins` equal parts between 0 and `end`, in µs; the last part also holds what is beyond.
    pub fn histogram(&self, end: f64, bins: usize) -> Vec<u32> {
        let mut counts = vec![0; bins];
        let last = bins.saturating_sub(1);
        for latency in &self.0 {
            let bin = (latency / end * bins as f64) as usize;
            if let Some(count) = counts.get_mut(bin.min(last)) {
                *count += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(values: &[u64]) -> Latencies {
        Latencies::of(values.iter().map(|&value| Duration::from_micros(value)))
    }

    #[test]
    fn percentiles_by_hand() {
        let latencies = micros(&[40, 10, 30, 20]);
        let close = |share: f64, expected: f64| {
            assert!((latencies.percentile(share) - expected).abs() <= 1e-9, "{share}");
        };
        close(0.0, 10.0);
        close(0.25, 10.0);
        close(0.26, 20.0);
        close(0.5, 20.0);
        close(0.99, 40.0);
        close(1.0, 40.0);
        assert!(micros(&[]).percentile(0.5).is_nan());
        assert!((micros(&[7]).percentile(0.01) - 7.0).abs() <= 1e-9);
    }

    #[test]
    fn every_latency_is_in_one_bin() {
        assert_eq!(micros(&[0, 5, 15, 19, 500]).histogram(20.0, 4), [1, 1, 0, 3]);
        assert!(micros(&[1]).histogram(20.0, 0).is_empty());
        assert_eq!(micros(&[]).histogram(20.0, 2), [0, 0]);
    }
}
