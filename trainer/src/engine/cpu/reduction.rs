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
    /// Writes the mean gradient; where it is long and `parallel`, from within the pool, each worker sums values of its own.
    pub fn run(&self, parallel: bool, params: &mut [f32], rates: &mut [f32], sums: &mut [f32]) {
        let wide = if self.layout.sums() > 0 { self.layout.lanes } else { 0 };
        let (mut param_sums, rate_sums) = sums.split_at_mut(params.len() * wide);
        match (parallel && self.parts.len() >= PARALLEL, wide) {
            (false, _) => {
                for (chunk, to) in params.chunks_mut(SUMMED).enumerate() {
                    let (here, behind) = param_sums.split_at_mut(to.len() * wide);
                    self.sum(chunk * SUMMED, to, here);
                    param_sums = behind;
                }
            }
            (true, 0) => {
                let chunks = params.par_chunks_mut(SUMMED).enumerate().with_min_len(4);
                chunks.for_each(|(chunk, to)| self.sum(chunk * SUMMED, to, &mut []));
            }
            (true, _) => {
                let chunks = params.par_chunks_mut(SUMMED).zip(param_sums.par_chunks_mut(SUMMED * wide)).enumerate();
                chunks.with_min_len(4).for_each(|(chunk, (to, sums))| self.sum(chunk * SUMMED, to, sums));
            }
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
