//! The support ring: the last rows that were observed, in the caller's memory.

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
}

impl<'m> Support<'m> {
    /// A ring over `inputs`, `[capacity, input_len]`, and `targets`, `[capacity, output_len]`; `mean` has `input_len` values.
    pub(crate) fn new(inputs: &'m mut [f32], targets: &'m mut [f32], mean: &'m mut [f32], output_len: usize) -> Self {
        let input_len = mean.len();
        Self { inputs, targets, mean, input_len, output_len, rows: 0, next: 0 }
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

    /// Puts a row in, in the place of the oldest if there is no room.
    pub(crate) fn push(&mut self, x: &[f32], y: impl Iterator<Item = f32>) {
        let (input_len, output_len) = (self.input_len, self.output_len);
        part_mut(self.inputs, self.next * input_len, input_len).iter_mut().zip(x).for_each(|(to, x)| *to = *x);
        part_mut(self.targets, self.next * output_len, output_len).iter_mut().zip(y).for_each(|(to, y)| *to = y);
        let capacity = self.capacity();
        self.next = if self.next + 1 == capacity { 0 } else { self.next + 1 };
        self.rows = capacity.min(self.rows + 1);
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
        ring.clear();
        ring.push(&[1.0, 1.0], core::iter::once(0.0));
        assert_eq!((ring.rows(), ring.mean()), (1, Some(&[1.0, 1.0][..])));
    }
}
