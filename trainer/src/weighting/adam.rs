//! Adam (Kingma, Ba 2015) in f64 for the few numbers that a weighting learns. Each number counts its own steps, because a task that is
//! absent from a batch takes none.

/// What Adam remembers of so many numbers.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: Vec<f64>,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl Adam {
    pub(super) fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len], steps: vec![0.0; len] }
    }

    /// What is to be taken from number `place`, whose gradient this is; algorithm 1.
    pub(super) fn step(&mut self, place: usize, rate: f64, gradient: f64) -> f64 {
        let (first, second) = (&mut self.first[place], &mut self.second[place]);
        *first = BETA1 * *first + (1.0 - BETA1) * gradient;
        *second = BETA2 * *second + (1.0 - BETA2) * gradient * gradient;
        self.steps[place] += 1.0;
        let steps = self.steps[place];
        rate * (*first / (1.0 - BETA1.powf(steps))) / ((*second / (1.0 - BETA2.powf(steps))).sqrt() + EPSILON)
    }

    /// How long its memory is, for so many numbers.
    pub(super) fn memory_len(len: usize) -> usize {
        3 * len
    }

    pub(super) fn memory(&self) -> impl Iterator<Item = f64> {
        [&self.first, &self.second, &self.steps].into_iter().flatten().copied()
    }

    /// `memory` is as long as it should be.
    pub(super) fn restore(&mut self, memory: &[f64]) {
        let len = self.first.len();
        self.first.copy_from_slice(&memory[..len]);
        self.second.copy_from_slice(&memory[len..2 * len]);
        self.steps.copy_from_slice(&memory[2 * len..]);
    }
}
