//! The rule of a bundle at work: what it keeps, and how it fits.

use sinew_models::rule::{Rate, Rule};

use super::memory::RuleMemory;
#[cfg(feature = "rules")]
use super::predict::NO_CLASS;
#[cfg(feature = "rules")]
use crate::guard::Guard;
use crate::network::{LayerSet, Tail};
use crate::reader::Bundle;
use crate::rule::{
    Fit, Trial, Until,
    gradient::{Momentum, Rates, Stepper, descend, scale_of_rows},
};
#[cfg(feature = "rules")]
use crate::rule::{
    linear::Heads,
    meta_lstm::{self, Gates, Learned},
    prototype,
    recursive::{Precision, Prior, Recursive},
    ridge,
};
#[cfg(feature = "rules")]
use crate::{kernel::dense::Size, part::part, support::Places};

/// What a rule needs besides the support rows.
pub(super) struct Tools<'a, 'm> {
    /// Buffers of parameters; the first holds the start.
    pub work: &'a mut [&'m mut [f32]; 3],
    pub numbers: &'a [f32],
    pub rule: &'a mut RuleMemory<'m>,
    pub adapted: LayerSet,
    pub steps: usize,
    /// Places of the rows that have not been worked in.
    #[cfg(feature = "rules")]
    pub pending: Places,
}

/// What a rule keeps; its numbers and its state are in the caller's memory.
#[derive(Debug)]
pub(super) enum Learner {
    Gradient {
        rate: Rate,
        momentum: bool,
        rows: usize,
    },
    #[cfg(feature = "rules")]
    Ridge,
    /// Recursive ridge regression, or Bayesian regression.
    #[cfg(feature = "rules")]
    Recursive {
        bayes: bool,
        /// As committed; the state beside it.
        filter: Recursive,
        /// As it is being tried; the trial state beside it.
        trial: Recursive,
        /// Samples that were worked into the trial.
        tried: usize,
    },
    #[cfg(feature = "rules")]
    Prototype {
        tried: usize,
    },
    #[cfg(feature = "rules")]
    Siamese,
    #[cfg(feature = "rules")]
    MetaLstm {
        hidden: usize,
    },
}

impl Learner {
    /// The rule of `bundle`, at its beginning; `None` if this build leaves it out, or its numbers cannot be worked with.
    pub(super) fn new(
        bundle: &Bundle<'_>,
        behind: Tail<'_>,
        numbers: &[f32],
        rule: &mut RuleMemory<'_>,
        start: &[f32],
    ) -> Option<Self> {
        #[cfg(not(feature = "rules"))]
        let _ = (behind, numbers, rule, start);
        match *bundle.rule() {
            Rule::Gradient { rate, momentum, rows, .. } => Some(Self::Gradient { rate, momentum, rows }),
            #[cfg(not(feature = "rules"))]
            #[allow(unreachable_patterns, reason = "unless another crate asks for more of `sinew-models`")]
            _ => None,
            #[cfg(feature = "rules")]
            Rule::Ridge { recursive: false } => {
                let logit = part(numbers, 1, 2 * behind.output_len());
                Heads { network: behind, logit }.stack(start, rule.prior);
                Some(Self::Ridge)
            }
            #[cfg(feature = "rules")]
            Rule::Ridge { recursive: true } | Rule::Bayes => {
                let bayes = *bundle.rule() == Rule::Bayes;
                let logit = if bayes { &[] } else { part(numbers, 1, 2 * behind.output_len()) };
                Heads { network: behind, logit }.stack(start, rule.prior);
                let forgetting = *numbers.last()?;
                let (features, outputs) = (behind.input_len(), behind.output_len());
                let prior = prior(bayes, numbers, rule.prior, features)?;
                let filter = Recursive::new(behind.path(), features, outputs, forgetting, &prior, rule.state)?;
                Some(Self::Recursive { bayes, filter, trial: filter, tried: 0 })
            }
            #[cfg(feature = "rules")]
            Rule::Prototype => {
                rule.state.fill(0.0);
                Some(Self::Prototype { tried: 0 })
            }
            #[cfg(feature = "rules")]
            Rule::Siamese { .. } => {
                rule.state.fill(NO_CLASS);
                Some(Self::Siamese)
            }
            #[cfg(feature = "rules")]
            Rule::MetaLstm { hidden, .. } => Some(Self::MetaLstm { hidden }),
        }
    }

    /// Whether it works each sample in once, as it comes.
    pub(super) fn is_recursive(&self) -> bool {
        match self {
            Self::Gradient { .. } => false,
            #[cfg(feature = "rules")]
            Self::Recursive { .. } | Self::Prototype { .. } => true,
            #[cfg(feature = "rules")]
            Self::Ridge | Self::Siamese | Self::MetaLstm { .. } => false,
        }
    }

    /// Whether it takes gradient steps.
    #[cfg(feature = "masks")]
    pub(super) fn takes_steps(&self) -> bool {
        match self {
            Self::Gradient { .. } => true,
            #[cfg(feature = "rules")]
            Self::MetaLstm { .. } => true,
            #[cfg(feature = "rules")]
            Self::Ridge | Self::Recursive { .. } | Self::Prototype { .. } | Self::Siamese => false,
        }
    }

    /// Samples that are worked in but not judged, because time was up.
    pub(super) fn is_in_progress(&self) -> bool {
        match self {
            #[cfg(feature = "rules")]
            Self::Recursive { tried, .. } | Self::Prototype { tried } => *tried > 0,
            _ => false,
        }
    }

    /// Fits to the support rows; the second number is how many of the pending ones were worked in.
    pub(super) fn fit(&mut self, fit: &mut Fit<'_>, tools: Tools<'_, '_>, until: Until<'_>) -> (Trial, usize) {
        let Tools { work, numbers, rule, adapted, steps, .. } = tools;
        match self {
            Self::Gradient { rate, momentum, rows } => {
                let (values, momentum) = match (*momentum, numbers.split_last()) {
                    (true, Some((factor, values))) => {
                        (values, Some(Momentum { factor: *factor, velocity: rule.state }))
                    }
                    _ => (numbers, None),
                };
                let scale = if cfg!(feature = "rules") { scale_of_rows(*rows, fit.learn.len()) } else { 1.0 };
                let rates = Rates { kind: *rate, values, adapted, scale };
                (descend(fit, &mut Stepper::Descent(rates, momentum), steps, work, until), 0)
            }
            #[cfg(feature = "rules")]
            Self::MetaLstm { hidden } => {
                let Some(learned) = learned(*hidden, numbers, rule, work[0].len(), adapted) else {
                    return (Trial::new(), 0);
                };
                (descend(fit, &mut Stepper::Learned(learned), steps, work, until), 0)
            }
            #[cfg(feature = "rules")]
            Self::Ridge => (solve_ridge(fit, work, numbers, rule, until), 0),
            #[cfg(feature = "rules")]
            Self::Recursive { bayes, filter, trial, tried } => {
                let (features, outputs) = (fit.network.input_len(), fit.network.output_len());
                let prior = prior(*bayes, numbers, rule.prior, features);
                let Some(prior) = prior else { return (Trial::new(), 0) };
                if *tried == 0 {
                    *trial = *filter;
                    rule.trial.iter_mut().zip(&*rule.state).for_each(|(to, from)| *to = *from);
                }
                let mut worked = 0;
                for place in tools.pending.runs(1) {
                    if until() {
                        return (Trial::new(), worked);
                    }
                    let (phi, y) =
                        (part(fit.x, place.start * features, features), part(fit.y, place.start * outputs, outputs));
                    // A sample that is too large to be worked in leaves no trace.
                    trial.update(&prior, phi, y, rule.trial, rule.scratch);
                    worked += 1;
                    *tried += 1;
                }
                if until() {
                    return (Trial::new(), worked);
                }
                let solved = trial.weights(&prior, rule.trial, rule.stacked, rule.scratch);
                let logit = if *bayes { &[] } else { part(numbers, 1, 2 * outputs) };
                let judged = judge_heads(fit, work, solved.then_some((&*rule.stacked, logit)), *tried, until);
                (judged, worked)
            }
            #[cfg(feature = "rules")]
            Self::Prototype { tried } => {
                let (features, classes) = (fit.network.input_len(), fit.network.output_len());
                if *tried == 0 {
                    rule.trial.iter_mut().zip(&*rule.state).for_each(|(to, from)| *to = *from);
                }
                let (means, counts) = crate::part::cut(rule.trial, classes * features);
                let mut worked = 0;
                for place in tools.pending.runs(1) {
                    if until() {
                        return (Trial::new(), worked);
                    }
                    let embedding = part(fit.x, place.start * features, features);
                    let class = class_of(part(fit.y, place.start * classes, classes));
                    // One that is not finite leaves no trace.
                    prototype::observe(fit.network.path(), embedding, class, means, counts);
                    worked += 1;
                    *tried += 1;
                }
                if until() {
                    return (Trial::new(), worked);
                }
                let scale = numbers.first().copied().unwrap_or(f32::NAN);
                let [_, candidate, _] = work;
                for (class, (weight, bias)) in
                    fit.network.linear_outputs().map(|(class, weight, bias)| (class, (weight, bias)))
                {
                    let weight = crate::part::part_mut(candidate, weight, features);
                    let seen = counts.get(class).is_some_and(|count| *count > 0.0);
                    let mean = part(means, class * features, features);
                    let constant = prototype::as_head(mean, seen, scale, weight);
                    crate::part::part_mut(candidate, bias, 1).fill(constant);
                }
                (judge_candidate(fit, work, true, *tried, until), worked)
            }
            #[cfg(feature = "rules")]
            Self::Siamese => (Trial::new(), 0),
        }
    }

    /// Forgets all samples; [`RuleMemory::prior`] is still that of the start.
    pub(super) fn restart(&mut self, behind: Tail<'_>, numbers: &[f32], rule: &mut RuleMemory<'_>) {
        match self {
            #[cfg(feature = "rules")]
            Self::Recursive { bayes, filter, trial, tried } => {
                let (features, outputs) = (behind.input_len(), behind.output_len());
                if let Some(prior) = prior(*bayes, numbers, rule.prior, features)
                    && let Some(new) =
                        Recursive::new(behind.path(), features, outputs, filter.forgetting(), &prior, rule.state)
                {
                    (*filter, *trial) = (new, new);
                }
                *tried = 0;
            }
            #[cfg(feature = "rules")]
            Self::Prototype { tried } => {
                *tried = 0;
                rule.state.fill(0.0);
            }
            #[cfg(feature = "rules")]
            Self::Siamese => rule.state.fill(NO_CLASS),
            _ => {
                let _ = (behind, numbers, rule);
            }
        }
    }

    /// What was tried is what holds from now on.
    pub(super) fn commit(&mut self, rule: &mut RuleMemory<'_>) {
        match self {
            #[cfg(feature = "rules")]
            Self::Recursive { filter, trial, tried, .. } => {
                *filter = *trial;
                *tried = 0;
                core::mem::swap(&mut rule.state, &mut rule.trial);
            }
            #[cfg(feature = "rules")]
            Self::Prototype { tried } => {
                *tried = 0;
                core::mem::swap(&mut rule.state, &mut rule.trial);
            }
            _ => {
                let _ = rule;
            }
        }
    }

    /// What was tried is forgotten.
    pub(super) fn refuse(&mut self) {
        match self {
            #[cfg(feature = "rules")]
            Self::Recursive { tried, .. } | Self::Prototype { tried } => *tried = 0,
            _ => {}
        }
    }

    /// Where the Bayesian filter stands, as committed; `None` for other rules.
    #[cfg(feature = "rules")]
    pub(super) fn posterior(&self) -> Option<Recursive> {
        match self {
            Self::Recursive { bayes: true, filter, .. } => Some(*filter),
            _ => None,
        }
    }

    /// The noise's variance of each output, in squares of the scaled outputs; none for rules that know no variance.
    #[cfg(feature = "rules")]
    pub(super) fn noise<'a>(&self, numbers: &'a [f32]) -> &'a [f32] {
        let Some(filter) = self.posterior() else { return &[] };
        let unknowns = filter.features() + 1;
        part(numbers, unknowns * unknowns, filter.outputs())
    }

    /// Whether it predicts by comparing with support rows.
    #[cfg(feature = "rules")]
    pub(super) fn compares(&self) -> bool {
        matches!(self, Self::Siamese)
    }
}

/// The class of a target row: the first of its largest values.
#[cfg(feature = "rules")]
pub(super) fn class_of(y: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, value) in y.iter().enumerate() {
        if *value > best.1 {
            best = (class, *value);
        }
    }
    best.0
}

#[cfg(feature = "rules")]
fn prior<'a>(bayes: bool, numbers: &'a [f32], weight: &'a [f32], features: usize) -> Option<Prior<'a>> {
    let precision = if bayes {
        Precision::Factor(part(numbers, 0, (features + 1) * (features + 1)))
    } else {
        Precision::Scaled(*numbers.first()?)
    };
    Some(Prior { weight, precision })
}

#[cfg(feature = "rules")]
fn learned<'a>(
    hidden: usize,
    numbers: &'a [f32],
    rule: &'a mut RuleMemory<'_>,
    params: usize,
    adapted: LayerSet,
) -> Option<Learned<'a>> {
    let (weight_ih, rest) = numbers.split_at_checked(4 * hidden * meta_lstm::SEEN)?;
    let (weight_hh, rest) = rest.split_at_checked(4 * hidden * hidden)?;
    let (bias, rest) = rest.split_at_checked(4 * hidden)?;
    let (gate_weight, gate_bias) = rest.split_at_checked(rest.len().checked_sub(2)?)?;
    let gates = Gates { hidden, weight_ih, weight_hh, bias, gate_weight, gate_bias };
    let memory = meta_lstm::Memory::new(hidden, params, rule.state)?;
    Some(Learned { gates, memory, gradient: rule.trial, scratch: rule.scratch, adapted })
}

/// Ridge regression on the rows that are learned from, in one unit of work; and the losses before and after it.
#[cfg(feature = "rules")]
fn solve_ridge(
    fit: &mut Fit<'_>,
    work: &mut [&mut [f32]; 3],
    numbers: &[f32],
    rule: &mut RuleMemory<'_>,
    until: Until<'_>,
) -> Trial {
    if until() {
        return Trial::new();
    }
    let network = fit.network;
    let rows = fit.learn.len() + fit.held_back();
    let size = Size { rows, inputs: network.input_len(), outputs: network.output_len() };
    let counts = (fit.held_back() > 0).then(|| {
        let counts = crate::part::part_mut(rule.counts, 0, rows);
        counts.fill(0.0);
        for run in fit.learn.runs(rows) {
            counts.get_mut(run).unwrap_or_default().fill(1.0);
        }
        &*counts
    });
    let lambda = numbers.first().copied().unwrap_or(f32::NAN);
    let (phi, y) = (part(fit.x, 0, rows * size.inputs), part(fit.y, 0, rows * size.outputs));
    let solved = ridge::solve(network.path(), size, lambda, (phi, y), counts, rule.prior, rule.stacked, rule.scratch);
    let logit = part(numbers, 1, 2 * size.outputs);
    let samples = fit.learn.len();
    judge_heads(fit, work, solved.then_some((&*rule.stacked, logit)), samples, until)
}

/// Puts stacked heads into the second buffer and judges them; `None` could not be solved for.
#[cfg(feature = "rules")]
fn judge_heads(
    fit: &mut Fit<'_>,
    work: &mut [&mut [f32]; 3],
    solved: Option<(&[f32], &[f32])>,
    samples: usize,
    until: Until<'_>,
) -> Trial {
    if let Some((stacked, logit)) = solved {
        let [_, candidate, _] = work;
        Heads { network: fit.network, logit }.unstack(stacked, candidate);
    }
    judge_candidate(fit, work, solved.is_some(), samples, until)
}

/// Compares the second buffer with the first, in units of one forward pass.
#[cfg(feature = "rules")]
fn judge_candidate(
    fit: &mut Fit<'_>,
    work: &mut [&mut [f32]; 3],
    solved: bool,
    samples: usize,
    until: Until<'_>,
) -> Trial {
    let [start, candidate, _] = work;
    let mut trial = Trial::new();
    if !solved {
        (trial.judged, trial.not_finite) = (true, true);
        return trial;
    }
    if fit.guard == Guard::Finite {
        (trial.judged, trial.best, trial.steps) = (true, Some(1), samples);
        return trial;
    }
    let judge = fit.judge;
    let Some(before) = fit.loss(&judge, start, &mut *until) else { return trial };
    trial.start(before);
    let Some(after) = fit.loss(&judge, candidate, &mut *until) else { return trial };
    trial.judge(1, samples, after);
    trial
}
