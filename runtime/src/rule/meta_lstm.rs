//! A learned optimiser: gates that an LSTM shared by all parameters opens (Ravi and Larochelle 2017, eqs. 2–3).
//!
//! `θ ← f ∘ θ − i ∘ ∇L`. For each parameter, an ordinary LSTM of H units (or none, H = 0) sees loss and gradient, preprocessed as in
//! Andrychowicz et al. (2016, appendix A); from its output h the gates are `i = σ(w_I·[h, θ, i₋] + b_I)` and `f = σ(w_F·[h, θ, f₋] + b_F)`,
//! where i₋ and f₋ are the gates of the step before.

use core::ops::Range;

use sinew_models::spec::Activation;

use crate::kernel::dense::{self, Size, panel_len};
use crate::kernel::{Path, activation};
use crate::network::{LayerSet, Tail};

/// What the LSTM sees of a parameter: two numbers for the loss, then two for its gradient.
pub const SEEN: usize = 4;
/// Parameters that go through the gates together.
const BLOCK: usize = 64;
/// Preprocessing: values below e^−P are seen linearly, others by their logarithm.
const P: f32 = 10.0;

/// The learned gates, in PyTorch's layouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates<'a> {
    /// Units H of the LSTM; with 0 the gates see loss and gradient themselves.
    pub hidden: usize,
    /// `[4 H, 4]`, gates in the order input, forget, cell, output.
    pub weight_ih: &'a [f32],
    /// `[4 H, H]`.
    pub weight_hh: &'a [f32],
    /// `[4 H]`, the sum of PyTorch's two.
    pub bias: &'a [f32],
    /// `[2, H' + 2]`: the gates f and i, each over [h, θ, its last value]; H' is H, or 4 where H is 0.
    pub gate_weight: &'a [f32],
    /// `[2]`: b_F and b_I.
    pub gate_bias: &'a [f32],
}

/// What the gates remember of P parameters; all of it is 0 before the first step.
#[derive(Debug)]
pub struct Memory<'m> {
    /// Outputs h of the LSTM, `[P, H]`.
    pub output: &'m mut [f32],
    /// Its cells c, `[P, H]`.
    pub cell: &'m mut [f32],
    /// The last gates f, `[P]`.
    pub forget: &'m mut [f32],
    /// The last gates i, `[P]`.
    pub input: &'m mut [f32],
}

impl<'m> Memory<'m> {
    /// Values that `params` parameters need.
    pub const fn len(hidden: usize, params: usize) -> usize {
        params * (2 * hidden + 2)
    }

    /// Divides `values`, as many as [`Memory::len`] says.
    pub fn new(hidden: usize, params: usize, values: &'m mut [f32]) -> Option<Self> {
        if values.len() != Self::len(hidden, params) {
            return None;
        }
        let (output, values) = values.split_at_mut(params * hidden);
        let (cell, values) = values.split_at_mut(params * hidden);
        let (forget, input) = values.split_at_mut(params);
        Some(Self { output, cell, forget, input })
    }

    /// That of the parameters in `range`, for a step that is divided into units of work.
    pub fn part(&mut self, hidden: usize, range: Range<usize>) -> Option<Memory<'_>> {
        let rows = range.start.checked_mul(hidden)?..range.end.checked_mul(hidden)?;
        Some(Memory {
            output: self.output.get_mut(rows.clone())?,
            cell: self.cell.get_mut(rows)?,
            forget: self.forget.get_mut(range.clone())?,
            input: self.input.get_mut(range)?,
        })
    }
}

/// A value as the LSTM sees it: (ln|x| / p, sign) where |x| ≥ e^−p, else (−1, e^p x).
pub fn preprocess(x: f32) -> [f32; 2] {
    let size = x.abs();
    // e^10
    const LARGE: f32 = 22_026.465;
    if size >= 1.0 / LARGE { [libm::logf(size) / P, 1.0_f32.copysign(x)] } else { [-1.0, LARGE * x] }
}

/// Values of scratch that [`Gates::step`] needs, whatever the number of parameters.
pub const fn scratch_len(path: Path, hidden: usize) -> usize {
    let width = if hidden > 0 { hidden } else { SEEN };
    // The panel of the widest product holds the others too.
    let widest = if width + 2 > SEEN { width + 2 } else { SEEN };
    BLOCK * (SEEN + 5 * hidden + width + 2 + 1) + hidden + panel_len(path, widest)
}

impl Gates<'_> {
    /// Whether every length fits the number of units.
    pub fn fit(&self) -> bool {
        let Self { hidden, .. } = *self;
        self.weight_ih.len() == 4 * hidden * SEEN
            && self.weight_hh.len() == 4 * hidden * hidden
            && self.bias.len() == 4 * hidden
            && self.gate_weight.len() == 2 * (self.width() + 2)
            && self.gate_bias.len() == 2
    }

    const fn width(&self) -> usize {
        if self.hidden > 0 { self.hidden } else { SEEN }
    }

    /// One step of some parameters: `theta ← f ∘ theta − i ∘ gradient`, with the support `loss` that the gradient is of.
    ///
    /// `gradient`, `theta` and `memory` are those of the same parameters; a step over all may be divided anywhere. False, with nothing
    /// changed, if a length is wrong.
    pub fn step(
        &self,
        path: Path,
        loss: f32,
        gradient: &[f32],
        theta: &mut [f32],
        memory: &mut Memory<'_>,
        scratch: &mut [f32],
    ) -> bool {
        let (params, hidden) = (theta.len(), self.hidden);
        let lengths = self.fit()
            && gradient.len() == params
            && memory.forget.len() == params
            && memory.input.len() == params
            && memory.output.len() == params * hidden
            && memory.cell.len() == params * hidden
            && scratch.len() >= scratch_len(path, hidden);
        if !lengths {
            return false;
        }
        let loss = preprocess(loss);
        let mut begin = 0;
        while begin < params {
            let range = begin..params.min(begin + BLOCK);
            let Some(mut part) = memory.part(hidden, range.clone()) else { return false };
            self.block(path, loss, &gradient[range.clone()], &mut theta[range.clone()], &mut part, scratch);
            begin = range.end;
        }
        true
    }

    fn block(
        &self,
        path: Path,
        loss: [f32; 2],
        gradient: &[f32],
        theta: &mut [f32],
        memory: &mut Memory<'_>,
        scratch: &mut [f32],
    ) {
        let (rows, hidden, width) = (theta.len(), self.hidden, self.width());
        let (seen, scratch) = scratch.split_at_mut(rows * SEEN);
        let (lstm, scratch) = scratch.split_at_mut(rows * 5 * hidden);
        let (joined, scratch) = scratch.split_at_mut(rows * (width + 2));
        let (gate, scratch) = scratch.split_at_mut(rows);
        let (zeros, panel) = scratch.split_at_mut(hidden);
        for (seen, gradient) in seen.chunks_exact_mut(SEEN).zip(gradient) {
            let (of_loss, of_gradient) = seen.split_at_mut(2);
            of_loss.copy_from_slice(&loss);
            of_gradient.copy_from_slice(&preprocess(*gradient));
        }
        if hidden > 0 {
            zeros.fill(0.0);
            self.lstm(path, seen, memory, lstm, zeros, panel);
        }
        let shown = if hidden > 0 { &*memory.output } else { &*seen };
        for ((joined, shown), theta) in joined.chunks_exact_mut(width + 2).zip(shown.chunks_exact(width)).zip(&*theta) {
            joined[..width].copy_from_slice(shown);
            joined[width] = *theta;
        }
        let size = Size { rows, inputs: width + 2, outputs: 1 };
        let weights = self.gate_weight.chunks_exact(width + 2).zip(self.gate_bias.chunks_exact(1));
        for ((weight, bias), last) in weights.zip([&mut *memory.forget, &mut *memory.input]) {
            for (joined, last) in joined.chunks_exact_mut(width + 2).zip(&*last) {
                joined[width + 1] = *last;
            }
            dense::forward(path, size, joined, (weight, bias), false, gate, panel);
            activation::forward(path, Activation::Sigmoid, gate);
            last.copy_from_slice(gate);
        }
        let gates = memory.forget.iter().zip(&*memory.input);
        for ((theta, gradient), (forget, input)) in theta.iter_mut().zip(gradient).zip(gates) {
            *theta = forget * *theta - input * gradient;
        }
    }

    /// One step of the ordinary LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).
    fn lstm(
        &self,
        path: Path,
        seen: &[f32],
        memory: &mut Memory<'_>,
        scratch: &mut [f32],
        zeros: &[f32],
        panel: &mut [f32],
    ) {
        let (rows, hidden) = (memory.forget.len(), self.hidden);
        let (spare, gates) = scratch.split_at_mut(rows * hidden);
        let weights = self.weight_ih.chunks_exact(hidden * SEEN).zip(self.weight_hh.chunks_exact(hidden * hidden));
        let forms = [Activation::Sigmoid, Activation::Sigmoid, Activation::Tanh, Activation::Sigmoid];
        let all = gates.chunks_exact_mut(rows * hidden).zip(weights.zip(self.bias.chunks_exact(hidden))).zip(forms);
        for ((gate, ((of_seen, of_output), bias)), form) in all {
            let size = Size { rows, inputs: SEEN, outputs: hidden };
            dense::forward(path, size, seen, (of_seen, bias), false, gate, panel);
            let size = Size { inputs: hidden, ..size };
            dense::forward(path, size, memory.output, (of_output, zeros), false, spare, panel);
            gate.iter_mut().zip(&*spare).for_each(|(gate, more)| *gate += more);
            activation::forward(path, form, gate);
        }
        let (input, gates) = gates.split_at(rows * hidden);
        let (forget, gates) = gates.split_at(rows * hidden);
        let (fresh, open) = gates.split_at(rows * hidden);
        for (((cell, forget), input), fresh) in memory.cell.iter_mut().zip(forget).zip(input).zip(fresh) {
            *cell = forget * *cell + input * fresh;
        }
        spare.copy_from_slice(memory.cell);
        activation::forward(path, Activation::Tanh, spare);
        for ((output, open), cell) in memory.output.iter_mut().zip(open).zip(spare) {
            *output = open * *cell;
        }
    }
}

/// The learned optimiser at work on a network.
#[derive(Debug)]
pub(crate) struct Learned<'a> {
    pub gates: Gates<'a>,
    /// Of all parameters.
    pub memory: Memory<'a>,
    /// `[param_len]`.
    pub gradient: &'a mut [f32],
    pub scratch: &'a mut [f32],
    pub adapted: LayerSet,
}

impl Learned<'_> {
    /// Forgets the steps before.
    pub(crate) fn begin(&mut self) {
        let Memory { output, cell, forget, input } = &mut self.memory;
        for values in [output, cell, forget, input] {
            values.fill(0.0);
        }
    }

    /// From the gradient, in the adapted layers of `stepped`, to the parameters that it leads to from `params`.
    pub(crate) fn finish(&mut self, network: Tail<'_>, loss: f32, params: &[f32], stepped: &mut [f32]) {
        for layer in network.numbers() {
            let range = network.params_of(layer);
            let (Some(params), Some(stepped)) = (params.get(range.clone()), stepped.get_mut(range.clone())) else {
                continue;
            };
            let gradient = self.gradient.get_mut(range.clone()).unwrap_or_default();
            gradient.iter_mut().zip(&*stepped).for_each(|(to, gradient)| *to = *gradient);
            stepped.iter_mut().zip(params).for_each(|(to, params)| *to = *params);
            if let Some(mut memory) = self.memory.part(self.gates.hidden, range).filter(|_| self.adapted.has(layer)) {
                // Lengths were checked at set-up.
                let stepped = self.gates.step(network.path(), loss, gradient, stepped, &mut memory, self.scratch);
                debug_assert!(stepped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| (((i + seed * 97) * 7919 + 13) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    /// The same for one parameter, from the equations, in f64.
    #[derive(Clone)]
    struct Coordinate {
        theta: f64,
        h: Vec<f64>,
        c: Vec<f64>,
        gates: [f64; 2],
    }

    impl Coordinate {
        fn step(&mut self, gates: &Gates<'_>, loss: f32, gradient: f32) {
            let units = gates.hidden;
            let seen = |x: f32| {
                let x = f64::from(x);
                if x.abs() >= (-10.0_f64).exp() {
                    [x.abs().ln() / 10.0, x.signum()]
                } else {
                    [-1.0, 10.0_f64.exp() * x]
                }
            };
            let x = [seen(loss), seen(gradient)].concat();
            let dot = |w: &[f32], x: &[f64]| w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let pre: Vec<f64> = (0..4 * units)
                .map(|row| {
                    f64::from(gates.bias[row])
                        + dot(&gates.weight_ih[4 * row..][..4], &x)
                        + dot(&gates.weight_hh[units * row..][..units], &self.h)
                })
                .collect();
            for unit in 0..units {
                let [i, f, g, o] = [0, 1, 2, 3].map(|gate| pre[gate * units + unit]);
                self.c[unit] = sigmoid(f) * self.c[unit] + sigmoid(i) * g.tanh();
                self.h[unit] = sigmoid(o) * self.c[unit].tanh();
            }
            let shown = if units > 0 { self.h.clone() } else { x };
            for gate in 0..2 {
                let joined = [&shown[..], &[self.theta, self.gates[gate]]].concat();
                let weight = &gates.gate_weight[gate * joined.len()..][..joined.len()];
                self.gates[gate] = sigmoid(dot(weight, &joined) + f64::from(gates.gate_bias[gate]));
            }
            self.theta = self.gates[0] * self.theta - self.gates[1] * f64::from(gradient);
        }
    }

    #[test]
    fn steps_match_f64_and_may_be_divided_anywhere() {
        for path in Path::available() {
            for hidden in [0, 1, 5, 20] {
                let width = if hidden > 0 { hidden } else { SEEN };
                let learned =
                    [(hidden * 16, 1), (4 * hidden * hidden, 2), (4 * hidden, 3), (2 * (width + 2), 4), (2, 5)];
                let [weight_ih, weight_hh, bias, gate_weight, gate_bias] = learned.map(|(len, seed)| values(len, seed));
                let gates = Gates {
                    hidden,
                    weight_ih: &weight_ih,
                    weight_hh: &weight_hh,
                    bias: &bias,
                    gate_weight: &gate_weight,
                    gate_bias: &gate_bias,
                };
                for params in [1, 63, 64, 65, 150] {
                    let start = values(params, 6);
                    let at = |theta: &f32| Coordinate {
                        theta: f64::from(*theta),
                        h: std::vec![0.0; hidden],
                        c: std::vec![0.0; hidden],
                        gates: [0.0; 2],
                    };
                    let mut want: Vec<Coordinate> = start.iter().map(at).collect();
                    let (mut whole, mut parts) = (start.clone(), start);
                    let mut first = std::vec![0.0; Memory::len(hidden, params)];
                    let mut second = first.clone();
                    let mut whole_memory = Memory::new(hidden, params, &mut first).unwrap();
                    let mut parts_memory = Memory::new(hidden, params, &mut second).unwrap();
                    let mut scratch = std::vec![f32::NAN; scratch_len(path, hidden)];
                    for step in 0..4 {
                        let mut gradient = values(params, 10 + step);
                        // Sizes on both sides of the preprocessing's limit, and zero.
                        gradient.iter_mut().enumerate().for_each(|(i, g)| *g *= [1.0, 1e-3, 1e-6, 0.0, 100.0][i % 5]);
                        let loss = [2.0, 0.3, 1e-5, 0.0][step];
                        want.iter_mut().zip(&gradient).for_each(|(want, g)| want.step(&gates, loss, *g));
                        assert!(gates.step(path, loss, &gradient, &mut whole, &mut whole_memory, &mut scratch));
                        for (got, want) in whole.iter().zip(&want) {
                            let error = (f64::from(*got) - want.theta).abs();
                            assert!(error <= 1e-5 * (1.0 + want.theta.abs()), "{} {hidden}: {error}", path.name());
                        }
                        let cut = params / 3;
                        for range in [0..cut, cut..params] {
                            let mut memory = parts_memory.part(hidden, range.clone()).unwrap();
                            let (gradient, theta) = (&gradient[range.clone()], &mut parts[range]);
                            assert!(gates.step(path, loss, gradient, theta, &mut memory, &mut scratch));
                        }
                        for (whole, part) in whole.iter().zip(&parts) {
                            assert!((whole - part).abs() <= 1e-5 * (1.0 + whole.abs()), "{} {hidden}", path.name());
                        }
                    }
                    // Lengths that do not fit are refused before anything is changed.
                    let before = whole.clone();
                    let gradient = values(params + 1, 1);
                    assert!(!gates.step(path, 1.0, &gradient, &mut whole, &mut whole_memory, &mut scratch));
                    assert!(!gates.step(path, 1.0, &gradient[1..], &mut whole, &mut whole_memory, &mut []));
                    assert_eq!(whole, before);
                    assert!(parts_memory.part(hidden, 0..params + 1).is_none());
                }
            }
        }
    }

    #[test]
    fn preprocessing_meets_at_its_limit_and_keeps_nan() {
        assert_eq!(preprocess(0.0), [-1.0, 0.0]);
        assert_eq!(preprocess(1.0), [0.0, 1.0]);
        let limit = (-10.0_f32).exp();
        for sign in [1.0, -1.0] {
            for x in [limit * 1.000_01, limit * 0.999_99] {
                let [size, direction] = preprocess(sign * x);
                assert!((size + 1.0).abs() <= 1e-5 && (direction - sign).abs() <= 1e-4);
            }
        }
        assert!(preprocess(f32::NAN)[1].is_nan());
    }
}
