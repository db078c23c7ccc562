//! The one matrix product of the fast paths: a tile of sums in registers, one broadcast value against whole vectors.
//!
//! After Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication* (2008), for matrices that fit into the first
//! caches: the sums of up to 8 rows × 2 vectors stay in registers while k runs, so a fused multiply-add costs half a load.

use super::vector::Vector;

/// `Σ_k a[m · a_row + k · a_step] · b[k · b_step + n]`, one addend of a product.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    pub a: *const f32,
    pub a_row: usize,
    pub a_step: usize,
    pub b: *const f32,
    pub b_step: usize,
    pub len: usize,
}

/// What a sum begins with.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    Zero,
    /// The same row of values for every m: a bias.
    Row(*const f32),
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub(crate) enum Finish {
    /// `c = sum`
    Store,
    /// `c = c + factor · sum`
    Add(f32),
}

/// Where sums go: `c[m · row + n]`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub c: *mut f32,
    pub row: usize,
    pub start: Start,
    pub finish: Finish,
}

/// Rows of the widest tile.
const ROWS: usize = 8;

/// The sums of `M` rows and `N` vectors from `column` on; if `left` is not 0, only so many lanes of the (one) vector exist.
///
/// # Safety
/// The features of `V`; every index that the types above name must be valid.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    terms: &[Term],
    target: &Target,
    row: usize,
    column: usize,
    left: usize,
) {
    // SAFETY: the caller's contract; `left` keeps partial vectors inside.
    unsafe {
        let load = |from: *const f32| if left == 0 { V::load(from) } else { V::load_first(from, left) };
        let first = match target.start {
            Start::Zero => [V::splat(0.0); N],
            Start::Row(bias) => core::array::from_fn(|n| load(bias.add(column + n * V::LANES))),
        };
        let mut sums = [first; M];
        for term in terms {
            let mut a = term.a.add(row * term.a_row);
            let mut b = term.b.add(column);
            for _ in 0..term.len {
                let vectors: [V; N] = core::array::from_fn(|n| load(b.add(n * V::LANES)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(m * term.a_row));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = factor.mul_add(vector, *sum);
                    }
                }
                a = a.add(term.a_step);
                b = b.add(term.b_step);
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let to = target.c.add((row + m) * target.row + column + n * V::LANES);
                let value = match target.finish {
                    Finish::Store => sum,
                    Finish::Add(factor) => V::splat(factor).mul_add(sum, load(to)),
                };
                if left == 0 { value.store(to) } else { value.store_first(to, left) }
            }
        }
    }
}

/// All `rows` of `N` vectors from `column` on, in tiles of nearly equal height.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn strip<V: Vector, const N: usize>(
    terms: &[Term],
    target: &Target,
    rows: usize,
    column: usize,
    left: usize,
    most: usize,
) {
    let mut row = 0;
    let mut tiles = rows.div_ceil(most);
    while row < rows {
        let height = (rows - row).div_ceil(tiles);
        tiles -= 1;
        // SAFETY: the caller's contract; `row + height ≤ rows`.
        unsafe {
            match height {
                1 => tile::<V, 1, N>(terms, target, row, column, left),
                2 => tile::<V, 2, N>(terms, target, row, column, left),
                3 => tile::<V, 3, N>(terms, target, row, column, left),
                4 => tile::<V, 4, N>(terms, target, row, column, left),
                5 => tile::<V, 5, N>(terms, target, row, column, left),
                6 => tile::<V, 6, N>(terms, target, row, column, left),
                7 => tile::<V, 7, N>(terms, target, row, column, left),
                _ => tile::<V, 8, N>(terms, target, row, column, left),
            }
        }
        row += height;
    }
}

/// The highest tile of `n` vectors whose sums, vectors and factor fit the registers.
#[inline(always)]
const fn most_rows<V: Vector>(n: usize) -> usize {
    // Eight lanes mean AVX2 here, with 16 registers; the others have 32.
    if V::LANES == 8 && n == 2 { 6 } else { ROWS }
}

/// `width` columns from `column` on, all rows.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn columns<V: Vector>(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
    let (mut at, end) = (column, column + width);
    // SAFETY: the caller's contract; `at` and what each call takes stay within `end`.
    unsafe {
        while at + 2 * V::LANES <= end {
            strip::<V, 2>(terms, target, rows, at, 0, most_rows::<V>(2));
            at += 2 * V::LANES;
        }
        if at + V::LANES <= end {
            strip::<V, 1>(terms, target, rows, at, 0, ROWS);
            at += V::LANES;
        }
        if V::Half::LANES < V::LANES && at + V::Half::LANES <= end {
            strip::<V::Half, 1>(terms, target, rows, at, 0, ROWS);
            at += V::Half::LANES;
        }
        if at < end {
            strip::<V::Half, 1>(terms, target, rows, at, end - at, ROWS);
        }
    }
}

/// `c[m][n] = finish(start[n] + Σ terms)` for `m < rows` and `n < width`, with `b` as it lies in memory.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn plain<V: Vector>(terms: &[Term], target: Target, rows: usize, width: usize) {
    // SAFETY: the caller's contract.
    unsafe { columns::<V>(terms, &target, rows, 0, width) }
}

/// As [`plain`], but `b` of each term is `[width, len]`, rows `b_step` apart: strips of it are turned into `panel` first, which
/// has room for `2 · LANES · len` values of each term.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn turned<V: Vector, const T: usize>(
    terms: &[Term; T],
    target: Target,
    rows: usize,
    width: usize,
    panel: *mut f32,
) {
    let wide = 2 * V::LANES;
    let mut at = 0;
    // SAFETY: the caller's contract; the panel of each term begins behind those before it.
    unsafe {
        while at < width {
            let here = wide.min(width - at);
            let step = here.next_multiple_of(V::BLOCK);
            let mut packed = *terms;
            let mut free = panel;
            for (packed, term) in packed.iter_mut().zip(terms) {
                let mut n = 0;
                while n < here {
                    let rows = V::BLOCK.min(here - n);
                    let mut k = 0;
                    while k < term.len {
                        let count = V::BLOCK.min(term.len - k);
                        let from = term.b.add((at + n) * term.b_step + k);
                        V::transpose(from, term.b_step, rows, count, free.add(k * step + n), step);
                        k += V::BLOCK;
                    }
                    n += V::BLOCK;
                }
                // Columns are counted from `at`, in the panel from 0.
                packed.b = free.wrapping_sub(at);
                packed.b_step = step;
                free = free.add(wide * term.len);
            }
            columns::<V>(&packed, &target, rows, at, here);
            at += here;
        }
    }
}
