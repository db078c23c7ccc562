//! Samples and episodes: what a learner sees of one task.

/// Rows of inputs with the targets that belong to them, in the units of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Inputs, row by row: `[rows, input_len]`.
    pub inputs: Vec<f32>,
    /// Targets, row by row: `[rows, output_len]`; a class is a row of zeros with a one.
    pub targets: Vec<f32>,
    /// How many rows there are.
    pub rows: usize,
}

impl Samples {
    /// Appends one row.
    pub fn push(&mut self, input: &[f32], target: &[f32]) {
        self.inputs.extend_from_slice(input);
        self.targets.extend_from_slice(target);
        self.rows += 1;
    }

    /// Values in one row of inputs; 0 where there are no rows.
    pub fn input_len(&self) -> usize {
        self.inputs.len().checked_div(self.rows).unwrap_or(0)
    }

    /// Values in one row of targets; 0 where there are no rows.
    pub fn output_len(&self) -> usize {
        self.targets.len().checked_div(self.rows).unwrap_or(0)
    }

    /// Row `row` of the inputs.
    pub fn input(&self, row: usize) -> &[f32] {
        &self.inputs[row * self.input_len()..][..self.input_len()]
    }

    /// Row `row` of the targets.
    pub fn target(&self, row: usize) -> &[f32] {
        &self.targets[row * self.output_len()..][..self.output_len()]
    }
}

/// One task's support set, which adaptation sees, and query set, on which it is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// What adaptation sees.
    pub support: Samples,
    /// What the adapted network is judged on.
    pub query: Samples,
}
