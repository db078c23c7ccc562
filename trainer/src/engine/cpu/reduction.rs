//! The mean over the tasks of a batch, always in the same order.

use rayon::prelude::*;
use sinew_runtime::Path;
use sinew_runtime::kernel::lanes;
use sinew_runtime::kernel::scale::add_scaled;

use super::work::Work;

/// Values that a worker sums at once.
const SUMMED: usize = 256;
/// From so many values on it pays to share them out.
const PARALLEL: usize = 1 << 16;

/// How what items leave behind lies side by side, in values: a gradient, that with respect to the rates, and losses, for each task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Tasks of an item that takes several.
    pub lanes: usize,
    pub params: usize,
    /// 0 where the gradient with respect to the rates is not wanted.
    pub rates: usize,
    /// Where the losses begin.
    pub losses: usize,
    /// From one item to the next.
    pub stride: usize,
}

impl Layout {
    pub fn new(params: usize, rates: usize, lanes: usize) -> Self {
        let losses = (params + rates) * lanes;
        Self { lanes, params, rates, losses, stride: (losses + lanes).next_multiple_of(16) }
    }

    /// Values of the sums of items that take several tasks.
    pub const fn sums(&self) -> usize {
        if self.lanes > 1 { (self.params + self.rates) * self.lanes } else { 0 }
    }
}

/// The parts of a batch, to be summed.
pub(super) struct Reduction<'a> {
    pub path: Path,
    pub layout: Layout,
    pub work: &'a Work,
    pub parts: &'a [f32],
    /// One over the number of tasks.
    pub share: f32,
}

impl Reduction<'_> {
    /// Writes the mean gradient; where it is long and may be `parallel`, each worker sums values of its own.
    pub fn run(&self, parallel: bool, params: &mut [f32], rates: &mut [f32], sums: &mut [f32]) {
        let wide = if self.layout.sums() > 0 { self.layout.lanes } else { 0 };
        let (mut rest, rate_sums) = sums.split_at_mut(params.len() * wide);
        let chunks = params.chunks_mut(SUMMED).enumerate().map(|(chunk, to)| {
            let (here, behind) = std::mem::take(&mut rest).split_at_mut(to.len() * wide);
            rest = behind;
            (chunk * SUMMED, to, here)
        });
        if parallel && self.parts.len() >= PARALLEL {
            let chunks: Vec<_> = chunks.collect();
            chunks.into_par_iter().with_min_len(4).for_each(|(from, to, sums)| self.sum(from, to, sums));
        } else {
            chunks.for_each(|(from, to, sums)| self.sum(from, to, sums));
        }
        self.sum(self.layout.params, rates, rate_sums);
    }

    /// The mean of the values from `from` on.
    fn sum(&self, from: usize, to: &mut [f32], sums: &mut [f32]) {
        let lanes = self.layout.lanes;
        let mut parts = self.work.items.iter().zip(self.parts.chunks_exact(self.layout.stride)).peekable();
        let mut first = true;
        while let Some((_, part)) = parts.next_if(|(item, _)| item.together) {
            let part = &part[from * lanes..][..sums.len()];
            if first {
                sums.copy_from_slice(part)
            } else {
                add_scaled(self.path, sums, 1.0, part)
            }
            first = false;
        }
        if first {
            to.fill(0.0)
        } else {
            lanes::totals(self.path, sums, to)
        }
        for (_, part) in parts {
            add_scaled(self.path, to, 1.0, &part[from..][..to.len()]);
        }
        to.iter_mut().for_each(|value| *value *= self.share);
    }
}
