//! Dense layers of many tasks at once: what [`super::dense`] does, where each number becomes that number of every task, side by side.
//!
//! Tasks do the same arithmetic on their own weights. With a task in each lane of a register nothing is ever turned, padded or summed
//! across a register, so small and odd layers run as fast as large ones. This is for training: a robot has one task.
//!
//! Shapes are those of [`super::dense`] with a last axis, of [`lanes`] tasks for parameters: `w [outputs, inputs, lanes]`, `b [outputs,
//! lanes]`. Parameters that all tasks share have no such axis. A register may be wider than that; it then holds several rows of
//! activations, [`rows`], and parameters are repeated in it: `x [row groups, inputs, rows, lanes]`. Rows that are left over in the last
//! group must have gradients of 0.

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
        super::Kind::Avx2 | super::Kind::Avx512 => 8,
        #[cfg(target_arch = "aarch64")]
        super::Kind::Neon => 4,
    }
}

/// Rows of activations side by side.
pub const fn rows(path: Path) -> usize {
    match path.0 {
        #[cfg(target_arch = "x86_64")]
        super::Kind::Avx512 => 2,
        _ => 1,
    }
}

/// Values of one activation number: of some rows of all tasks.
pub const fn width(path: Path) -> usize {
    lanes(path) * rows(path)
}

/// Where a number of one task lies: of `unit` out of `units`, in `row`, of the task in `lane`.
pub const fn place(path: Path, units: usize, row: usize, unit: usize, lane: usize) -> usize {
    let rows = rows(path);
    (row / rows * units + unit) * width(path) + row % rows * lanes(path) + lane
}

const SCALAR_LANES: usize = 4;

/// Parameters.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// That all tasks share.
    Shared(&'a [f32]),
    /// Of each task.
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
            Self::Shared(values) => Operand { values: values.as_ptr(), kind: Kind::Shared },
            Self::Each(values) => Operand { values: values.as_ptr(), kind: Kind::Parameters },
        }
    }
}

/// Numbers of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operand {
    pub values: *const f32,
    pub kind: Kind,
}

/// What a number is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value.
    Shared,
    /// A value for each task.
    Parameters,
    /// A value for each of some rows of each task.
    Activations,
}

/// `Σ_k a[p · a_row + k · a_step] · b[q · b_row + k · b_step]`, one addend of a product; steps are in numbers, `b` are activations.
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
    /// Whether these are parameters: then sums run over rows, and over those side by side at the end.
    pub parameters: bool,
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
    fn activations(c: &mut [f32], units: usize) -> Self {
        let c = c.as_mut_ptr();
        Self { c, parameters: false, row: 1, column: units, start: None, add: None, gate: Gate::All }
    }

    fn parameters(c: &mut [f32], row: usize) -> Self {
        let c = c.as_mut_ptr();
        Self { c, parameters: true, row, column: 1, start: None, add: None, gate: Gate::All }
    }

    /// As `update` says, onto what is there.
    fn updating(self, update: Update) -> Self {
        let kind = if self.parameters { Kind::Parameters } else { Kind::Activations };
        let add = match update {
            Update::Store => None,
            Update::Add(factor) => Some((factor, Operand { values: self.c, kind })),
        };
        Self { add, ..self }
    }
}

/// The lengths of the activations of a layer and of its batch.
#[derive(Clone, Copy)]
struct Lengths {
    /// Groups of rows.
    groups: usize,
    x: usize,
    z: usize,
    lanes: usize,
}

impl Lengths {
    const fn of(path: Path, size: Size) -> Self {
        let groups = size.rows.div_ceil(rows(path));
        let width = groups * width(path);
        Self { groups, x: width * size.inputs, z: width * size.outputs, lanes: lanes(path) }
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

/// The slow twin, with one row to a number.
///
/// # Safety
/// As [`product`].
unsafe fn scalar(terms: &[Term], target: &Target, rows: usize, columns: usize) {
    const L: usize = SCALAR_LANES;
    // SAFETY: the caller's contract.
    let value = |operand: Operand, number: usize, lane: usize| unsafe {
        *operand.values.add(if operand.kind == Kind::Shared { number } else { number * L + lane })
    };
    let activations = |values: *const f32| Operand { values, kind: Kind::Activations };
    for (p, q, lane) in (0..rows).flat_map(|p| (0..columns).flat_map(move |q| (0..L).map(move |lane| (p, q, lane)))) {
        let at = p * target.row + q * target.column;
        let mut sum = target.start.map_or(0.0, |start| value(start, p, lane));
        for term in terms {
            for k in 0..term.len {
                let b = value(activations(term.b), q * term.b_row + k * term.b_step, lane);
                sum += value(term.a, p * term.a_row + k * term.a_step, lane) * b;
            }
        }
        if let Some((factor, old)) = target.add {
            sum = value(old, at, lane) + factor * sum;
        }
        let open = match target.gate {
            Gate::All => true,
            // What is NaN stays.
            Gate::Positive => sum.is_nan() || sum > 0.0,
            Gate::Where(gate) => value(activations(gate), at, lane) > 0.0,
        };
        let sum = if open { sum } else { 0.0 };
        // SAFETY: the caller's contract.
        unsafe { *target.c.add(at * L + lane) = sum };
    }
}

/// `z = b + W x`; cut at 0 if `cut`.
pub fn forward(path: Path, size: Size, x: &[f32], (w, b): (Numbers<'_>, Numbers<'_>), cut: bool, z: &mut [f32]) {
    let (Size { inputs, outputs, .. }, lengths) = (size, Lengths::of(path, size));
    expect_lengths!(x.len() == lengths.x && z.len() == lengths.z);
    expect_lengths!(w.are(size.w(), lengths.lanes) && b.are(outputs, lengths.lanes));
    let gate = if cut { Gate::Positive } else { Gate::All };
    let target = Target { start: Some(b.operand()), gate, ..Target::activations(z, outputs) };
    // SAFETY: the lengths are right.
    unsafe { product(path, &[along_inputs(w, x, inputs)], &target, outputs, lengths.groups) };
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
    let (Size { inputs, outputs, .. }, lengths) = (size, Lengths::of(path, size));
    let (v, vb) = (Numbers::Each(v), Numbers::Each(vb));
    expect_lengths!(x.len() == lengths.x && rx.is_none_or(|rx| rx.len() == lengths.x) && rz.len() == lengths.z);
    expect_lengths!(w.are(size.w(), lengths.lanes) && v.are(size.w(), lengths.lanes) && vb.are(outputs, lengths.lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == rz.len()));
    let (groups, gate) = (lengths.groups, gate_of(gate));
    let first = Target { start: Some(vb.operand()), ..Target::activations(rz, outputs) };
    // One product after the other, so that the first cache holds the operands of one and not of two.
    // SAFETY: the lengths are right.
    unsafe {
        let Some(rx) = rx else {
            return product(path, &[along_inputs(v, x, inputs)], &Target { gate, ..first }, outputs, groups);
        };
        product(path, &[along_inputs(v, x, inputs)], &first, outputs, groups);
        let second = Target { start: None, gate, ..first }.updating(Update::Add(1.0));
        product(path, &[along_inputs(w, rx, inputs)], &second, outputs, groups);
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
    let lengths = Lengths::of(path, size);
    expect_lengths!(dz.len() == lengths.z && dx.len() == lengths.x && w.are(size.w(), lengths.lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == dx.len()));
    let target = Target { gate: gate_of(gate), ..Target::activations(dx, size.inputs).updating(update) };
    // SAFETY: the lengths are right.
    unsafe { product(path, &[along_outputs(w, dz, size)], &target, size.inputs, lengths.groups) };
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
    let lengths = Lengths::of(path, size);
    let v = Numbers::Each(v);
    expect_lengths!(dz.len() == lengths.z && rd.len() == lengths.z && rdx.len() == lengths.x);
    expect_lengths!(w.are(size.w(), lengths.lanes) && v.are(size.w(), lengths.lanes));
    expect_lengths!(gate.is_none_or(|gate| gate.len() == rdx.len()));
    let first = Target::activations(rdx, size.inputs).updating(update);
    let factor = if let Update::Add(factor) = update { factor } else { 1.0 };
    let second = Target { gate: gate_of(gate), ..first }.updating(Update::Add(factor));
    // One after the other, as above.
    // SAFETY: the lengths are right.
    unsafe {
        product(path, &[along_outputs(v, dz, size)], &first, size.inputs, lengths.groups);
        product(path, &[along_outputs(w, rd, size)], &second, size.inputs, lengths.groups);
    }
}

/// `dw = dzᵀ x` and `db = Σ dz`, stored or added as `update` says.
pub fn weight_gradient(path: Path, size: Size, dz: &[f32], x: &[f32], dw: &mut [f32], db: &mut [f32], update: Update) {
    let lengths = Lengths::of(path, size);
    expect_lengths!(dz.len() == lengths.z && x.len() == lengths.x);
    expect_lengths!(dw.len() == size.w() * lengths.lanes && db.len() == size.outputs * lengths.lanes);
    let targets = [Target::parameters(dw, size.inputs).updating(update), Target::parameters(db, 1).updating(update)];
    // SAFETY: the lengths are right.
    unsafe { over_rows(path, size, &[along_rows(dz, x, size, lengths.groups)], dz, targets) };
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
    let lengths = Lengths::of(path, size);
    expect_lengths!(dz.len() == lengths.z && rd.len() == lengths.z);
    expect_lengths!(x.len() == lengths.x && rx.is_none_or(|rx| rx.len() == lengths.x));
    expect_lengths!(rdw.len() == size.w() * lengths.lanes && rdb.len() == size.outputs * lengths.lanes);
    let terms = [along_rows(rd, x, size, lengths.groups), along_rows(dz, rx.unwrap_or(x), size, lengths.groups)];
    let count = if rx.is_some() { 2 } else { 1 };
    let targets = [Target::parameters(rdw, size.inputs).updating(update), Target::parameters(rdb, 1).updating(update)];
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
    let lengths = Lengths::of(path, size);
    expect_lengths!(dz.len() == lengths.z && x.len() == lengths.x);
    expect_lengths!(w.are(size.w(), lengths.lanes) && b.are(size.outputs, lengths.lanes));
    expect_lengths!(new_w.len() == size.w() * lengths.lanes && new_b.len() == size.outputs * lengths.lanes);
    let targets = [
        Target { add: Some((factor, w.operand())), ..Target::parameters(new_w, size.inputs) },
        Target { add: Some((factor, b.operand())), ..Target::parameters(new_b, 1) },
    ];
    // SAFETY: the lengths are right.
    unsafe { over_rows(path, size, &[along_rows(dz, x, size, lengths.groups)], dz, targets) };
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
    let Size { inputs, outputs, .. } = size;
    let ones = Operand { values: ONE.as_ptr(), kind: Kind::Shared };
    let groups = Lengths::of(path, size).groups;
    // Sums over rows are products with ones, which lie at one place.
    let sums = Term { a: ones, a_row: 0, a_step: 0, b: d.as_ptr(), b_row: 1, b_step: outputs, len: groups };
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
const fn along_rows(dz: &[f32], x: &[f32], size: Size, groups: usize) -> Term {
    let Size { inputs, outputs, .. } = size;
    let a = Operand { values: dz.as_ptr(), kind: Kind::Activations };
    Term { a, a_row: 1, a_step: outputs, b: x.as_ptr(), b_row: 1, b_step: inputs, len: groups }
}

const fn gate_of(gate: Option<&[f32]>) -> Gate {
    match gate {
        None => Gate::All,
        Some(gate) => Gate::Where(gate.as_ptr()),
    }
}
