//! Each head judged by labels of its own: an update may make none of them worse.

use core::ops::Range;

use sinew_models::spec::MAX_HEADS;

use crate::network::{Section, Tail};
use crate::part::part;

/// The labels of one head that judge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judging {
    /// How many there are.
    pub labels: usize,
    /// From the first of their places to behind the last one.
    pub places: Range<usize>,
}

/// The labels that judge, and what they have said.
#[derive(Debug)]
pub(crate) struct Judges<'a> {
    /// `[rows, outputs]`, by place; NaN where no label judges.
    y: &'a [f32],
    of: [Judging; MAX_HEADS],
    /// λ times the loss of each head, of the start.
    start: [f32; MAX_HEADS],
    /// The same of what is being judged.
    here: [f32; MAX_HEADS],
}

impl<'a> Judges<'a> {
    pub(crate) fn new(y: &'a [f32], of: [Judging; MAX_HEADS]) -> Self {
        Self { y, of, start: [0.0; MAX_HEADS], here: [0.0; MAX_HEADS] }
    }

    /// Other parameters are looked at from now on.
    pub(crate) fn begin(&mut self) {
        self.here = [0.0; MAX_HEADS];
    }

    /// A run of places that has gone forward.
    pub(crate) fn look(&mut self, network: Tail<'_>, run: Range<usize>, forward: &[f32]) {
        let outputs = network.output_len();
        for (head, (here, Judging { labels, places })) in self.here.iter_mut().zip(&self.of).enumerate() {
            let (from, to) = (run.start.max(places.start), run.end.min(places.end));
            let Some(rows) = to.checked_sub(from).filter(|rows| *rows > 0) else { continue };
            let y = part(self.y, from * outputs, rows * outputs);
            let loss = network.loss_of_head(head, y, Section::of(run.len(), from - run.start, rows), forward);
            // From a mean over these rows to their share in the mean over labels.
            *here += loss * (rows as f32 / *labels as f32);
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
