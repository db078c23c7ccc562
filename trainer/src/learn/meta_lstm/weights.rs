//! The gates' numbers as a block computes with them: laid out so that each step is one product for the LSTM and one for the gates.

/// What the LSTM sees of a parameter: two numbers for the loss, then two for its gradient.
pub use sinew_runtime::rule::meta_lstm::SEEN;

/// Rows of a record above the LSTM's output: θ, f, i, and a row of ones for the biases.
pub const ABOVE: usize = 4;
/// The row of ones.
pub const ONES: usize = 3;

/// How many values there are of what, for H units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Units H of the LSTM.
    pub hidden: usize,
    /// What the gates see besides θ and their last values: H values, or [`SEEN`] where H is 0.
    pub width: usize,
}

impl Sizes {
    /// Those of H units.
    pub const fn new(hidden: usize) -> Self {
        Self { hidden, width: if hidden > 0 { hidden } else { SEEN } }
    }

    /// Rows of the record of a step: θ, f, i, ones, the output h (or what is seen), and, for the LSTM, what it sees.
    pub const fn record(self) -> usize {
        ABOVE + self.width + if self.hidden > 0 { SEEN } else { 0 }
    }

    /// Columns of the LSTM's weights: bias, those of its output, those of what it sees.
    pub const fn lstm_inputs(self) -> usize {
        1 + self.hidden + SEEN
    }

    /// Values of the LSTM's weights.
    pub const fn lstm(self) -> usize {
        4 * self.hidden * self.lstm_inputs()
    }

    /// Columns of the gates' weights: θ, f, i, bias, and what they see.
    pub const fn gate_inputs(self) -> usize {
        ABOVE + self.width
    }

    /// Values of the gates' weights.
    pub const fn gates(self) -> usize {
        2 * self.gate_inputs()
    }

    /// Values of a gradient with respect to [`Weights`]: first [`Sizes::lstm`], then [`Sizes::gates`].
    pub const fn gradient(self) -> usize {
        self.lstm() + self.gates()
    }

    /// Values of the rule's tensors.
    pub const fn numbers(self) -> usize {
        4 * self.hidden * (SEEN + self.hidden + 1) + 2 * (self.width + 2) + 2
    }

    /// Columns of the gates' weights that hold θ's and, for the gate f (0) or i (1), its own last value's.
    const fn theta_and_last(gate: usize) -> [usize; 2] {
        [0, 1 + gate]
    }

    /// For each number of the rule's tensors its place in a gradient.
    fn places(self) -> impl Iterator<Item = usize> {
        let Self { hidden, width } = self;
        let row = self.lstm_inputs();
        let of_seen =
            (0..4 * hidden).flat_map(move |gate| (0..SEEN).map(move |column| gate * row + 1 + hidden + column));
        let of_output = (0..4 * hidden).flat_map(move |gate| (0..hidden).map(move |column| gate * row + 1 + column));
        let bias = (0..4 * hidden).map(move |gate| gate * row);
        let (begin, row) = (self.lstm(), self.gate_inputs());
        let gates = (0..2).flat_map(move |gate| {
            let columns = (ABOVE..ABOVE + width).chain(Self::theta_and_last(gate));
            columns.map(move |column| begin + gate * row + column)
        });
        let gate_bias = (0..2).map(move |gate| begin + gate * row + ONES);
        of_seen.chain(of_output).chain(bias).chain(gates).chain(gate_bias)
    }

    /// A gradient in the layout of the rule's tensors.
    pub fn to_numbers<T: Copy>(self, gradient: &[T]) -> Vec<T> {
        self.places().map(|place| gradient[place]).collect()
    }
}

/// The numbers of the rule, in the order of its products.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// How many there are.
    pub sizes: Sizes,
    /// `[4 H, 1 + H + SEEN]`, gates in the order input, forget, cell, output.
    pub lstm: Vec<f32>,
    /// Those of the output, turned: `[H, 4 H]`.
    pub lstm_back: Vec<f32>,
    /// `[2, ABOVE + width]`: the gates f and i.
    pub gates: Vec<f32>,
    /// Turned: `[ABOVE + width, 2]`.
    pub gates_back: Vec<f32>,
}

impl Weights {
    /// From the rule's tensors, one after another; `None` if they are not as many as they must be.
    pub fn new(hidden: usize, numbers: &[f32]) -> Option<Self> {
        let sizes = Sizes::new(hidden);
        if numbers.len() != sizes.numbers() {
            return None;
        }
        let mut lstm = vec![0.0; sizes.gradient()];
        for (place, number) in sizes.places().zip(numbers) {
            lstm[place] = *number;
        }
        let gates = lstm.split_off(sizes.lstm());
        let row = sizes.lstm_inputs();
        let lstm_back =
            (0..hidden).flat_map(|unit| lstm.iter().skip(1 + unit).step_by(row).copied().take(4 * hidden)).collect();
        let row = sizes.gate_inputs();
        let gates_back = (0..row).flat_map(|column| [gates[column], gates[row + column]]).collect();
        Some(Self { sizes, lstm, lstm_back, gates, gates_back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_place() {
        for hidden in [0, 1, 3, 20] {
            let sizes = Sizes::new(hidden);
            let mut places: Vec<usize> = sizes.places().collect();
            assert_eq!(places.len(), sizes.numbers());
            places.sort_unstable();
            places.dedup();
            // Two places are not used: a gate does not see the last value of the other.
            assert_eq!((places.len(), sizes.gradient()), (sizes.numbers(), sizes.numbers() + 2));
            let numbers: Vec<f32> = (1..=sizes.numbers()).map(|number| number as f32).collect();
            let weights = Weights::new(hidden, &numbers).unwrap();
            let together = [&weights.lstm[..], &weights.gates].concat();
            assert_eq!(sizes.to_numbers(&together), numbers);
            assert_eq!(together.iter().filter(|value| **value == 0.0).count(), 2);
            assert!(Weights::new(hidden, &numbers[1..]).is_none());
        }
    }
}
