//! Each head judged by labels of its own: an update may make none of them worse.

use core::ops::Range;

use sinew_models::spec::MAX_HEADS;

use super::batch;
use crate::network::Tail;

/// The labels that judge, and what they have said.
#[derive(Debug)]
pub(crate) struct Judges<'a> {
    /// `[rows, outputs]`, by place; NaN where no label judges.
    y: &'a [f32],
    /// What makes of a sum over labels, divided by all rows, their mean.
    scale: [f32; MAX_HEADS],
    /// λ times the loss of each head, of the start.
    start: [f32; MAX_HEADS],
    /// The same of what is being judged.
    here: [f32; MAX_HEADS],
}

impl<'a> Judges<'a> {
    /// So many labels of each head judge, of so many rows.
    pub(crate) fn new(y: &'a [f32], judging: [usize; MAX_HEADS], rows: usize) -> Self {
        let scale = judging.map(|labels| rows as f32 / labels.max(1) as f32);
        Self { y, scale, start: [0.0; MAX_HEADS], here: [0.0; MAX_HEADS] }
    }

    /// Other parameters are looked at from now on.
    pub(crate) fn begin(&mut self) {
        self.here = [0.0; MAX_HEADS];
    }

    /// A run of places, of `rows` rows in all, that has gone forward.
    pub(crate) fn look(&mut self, network: Tail<'_>, x: &[f32], run: Range<usize>, rows: usize, forward: &[f32]) {
        let losses = network.losses(batch(network, x, self.y, run, rows), forward);
        for ((here, loss), scale) in self.here.iter_mut().zip(losses).zip(self.scale) {
            *here += scale * loss;
        }
    }

    /// The sum over heads, and whether none is worse than at the start, which is `step` 0.
    pub(crate) fn verdict(&mut self, step: usize) -> (f32, bool) {
        if step == 0 {
            self.start = self.here;
        }
        let none_worse = self.here.iter().zip(&self.start).all(|(here, start)| here <= start);
        (self.here.iter().sum(), none_worse)
    }
}
