//! The one type that a robot meets: observe, adapt, predict.

mod budget;
mod error;
#[cfg(feature = "masks")]
pub(crate) mod labels;
mod learner;
pub(crate) mod memory;
mod plan;
mod predict;
mod predictor;
mod scales;
mod snapshot;

use sinew_models::rule::MAX_STEPS;
use sinew_models::spec::InputForm;

use crate::guard::{Guard, Limits, Outcome, Report};
use crate::kernel::Path;
use crate::kernel::finite::{all_finite, checksum, checksum_from, square_distance};
use crate::network::{Network, Traces};
use crate::part::{part, part_mut};
use crate::reader::{Bundle, LengthError, Tensors};
#[cfg(feature = "masks")]
use crate::rule::judges::Judges;
use crate::rule::{Fit, Trial, two};
use crate::support::Support;
pub use budget::Budget;
pub use error::{AdaptError, Corrupted, ObserveError, SetupError, VarianceError};
#[cfg(feature = "masks")]
pub use labels::HeadSet;
use learner::{Learner, Tools};
#[cfg(feature = "rules")]
use memory::RuleMemory;
use memory::{Memory, Sizes};
use plan::Plan;
use predict::{Fitted, Pass};
#[cfg(feature = "rules")]
use predict::{Knowledge, NO_CLASS};
pub use predictor::Predictor;
pub use scales::Norm;
use snapshot::Layout;

/// A network that fits itself to the task at hand, in memory of the caller.
///
/// ```
/// # use sinew_runtime::{Adapter, Bundle};
/// # fn run(bytes: &[u8], x: &[f32], y: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
/// let bundle = Bundle::parse(bytes)?;
/// let mut memory = vec![0.0; Adapter::memory_len(&bundle, 16)?];
/// let mut adapter = Adapter::new(&bundle, 16, &mut memory)?;
/// adapter.observe(x, y)?;
/// let report = adapter.adapt(|| false)?;
/// let mut answer = [0.0; 4];
/// adapter.predict(x, &mut answer)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Adapter<'m> {
    /// The meta-learned start, in the bundle, and what else is there.
    start: Tensors<'m>,
    form: InputForm,
    plan: Plan,
    layout: Layout,
    learner: Learner,
    steps: usize,
    guard: Guard,
    limits: Limits,
    /// Refused updates in a row.
    refused: u32,
    /// Samples to be waited for.
    awaited: usize,
    /// Of the parameters that predict.
    checksum: u32,
    /// How many parameters at the front are never adapted, and what they give to the checksum.
    frozen: (usize, u32),
    memory: Memory<'m>,
    support: Support<'m>,
}

impl<'m> Adapter<'m> {
    /// Values of memory that an adapter of `bundle` with room for `capacity` support rows needs, on this processor's fastest path.
    ///
    /// # Errors
    /// If `capacity` is 0, the sum passes `usize`, or this build leaves out what the bundle is made of.
    pub fn memory_len(bundle: &Bundle<'_>, capacity: usize) -> Result<usize, SetupError> {
        Self::memory_len_on(Path::detect(), bundle, capacity)
    }

    /// As [`Adapter::memory_len`], on `path`.
    ///
    /// With P parameters, I inputs, N presented inputs, O outputs, C capacity, R numbers of the rule, K features (what the adapted part
    /// of the network takes; N where all is adapted), U and U' rows of one unit of work of the whole network and of its adapted part
    /// ([`Budget`]), and of these the forward traces F and F', the backward trace B' and the panel: for gradient descent
    /// `4P + (P with momentum) + max(F(U), F'(U')) + B'(U') + panel + U N + C K + R + 4I + 2O + C(I + O)`, and with the feature `masks`
    /// `2 C O` more. The closed forms have 3 in place of 4 and no such targets, and matrices of K + 1 times K + 1; similarities have 1. A fast path rounds each part up to 16 values and adds 15, to align them.
    ///
    /// # Errors
    /// As [`Adapter::memory_len`].
    pub fn memory_len_on(path: Path, bundle: &Bundle<'_>, capacity: usize) -> Result<usize, SetupError> {
        let mut plan = Plan::empty();
        plan.fill(bundle, path, capacity)?;
        Sizes::of(bundle, &plan, capacity).map(|sizes| sizes.total).ok_or(SetupError::Capacity(capacity))
    }

    /// Sets up an adapter with room for `capacity` support rows, on this processor's fastest path.
    ///
    /// # Errors
    /// If `memory` is shorter than [`Adapter::memory_len`], or this build leaves out what the bundle is made of.
    pub fn new(bundle: &Bundle<'m>, capacity: usize, memory: &'m mut [f32]) -> Result<Self, SetupError> {
        Self::new_on(Path::detect(), bundle, capacity, memory)
    }

    /// As [`Adapter::new`], on `path`.
    ///
    /// # Errors
    /// As [`Adapter::new`].
    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    pub fn new_on(path: Path, bundle: &Bundle<'m>, capacity: usize, memory: &'m mut [f32]) -> Result<Self, SetupError> {
        let mut plan = Plan::empty();
        plan.fill(bundle, path, capacity)?;
        let sizes = Sizes::of(bundle, &plan, capacity).ok_or(SetupError::Capacity(capacity))?;
        let (expected, got) = (sizes.total, memory.len());
        let (mut memory, ring) = sizes.carve(path, memory).ok_or(SetupError::Memory { expected, got })?;
        memory.load(bundle)?;
        let learner = Learner::new(bundle, plan.behind(), memory.numbers, &mut memory.rule, memory.live);
        let learner = learner.ok_or(SetupError::Rule)?;
        #[cfg(feature = "rules")]
        let (state, features) = match (learner.posterior(), learner.compares()) {
            (None, false) => (0, 0),
            (_, compares) => (memory.rule.state.len(), if compares { memory.features.len() } else { 0 }),
        };
        #[cfg(not(feature = "rules"))]
        let (state, features) = (0, 0);
        let frozen = plan.network.params_of(plan.frozen).start;
        let front = checksum(path, part(memory.live, 0, frozen));
        Ok(Self {
            start: *bundle.tensors(),
            form: bundle.network().input.form,
            layout: Layout::of(&plan, memory.scales.input_mean.len(), state, features),
            learner,
            steps: bundle.rule().steps(),
            guard: Guard::default(),
            limits: Limits::default(),
            refused: 0,
            awaited: 0,
            checksum: checksum(path, memory.live),
            frozen: (frozen, front),
            support: Support::new(ring.inputs, ring.targets, ring.mean, memory.scales.output_mean.len()),
            plan,
            memory,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.plan.network
    }

    /// The support rows that it holds.
    pub fn support(&self) -> &Support<'m> {
        &self.support
    }

    /// The parameters that predict now, in the layout of [`sinew_models::layout`].
    pub fn parameters(&self) -> &[f32] {
        self.memory.live
    }

    /// Values in one input row, as the caller gives it.
    pub fn input_len(&self) -> usize {
        self.memory.scales.input_mean.len()
    }

    /// Values in one output row.
    pub fn output_len(&self) -> usize {
        self.memory.scales.output_mean.len()
    }

    /// Inner steps that [`Adapter::adapt`] takes; from the bundle unless set.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Takes `steps` inner steps from now on. at most [`MAX_STEPS`]. Past the number that the bundle was trained for, they need not help.
    /// The rules that take no steps do not care.
    pub fn set_steps(&mut self, steps: usize) {
        self.steps = steps.min(MAX_STEPS);
    }

    /// Commits updates as `guard` says from now on. Where no row is held back, [`Guard::Improve`] judges.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = if guard == Guard::HeldBack(0) { Guard::Improve } else { guard };
    }

    /// Bounds updates as `limits` says from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.awaited = self.awaited.min(limits.recovery);
    }

    /// What adaptation and prediction cost at most, in multiply-adds and units of work.
    pub fn budget(&self) -> Budget {
        Budget::of(&self.plan, &self.learner, self.support.capacity(), self.steps, self.guard)
    }

    /// Puts one labelled sample into the support ring: `x` of [`Adapter::input_len`] and `y` of [`Adapter::output_len`] values, in the
    /// units of the bundle; a class is a row of zeros with a one. The oldest sample leaves if there is no room.
    ///
    /// # Errors
    /// If a length is wrong or a value is not finite; nothing is kept of such a sample.
    pub fn observe(&mut self, x: &[f32], y: &[f32]) -> Result<(), ObserveError> {
        LengthError::check(self.input_len(), x.len())?;
        LengthError::check(self.output_len(), y.len())?;
        let path = self.plan.network.path();
        if !(all_finite(path, x) && all_finite(path, y)) {
            return Err(ObserveError::NotFinite);
        }
        self.support.push(x, self.memory.scales.scaled(y));
        self.observed();
        Ok(())
    }

    /// What follows a new sample.
    fn observed(&mut self) {
        if self.form != InputForm::Plain {
            self.support.spoil();
        }
        self.awaited = self.awaited.saturating_sub(1);
    }

    /// Fits the network to the support rows, from the meta-learned start, and commits the result if the guard lets it.
    ///
    /// `until` is asked before each unit of work, whose cost is fixed ([`Adapter::budget`]), and ends the adaptation by returning true:
    /// of what was judged so far the best is committed, or nothing. All or nothing: whatever happens, predictions come from whole, finite,
    /// accepted parameters. What the data are changes nothing about the amount of work; which heads they have labels of only makes it less:
    /// through heads that none teaches nothing goes back, and with [`Guard::EachHead`] no rows before the first or behind the last that
    /// teaches.
    ///
    /// # Errors
    /// If there are no support rows, or none besides those that are held back; or if [`Guard::EachHead`] finds no label to learn from, or a
    /// rule that it is not for.
    pub fn adapt(&mut self, mut until: impl FnMut() -> bool) -> Result<Report, AdaptError> {
        self.adapt_until(&mut until)
    }

    // One copy for all callers, and none of its stack in theirs.
    #[inline(never)]
    fn adapt_until(&mut self, until: &mut dyn FnMut() -> bool) -> Result<Report, AdaptError> {
        #[cfg(feature = "masks")]
        if matches!(self.guard, Guard::EachHead(_)) && !self.learner.takes_steps() {
            return Err(AdaptError::GuardOfSteps);
        }
        let held_back = if let Guard::HeldBack(rows) = self.guard { rows } else { 0 };
        let (expected, got) = (held_back.saturating_add(1), self.support.rows());
        if got < expected {
            return Err(AdaptError::NoSupport { expected, got });
        }
        if self.awaited > 0 {
            return Ok(Report::nothing(Outcome::Recovering));
        }
        if self.learner.is_recursive() && self.support.pending() <= held_back && !self.learner.is_in_progress() {
            return Ok(Report::nothing(Outcome::NothingNew));
        }
        // Before the features, which are made with it: parameters that were disturbed make none.
        if let [first, ..] = &mut self.memory.work
            && !first.is_empty()
        {
            // Lengths were checked at set-up, so this cannot fail.
            let loaded = self.start.load(first);
            debug_assert!(loaded.is_ok());
        }
        if !self.refresh(until) {
            return Ok(Report::nothing(Outcome::OutOfTime));
        }
        #[cfg(feature = "rules")]
        if matches!(self.learner, Learner::Siamese) {
            return Ok(self.know_all());
        }
        let memory = &mut self.memory;
        let (learn, judge) = match self.guard {
            Guard::HeldBack(rows) => (self.support.all_but_newest(rows), self.support.newest(rows, 0)),
            _ => (self.support.all(), self.support.all()),
        };
        #[cfg(feature = "masks")]
        let (y, judges, teaching) = if let Guard::EachHead(count) = self.guard {
            let (outputs, rows) = (memory.scales.output_mean.len(), self.support.rows());
            let [learn, judge] = memory.labels.each_mut().map(|labels| part_mut(labels, 0, rows * outputs));
            let split = labels::split(&self.plan.network, &self.support, count, learn, judge);
            if split.taught == 0 {
                return Err(AdaptError::NoLabels { expected: count.saturating_add(1), got: split.most });
            }
            (&*learn, Some(Judges::new(judge, split.judging)), split.teaching)
        } else {
            (self.support.targets(), None, 0..self.support.rows())
        };
        #[cfg(not(feature = "masks"))]
        let y = self.support.targets();
        let mut fit = Fit {
            network: self.plan.behind(),
            x: memory.features,
            y,
            guard: self.guard,
            learn,
            judge,
            #[cfg(feature = "masks")]
            judges,
            #[cfg(feature = "masks")]
            teaching,
            unit_rows: self.plan.unit_rows_behind,
            traces: Traces { forward: memory.forward, backward: memory.backward, panel: memory.panel },
        };
        let tools = Tools {
            work: &mut memory.work,
            numbers: memory.numbers,
            rule: &mut memory.rule,
            adapted: self.plan.adapted,
            steps: self.steps,
            #[cfg(feature = "rules")]
            pending: self.support.newest(self.support.pending(), held_back),
        };
        let (trial, worked) = self.learner.fit(&mut fit, tools, until);
        self.support.worked_in(worked);
        Ok(self.conclude(trial))
    }

    /// Commits what was tried, or says why not.
    fn conclude(&mut self, trial: Trial) -> Report {
        let Trial { best, steps, first, last, judged, not_finite } = trial;
        let (path, memory) = (self.plan.network.path(), &mut self.memory);
        let outcome = match best {
            None if not_finite => Outcome::NotFinite,
            None if judged => Outcome::Worse,
            None => Outcome::OutOfTime,
            Some(best) => {
                let spare = usize::from(best == 0);
                let Some([tried, spare]) = two(&mut memory.work, [best, spare]) else {
                    return Report::nothing(Outcome::NotFinite);
                };
                if !all_finite(path, tried) || self.guard == Guard::Finite && not_finite {
                    Outcome::NotFinite
                } else if !within(self.limits.trust_radius, &self.start, tried, spare) {
                    Outcome::OutsideTrust
                } else {
                    if let Some(tried) = memory.work.get_mut(best) {
                        core::mem::swap(&mut memory.live, tried);
                    }
                    // What is never adapted is expected as the bundle has it, not as it came through this buffer.
                    let (frozen, front) = self.frozen;
                    let rest = memory.live.get(frozen..).unwrap_or_default();
                    self.checksum = front.wrapping_add(checksum_from(path, frozen, rest));
                    Outcome::Committed
                }
            }
        };
        let mut rolled_back = false;
        match outcome {
            Outcome::Committed => {
                self.learner.commit(&mut self.memory.rule);
                self.refused = 0;
            }
            outcome if outcome.is_refusal() => {
                self.learner.refuse();
                self.refused = self.refused.saturating_add(1);
                if self.limits.patience > 0 && self.refused >= self.limits.patience {
                    self.rollback();
                    rolled_back = true;
                }
            }
            _ => {}
        }
        Report { outcome, steps, loss_before: first, loss_after: last, rolled_back }
    }

    /// Brings the features of all support rows up to date; false if time is up before that.
    fn refresh(&mut self, until: &mut dyn FnMut() -> bool) -> bool {
        let Plan { network, frozen, unit_rows, .. } = &self.plan;
        let memory = &mut self.memory;
        let norm = memory.scales.norm(self.support.mean());
        let (input_len, presented_len, len) =
            (self.support.input_len(), network.input_len(), self.plan.behind().input_len());
        let most = if *frozen > 0 { *unit_rows } else { usize::MAX };
        let mut refreshed = 0;
        for run in self.support.newest(self.support.stale(), 0).runs(most) {
            let (rows, inputs) = (run.len(), part(self.support.inputs(), run.start * input_len, run.len() * input_len));
            let features = part_mut(memory.features, run.start * len, rows * len);
            if *frozen == 0 {
                norm.present(self.form, inputs, features);
            } else {
                if until() {
                    self.support.refreshed(refreshed);
                    return false;
                }
                let presented = part_mut(memory.presented, 0, rows * presented_len);
                norm.present(self.form, inputs, presented);
                let params = if memory.work[0].is_empty() { &*memory.live } else { &*memory.work[0] };
                network.forward_layers(0..*frozen, params, presented, rows, memory.forward, memory.panel);
                let made = network.features(*frozen, presented, rows, memory.forward);
                features.iter_mut().zip(made).for_each(|(to, made)| *to = *made);
            }
            #[cfg(feature = "rules")]
            if matches!(self.learner, Learner::Siamese) {
                let outputs = memory.scales.output_mean.len();
                for (row, place) in run.enumerate() {
                    let finite = all_finite(network.path(), part(features, row * len, len));
                    let class = learner::class_of(part(self.support.targets(), place * outputs, outputs));
                    part_mut(memory.rule.state, place, 1).fill(if finite { class as f32 } else { NO_CLASS });
                }
            }
            refreshed += rows;
        }
        self.support.refreshed(refreshed);
        true
    }

    /// What an adaptation by similarities did: all support rows are known.
    #[cfg(feature = "rules")]
    fn know_all(&mut self) -> Report {
        let known = self.memory.rule.state.iter().filter(|class| **class != NO_CLASS).count();
        let outcome = if known == self.support.rows() { Outcome::Committed } else { Outcome::NotFinite };
        Report { steps: known, ..Report::nothing(outcome) }
    }

    /// The loss of the parameters that predict now, on the support rows: Σ λ L over heads; NaN for similarities, which have none.
    ///
    /// # Errors
    /// If there are no support rows.
    pub fn support_loss(&mut self) -> Result<f32, AdaptError> {
        if self.support.rows() == 0 {
            return Err(AdaptError::NoSupport { expected: 1, got: 0 });
        }
        self.refresh(&mut || false);
        let memory = &mut self.memory;
        #[cfg(feature = "rules")]
        if matches!(self.learner, Learner::Siamese) {
            return Ok(f32::NAN);
        }
        let mut fit = Fit {
            network: self.plan.behind(),
            x: memory.features,
            y: self.support.targets(),
            guard: self.guard,
            learn: self.support.all(),
            judge: self.support.all(),
            #[cfg(feature = "masks")]
            judges: None,
            #[cfg(feature = "masks")]
            teaching: 0..self.support.rows(),
            unit_rows: self.plan.unit_rows_behind,
            traces: Traces { forward: memory.forward, backward: memory.backward, panel: memory.panel },
        };
        Ok(fit.loss(&self.support.all(), memory.live, &mut || false).unwrap_or(f32::NAN))
    }

    /// Predicts for one input row or several, `x [rows, input_len]`, into `y [rows, output_len]`: values in the units of the bundle, or
    /// probabilities for classes.
    ///
    /// # Errors
    /// If `x` is not a whole number of rows, or `y` has not as many.
    pub fn predict(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), LengthError> {
        self.predict_rows(x, y, None)
    }

    /// As [`Adapter::predict`], with the variance of each prediction, noise included, in squares of the bundle's units:
    /// `variance [rows, output_len]`. Outputs of a head with classes have the variance of the regression's output.
    ///
    /// # Errors
    /// As [`Adapter::predict`], or if the rule knows no variance.
    pub fn predict_with_variance(
        &mut self,
        x: &[f32],
        y: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), VarianceError> {
        #[cfg(feature = "rules")]
        if matches!(self.learner, Learner::Recursive { bayes: true, .. }) {
            LengthError::check(y.len(), variance.len())?;
            return Ok(self.predict_rows(x, y, Some(variance))?);
        }
        let _ = (x, y, variance);
        Err(VarianceError::NoVariance)
    }

    fn predict_rows(&mut self, x: &[f32], y: &mut [f32], variance: Option<&mut [f32]>) -> Result<(), LengthError> {
        let Memory { presented, forward, panel, scales, rule, live, features, numbers, .. } = &mut self.memory;
        #[cfg(feature = "rules")]
        let RuleMemory { state, scratch, .. } = rule;
        #[cfg(not(feature = "rules"))]
        let _ = (rule, features, numbers);
        let fitted = Fitted {
            params: live,
            support_mean: self.support.mean(),
            #[cfg(feature = "rules")]
            knowledge: knowledge(&self.learner, numbers, state, features),
        };
        let pass = Pass {
            plan: &self.plan,
            form: self.form,
            scales,
            presented,
            forward,
            panel,
            #[cfg(feature = "rules")]
            scratch,
        };
        pass.predict(&fitted, x, y, variance)
    }

    /// Values of a snapshot: with P parameters and I inputs, P + I + 1, and the state of a Bayesian filter, or features and class of
    /// each support row where the rule compares with them. A fast path rounds each part up to 16 values.
    pub fn snapshot_len(&self) -> usize {
        self.layout.len()
    }

    /// Writes down everything that predictions are made from now, for a [`Predictor`] elsewhere.
    ///
    /// # Errors
    /// If `snapshot` is not of [`Adapter::snapshot_len`] values.
    pub fn snapshot(&self, snapshot: &mut [f32]) -> Result<(), LengthError> {
        let fitted = Fitted {
            params: self.memory.live,
            support_mean: self.support.mean(),
            #[cfg(feature = "rules")]
            knowledge: knowledge(&self.learner, self.memory.numbers, self.memory.rule.state, self.memory.features),
        };
        self.layout.write(&fitted, snapshot)
    }

    /// How far the support inputs are from what the bundle was trained on: the mean square of their plain presentation, 1 on average over
    /// training; with the median and the 99th percentile over training tasks, if the bundle knows them. `None` without support rows.
    pub fn novelty(&self) -> Option<Novelty> {
        let scales = &self.memory.scales;
        let rows = self.support.inputs().chunks_exact(self.input_len().max(1));
        let squares = rows.flat_map(|row| {
            let scales = scales.input_mean.iter().zip(&*scales.input_factor);
            row.iter().zip(scales).map(|(x, (mean, factor))| {
                let z = (x - mean) * factor;
                z * z
            })
        });
        let sum = squares.fold(0.0, |sum, square| sum + square);
        let values = self.support.rows() * self.input_len();
        let known = |index| self.start.novelty().and_then(|view| view.get(index));
        (values > 0).then(|| Novelty { score: sum / values as f32, median: known(0), limit: known(1) })
    }

    /// Whether the parameters that predict are, to the bit, those that were committed, and those that are never adapted are the
    /// bundle's; if not, brings the meta-learned start back from the bundle. Call it after each adaptation where memory can be disturbed:
    /// it reads every parameter once. What else is in memory (support rows, features, what a rule keeps) it does not look at.
    ///
    /// # Errors
    /// If they are not.
    pub fn verify(&mut self) -> Result<(), Corrupted> {
        if checksum(self.plan.network.path(), self.memory.live) == self.checksum {
            return Ok(());
        }
        self.rollback();
        Err(Corrupted)
    }

    /// Flips the bits of `mask` in the parameter at `index` of those that predict, as a disturbance would; past the last it does nothing.
    ///
    /// For tests of what happens then.
    #[cfg(feature = "fault-injection")]
    pub fn disturb(&mut self, index: usize, mask: u32) {
        if let Some(value) = self.memory.live.get_mut(index) {
            *value = f32::from_bits(value.to_bits() ^ mask);
        }
    }

    /// Back to the meta-learned start. The support rows stay, unless [`Limits::recovery`] asks for new ones.
    pub fn rollback(&mut self) {
        let memory = &mut self.memory;
        let buffers = core::iter::once(&mut memory.live).chain(&mut memory.work);
        for buffer in buffers.filter(|buffer| !buffer.is_empty()) {
            // Lengths were checked at set-up, so this cannot fail.
            let loaded = self.start.load(buffer);
            debug_assert!(loaded.is_ok());
        }
        self.checksum = checksum(self.plan.network.path(), memory.live);
        self.learner.restart(self.plan.behind(), memory.numbers, &mut memory.rule);
        self.refused = 0;
        self.awaited = self.limits.recovery;
        if self.limits.recovery > 0 {
            self.support.clear();
        }
        self.support.renew();
        self.support.spoil();
    }

    /// A new task: back to the meta-learned start, without support rows.
    pub fn reset(&mut self) {
        self.rollback();
        self.support.clear();
        self.awaited = 0;
    }
}

/// How new the inputs of a task are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Novelty {
    /// The mean square of the support inputs' plain presentation.
    pub score: f32,
    /// Its median over training tasks.
    pub median: Option<f32>,
    /// Its 99th percentile over training tasks: a score above it is rarer than one task in a hundred.
    pub limit: Option<f32>,
}

/// Whether the tried parameters are within `radius` of the start, for which there is room in `spare`.
fn within(radius: f32, start: &Tensors<'_>, tried: &[f32], spare: &mut [f32]) -> bool {
    let radius = radius.max(0.0);
    radius == f32::INFINITY || (start.load(spare).is_ok() && square_distance(tried, spare) <= radius * radius)
}

/// What a rule knows beyond parameters.
#[cfg(feature = "rules")]
fn knowledge<'a>(learner: &Learner, numbers: &'a [f32], state: &'a [f32], features: &'a [f32]) -> Knowledge<'a> {
    match learner.posterior() {
        Some(filter) => Knowledge::Posterior { filter, state, noise: learner.noise(numbers) },
        None if learner.compares() => Knowledge::Rows { features, classes: state },
        None => Knowledge::Parameters,
    }
}
