//! Dense layers of many tasks at once: what [`super::dense`] does, where each number becomes a *lane vector*, which holds that number
//! of every task.
//!
//! Tasks do the same arithmetic on their own weights. With a task in each lane of a register nothing is ever turned, padded or summed
//! across a register, so small and odd layers run as fast as large ones. This is for training: a robot has one task.
//!
//! Shapes are those of [`super::dense`], with a last axis of [`lanes`] values: `x [rows, inputs, lanes]`, `w [outputs, inputs, lanes]`.
//! Weights that all tasks share have no such axis.

#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod tile;

use super::dense::{Size, Update};
use super::{Path, expect_lengths, vectors};

/// Tasks side by side.
pub const fn lanes(path: Path) -> usize {
    match path.0 {
        super::Kind::Scalar => SCALAR_LANES,
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx2 => 8,
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx512 => 16,
        #[cfg(target_arch = "aarch64")]
        super::Kind::Neon => 4,
    }
}

const SCALAR_LANES: usize = 4;

/// Numbers that all tasks share, or a lane vector for each.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// One for all tasks.
    Shared(&'a [f32]),
    /// One for each task.
    Each(&'a [f32]),
}

impl Numbers<'_> {
    const fn are(&self, count: usize, lanes: usize) -> bool {
        match self {
            Self::Shared(values) => values.len() == count,
            Self::Each(values) => values.len() == count * lanes,
        }
    }

    const fn operand(&self) -> Operand {
        match self {
            Self::Shared(values) => Operand { values: values.as_ptr(), each: false },
            Self::Each(values) => Operand { values: values.as_ptr(), each: true },
        }
    }
}

/// Numbers of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    pub values: *const f32,
    /// Whether they are lane vectors.
    pub each: bool,
}

/// `Σ_k a[p · a_row + k · a_step] · b[q · b_row + k · b_step]`, one addend of a product; steps are in numbers, `b` and all results are
/// lane vectors.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    pub a: Operand,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_row: usize,
    pub b_step: usize,
    pub len: usize,
}

/// Where sums go, and what becomes of them: `c[p · row + q · column]`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub c: *mut f32,
    pub row: usize,
    pub column: usize,
    /// What a sum begins with, one number for each p.
    pub start: Option<Operand>,
    /// `c = old + factor · sum`; `old` lies as `c` and may be it.
    pub add: Option<(f32, Operand)>,
    pub gate: Gate,
}

/// What of a result counts.
#[derive(Clone, Copy)]
pub(crate) enum Gate {
    All,
    /// What is above 0.
    Positive,
    /// What stands where this, laid out as `c`, is above 0.
    Where(*const f32),
}

impl Target {
    fn new(c: &mut [f32], row: usize, column: usize) -> Self {
        Self { c: c.as_mut_ptr(), row, column, start: None, add: None, gate: Gate::All }
    }

    /// As `update` says, onto what is there.
    fn updating(self, update: Update) -> Self {
        let add = match update {
            Update::Store => None,
            Update::Add(factor) => Some((factor, Operand { values: self.c, each: true })),
        };
        Self { add, ..self }
    }
}

/// Every sum of `rows × columns`.
///
/// # Safety
/// Every index that the types above name must be valid.
unsafe fn product(path: Path, terms: &[Term], target: &Target, rows: usize, columns: usize) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    use tile::run;
    vectors!(
        path,
        // SAFETY: the caller's contract.
        unsafe { scalar(terms, target, rows, columns) },
        run(terms: &[Term] = terms, target: &Target = target, rows: usize = rows, columns: usize = columns)
    );
}

/// The slow twin.
///
/// # Safety
/// As [`product`].
unsafe fn scalar(terms: &[Term], target: &Target, rows: usize, columns: usize) {
    const L: usize = SCALAR_LANES;
    // SAFETY: the caller's contract.
    let value = |operand: Operand, number: usize, lane: usize| unsafe {
        *operand.values.add(if operand.each { number * L + lane } else { number })
    };
    for (p, q, lane) in (0..rows).flat_map(|p| (0..columns).flat_map(move |q| (0..L).map(move |lane| (p, q, lane)))) {
        let at = p * target.row + q * target.column;
        let mut sum = target.start.map_or(0.0, |start| value(start, p, lane));
        for term in terms {
            for k in 0..term.len {
                let b = Operand { values: term.b, each: true };
                let b = value(b, q * term.b_row + k * term.b_step, lane);
                sum += value(term.a, p * term.a_row + k * term.a_step, lane) * b;
            }
        }
        if let Some((factor, old)) = target.add {
            sum = value(old, at, lane) + factor * sum;
        }
        match target.gate {
            // What is NaN stays.
            Gate::Positive if 0.0 > sum => sum = 0.0,
            Gate::Where(gate) if !(value(Operand { values: gate, each: true }, at, lane) > 0.0) => sum = 0.0,
            _ => {}
        }
        // SAFETY: the caller's contract.
        unsafe { *target.c.add(at * L + lane) = sum };
    }
}

/// `z = b + W x`; cut at 0 if `cut`.
pub fn forward(path: Path, size: Size, x: &[f32], (w, b): (Numbers<'_>, Numbers<'_>), cut: bool, z: &mut [f32]) {
    let (Size { rows, inputs, outputs }, lanes) = (size, lanes(path));
    expect_lengths!(x.len() == size.x() * lanes && z.len() == size.z() * lanes);
    expect_lengths!(w.are(size.w(), lanes) && b.are(outputs, lanes));
    let gate = if cut { Gate::Positive } else { Gate::All };
    let target = Target { start: Some(b.operand()), gate, ..Target::new(z, 1, outputs) };
    // SAFETY: the lengths are right.
    unsafe { product(path, &[along_inputs(w, x, inputs)], &target, outputs, rows) };
}

/// The derivative of the sum along the direction `(v, vb)`: `rz = vb + V x + W rx`; without `rx` where `x` does not depend on the
/// parameters; 0 where `gate` is not above 0.
pub fn forward_tangent(
    path: Path,
    size: Size,
    (x, rx): (&[f32], Option<&[f32]>),
    (w, v): (Numbers<'_>, &[f32]),
    vb: &[f32],
    gate: Option<&[f32]>,
    rz: &mut [f32],
) {
    let (Size { rows, inputs, outputs }, lanes) = (size, lanes(path));
    let v = Numbers::Each(v);
    expect_lengths!(x.len() == size.x() * lanes && rx.is_none_or(|rx| rx.len() == x.len()));
    expect_lengths!(rz.len() == size.z() * lanes && vb.len() == outputs * lanes);
    expect_lengths!(w.are(size.w(), lanes) && v.are(size.w(), lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == rz.len()));
    let start = Some(Numbers::Each(vb).operand());
    let first = Target { start, ..Target::new(rz, 1, outputs) };
    let second = Target { start: None, gate: gate_of(gate), ..first }.updating(Update::Add(1.0));
    // One after the other: the caches hold the operands of one product, not of two.
    // SAFETY: the lengths are right.
    unsafe {
        match rx {
            None => product(path, &[along_inputs(v, x, inputs)], &Target { gate: second.gate, ..first }, outputs, rows),
            Some(rx) => {
                product(path, &[along_inputs(v, x, inputs)], &first, outputs, rows);
                product(path, &[along_inputs(w, rx, inputs)], &second, outputs, rows);
            }
        }
    }
}

/// `dx = dz W`, stored or added as `update` says; 0 where `gate` is not above 0.
pub fn input_gradient(
    path: Path,
    size: Size,
    (dz, w): (&[f32], Numbers<'_>),
    gate: Option<&[f32]>,
    dx: &mut [f32],
    update: Update,
) {
    let (Size { rows, inputs, .. }, lanes) = (size, lanes(path));
    expect_lengths!(dz.len() == size.z() * lanes && dx.len() == size.x() * lanes && w.are(size.w(), lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == dx.len()));
    let target = Target { gate: gate_of(gate), ..Target::new(dx, 1, inputs).updating(update) };
    // SAFETY: the lengths are right.
    unsafe { product(path, &[along_outputs(w, dz, size)], &target, inputs, rows) };
}

/// The derivative of [`input_gradient`]: `rdx = dz V + rd W`.
pub fn input_gradient_tangent(
    path: Path,
    size: Size,
    (dz, rd): (&[f32], &[f32]),
    (w, v): (Numbers<'_>, &[f32]),
    gate: Option<&[f32]>,
    rdx: &mut [f32],
    update: Update,
) {
    let (Size { rows, inputs, .. }, lanes) = (size, lanes(path));
    let v = Numbers::Each(v);
    expect_lengths!(dz.len() == size.z() * lanes && rd.len() == dz.len() && rdx.len() == size.x() * lanes);
    expect_lengths!(w.are(size.w(), lanes) && v.are(size.w(), lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == rdx.len()));
    let first = Target::new(rdx, 1, inputs).updating(update);
    let second = Target { gate: gate_of(gate), ..first }.updating(Update::Add(1.0));
    // One after the other, as above.
    // SAFETY: the lengths are right.
    unsafe {
        product(path, &[along_outputs(v, dz, size)], &first, inputs, rows);
        product(path, &[along_outputs(w, rd, size)], &second, inputs, rows);
    }
}

/// `dw = dzᵀ x` and `db = Σ dz`, stored or added as `update` says.
pub fn weight_gradient(path: Path, size: Size, dz: &[f32], x: &[f32], dw: &mut [f32], db: &mut [f32], update: Update) {
    let lanes = lanes(path);
    expect_lengths!(dz.len() == size.z() * lanes && x.len() == size.x() * lanes);
    expect_lengths!(dw.len() == size.w() * lanes && db.len() == size.outputs * lanes);
    let targets = [Target::new(dw, size.inputs, 1).updating(update), Target::new(db, 1, 1).updating(update)];
    // SAFETY: the lengths are right.
    unsafe { over_rows(path, size, &[along_rows(dz, x, size)], dz, targets) };
}

/// The derivative of [`weight_gradient`]: `rdw = rdᵀ x + dzᵀ rx`, `rdb = Σ rd`.
pub fn weight_gradient_tangent(
    path: Path,
    size: Size,
    (dz, rd): (&[f32], &[f32]),
    (x, rx): (&[f32], Option<&[f32]>),
    rdw: &mut [f32],
    rdb: &mut [f32],
    update: Update,
) {
    let lanes = lanes(path);
    expect_lengths!(dz.len() == size.z() * lanes && rd.len() == dz.len());
    expect_lengths!(x.len() == size.x() * lanes && rx.is_none_or(|rx| rx.len() == x.len()));
    expect_lengths!(rdw.len() == size.w() * lanes && rdb.len() == size.outputs * lanes);
    let terms = [along_rows(rd, x, size), along_rows(dz, rx.unwrap_or(x), size)];
    let count = if rx.is_some() { 2 } else { 1 };
    let targets = [Target::new(rdw, size.inputs, 1).updating(update), Target::new(rdb, 1, 1).updating(update)];
    // SAFETY: the lengths are right.
    unsafe { over_rows(path, size, &terms[..count], rd, targets) };
}

/// A step of gradient descent: `w' = w + factor · dzᵀ x`, `b' = b + factor · Σ dz`.
pub fn weight_gradient_step(
    path: Path,
    size: Size,
    dz: &[f32],
    x: &[f32],
    (w, b): (Numbers<'_>, Numbers<'_>),
    factor: f32,
    (new_w, new_b): (&mut [f32], &mut [f32]),
) {
    let lanes = lanes(path);
    expect_lengths!(dz.len() == size.z() * lanes && x.len() == size.x() * lanes);
    expect_lengths!(w.are(size.w(), lanes) && b.are(size.outputs, lanes));
    expect_lengths!(new_w.len() == size.w() * lanes && new_b.len() == size.outputs * lanes);
    let targets = [
        Target { add: Some((factor, w.operand())), ..Target::new(new_w, size.inputs, 1) },
        Target { add: Some((factor, b.operand())), ..Target::new(new_b, 1, 1) },
    ];
    // SAFETY: the lengths are right.
    unsafe { over_rows(path, size, &[along_rows(dz, x, size)], dz, targets) };
}

/// The sum over tasks of each number: `to[j] = Σ_lane from[j, lane]`.
pub fn totals(path: Path, from: &[f32], to: &mut [f32]) {
    expect_lengths!(from.len() == to.len() * lanes(path));
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    use tile::totals;
    vectors!(
        path,
        to.iter_mut().zip(from.chunks_exact(SCALAR_LANES)).for_each(|(to, from)| *to = from.iter().sum()),
        totals(from: &[f32] = from, to: &mut [f32] = to)
    );
}

/// The products that sum over rows: weights by `terms`, biases by `d` alone.
///
/// # Safety
/// As [`product`].
unsafe fn over_rows(path: Path, size: Size, terms: &[Term], d: &[f32], [weight, bias]: [Target; 2]) {
    const ONE: [f32; 1] = [1.0];
    let Size { rows, inputs, outputs } = size;
    let ones = Operand { values: ONE.as_ptr(), each: false };
    // Sums over rows are products with ones, which lie at one place.
    let sums = Term { a: ones, a_row: 0, a_step: 0, b: d.as_ptr(), b_row: 1, b_step: outputs, len: rows };
    let bias = Target { row: 0, column: 1, ..bias };
    // SAFETY: the caller's contract.
    unsafe {
        product(path, terms, &weight, outputs, inputs);
        product(path, &[sums], &bias, 1, outputs);
    }
}

/// Weights of an output with a row of inputs.
const fn along_inputs(w: Numbers<'_>, x: &[f32], inputs: usize) -> Term {
    Term { a: w.operand(), a_row: inputs, a_step: 1, b: x.as_ptr(), b_row: inputs, b_step: 1, len: inputs }
}

/// Weights of an input with a row of gradients at the outputs.
const fn along_outputs(w: Numbers<'_>, dz: &[f32], size: Size) -> Term {
    let Size { inputs, outputs, .. } = size;
    Term { a: w.operand(), a_row: 1, a_step: inputs, b: dz.as_ptr(), b_row: outputs, b_step: 1, len: outputs }
}

/// Gradients at an output with values of an input, over rows.
const fn along_rows(dz: &[f32], x: &[f32], size: Size) -> Term {
    let Size { rows, inputs, outputs } = size;
    let a = Operand { values: dz.as_ptr(), each: true };
    Term { a, a_row: 1, a_step: outputs, b: x.as_ptr(), b_row: 1, b_step: inputs, len: rows }
}

const fn gate_of(gate: Option<&[f32]>) -> Gate {
    match gate {
        None => Gate::All,
        Some(gate) => Gate::Where(gate.as_ptr()),
    }
}
