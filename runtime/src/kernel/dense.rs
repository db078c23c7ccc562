//! Dense layers: `z = b + W x`, its gradients, and the derivatives of both along a direction (Pearlmutter 1994).
//!
//! Shapes: `x [rows, inputs]`, `w [outputs, inputs]`, `b [outputs]`, `z [rows, outputs]`; `d…` is a gradient of the loss, `r…` a
//! derivative along the direction `(v, vb)` in the parameters.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod dots;
#[cfg(test)]
mod tests;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use dots::{few_outputs, one_row};

use super::{Path, expect_lengths, vectors};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{
    product::{Finish, Gate, Start, Target, Term, plain, sideways, sideways_pays, some, turned},
    vector::Vector,
};

/// Up to so many rows sums run along the inputs as they lie in memory; beyond, one side is turned first.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const FEW_ROWS: usize = 2;
/// The same for outputs.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const FEW_OUTPUTS: usize = 4;

/// The sizes of a dense layer and of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows of the batch.
    pub rows: usize,
    /// Values in one input row.
    pub inputs: usize,
    /// Values in one output row.
    pub outputs: usize,
}

impl Size {
    pub(crate) const fn x(self) -> usize {
        self.rows * self.inputs
    }
    pub(crate) const fn z(self) -> usize {
        self.rows * self.outputs
    }
    pub(crate) const fn w(self) -> usize {
        self.inputs * self.outputs
    }
}

/// Values of the scratch `panel` that [`forward`] and, twice as many, [`forward_tangent`] need.
pub const fn panel_len(path: Path, inputs: usize) -> usize {
    path.panel_len(inputs)
}

/// What becomes of a gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// It replaces the target.
    Store,
    /// The target gains so many times the gradient: 1 accumulates, −α is a step of gradient descent.
    Add(f32),
}

/// What a sum is put on.
#[derive(Clone, Copy)]
struct Base<'a> {
    /// Whether it replaces the target, or is added to what is there so many times.
    update: Update,
    /// What is there, if not the target itself: as many values as it has.
    old: Option<&'a [f32]>,
}

impl From<Update> for Base<'_> {
    #[inline(always)]
    fn from(update: Update) -> Self {
        Base { update, old: None }
    }
}

impl Base<'_> {
    fn fits(self, len: usize) -> bool {
        self.old.is_none_or(|old| old.len() == len)
    }

    /// What is left to do once the values, if they are others, have come to the target.
    fn settle(self, target: &mut [f32]) -> Update {
        for (to, old) in target.iter_mut().zip(self.old.unwrap_or_default()) {
            *to = *old;
        }
        self.update
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    fn finish(self, target: *const f32) -> Finish {
        match self.update {
            Update::Store => Finish::Store,
            Update::Add(factor) => Finish::Add { factor, old: self.old.map_or(target, <[f32]>::as_ptr) },
        }
    }
}

impl Update {
    #[inline(always)]
    pub(crate) fn apply(self, to: &mut f32, sum: f32) {
        match self {
            Update::Store => *to = sum,
            Update::Add(factor) => *to += factor * sum,
        }
    }
}

/// The slices of one addend of a product: `(left, right)`.
type Pair<'a> = (&'a [f32], &'a [f32]);

/// `z = b + x Wᵀ`, or what of it is above 0 if it is to be rectified.
pub fn forward(path: Path, size: Size, x: &[f32], (w, b): Pair<'_>, rectified: bool, z: &mut [f32], panel: &mut [f32]) {
    rows_by_rows(path, size, [(x, w)], b, rectified, z, panel);
}

/// `rz = vb + x Vᵀ + rx Wᵀ`; `rx` is `None` where the input does not depend on the parameters.
pub fn forward_tangent(
    path: Path,
    size: Size,
    (x, rx): (&[f32], Option<&[f32]>),
    (w, v): Pair<'_>,
    vb: &[f32],
    rz: &mut [f32],
    panel: &mut [f32],
) {
    match rx {
        None => rows_by_rows(path, size, [(x, v)], vb, false, rz, panel),
        Some(rx) => rows_by_rows(path, size, [(x, v), (rx, w)], vb, false, rz, panel),
    }
}

/// `dx = dz W`, or `dx += dz W`; and 0 where `gate`, the rectified output that `x` is, is not above 0.
pub fn input_gradient(path: Path, size: Size, (dz, w): Pair<'_>, gate: Option<&[f32]>, dx: &mut [f32], update: Update) {
    rows_by_columns(path, size, [(dz, w)], gate, dx, update.into());
}

/// `rdx = rdz W + dz V`, or `+=`; and 0 where `gate` is not above 0.
pub fn input_gradient_tangent(
    path: Path,
    size: Size,
    (dz, rdz): Pair<'_>,
    (w, v): Pair<'_>,
    gate: Option<&[f32]>,
    rdx: &mut [f32],
    update: Update,
) {
    rows_by_columns(path, size, [(rdz, w), (dz, v)], gate, rdx, update.into());
}

/// `dw = dzᵀ x` and `db = Σ_rows dz`, each stored or added as `update` says.
pub fn weight_gradient(path: Path, size: Size, dz: &[f32], x: &[f32], dw: &mut [f32], db: &mut [f32], update: Update) {
    weight_gradient_step(path, size, dz, x, None, update, (dw, db));
}

/// As [`weight_gradient`], where [`Update::Add`] adds to `old` weights and biases, if there are such: a step from one buffer to another,
/// with the same bits as in place.
pub fn weight_gradient_step(
    path: Path,
    size: Size,
    dz: &[f32],
    x: &[f32],
    old: Option<Pair<'_>>,
    update: Update,
    (new_w, new_b): (&mut [f32], &mut [f32]),
) {
    let (old_w, old_b) = old.unzip();
    columns_by_columns(path, size, [(dz, x)], new_w, Base { update, old: old_w });
    column_sums(path, size, dz, new_b, Base { update, old: old_b });
}

/// `rdw = rdzᵀ x + dzᵀ rx` and `rdb = Σ_rows rdz`.
pub fn weight_gradient_tangent(
    path: Path,
    size: Size,
    (dz, rdz): Pair<'_>,
    (x, rx): (&[f32], Option<&[f32]>),
    rdw: &mut [f32],
    rdb: &mut [f32],
    update: Update,
) {
    match rx {
        None => columns_by_columns(path, size, [(rdz, x)], rdw, update.into()),
        Some(rx) => columns_by_columns(path, size, [(rdz, x), (dz, rx)], rdw, update.into()),
    }
    column_sums(path, size, rdz, rdb, update.into());
}

/// As [`crate::part::part`], in the innermost loops, where a call would cost a microcontroller a fifth of its time.
#[inline(always)]
fn run(values: &[f32], from: usize, len: usize) -> &[f32] {
    values.get(from..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// One value of a row that has it; the compiler does not know that it has.
#[inline(always)]
fn at(row: &[f32], index: usize) -> f32 {
    row.get(index).copied().unwrap_or(0.0)
}

/// `z[r][o] = b[o] + Σ_pairs Σ_i x[r][i] w[o][i]`
fn rows_by_rows<const T: usize>(
    path: Path,
    size: Size,
    pairs: [Pair<'_>; T],
    b: &[f32],
    rectified: bool,
    z: &mut [f32],
    panel: &mut [f32],
) {
    expect_lengths!(b.len() == size.outputs && z.len() == size.z() && panel.len() >= T * panel_len(path, size.inputs));
    expect_lengths!(pairs.iter().fold(true, |fit, (x, w)| fit & (x.len() == size.x() && w.len() == size.w())));
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            for (r, z) in z.chunks_exact_mut(size.outputs.max(1)).enumerate() {
                for (o, (z, b)) in z.iter_mut().zip(b).enumerate() {
                    *z = *b;
                    for (x, w) in &pairs {
                        let x = run(x, r * size.inputs, size.inputs);
                        let w = run(w, o * size.inputs, size.inputs);
                        *z = x.iter().zip(w).fold(*z, |sum, (x, w)| sum + x * w);
                    }
                }
            }
            if rectified {
                z.iter_mut().filter(|z| 0.0 > **z).for_each(|z| *z = 0.0);
            }
        },
        rows_by_rows_fast(
            size: Size = size,
            pairs: &[Pair<'_>] = &pairs,
            b: &[f32] = b,
            rectified: bool = rectified,
            z: &mut [f32] = z,
            panel: &mut [f32] = panel,
        )
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn rows_by_rows_fast<V: Vector>(
    size: Size,
    pairs: &[Pair<'_>],
    b: &[f32],
    rectified: bool,
    z: &mut [f32],
    panel: &mut [f32],
) {
    let gate = if rectified { Gate::Positive } else { Gate::All };
    let term = |(x, w): Pair<'_>| Term {
        a: x.as_ptr(),
        a_row: size.inputs,
        a_step: 1,
        b: w.as_ptr(),
        b_step: size.inputs,
        len: size.inputs,
    };
    // SAFETY: the caller checked every length against `size`.
    unsafe {
        if size.inputs == 1 {
            // A column is a row: nothing to turn.
            let target = Target {
                c: z.as_mut_ptr(),
                row: size.outputs,
                start: Start::Row(b.as_ptr()),
                finish: Finish::Store,
                gate,
            };
            match *pairs {
                [one] => plain::<V>(&[term(one)], target, size.rows, size.outputs),
                [one, two] => plain::<V>(&[term(one), term(two)], target, size.rows, size.outputs),
                _ => {}
            }
        } else if size.rows <= FEW_ROWS {
            for r in 0..size.rows {
                one_row::<V>(pairs, size, r, b, rectified, z);
            }
        } else if size.outputs <= FEW_OUTPUTS {
            few_outputs::<V>(pairs, size, b, rectified, z);
        } else if !sideways_pays::<V>(size.rows, size.inputs, size.outputs) {
            let target = Target {
                c: z.as_mut_ptr(),
                row: size.outputs,
                start: Start::Row(b.as_ptr()),
                finish: Finish::Store,
                gate,
            };
            let panel = panel.as_mut_ptr();
            match *pairs {
                [one] => turned::<V, 1>(&[term(one)], target, size.rows, size.outputs, panel),
                [one, two] => turned::<V, 2>(&[term(one), term(two)], target, size.rows, size.outputs, panel),
                _ => {}
            }
        } else {
            // The weights are the left side now, and the rows are turned.
            let term = |(x, w): Pair<'_>| Term {
                a: w.as_ptr(),
                a_row: size.inputs,
                a_step: 1,
                b: x.as_ptr(),
                b_step: size.inputs,
                len: size.inputs,
            };
            let (b, z, panel) = (b.as_ptr(), z.as_mut_ptr(), panel.as_mut_ptr());
            let (rows, width, row) = (size.outputs, size.rows, size.outputs);
            match *pairs {
                [one] => sideways::<V, 1>(&[term(one)], b, gate, rows, width, z, row, panel),
                [one, two] => sideways::<V, 2>(&[term(one), term(two)], b, gate, rows, width, z, row, panel),
                _ => {}
            }
        }
    }
}

/// `x[r][i] (+)= Σ_pairs Σ_o z[r][o] w[o][i]`
fn rows_by_columns<const T: usize>(
    path: Path,
    size: Size,
    pairs: [Pair<'_>; T],
    gate: Option<&[f32]>,
    x: &mut [f32],
    base: Base<'_>,
) {
    expect_lengths!(gate.is_none_or(|gate| gate.len() == size.x()));
    expect_lengths!(base.fits(size.x()) && x.len() == size.x());
    expect_lengths!(pairs.iter().fold(true, |fit, (z, w)| fit & (z.len() == size.z() && w.len() == size.w())));
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            let (update, inputs) = (base.settle(x), size.inputs.max(1));
            for (r, x) in x.chunks_exact_mut(inputs).enumerate() {
                for (i, x) in x.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for (z, w) in &pairs {
                        let z = run(z, r * size.outputs, size.outputs);
                        sum = z.iter().zip(w.chunks_exact(inputs)).fold(sum, |sum, (z, w)| sum + z * at(w, i));
                    }
                    update.apply(x, sum);
                }
            }
            for (x, gate) in x.iter_mut().zip(gate.unwrap_or_default()) {
                let open = *gate > 0.0;
                if !open {
                    *x = 0.0;
                }
            }
        },
        rows_by_columns_fast(
            size: Size = size,
            pairs: &[Pair<'_>] = &pairs,
            gate: Option<&[f32]> = gate,
            x: &mut [f32] = x,
            base: Base<'_> = base,
        )
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn rows_by_columns_fast<V: Vector>(
    size: Size,
    pairs: &[Pair<'_>],
    gate: Option<&[f32]>,
    x: &mut [f32],
    base: Base<'_>,
) {
    let gate = gate.map_or(Gate::All, |gate| Gate::Where(gate.as_ptr()));
    let term = |(z, w): Pair<'_>| Term {
        a: z.as_ptr(),
        a_row: size.outputs,
        a_step: 1,
        b: w.as_ptr(),
        b_step: size.inputs,
        len: size.outputs,
    };
    let c = x.as_mut_ptr();
    let target = Target { c, row: size.inputs, start: Start::Zero, finish: base.finish(c), gate };
    // SAFETY: the caller checked every length against `size`.
    unsafe {
        match *pairs {
            [one] => plain::<V>(&[term(one)], target, size.rows, size.inputs),
            [one, two] => plain::<V>(&[term(one), term(two)], target, size.rows, size.inputs),
            _ => {}
        }
    }
}

/// `w[o][i] (+)= Σ_pairs Σ_r z[r][o] x[r][i]`
fn columns_by_columns<const T: usize>(path: Path, size: Size, pairs: [Pair<'_>; T], w: &mut [f32], base: Base<'_>) {
    expect_lengths!(base.fits(size.w()) && w.len() == size.w());
    expect_lengths!(pairs.iter().fold(true, |fit, (z, x)| fit & (z.len() == size.z() && x.len() == size.x())));
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            let (update, inputs, outputs) = (base.settle(w), size.inputs.max(1), size.outputs.max(1));
            for (o, w) in w.chunks_exact_mut(inputs).enumerate() {
                for (i, w) in w.iter_mut().enumerate() {
                    let mut sum = 0.0;
                    for (z, x) in &pairs {
                        let rows = z.chunks_exact(outputs).zip(x.chunks_exact(inputs));
                        sum = rows.fold(sum, |sum, (z, x)| sum + at(z, o) * at(x, i));
                    }
                    update.apply(w, sum);
                }
            }
        },
        columns_by_columns_fast(size: Size = size, pairs: &[Pair<'_>] = &pairs, w: &mut [f32] = w, base: Base<'_> = base)
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn columns_by_columns_fast<V: Vector>(size: Size, pairs: &[Pair<'_>], w: &mut [f32], base: Base<'_>) {
    // With one input the matrix is a column of memory, so outputs can be the lanes.
    let across = size.inputs == 1;
    let term = |(z, x): Pair<'_>| {
        let (a, a_len, b, b_len) = if across { (x, 1, z, size.outputs) } else { (z, size.outputs, x, size.inputs) };
        Term { a: a.as_ptr(), a_row: 1, a_step: a_len, b: b.as_ptr(), b_step: b_len, len: size.rows }
    };
    let (rows, width) = if across { (1, size.outputs) } else { (size.outputs, size.inputs) };
    let (c, start, gate) = (w.as_mut_ptr(), Start::Zero, Gate::All);
    let target = Target { c, row: width, start, finish: base.finish(c), gate };
    // SAFETY: the caller checked every length against `size`.
    unsafe {
        match *pairs {
            [one] => plain::<V>(&[term(one)], target, rows, width),
            [one, two] => plain::<V>(&[term(one), term(two)], target, rows, width),
            _ => {}
        }
    }
}

/// `b[o] (+)= Σ_r z[r][o]`
fn column_sums(path: Path, size: Size, z: &[f32], b: &mut [f32], base: Base<'_>) {
    expect_lengths!(base.fits(size.outputs) && b.len() == size.outputs && z.len() == size.z());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            let update = base.settle(b);
            for (o, b) in b.iter_mut().enumerate() {
                update.apply(b, z.chunks_exact(size.outputs.max(1)).fold(0.0, |sum, z| sum + at(z, o)));
            }
        },
        column_sums_fast(size: Size = size, z: &[f32] = z, b: &mut [f32] = b, base: Base<'_> = base)
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn column_sums_fast<V: Vector>(size: Size, z: &[f32], b: &mut [f32], base: Base<'_>) {
    let (from, to) = (z.as_ptr(), b.as_mut_ptr());
    let finish = base.finish(to);
    let mut at = 0;
    // SAFETY: the caller checked every length against `size`.
    unsafe {
        while at < size.outputs {
            let left = size.outputs - at;
            let count = left / V::LANES;
            at += match count {
                0 => sums::<V, 1>(size, from, to, at, left, finish),
                1 => sums::<V, 1>(size, from, to, at, 0, finish),
                2 | 3 => sums::<V, 2>(size, from, to, at, 0, finish),
                _ => sums::<V, 4>(size, from, to, at, 0, finish),
            };
        }
    }
}

/// Sums of the columns in `N` vectors from column `at` on, or in the `left` first lanes of one; how many columns those are.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn sums<V: Vector, const N: usize>(
    size: Size,
    z: *const f32,
    b: *mut f32,
    at: usize,
    left: usize,
    finish: Finish,
) -> usize {
    // SAFETY: the caller's contract: so many columns exist.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        for r in 0..size.rows {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(some::<V>(z.add(r * size.outputs + at + n * V::LANES), left));
            }
        }
        for (n, &sum) in sums.iter().enumerate() {
            let column = at + n * V::LANES;
            let value = match finish {
                Finish::Store => sum,
                Finish::Add { factor, old } => V::splat(factor).mul_add(sum, some::<V>(old.add(column), left)),
            };
            if left == 0 { value.store(b.add(column)) } else { value.store_first(b.add(column), left) }
        }
    }
    if left == 0 { N * V::LANES } else { left }
}
