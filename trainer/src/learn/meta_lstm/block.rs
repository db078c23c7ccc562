//! A block of parameters on its way through the gates and back.
//!
//! Parameters are the lanes: every quantity is a row of as many values as the block has parameters, and the record j of a block has
//! the rows θ_{j−1}, f_{j−1}, i_{j−1}, ones, h_j and, as the LSTM sees them, loss and gradient of step j. The rows from the ones on are
//! what the LSTM multiplies in step j; those down to h_j are what the gates multiply in step j − 1.

use sinew_models::spec::Activation;
use sinew_runtime::Path;
use sinew_runtime::kernel::activation;
use sinew_runtime::kernel::dense::{self, Size, Update, panel_len};
use sinew_runtime::kernel::scale::add_scaled;
use sinew_runtime::rule::meta_lstm::preprocess;

use super::weights::{ABOVE, ONES, SEEN, Sizes, Weights};
use crate::aligned::Aligned;

/// Parameters of a block: a multiple of the widest tile of every path's products.
pub const BLOCK: usize = 96;

/// What is kept of a step, and what its way back needs, for the steps and parameters of one block.
#[derive(Debug)]
pub struct Trace {
    /// `[steps + 2, record, parameters]`
    records: Aligned,
    /// The LSTM's gates: `[steps, 4 H, parameters]`.
    gates: Aligned,
    /// Its cells: `[steps + 1, H, parameters]`.
    cells: Aligned,
    /// tanh of the cells after each step: `[steps, H, parameters]`.
    bent: Aligned,
    /// Adjoint of a record's rows down to its output.
    of_record: Aligned,
    /// Adjoint of the LSTM's cell.
    of_cell: Aligned,
    /// Adjoint of what goes into its gates.
    of_gates: Aligned,
    /// Adjoint of what goes into f and i.
    of_rule: Aligned,
    /// The gradient of one step with respect to weights.
    product: Aligned,
    zeros: Vec<f32>,
    panel: Aligned,
}

impl Trace {
    /// Room for `steps` steps of [`BLOCK`] parameters.
    pub fn new(path: Path, sizes: Sizes, steps: usize) -> Self {
        let Sizes { hidden, .. } = sizes;
        let of = |rows: usize| Aligned::zeros(rows * BLOCK);
        Self {
            records: of((steps + 2) * sizes.record()),
            gates: of(steps * 4 * hidden),
            cells: of((steps + 1) * hidden),
            bent: of(steps * hidden),
            of_record: of(sizes.gate_inputs()),
            of_cell: of(hidden),
            of_gates: of(4 * hidden),
            of_rule: of(2),
            product: Aligned::zeros(sizes.lstm().max(sizes.gates())),
            zeros: vec![0.0; sizes.lstm_inputs().max(sizes.gate_inputs())],
            panel: Aligned::zeros(panel_len(path, BLOCK)),
        }
    }
}

/// What the gates remember of parameters from one step to the next, all 0 before the first: f, i, then the LSTM's outputs and cells.
pub const fn memory_len(sizes: Sizes, parameters: usize) -> usize {
    parameters * (2 + 2 * sizes.hidden)
}

/// The gates at work.
#[derive(Clone, Copy, Debug)]
pub struct Gates<'a> {
    /// Whose arithmetic.
    pub path: Path,
    /// Their numbers.
    pub weights: &'a Weights,
}

impl Gates<'_> {
    /// One step of a block: `theta ← f ∘ theta − i ∘ gradient`, where `gradient` and `loss` are those of the support at `theta`.
    pub fn forward(&self, trace: &mut Trace, loss: [f32; 2], gradient: &[f32], theta: &mut [f32], memory: &mut [f32]) {
        let (count, sizes) = (theta.len(), self.weights.sizes);
        let (hidden, record) = (sizes.hidden * count, sizes.record() * count);
        self.begin(trace, 1, count);
        let above = ABOVE * count;
        let (gates, lstm) = memory.split_at_mut(2 * count);
        let (output, cell) = lstm.split_at_mut(hidden);
        trace.records[above..][..hidden].copy_from_slice(output);
        trace.cells[..hidden].copy_from_slice(cell);
        trace.records[record..][..count].copy_from_slice(theta);
        trace.records[record + count..][..2 * count].copy_from_slice(gates);
        self.step(trace, 0, loss, gradient);
        output.copy_from_slice(&trace.records[record + above..][..hidden]);
        cell.copy_from_slice(&trace.cells[hidden..][..hidden]);
        let (to, rows) = trace.records[2 * record..].split_at(count);
        theta.copy_from_slice(to);
        gates.copy_from_slice(&rows[..2 * count]);
    }

    /// The way back through all steps of a block, which are first gone again from `theta`, those of `losses` and `gradients`, each of
    /// one step.
    ///
    /// `adjoint`, the gradient of the query loss with respect to where the steps end, becomes that with respect to `theta`; the gradient
    /// with respect to the weights is added to `numbers`, [`Sizes::gradient`] values.
    pub fn back<'g>(
        &self,
        trace: &mut Trace,
        losses: &[[f32; 2]],
        gradients: impl Fn(usize) -> &'g [f32],
        theta: &[f32],
        adjoint: &mut [f32],
        numbers: &mut [f32],
    ) {
        let (count, sizes) = (theta.len(), self.weights.sizes);
        let (hidden, record) = (sizes.hidden * count, sizes.record() * count);
        self.begin(trace, losses.len(), count);
        trace.records[ABOVE * count..][..hidden].fill(0.0);
        trace.cells[..hidden].fill(0.0);
        trace.records[record..][..count].copy_from_slice(theta);
        trace.records[record + count..][..2 * count].fill(0.0);
        for (step, loss) in losses.iter().enumerate() {
            self.step(trace, step, *loss, gradients(step));
        }
        trace.of_record[..sizes.gate_inputs() * count].fill(0.0);
        trace.of_cell[..hidden].fill(0.0);
        trace.of_record[..count].copy_from_slice(adjoint);
        let (of_lstm, of_gates) = numbers.split_at_mut(sizes.lstm());
        for step in (0..losses.len()).rev() {
            self.back_through_gates(trace, step, gradients(step), of_gates);
            if hidden > 0 {
                self.back_through_lstm(trace, step, count, of_lstm);
            }
        }
        adjoint.copy_from_slice(&trace.of_record[..count]);
    }

    /// Makes the rows of ones for a block of `count` parameters.
    fn begin(&self, trace: &mut Trace, steps: usize, count: usize) {
        let record = self.weights.sizes.record() * count;
        for record in trace.records[..(steps + 2) * record].chunks_exact_mut(record) {
            record[ONES * count..][..count].fill(1.0);
        }
    }

    /// From the records `step` and `step + 1`, which have h, θ, f and i, to those one further.
    fn step(&self, trace: &mut Trace, step: usize, loss: [f32; 2], gradient: &[f32]) {
        let (path, sizes, count) = (self.path, self.weights.sizes, gradient.len());
        let (hidden, record, above) = (sizes.hidden * count, sizes.record() * count, ABOVE * count);
        let (before, behind) = trace.records.split_at_mut((step + 1) * record);
        let before = &mut before[step * record..];
        let (here, behind) = behind.split_at_mut(record);
        // Where there is no LSTM, the gates see what it would.
        let seen = if hidden > 0 { &mut before[above + hidden..] } else { &mut here[above..] };
        see(loss, gradient, seen);
        if hidden > 0 {
            let gates = &mut trace.gates[step * 4 * hidden..][..4 * hidden];
            let size = Size { rows: 4 * sizes.hidden, inputs: count, outputs: sizes.lstm_inputs() };
            let seen = (&self.weights.lstm[..], &before[ONES * count..]);
            dense::input_gradient(path, size, seen, None, gates, Update::Store);
            let (input, gates) = gates.split_at_mut(hidden);
            let (forget, gates) = gates.split_at_mut(hidden);
            let (fresh, open) = gates.split_at_mut(hidden);
            for (gate, form) in [
                (&mut *input, Activation::Sigmoid),
                (&mut *forget, Activation::Sigmoid),
                (&mut *fresh, Activation::Tanh),
                (&mut *open, Activation::Sigmoid),
            ] {
                activation::forward(path, form, gate);
            }
            let (last, cell) = trace.cells[step * hidden..][..2 * hidden].split_at_mut(hidden);
            let bent = &mut trace.bent[step * hidden..][..hidden];
            let kept = last.iter().zip(&*forget).zip(input.iter().zip(&*fresh));
            for ((cell, bent), ((last, forget), (input, fresh))) in cell.iter_mut().zip(&mut *bent).zip(kept) {
                *cell = forget * last + input * fresh;
                *bent = *cell;
            }
            activation::forward(path, Activation::Tanh, bent);
            for ((output, open), bent) in here[above..].iter_mut().zip(&*open).zip(&*bent) {
                *output = open * bent;
            }
        }
        let (theta, rows) = behind.split_at_mut(count);
        let gates = &mut rows[..2 * count];
        let size = Size { rows: 2, inputs: count, outputs: sizes.gate_inputs() };
        let joined = (&self.weights.gates[..], &here[..sizes.gate_inputs() * count]);
        dense::input_gradient(path, size, joined, None, gates, Update::Store);
        activation::forward(path, Activation::Sigmoid, gates);
        let (forget, input) = gates.split_at(count);
        for ((((theta, last), forget), input), gradient) in
            theta.iter_mut().zip(&*here).zip(forget).zip(input).zip(gradient)
        {
            *theta = forget * last - input * gradient;
        }
    }

    /// θ_{k+1} = f ∘ θ_k − i ∘ g and the gates f and i.
    ///
    /// The adjoint's rows are those of θ_{k+1}, f_{k+1} and i_{k+1}, and of h_{k+1} as far as the step behind used it; they become those of
    /// θ_k, f_k, i_k, and all of h_{k+1}.
    fn back_through_gates(&self, trace: &mut Trace, step: usize, gradient: &[f32], numbers: &mut [f32]) {
        let (path, sizes, count) = (self.path, self.weights.sizes, gradient.len());
        let record = sizes.record() * count;
        let (here, behind) = trace.records[(step + 1) * record..].split_at(record);
        let (forget, input) = (&behind[count..][..count], &behind[2 * count..][..count]);
        let adjoint = &mut trace.of_record[..sizes.gate_inputs() * count];
        let (of_theta, rest) = adjoint.split_at_mut(count);
        let (of_forget, rest) = rest.split_at_mut(count);
        let (of_input, rest) = rest.split_at_mut(count);
        let (into_forget, into_input) = trace.of_rule[..2 * count].split_at_mut(count);
        for ((into, (of_forget, of_theta)), (theta, forget)) in
            into_forget.iter_mut().zip(of_forget.iter().zip(&*of_theta)).zip(here.iter().zip(forget))
        {
            *into = (of_forget + of_theta * theta) * forget * (1.0 - forget);
        }
        for ((into, (of_input, of_theta)), (gradient, input)) in
            into_input.iter_mut().zip(of_input.iter().zip(&*of_theta)).zip(gradient.iter().zip(input))
        {
            *into = (of_input - of_theta * gradient) * input * (1.0 - input);
        }
        of_theta.iter_mut().zip(forget).for_each(|(of_theta, forget)| *of_theta *= forget);
        of_forget.fill(0.0);
        of_input.fill(0.0);
        rest[..count].fill(0.0);
        let into = &trace.of_rule[..2 * count];
        let size = Size { rows: sizes.gate_inputs(), inputs: count, outputs: 2 };
        dense::input_gradient(path, size, (&self.weights.gates_back, into), None, adjoint, Update::Add(1.0));
        let size = Size { rows: 2, inputs: count, outputs: sizes.gate_inputs() };
        let joined = &here[..sizes.gate_inputs() * count];
        add_product(path, size, into, joined, (&mut trace.product, &trace.zeros, &mut trace.panel), numbers);
    }

    /// The LSTM: from the adjoints of h_{k+1} and of c_{k+1} as far as the step behind used it, to those of h_k and c_k.
    fn back_through_lstm(&self, trace: &mut Trace, step: usize, count: usize, numbers: &mut [f32]) {
        let (path, sizes) = (self.path, self.weights.sizes);
        let (hidden, record) = (sizes.hidden * count, sizes.record() * count);
        let of_output = &mut trace.of_record[ABOVE * count..][..hidden];
        let into = &mut trace.of_gates[..4 * hidden];
        let gates = &trace.gates[step * 4 * hidden..][..4 * hidden];
        let (last, bent) = (&trace.cells[step * hidden..][..hidden], &trace.bent[step * hidden..][..hidden]);
        back_through_cell(gates, (last, bent), of_output, &mut trace.of_cell[..hidden], into);
        let size = Size { rows: 4 * sizes.hidden, inputs: count, outputs: sizes.lstm_inputs() };
        let seen = &trace.records[step * record..][..record][ONES * count..];
        add_product(path, size, into, seen, (&mut trace.product, &trace.zeros, &mut trace.panel), numbers);
        // h_0 is 0 whatever is learned.
        if step > 0 {
            let size = Size { rows: sizes.hidden, inputs: count, outputs: 4 * sizes.hidden };
            dense::input_gradient(path, size, (&self.weights.lstm_back, into), None, of_output, Update::Store);
        }
    }
}

/// What the LSTM sees: loss and gradient, preprocessed, each in two rows.
fn see(loss: [f32; 2], gradient: &[f32], seen: &mut [f32]) {
    let count = gradient.len();
    let (of_loss, of_gradient) = seen[..SEEN * count].split_at_mut(2 * count);
    for (row, loss) in of_loss.chunks_exact_mut(count).zip(loss) {
        row.fill(loss);
    }
    let (size, direction) = of_gradient.split_at_mut(count);
    for ((size, direction), gradient) in size.iter_mut().zip(direction).zip(gradient) {
        [*size, *direction] = preprocess(*gradient);
    }
}

/// c' = f ∘ c + i ∘ g and h' = o ∘ tanh c', where `gates` are i, f, g and o after their activations; `into` are the adjoints before these,
/// and the adjoint of c' becomes that of c.
fn back_through_cell(
    gates: &[f32],
    (last, bent): (&[f32], &[f32]),
    of_output: &[f32],
    of_cell: &mut [f32],
    into: &mut [f32],
) {
    let len = last.len();
    let (input, gates) = gates.split_at(len);
    let (forget, gates) = gates.split_at(len);
    let (fresh, open) = gates.split_at(len);
    let (into_input, into) = into.split_at_mut(len);
    let (into_forget, into) = into.split_at_mut(len);
    let (into_fresh, into_open) = into.split_at_mut(len);
    // One length for all, so that the loop needs no other checks and is made of vectors.
    let (bent, open, of_output) = (&bent[..len], &open[..len], &of_output[..len]);
    let (of_cell, into_open) = (&mut of_cell[..len], &mut into_open[..len]);
    for at in 0..len {
        let (i, f, g, o, t) = (input[at], forget[at], fresh[at], open[at], bent[at]);
        let of_h = of_output[at];
        let of_c = of_cell[at] + of_h * o * (1.0 - t * t);
        into_input[at] = of_c * g * i * (1.0 - i);
        into_forget[at] = of_c * last[at] * f * (1.0 - f);
        into_fresh[at] = of_c * i * (1.0 - g * g);
        into_open[at] = of_h * t * o * (1.0 - o);
        of_cell[at] = of_c * f;
    }
}

/// `to += a bᵀ`, where `a` is `[rows, inputs]` and `b` is `[outputs, inputs]`.
fn add_product(
    path: Path,
    size: Size,
    a: &[f32],
    b: &[f32],
    (product, zeros, panel): (&mut Aligned, &[f32], &mut Aligned),
    to: &mut [f32],
) {
    let product = &mut product[..size.rows * size.outputs];
    let panel = &mut panel[..panel_len(path, size.inputs)];
    dense::forward(path, size, a, (b, &zeros[..size.outputs]), false, product, panel);
    add_scaled(path, to, 1.0, product);
}
