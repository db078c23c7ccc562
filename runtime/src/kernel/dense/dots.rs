//! Products by dot products along the inputs as both sides lie in memory, where turning one side would cost more than it saves:
//! one row, or few outputs.

use super::{Pair, Size};
use crate::kernel::product::some;
use crate::kernel::vector::Vector;

/// One addend of dot products: rows of `a` with rows of `b`, `len` values each.
#[derive(Clone, Copy)]
struct Rows {
    a: *const f32,
    b: *const f32,
}

/// Adds the products from value `at` of each row on: a vector of them, or `left` if that is not 0.
///
/// # Safety
/// As [`dots`].
#[inline(always)]
unsafe fn step<V: Vector, const R: usize, const C: usize>(
    sums: &mut [[V; C]; R],
    term: &Rows,
    a_row: usize,
    rows: usize,
    b_row: usize,
    columns: usize,
    at: usize,
    left: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut right = [V::splat(0.0); C];
        for (c, right) in right.iter_mut().enumerate() {
            *right = some(term.b.add(c.min(columns - 1) * b_row + at), left);
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let factor = some::<V>(term.a.add(r.min(rows - 1) * a_row + at), left);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = factor.mul_add(right, *sum);
            }
        }
    }
}

/// Lane `r · C + c` is the dot product of row r of `a` with row c of `b`, summed over `terms`; other lanes are 0. Rows are `a_row` and
/// `b_row` values apart. The last of the `rows` and `columns` that there are stand in for those that are missing; nobody reads them.
///
/// # Safety
/// The features of `V`; the rows and columns must exist; `R · C ≤ 16`.
#[inline(always)]
unsafe fn dots<V: Vector, const R: usize, const C: usize>(
    terms: &[Rows],
    (a_row, rows): (usize, usize),
    (b_row, columns): (usize, usize),
    len: usize,
) -> V {
    // SAFETY: the caller's contract; what is left at the end of a row is less than a vector.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        for term in terms {
            let mut at = 0;
            while at + V::LANES <= len {
                step(&mut sums, term, a_row, rows, b_row, columns, at, 0);
                at += V::LANES;
            }
            if at < len {
                step(&mut sums, term, a_row, rows, b_row, columns, at, len - at);
            }
        }
        let mut flat = [V::splat(0.0); 16];
        for (flat, sum) in flat.iter_mut().zip(sums.iter().flatten()) {
            *flat = *sum;
        }
        V::lane_sums(&flat)
    }
}

/// `to = sums + bias`, or what of it is above 0, for the first `count` lanes, or for all if there are not more; NaN stays.
///
/// # Safety
/// The features of `V`; the lanes must exist.
#[inline(always)]
unsafe fn finish<V: Vector>(sums: V, bias: *const f32, rectified: bool, to: *mut f32, count: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let value = sums.add(some(bias, if count < V::LANES { count } else { 0 }));
        let value = if rectified { V::splat(0.0).max(value) } else { value };
        if count < V::LANES { value.store_first(to, count) } else { value.store(to) }
    }
}

/// As many dot products of rows of `a` with one row of `b` as there are lanes, or what is `left`; biases are added and the results
/// stored. How many those were.
///
/// # Safety
/// As [`dots`] and [`finish`]; `left` rows exist.
#[inline(always)]
unsafe fn column<V: Vector>(
    terms: &[Rows],
    len: usize,
    left: usize,
    bias: *const f32,
    rectified: bool,
    to: *mut f32,
) -> usize {
    // A shorter vector where that is enough: fewer sums go to waste.
    // SAFETY: the caller's contract.
    unsafe {
        if V::LANES == 16 && left >= 16 {
            finish(dots::<V, 16, 1>(terms, (len, 16), (0, 1), len), bias, rectified, to, 16);
            16
        } else if V::Half::LANES == 8 && left >= 8 {
            finish(dots::<V::Half, 8, 1>(terms, (len, 8), (0, 1), len), bias, rectified, to, 8);
            8
        } else if left >= 4 {
            finish(dots::<V::Half, 4, 1>(terms, (len, 4), (0, 1), len), bias, rectified, to, 4);
            4
        } else if left >= 2 {
            finish(dots::<V::Half, 2, 1>(terms, (len, 2), (0, 1), len), bias, rectified, to, 2);
            2
        } else {
            finish(dots::<V::Half, 1, 1>(terms, (len, 1), (0, 1), len), bias, rectified, to, 1);
            1
        }
    }
}

/// Addends of a product, at most two.
#[inline(always)]
unsafe fn terms(pairs: &[Pair<'_>], a: usize, b: usize, swapped: bool) -> ([Rows; 2], usize) {
    let mut terms = [Rows { a: core::ptr::null(), b: core::ptr::null() }; 2];
    for (term, (x, w)) in terms.iter_mut().zip(pairs) {
        let (left, right) = if swapped { (w, x) } else { (x, w) };
        // SAFETY: within the slices, by the caller.
        unsafe { *term = Rows { a: left.as_ptr().add(a), b: right.as_ptr().add(b) } };
    }
    (terms, pairs.len().min(2))
}

/// Row `r` of `z`: as many outputs at a time as a vector has lanes.
///
/// # Safety
/// The features of `V`; the lengths that `size` says.
#[inline(always)]
pub(super) unsafe fn one_row<V: Vector>(
    pairs: &[Pair<'_>],
    size: Size,
    r: usize,
    b: &[f32],
    rectified: bool,
    z: &mut [f32],
) {
    let (b, z, len) = (b.as_ptr(), z.as_mut_ptr(), size.inputs);
    let mut at = 0;
    // SAFETY: the caller's contract; outputs from `at` on exist.
    unsafe {
        let z = z.add(r * size.outputs);
        while at < size.outputs {
            let (terms, count) = terms(pairs, at * len, r * len, true);
            let terms = terms.get_unchecked(..count);
            at += column::<V>(terms, len, size.outputs - at, b.add(at), rectified, z.add(at));
        }
    }
}

/// All of `z` where there are at most 4 outputs: as many rows at a time as fill a vector with theirs.
///
/// # Safety
/// As [`one_row`]; from 1 to 4 outputs.
#[inline(always)]
pub(super) unsafe fn few_outputs<V: Vector>(pairs: &[Pair<'_>], size: Size, b: &[f32], rectified: bool, z: &mut [f32]) {
    let len = size.inputs;
    // Columns of a tile: outputs, rounded up to a divisor of the lanes.
    let columns = size.outputs.next_power_of_two();
    let mut biases = [0.0; 16];
    for biases in biases.chunks_exact_mut(columns) {
        biases.iter_mut().zip(b).for_each(|(to, b)| *to = *b);
    }
    let mut row = 0;
    // SAFETY: the caller's contract; rows from `row` on exist; no vector has more than 16 lanes.
    unsafe {
        let bias = biases.as_ptr();
        while row < size.rows {
            let left = size.rows - row;
            let (terms, count) = terms(pairs, row * len, 0, false);
            let terms = terms.get_unchecked(..count);
            let to = z.as_mut_ptr().add(row * size.outputs);
            if columns == 1 {
                row += column::<V>(terms, len, left, bias, rectified, to);
                continue;
            }
            let w = (len, size.outputs);
            let (sums, height): (V, usize) = match (V::LANES, columns) {
                (16, 2) => (dots::<V, 8, 2>(terms, (len, left), w, len), 8),
                (8, 2) => (dots::<V, 4, 2>(terms, (len, left), w, len), 4),
                (_, 2) => (dots::<V, 2, 2>(terms, (len, left), w, len), 2),
                (16, _) => (dots::<V, 4, 4>(terms, (len, left), w, len), 4),
                (8, _) => (dots::<V, 2, 4>(terms, (len, left), w, len), 2),
                _ => (dots::<V, 1, 4>(terms, (len, left), w, len), 1),
            };
            let rows = height.min(left);
            if columns == size.outputs {
                // Rows lie one behind the other, as their sums do.
                finish(sums, bias, rectified, to, rows * columns);
            } else {
                let mut values = [0.0_f32; 16];
                finish(sums, bias, rectified, values.as_mut_ptr(), V::LANES);
                for (r, values) in values.chunks_exact(columns).enumerate().take(rows) {
                    for (o, value) in values.iter().enumerate().take(size.outputs) {
                        *to.add(r * size.outputs + o) = *value;
                    }
                }
            }
            row += rows;
        }
    }
}
