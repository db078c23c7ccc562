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
    /// One value for each m.
    Column(*const f32),
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub(crate) enum Finish {
    /// `c = sum`
    Store,
    /// `c = old + factor · sum`, where `old`, laid out as `c`, may be `c` itself.
    Add { factor: f32, old: *const f32 },
}

/// Where sums go: `c[m · row + n]`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub c: *mut f32,
    pub row: usize,
    pub start: Start,
    pub finish: Finish,
    pub gate: Gate,
}

/// What of a result counts.
#[derive(Clone, Copy)]
pub(crate) enum Gate {
    All,
    /// What is above 0: a rectifier.
    Positive,
    /// What stands where this matrix, laid out as `c`, is above 0: the slope of a rectifier.
    Where(*const f32),
}

/// The vector at `from`, or its first `left` lanes if that is not 0.
///
/// # Safety
/// The features of `V`; the lanes must exist.
#[inline(always)]
pub(crate) unsafe fn some<V: Vector>(from: *const f32, left: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe { if left == 0 { V::load(from) } else { V::load_first(from, left) } }
}

/// `N` vectors from `from` on; of the last one `left` lanes if that is not 0.
///
/// # Safety
/// As [`some`].
#[inline(always)]
unsafe fn vectors<V: Vector, const N: usize>(from: *const f32, left: usize) -> [V; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut vectors = [V::splat(0.0); N];
        for (n, vector) in vectors.iter_mut().enumerate() {
            *vector = some(from.add(n * V::LANES), if n + 1 < N { 0 } else { left });
        }
        vectors
    }
}

/// The sums of `M` rows and `N` vectors from `column` on; if `left` is not 0, only so many lanes of the last vector exist.
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
    // SAFETY: the caller's contract; `left` keeps the last vector inside.
    unsafe {
        let mut sums: [[V; N]; M] = match target.start {
            Start::Zero => [[V::splat(0.0); N]; M],
            Start::Row(bias) => [vectors::<V, N>(bias.add(column), left); M],
            Start::Column(bias) => {
                // Not `from_fn`: its closure would be compiled without the features of `V`.
                let mut sums = [[V::splat(0.0); N]; M];
                for (m, sums) in sums.iter_mut().enumerate() {
                    *sums = [V::splat(*bias.add(row + m)); N];
                }
                sums
            }
        };
        for term in terms {
            let mut a = term.a.add(row * term.a_row);
            let mut b = term.b.wrapping_add(column);
            for _ in 0..term.len {
                let vectors = vectors::<V, N>(b, left);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(m * term.a_row));
                    for (sum, vector) in sums.iter_mut().zip(vectors) {
                        *sum = factor.mul_add(vector, *sum);
                    }
                }
                a = a.wrapping_add(term.a_step);
                b = b.wrapping_add(term.b_step);
            }
        }
        let at = |m: usize| target.c.add((row + m) * target.row + column);
        if let Finish::Add { factor, old } = target.finish {
            // All loads before the first store: a partial store would hold up a load of the row behind it.
            let factor = V::splat(factor);
            for (m, sums) in sums.iter_mut().enumerate() {
                let old = vectors::<V, N>(old.add((row + m) * target.row + column), left);
                for (sum, old) in sums.iter_mut().zip(old) {
                    *sum = factor.mul_add(*sum, old);
                }
            }
        }
        match target.gate {
            Gate::All => {}
            // Zero first: where the sum is NaN, it stays.
            Gate::Positive => {
                for sums in &mut sums {
                    for sum in sums {
                        *sum = V::splat(0.0).max(*sum);
                    }
                }
            }
            Gate::Where(gate) => {
                for (m, sums) in sums.iter_mut().enumerate() {
                    let gates = vectors::<V, N>(gate.add((row + m) * target.row + column), left);
                    for (sum, gate) in sums.iter_mut().zip(gates) {
                        *sum = sum.where_positive(gate);
                    }
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let to = at(m).add(n * V::LANES);
                if n + 1 < N || left == 0 { sum.store(to) } else { sum.store_first(to, left) }
            }
        }
    }
}

/// All `rows` of `N` vectors from `column` on, in tiles of nearly equal height.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn strip<V: Vector, const N: usize>(terms: &[Term], target: &Target, rows: usize, column: usize, left: usize) {
    let mut row = 0;
    let mut tiles = rows.div_ceil(most_rows::<V>(N));
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
                8 => tile::<V, 8, N>(terms, target, row, column, left),
                9 => tile::<V, 9, N>(terms, target, row, column, left),
                10 => tile::<V, 10, N>(terms, target, row, column, left),
                11 => tile::<V, 11, N>(terms, target, row, column, left),
                _ => tile::<V, 12, N>(terms, target, row, column, left),
            }
        }
        row += height;
    }
}

/// The highest tile of `n` vectors whose sums, vectors and factor fit the registers: 16 with AVX2, else 32.
#[inline(always)]
const fn most_rows<V: Vector>(n: usize) -> usize {
    match (V::LANES, n) {
        (8, 3) => 4,
        (8, 2) => 6,
        (_, 3) => 5,
        (_, 1) => 12,
        _ => 8,
    }
}

/// `width` columns from `column` on, all rows: two or three vectors at a time.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn columns<V: Vector>(terms: &[Term], target: &Target, rows: usize, column: usize, width: usize) {
    let (mut at, end) = (column, column + width);
    // SAFETY: the caller's contract; `at` and what each call takes stay within `end`.
    unsafe {
        while at < end {
            let left = (end - at) % V::LANES;
            match (end - at).div_ceil(V::LANES) {
                1 if end - at <= V::Half::LANES => {
                    strip::<V::Half, 1>(terms, target, rows, at, (end - at) % V::Half::LANES);
                    at = end;
                }
                1 => {
                    strip::<V, 1>(terms, target, rows, at, left);
                    at = end;
                }
                2 => {
                    strip::<V, 2>(terms, target, rows, at, left);
                    at = end;
                }
                3 => {
                    strip::<V, 3>(terms, target, rows, at, left);
                    at = end;
                }
                _ => {
                    strip::<V, 2>(terms, target, rows, at, 0);
                    at += 2 * V::LANES;
                }
            }
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
    unsafe { V::columns(terms, &target, rows, 0, width) }
}

/// Columns of a packed panel: three vectors where that finishes the width, else two.
#[inline(always)]
const fn panel_width<V: Vector>(left: usize) -> usize {
    if left <= 3 * V::LANES { left } else { 2 * V::LANES }
}

/// As [`plain`], but `b` of each term is `[width, len]`, rows `b_step` apart: strips of it are turned into `panel` first, which
/// has room for `3 · LANES · len` values of each term.
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
    let mut at = 0;
    // SAFETY: the caller's contract; the panel of each term begins behind those before it.
    unsafe {
        while at < width {
            let here = panel_width::<V>(width - at);
            let step = here.next_multiple_of(V::BLOCK);
            let mut packed = *terms;
            let mut free = panel;
            for (packed, term) in packed.iter_mut().zip(terms) {
                turn::<V>(term.b.add(at * term.b_step), term.b_step, here, term.len, free, step);
                // Columns are counted from `at`, in the panel from 0.
                packed.b = free.wrapping_sub(at);
                packed.b_step = step;
                free = free.add(3 * V::LANES * term.len);
            }
            V::columns(&packed, &target, rows, at, here);
            at += here;
        }
    }
}

/// The transpose of [`turned`]: for `c[m][n] = bias[m] + Σ a[m][k] b[n][k]` with `b [width, len]` the shorter matrix, `b` is turned
/// into `panel`, vectors run along n, `gate` is all or positive, and blocks of sums are turned back on their way to `to[n · to_row + m]`.
///
/// `panel` has room for `LANES · len` values of each term.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
pub(crate) unsafe fn sideways<V: Vector, const T: usize>(
    terms: &[Term; T],
    bias: *const f32,
    gate: Gate,
    rows: usize,
    width: usize,
    to: *mut f32,
    to_row: usize,
    panel: *mut f32,
) {
    const HEIGHT: usize = 8;
    // The longest vector has 16 lanes.
    let mut block = [0.0_f32; HEIGHT * 16];
    let mut at = 0;
    // SAFETY: the caller's contract; the panel of each term begins behind those before it; a block has LANES values in each row.
    unsafe {
        while at < width {
            let here = V::LANES.min(width - at);
            let mut packed = *terms;
            let mut free = panel;
            for (packed, term) in packed.iter_mut().zip(terms) {
                turn::<V>(term.b.add(at * term.b_step), term.b_step, here, term.len, free, V::LANES);
                packed.b = free;
                packed.b_step = V::LANES;
                free = free.add(V::LANES * term.len);
            }
            let mut row = 0;
            while row < rows {
                let height = HEIGHT.min(rows - row);
                for (packed, term) in packed.iter_mut().zip(terms) {
                    packed.a = term.a.add(row * term.a_row);
                }
                let start = Start::Column(bias.add(row));
                let target = Target { c: block.as_mut_ptr(), row: V::LANES, start, finish: Finish::Store, gate };
                V::columns(&packed, &target, height, 0, V::LANES);
                let mut part = 0;
                while part < height {
                    let count = V::BLOCK.min(height - part);
                    let from = block.as_ptr().add(part * V::LANES);
                    if count == V::BLOCK {
                        turn::<V>(from, V::LANES, count, here, to.add(at * to_row + row + part), to_row);
                    } else {
                        for m in 0..count {
                            for n in 0..here {
                                *to.add((at + n) * to_row + row + part + m) = *from.add(m * V::LANES + n);
                            }
                        }
                    }
                    part += count;
                }
                row += height;
            }
            at += here;
        }
    }
}

/// Whether [`sideways`] is cheaper than [`turned`] for `z [rows, outputs]` from `inputs`: by the multiply-adds that padding wastes,
/// and what turning costs, about 8 multiply-adds a value.
#[inline(always)]
pub(crate) const fn sideways_pays<V: Vector>(rows: usize, inputs: usize, outputs: usize) -> bool {
    const TURN: usize = 8;
    let sideways = rows.next_multiple_of(V::LANES) * (inputs * outputs + TURN * (inputs + outputs));
    let turned = outputs.next_multiple_of(V::LANES) * inputs * (rows + TURN);
    sideways < turned
}

/// Turns the `[rows, columns]` matrix at `from` into `[columns, to_step]` at `to`; lanes from `rows` up to the next multiple of BLOCK
/// become 0.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn turn<V: Vector>(from: *const f32, step: usize, rows: usize, columns: usize, to: *mut f32, to_step: usize) {
    let mut row = 0;
    while row < rows {
        let height = V::BLOCK.min(rows - row);
        let mut column = 0;
        while column < columns {
            let width = V::BLOCK.min(columns - column);
            // SAFETY: the caller's contract.
            unsafe {
                let from = from.add(row * step + column);
                V::transpose(from, step, height, width, to.add(column * to_step + row), to_step);
            }
            column += V::BLOCK;
        }
        row += V::BLOCK;
    }
}
