//! Metrics where a target is how likely the event is, not whether it happened: their expectations over the events.

use super::{mean, surprise};

/// What [`super::auroc`] would tell of very many events: how often the row of an event gets the larger score than one of none, a tie
/// counting half. NaN where nothing or everything is certain to happen. A prediction that is NaN loses against all.
///
/// ```
/// # use sinew_trainer::metric::{auroc, expected_auroc};
/// assert_eq!(expected_auroc(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]), auroc(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]));
/// ```
pub fn expected_auroc(scores: &[f32], probabilities: &[f32]) -> f64 {
    let (mut won, mut all) = (0.0, 0.0);
    for (score, p) in scores.iter().zip(probabilities) {
        for (other, q) in scores.iter().zip(probabilities) {
            let weight = f64::from(*p) * (1.0 - f64::from(*q));
            all += weight;
            // A row competes with itself, too: the same grasp twice, once with success and once without, is a tie.
            won += weight
                * if score > other {
                    1.0
                } else if score == other {
                    0.5
                } else {
                    0.0
                };
        }
    }
    won / all
}

/// Mean of `−p ln said − (1 − p) ln(1 − said)` over rows, in nats. NaN without rows.
pub fn expected_log_loss(said: &[f32], probabilities: &[f32]) -> f64 {
    mean(said.iter().zip(probabilities).map(|(&said, &p)| {
        let (said, p) = (f64::from(said), f64::from(p));
        let part = |share: f64, said| if share > 0.0 { share * surprise(said) } else { 0.0 };
        part(p, said) + part(1.0 - p, 1.0 - said)
    }))
}

/// How likely the event of the row with the largest score is; ties go to the first. NaN without rows; 0 where a score is NaN.
pub fn expected_pick(scores: &[f32], probabilities: &[f32]) -> f64 {
    if scores.iter().any(|score| score.is_nan()) {
        return 0.0;
    }
    let best = (0..scores.len()).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    best.map_or(f64::NAN, |best| f64::from(probabilities[best]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_means_over_events() {
        let (said, p) = ([0.7_f32, 0.2, 0.5], [0.75_f32, 0.5, 0.25]);
        let mut loss = 0.0;
        for events in 0..8_u32 {
            let targets: Vec<f32> = (0..3).map(|i| (events >> i & 1) as f32).collect();
            let likely = targets.iter().zip(p).map(|(t, p)| f64::from(if *t > 0.5 { p } else { 1.0 - p }));
            loss += likely.product::<f64>() * crate::metric::log_loss(&said, &targets);
        }
        let error = (expected_log_loss(&said, &p) - loss).abs();
        assert!(error <= 1e-7, "{error}");
        assert_eq!(expected_pick(&said, &p), 0.75);
        assert_eq!(expected_pick(&[0.1, f32::NAN, 0.3], &p), 0.0);
        assert!(expected_auroc(&said, &[1.0; 3]).is_nan() && expected_log_loss(&[], &[]).is_nan());
        // What is certain is kept a little away from it.
        let certain = expected_log_loss(&[1.0], &[1.0]);
        assert!((0.0..=1e-6).contains(&certain), "{certain}");
    }
}
