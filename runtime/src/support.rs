//! The support ring: the last rows that were observed, in the caller's memory.

use core::ops::Range;

use crate::part::{part, part_mut};

/// The newest `capacity` samples.
#[derive(Debug)]
pub struct Support<'m> {
    inputs: &'m mut [f32],
    targets: &'m mut [f32],
    mean: &'m mut [f32],
    input_len: usize,
    output_len: usize,
    rows: usize,
    next: usize,
    /// How many of the newest rows have not been worked in yet.
    pending: usize,
    /// How many of the newest rows have features that are not up to date.
    stale: usize,
}

/// Places in the ring: two runs, one after the other, each from its first place to behind its last one. Not ranges, which are not copied
/// as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places([(usize, usize); 2]);

impl Places {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let Self([here, then]) = self;
        here.1.saturating_sub(here.0) + then.1.saturating_sub(then.0)
    }

    /// Runs of at most `most` places.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn runs(&self, most: usize) -> Runs {
        Runs { places: *self, most: most.max(1) }
    }
}

/// Runs of places, of a length that is bounded.
pub(crate) struct Runs {
    places: Places,
    most: usize,
}

impl Iterator for Runs {
    type Item = Range<usize>;

    // One copy for all callers, to save flash.
    #[inline(never)]
    fn next(&mut self) -> Option<Range<usize>> {
        let Places([here, then]) = &mut self.places;
        if here.0 >= here.1 {
            (*here, *then) = (*then, (0, 0));
        }
        let end = here.0.saturating_add(self.most).min(here.1);
        let run = here.0..end;
        here.0 = end;
        (run.start < run.end).then_some(run)
    }
}

impl<'m> Support<'m> {
    /// A ring over `inputs`, `[capacity, input_len]`, and `targets`, `[capacity, output_len]`; `mean` has `input_len` values.
    pub(crate) fn new(inputs: &'m mut [f32], targets: &'m mut [f32], mean: &'m mut [f32], output_len: usize) -> Self {
        let input_len = mean.len();
        Self { inputs, targets, mean, input_len, output_len, rows: 0, next: 0, pending: 0, stale: 0 }
    }

    /// Rows that it can hold.
    pub fn capacity(&self) -> usize {
        self.inputs.len() / self.input_len.max(1)
    }

    /// Rows that it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The inputs that it holds, in no particular order: `[rows, input_len]`, as they came.
    pub fn inputs(&self) -> &[f32] {
        part(self.inputs, 0, self.rows * self.input_len)
    }

    /// The targets that belong to them, as the network sees them.
    pub fn targets(&self) -> &[f32] {
        part(self.targets, 0, self.rows * self.output_len)
    }

    /// The mean of the inputs that it holds; `None` where there are none.
    pub fn mean(&self) -> Option<&[f32]> {
        (self.rows > 0).then_some(&*self.mean)
    }

    /// Values of one input row.
    pub(crate) fn input_len(&self) -> usize {
        self.input_len
    }

    /// The places of all rows.
    pub(crate) fn all(&self) -> Places {
        Places([(0, self.rows), (0, 0)])
    }

    /// The places of the newest `count` rows but for the very newest `but`, oldest first.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn newest(&self, count: usize, but: usize) -> Places {
        let count = count.min(self.rows);
        let len = count.saturating_sub(but);
        let begin = match self.next.checked_sub(count) {
            Some(begin) => begin,
            None => self.rows.saturating_sub(count - self.next),
        };
        let end = (begin + len).min(self.rows);
        Places([(begin, end), (0, len - (end - begin))])
    }

    /// The places of all but the newest `count` rows.
    pub(crate) fn all_but_newest(&self, count: usize) -> Places {
        let count = count.min(self.rows);
        match self.next.checked_sub(count) {
            Some(from) => Places([(0, from), (self.next, self.rows)]),
            None => Places([(self.next, self.rows - (count - self.next)), (0, 0)]),
        }
    }

    /// The newest rows that have not been worked in yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// The oldest `count` of the pending rows have been worked in.
    pub(crate) fn worked_in(&mut self, count: usize) {
        self.pending = self.pending.saturating_sub(count);
    }

    /// All rows are to be worked in again.
    pub(crate) fn renew(&mut self) {
        self.pending = self.rows;
    }

    /// The newest rows whose features are not up to date.
    pub(crate) fn stale(&self) -> usize {
        self.stale
    }

    /// The features of the oldest `count` of the stale rows are up to date.
    pub(crate) fn refreshed(&mut self, count: usize) {
        self.stale = self.stale.saturating_sub(count);
    }

    /// The features of all rows are out of date, as when what they are relative to has moved.
    pub(crate) fn spoil(&mut self) {
        self.stale = self.rows;
    }

    /// Puts a row in, in the place of the oldest if there is no room.
    pub(crate) fn push(&mut self, x: &[f32], y: impl Iterator<Item = f32>) {
        let (input_len, output_len) = (self.input_len, self.output_len);
        part_mut(self.inputs, self.next * input_len, input_len).iter_mut().zip(x).for_each(|(to, x)| *to = *x);
        part_mut(self.targets, self.next * output_len, output_len).iter_mut().zip(y).for_each(|(to, y)| *to = y);
        let capacity = self.capacity();
        self.next = if self.next + 1 == capacity { 0 } else { self.next + 1 };
        self.rows = capacity.min(self.rows + 1);
        self.pending = capacity.min(self.pending + 1);
        self.stale = capacity.min(self.stale + 1);
        // Anew each time: a running sum would drift over a million rows, and this costs as much as presenting them.
        self.mean.fill(0.0);
        for row in part(self.inputs, 0, self.rows * input_len).chunks_exact(input_len.max(1)) {
            self.mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
        }
        let share = 1.0 / self.rows as f32;
        self.mean.iter_mut().for_each(|mean| *mean *= share);
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.next = 0;
        self.pending = 0;
        self.stale = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_rows_stay_and_their_mean_is_known() {
        let (mut inputs, mut targets, mut mean) = ([0.0; 6], [0.0; 3], [0.0; 2]);
        let mut ring = Support::new(&mut inputs, &mut targets, &mut mean, 1);
        assert_eq!((ring.capacity(), ring.rows(), ring.mean()), (3, 0, None));
        for i in 0..5 {
            let i = i as f32;
            ring.push(&[i, 10.0 * i], core::iter::once(-i));
        }
        assert_eq!(ring.rows(), 3);
        assert_eq!(ring.inputs(), [3.0, 30.0, 4.0, 40.0, 2.0, 20.0]);
        assert_eq!(ring.targets(), [-3.0, -4.0, -2.0]);
        assert_eq!(ring.mean(), Some(&[3.0, 30.0][..]));
        let places = |places: Places| places.runs(2).flatten().collect::<std::vec::Vec<_>>();
        assert_eq!((places(ring.newest(1, 0)), places(ring.newest(3, 0))), (std::vec![1], std::vec![2, 0, 1]));
        assert_eq!((places(ring.all_but_newest(1)), places(ring.all_but_newest(3))), (std::vec![0, 2], std::vec![]));
        assert_eq!((places(ring.newest(2, 0)), places(ring.all_but_newest(2))), (std::vec![0, 1], std::vec![2]));
        assert_eq!((places(ring.all()), ring.newest(9, 1).len(), ring.pending()), (std::vec![0, 1, 2], 2, 3));
        assert_eq!(
            (places(ring.newest(3, 1)), places(ring.newest(3, 2)), places(ring.newest(1, 1))),
            (std::vec![2, 0], std::vec![2], std::vec![])
        );
        ring.clear();
        ring.push(&[1.0, 1.0], core::iter::once(0.0));
        assert_eq!((ring.rows(), ring.mean()), (1, Some(&[1.0, 1.0][..])));
    }
}
