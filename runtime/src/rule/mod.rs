//! The ways of adapting, one file each, and what they have in common: support rows, a guard, and units of work between which a deadline
//! may come.

#[cfg(feature = "rules")]
pub mod bayes;
pub mod gradient;
#[cfg(feature = "masks")]
pub(crate) mod judges;
#[cfg(feature = "rules")]
pub(crate) mod linear;
#[cfg(feature = "rules")]
pub mod meta_lstm;
#[cfg(feature = "rules")]
pub mod prototype;
#[cfg(feature = "rules")]
pub mod recursive;
#[cfg(feature = "rules")]
pub mod ridge;
#[cfg(feature = "rules")]
pub mod siamese;

use core::ops::Range;

use crate::guard::Guard;
use crate::network::{Batch, Tail, Traces};
use crate::part::part;
use crate::support::Places;

/// Whether time is up.
pub(crate) type Until<'u> = &'u mut dyn FnMut() -> bool;

/// The support rows as the adapted part of the network takes them, and who learns from which and is judged by which.
pub(crate) struct Fit<'a> {
    /// The adapted part of the network.
    pub network: Tail<'a>,
    /// Its inputs, `[rows, inputs]`, by place in the support ring.
    pub x: &'a [f32],
    /// Targets, `[rows, outputs]`, by place.
    pub y: &'a [f32],
    pub guard: Guard,
    pub learn: Places,
    pub judge: Places,
    /// Labels that judge each head, with [`Guard::EachHead`].
    #[cfg(feature = "masks")]
    pub judges: Option<judges::Judges<'a>>,
    /// From the first place to behind the last one of those whose targets teach: with [`Guard::EachHead`] others only judge.
    #[cfg(feature = "masks")]
    pub teaching: Range<usize>,
    /// Most rows of one unit of work.
    pub unit_rows: usize,
    pub traces: Traces<'a>,
}

impl Fit<'_> {
    /// Rows that judge and are not learned from.
    #[cfg(feature = "rules")]
    pub(crate) fn held_back(&self) -> usize {
        if matches!(self.guard, Guard::HeldBack(_)) { self.judge.len() } else { 0 }
    }

    /// The loss of `params` at some places, in units of one forward pass each; `None` if time is up.
    pub(crate) fn loss(&mut self, places: &Places, params: &[f32], until: Until<'_>) -> Option<f32> {
        let mut loss = 0.0;
        for run in places.runs(self.unit_rows) {
            if until() {
                return None;
            }
            let batch = batch(self.network, self.x, self.y, run, places.len());
            self.network.forward(params, batch.x, batch.rows, self.traces.forward, self.traces.panel);
            loss += self.network.loss(batch, self.traces.forward);
        }
        Some(loss)
    }

    /// Has the judges of each head look at `params`, in units of one forward pass each; `None` if time is up.
    #[cfg(feature = "masks")]
    pub(crate) fn have_judged(&mut self, params: &[f32], until: Until<'_>) -> Option<()> {
        let (network, rows) = (self.network, self.learn.len());
        let judges = self.judges.as_mut()?;
        judges.begin();
        for run in self.learn.runs(self.unit_rows) {
            if until() {
                return None;
            }
            let batch = batch(network, self.x, self.y, run.clone(), rows);
            network.forward(params, batch.x, batch.rows, self.traces.forward, self.traces.panel);
            judges.look(network, run, self.traces.forward);
        }
        Some(())
    }
}

/// Two of the buffers of parameters; `None` unless they are two.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn two<'w>(work: &'w mut [&mut [f32]; 3], which: [usize; 2]) -> Option<[&'w mut [f32]; 2]> {
    let [first, second] = work.get_disjoint_mut(which).ok()?;
    Some([first, second])
}

/// A run of rows, of `of` in all.
fn batch<'a>(network: Tail<'_>, x: &'a [f32], y: &'a [f32], run: Range<usize>, of: usize) -> Batch<'a> {
    let (inputs, outputs, rows) = (network.input_len(), network.output_len(), run.len());
    let x = part(x, run.start * inputs, rows * inputs);
    Batch { x, y: part(y, run.start * outputs, rows * outputs), rows, of }
}

/// How far an adaptation has come: which of the parameters that it tried are the best so far, and what they were judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// The best of the parameters that are better than the start.
    pub best: Option<usize>,
    /// Steps, or samples, that led to the best; or that were judged, if there is no best.
    pub steps: usize,
    /// Loss of the start, NaN if it is not known.
    pub first: f32,
    /// Loss of the best, or of what was judged last.
    pub last: f32,
    /// Whether something besides the start was judged.
    pub judged: bool,
    /// Whether a loss was not finite.
    pub not_finite: bool,
}

impl Trial {
    pub(crate) const fn new() -> Self {
        Self { best: None, steps: 0, first: f32::NAN, last: f32::NAN, judged: false, not_finite: false }
    }

    /// The start has this loss.
    pub(crate) fn start(&mut self, loss: f32) {
        (self.first, self.last) = (loss, loss);
        self.not_finite |= !loss.is_finite();
    }

    /// What lies in buffer `which`, after `steps` steps, has this loss.
    #[cfg(feature = "rules")]
    pub(crate) fn judge(&mut self, which: usize, steps: usize, loss: f32) {
        self.judge_if(true, which, steps, loss);
    }

    /// The same, of what can be the best only if it is `allowed` to be.
    pub(crate) fn judge_if(&mut self, allowed: bool, which: usize, steps: usize, loss: f32) {
        self.judged = true;
        self.not_finite |= !loss.is_finite();
        let bar = if self.best.is_some() { self.last } else { self.first };
        // Two losses that are infinite cannot be compared.
        if allowed && loss.is_finite() && loss <= bar {
            (self.best, self.steps, self.last) = (Some(which), steps, loss);
        } else if self.best.is_none() {
            (self.steps, self.last) = (steps, loss);
        }
    }
}
