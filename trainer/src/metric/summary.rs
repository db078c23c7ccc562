//! Means, medians, differences and ratios of scores, with their 95% intervals.

use super::mean;

/// What many scores say together.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Scores that were told.
    pub count: usize,
    /// Scores that were NaN and are left out of everything else.
    pub undefined: usize,
    /// Their mean; NaN without any.
    pub mean: f64,
    /// Half the width of the mean's 95% interval (Student's t, independent scores): the mean is `mean ± ci95`.
    /// NaN for fewer than two scores, infinite where a score is.
    pub ci95: f64,
    /// Their median, which a few diverged tasks cannot ruin; NaN without any.
    pub median: f64,
}

impl Summary {
    /// Summarises `values`.
    ///
    /// ```
    /// # use sinew_trainer::metric::Summary;
    /// let summary = Summary::of(&[1.0, f64::NAN, 3.0, 2.0]);
    /// assert_eq!((summary.count, summary.undefined, summary.mean, summary.median), (3, 1, 2.0, 2.0));
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let mut told: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        told.sort_by(f64::total_cmp);
        let count = told.len();
        let middle = count / 2;
        let median = match count {
            0 => f64::NAN,
            _ if count % 2 == 1 => told[middle],
            _ => told[middle - 1] / 2.0 + told[middle] / 2.0,
        };
        let average = mean(told.iter().copied());
        Self { count, undefined: values.len() - count, mean: average, ci95: half_width(&told, average), median }
    }

    /// Summarises `ours − theirs`, score by score on the same episodes. A pair with a NaN, or with only one side, counts
    /// as undefined.
    pub fn of_difference(ours: &[f64], theirs: &[f64]) -> Self {
        let rows = 0..ours.len().max(theirs.len());
        let differences: Vec<f64> = rows
            .map(|row| match (ours.get(row), theirs.get(row)) {
                (Some(ours), Some(theirs)) => ours - theirs,
                _ => f64::NAN,
            })
            .collect();
        Self::of(&differences)
    }
}

/// A ratio of two means over the same episodes, as in "reaches 0.4 of the error".
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Ratio {
    /// Pairs of which both sides were told.
    pub count: usize,
    /// Pairs with a NaN or with only one side, left out.
    pub undefined: usize,
    /// Mean of the numerators over mean of the denominators; NaN where the latter is 0.
    pub ratio: f64,
    /// Half the width of the 95% interval, by the delta method on pairs: `t · sd(a − r b) / (√n |mean b|)`.
    /// It needs a denominator whose mean is far from 0. NaN for fewer than two pairs.
    pub ci95: f64,
}

impl Ratio {
    /// Divides the means, pair by pair on the same episodes.
    pub fn of_means(numerators: &[f64], denominators: &[f64]) -> Self {
        let pairs: Vec<(f64, f64)> = numerators
            .iter()
            .copied()
            .zip(denominators.iter().copied())
            .filter(|(numerator, denominator)| !numerator.is_nan() && !denominator.is_nan())
            .collect();
        let below = mean(pairs.iter().map(|pair| pair.1));
        let above = mean(pairs.iter().map(|pair| pair.0));
        let ratio = if below == 0.0 { f64::NAN } else { above / below };
        let residuals: Vec<f64> = pairs.iter().map(|(above, below)| above - ratio * below).collect();
        Self {
            count: pairs.len(),
            undefined: numerators.len().max(denominators.len()) - pairs.len(),
            ratio,
            ci95: half_width(&residuals, mean(residuals.iter().copied())) / below.abs(),
        }
    }
}

fn half_width(values: &[f64], average: f64) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    if values.iter().any(|value| value.is_infinite()) {
        return f64::INFINITY;
    }
    let freedom = values.len() - 1;
    let spread = values.iter().map(|value| (value - average).powi(2)).sum::<f64>() / freedom as f64;
    student_t(freedom) * (spread / values.len() as f64).sqrt()
}

/// The 97.5% quantile of Student's t: by table up to 9 degrees of freedom, then by Fisher and Cornish's expansion
/// (Abramowitz and Stegun 26.7.5), right to 2e-5.
pub(crate) fn student_t(freedom: usize) -> f64 {
    const FEW: [f64; 9] =
        [12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157];
    // The expansion's coefficients at the normal quantile 1.959964.
    const NORMAL: f64 = 1.959_964;
    const TERMS: [f64; 4] = [2.372_27, 2.822_49, 2.555_86, 1.589_53];
    match freedom {
        0 => f64::NAN,
        1..=9 => FEW[freedom - 1],
        _ => {
            let inverse = 1.0 / freedom as f64;
            NORMAL + TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * inverse)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * (1.0 + b.abs())
    }

    proptest! {
        #[test]
        fn a_constant_denominator_scales_the_interval(values in prop::collection::vec(-9.0..9.0_f64, 2..30)) {
            let (summary, ratio) = (Summary::of(&values), Ratio::of_means(&values, &vec![-4.0; values.len()]));
            prop_assert!(close(ratio.ratio, summary.mean / -4.0));
            prop_assert!(close(ratio.ci95, summary.ci95 / 4.0));
        }
    }

    #[test]
    fn students_t_against_tables() {
        for (freedom, quantile) in
            [(1, 12.7062), (4, 2.77645), (9, 2.26216), (10, 2.22814), (15, 2.13145), (30, 2.04227), (122, 1.97960)]
        {
            assert!((student_t(freedom) - quantile).abs() <= 2e-5, "{freedom}: {}", student_t(freedom));
        }
    }

    #[test]
    fn summaries_by_hand() {
        let summary = Summary::of(&[2.0, 4.0, f64::NAN, 9.0, 5.0]);
        assert_eq!((summary.count, summary.undefined, summary.mean, summary.median), (4, 1, 5.0, 4.5));
        assert!(close(summary.ci95, 3.182_446 * (26.0_f64 / 3.0 / 4.0).sqrt()));
        assert!(
            Summary::of(&[]).mean.is_nan() && Summary::of(&[]).median.is_nan() && Summary::of(&[1.0]).ci95.is_nan()
        );
        let diverged = Summary::of(&[1.0, 2.0, f64::INFINITY]);
        assert_eq!((diverged.mean, diverged.ci95, diverged.median), (f64::INFINITY, f64::INFINITY, 2.0));
    }

    #[test]
    fn pairs_cancel_what_they_share() {
        let theirs = [1.0, 10.0, 100.0, f64::NAN, 5.0];
        let difference = Summary::of_difference(&[1.5, 10.5, 100.5, 7.0], &theirs);
        assert_eq!((difference.count, difference.undefined, difference.mean, difference.ci95), (3, 2, 0.5, 0.0));
        let half: Vec<f64> = theirs.iter().map(|value| value / 2.0).collect();
        let ratio = Ratio::of_means(&half, &theirs);
        assert_eq!((ratio.count, ratio.undefined, ratio.ratio, ratio.ci95), (4, 1, 0.5, 0.0));
        assert!(Ratio::of_means(&[1.0, 2.0], &[0.0, 0.0]).ratio.is_nan());
    }
}
