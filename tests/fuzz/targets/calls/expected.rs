//! What may come of an adaptation: what each rule, guard and limit allows a report to say, and no more.

use sinew_models::rule::Rule;
use sinew_runtime::{Adapter, Bundle, Guard, Limits, Outcome, Report};

/// What was asked of an adapter, and how far it is with it.
pub struct Expected {
    rule: Rule,
    pub guard: Guard,
    pub limits: Limits,
    /// Refused updates in a row.
    refused: u32,
    /// Samples to be waited for.
    awaited: usize,
}

impl Expected {
    /// Of a new adapter.
    pub fn of(bundle: &Bundle<'_>) -> Self {
        let rule = bundle.rule().clone();
        Self { rule, guard: Guard::default(), limits: Limits::default(), refused: 0, awaited: 0 }
    }

    /// Support rows that an adaptation needs.
    pub fn rows(&self) -> usize {
        if let Guard::HeldBack(rows) = self.guard { rows + 1 } else { 1 }
    }

    /// Whether it takes gradient steps.
    pub fn takes_steps(&self) -> bool {
        matches!(self.rule, Rule::Gradient { .. } | Rule::MetaLstm { .. })
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.awaited = self.awaited.min(limits.recovery);
    }

    pub fn observed(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }

    pub fn rolled_back(&mut self) {
        self.refused = 0;
        self.awaited = self.limits.recovery;
    }

    pub fn reset(&mut self) {
        self.refused = 0;
        self.awaited = 0;
    }

    /// Whether other parameters predict after this; similarities need none.
    pub fn commits_parameters(&self, report: &Report) -> bool {
        report.outcome == Outcome::Committed && !matches!(self.rule, Rule::Siamese { .. })
    }

    /// Panics unless `report` can be of an adaptation that was granted so many units of work, `stopped` or not; takes note of it.
    pub fn check(&mut self, report: &Report, adapter: &mut Adapter<'_>, granted: usize, stopped: bool, start: &[f32]) {
        let Report { outcome, steps, loss_before, loss_after, rolled_back } = *report;
        let waits = self.awaited > 0;
        assert_eq!(outcome == Outcome::Recovering, waits);
        if matches!(outcome, Outcome::Recovering | Outcome::NothingNew) {
            assert!(granted == 0 && !stopped, "nothing was to be done");
        }
        if matches!(outcome, Outcome::Recovering | Outcome::NothingNew | Outcome::OutOfTime) {
            assert_eq!(steps, 0);
        }

        let siamese = matches!(self.rule, Rule::Siamese { .. });
        let refused = outcome.is_refusal() && !siamese;
        self.refused = match outcome {
            Outcome::Committed if !siamese => 0,
            _ => self.refused + u32::from(refused),
        };
        assert_eq!(rolled_back, refused && self.limits.patience > 0 && self.refused >= self.limits.patience);
        if rolled_back {
            self.rolled_back();
        }

        match self.rule {
            Rule::Siamese { .. } => {
                assert!(matches!(outcome, Outcome::Committed | Outcome::NotFinite | Outcome::OutOfTime) || waits);
                assert_eq!(outcome == Outcome::Committed, steps == adapter.support().rows());
                assert!(loss_before.is_nan() && loss_after.is_nan());
                return;
            }
            Rule::Gradient { .. } | Rule::MetaLstm { .. } => self.check_steps(report, adapter, granted, stopped),
            Rule::Ridge { .. } | Rule::Bayes | Rule::Prototype => self.check_samples(report, adapter, granted, stopped),
        }
        match outcome {
            Outcome::Committed => {
                assert!(steps > 0);
                assert!(adapter.parameters().iter().all(|value| value.is_finite()));
                if self.guard != Guard::Finite {
                    // That of the start may be infinite.
                    assert!(loss_after.is_finite() && loss_after <= loss_before);
                }
                let square = |(now, start): (&f32, &f32)| (f64::from(*now) - f64::from(*start)).powi(2);
                let way = adapter.parameters().iter().zip(start).map(square).sum::<f64>().sqrt();
                assert!(way <= f64::from(self.limits.trust_radius) * 1.001 + 1e-18);
            }
            Outcome::Worse => {
                assert!(self.guard != Guard::Finite && steps > 0);
                assert!(loss_before.is_finite() && loss_after.is_finite());
                // The sum can be better where one head is worse.
                assert!(loss_after > loss_before || matches!(self.guard, Guard::EachHead(_)));
            }
            Outcome::OutsideTrust => {
                assert!(steps > 0 && self.limits.trust_radius < f32::INFINITY);
            }
            _ => {}
        }
    }

    /// The rules that go step by step, each of at least one unit of work, and one more that judges.
    fn check_steps(&self, report: &Report, adapter: &Adapter<'_>, granted: usize, stopped: bool) {
        let Report { outcome, steps, loss_before, loss_after, .. } = *report;
        assert_ne!(outcome, Outcome::NothingNew);
        assert!(steps <= adapter.steps());
        let least = match self.guard {
            Guard::Finite => steps,
            Guard::Improve | Guard::EachHead(_) => steps + 1,
            // The start is judged apart, and so is what each step leads to.
            Guard::HeldBack(_) => 2 * steps + 1,
        };
        assert!(steps == 0 || least <= granted);
        if outcome == Outcome::OutOfTime {
            assert!(stopped || adapter.steps() == 0);
        }
        if outcome == Outcome::Committed && self.guard == Guard::Finite {
            assert!(loss_before.is_finite() && loss_after.is_finite());
        }
    }

    /// The rules that work samples in, solve, and judge the start and what came of it.
    fn check_samples(&self, report: &Report, adapter: &Adapter<'_>, granted: usize, stopped: bool) {
        let Report { outcome, steps, loss_before, loss_after, .. } = *report;
        let recursive = !matches!(self.rule, Rule::Ridge { recursive: false });
        assert!(recursive || outcome != Outcome::NothingNew);
        assert!(recursive || steps <= adapter.support().capacity());
        if outcome == Outcome::OutOfTime {
            assert!(stopped);
        }
        if matches!(outcome, Outcome::Committed | Outcome::Worse | Outcome::OutsideTrust) {
            assert!(granted >= if self.guard == Guard::Finite { 1 } else { 3 });
        }
        if self.guard == Guard::Finite {
            // It is not judged.
            assert!(loss_before.is_nan() && loss_after.is_nan());
        }
    }
}
