//! The fast path: a tile of sums in registers, one lane vector each, while k runs.

use super::{Gate, Kind, Operand, Target, Term};
use crate::kernel::vector::Vector;

/// Every sum of `rows × columns`, a tile at a time.
///
/// # Safety
/// The features of `V`; every index that the types name must be valid.
#[inline(always)]
pub(crate) unsafe fn run<V: Vector>(terms: &[Term], target: &Target, rows: usize, columns: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if target.parameters {
            tiles::<V, true>(terms, target, rows, columns);
        } else {
            tiles::<V, false>(terms, target, rows, columns);
        }
    }
}

/// As [`run`], known to the compiler whether sums run `OVER_ROWS` to parameters.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn tiles<V: Vector, const OVER_ROWS: bool>(terms: &[Term], target: &Target, rows: usize, columns: usize) {
    let (most_rows, most_columns) = largest::<V>(rows, columns);
    let (rows, columns) = (Cuts::new(rows, most_rows), Cuts::new(columns, most_columns));
    let mut p = 0;
    for part in 0..rows.parts {
        let height = rows.len(part);
        let mut q = 0;
        for part in 0..columns.parts {
            let width = columns.len(part);
            macro_rules! choose {
                ($($height:literal: $($width:literal)*;)*) => {
                    match (height, width) {
                        // SAFETY: the caller's contract.
                        $($(($height, $width) => unsafe {
                            V::lane_tile::<$height, $width, OVER_ROWS>(terms, target, p, q)
                        },)*)*
                        _ => debug_assert!(false, "a tile of {height} × {width}"),
                    }
                };
            }
            choose! {
                1: 1 2 3 4 5 6 7 8 9 10 11 12;
                2: 1 2 3 4 5 6 7 8;
                3: 1 2 3 4 5 6 7 8;
                4: 1 2 3 4 5 6;
                5: 1 2 3 4 5;
                6: 1 2 3 4;
                7: 1 2 3;
                8: 1 2;
                9: 1 2;
                10: 1 2;
                11: 1;
                12: 1;
            }
            q += width;
        }
        p += height;
    }
}

/// The largest tile: as many sums as there are registers for, beside one column and one value of a row.
fn largest<V: Vector>(rows: usize, columns: usize) -> (usize, usize) {
    match (rows, columns) {
        (_, 1) => (12, 1),
        (1, _) => (1, 12),
        _ if V::REGISTERS < 32 => {
            if columns == 2 {
                (4, 2)
            } else {
                (3, 4)
            }
        }
        (_, 2) => (10, 2),
        // All columns at once, so that rows are read once.
        (_, 6..=8) => (3, 8),
        (_, columns) if columns.div_ceil(4) * 4 < columns.div_ceil(5) * 5 => (6, 4),
        _ => (5, 5),
    }
}

/// A length in parts that are as even as they can be.
#[derive(Clone, Copy)]
struct Cuts {
    parts: u32,
    /// The length of the parts that come last; the `longer` first ones are longer by 1.
    short: u32,
    longer: u32,
}

impl Cuts {
    /// Of `len` in parts of at most `most`.
    #[inline(always)]
    fn new(len: usize, most: usize) -> Self {
        // Divisions of 32 bits take a fraction of the time, and no layer is longer.
        let (len, most) = (len as u32, most as u32);
        let parts = len.div_ceil(most);
        let short = len / parts.max(1);
        Self { parts, short, longer: len - short * parts }
    }

    #[inline(always)]
    fn len(&self, part: u32) -> usize {
        (self.short + u32::from(part < self.longer)) as usize
    }
}

/// The sums of `P` rows from `p` and `Q` columns from `q`.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(crate) unsafe fn tile<V: Vector, const P: usize, const Q: usize, const OVER_ROWS: bool>(
    terms: &[Term],
    target: &Target,
    p: usize,
    q: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); Q]; P];
        if let Some(start) = target.start {
            for (i, sums) in sums.iter_mut().enumerate() {
                *sums = [number::<V>(start, p + i); Q];
            }
        }
        for term in terms {
            let (b_row, b_step) = (term.b_row * V::LANES, term.b_step * V::LANES);
            let mut b = term.b.add(q * b_row);
            macro_rules! along {
                ($width:expr, $value:expr) => {{
                    let (a_row, a_step) = (term.a_row * $width, term.a_step * $width);
                    let mut a = term.a.values.add(p * a_row);
                    for _ in 0..term.len {
                        let mut left = [V::splat(0.0); P];
                        for (i, left) in left.iter_mut().enumerate() {
                            *left = $value(a.add(i * a_row));
                        }
                        for j in 0..Q {
                            let right = V::load(b.add(j * b_row));
                            for i in 0..P {
                                sums[i][j] = left[i].mul_add(right, sums[i][j]);
                            }
                        }
                        a = a.wrapping_add(a_step);
                        b = b.wrapping_add(b_step);
                    }
                }};
            }
            if term.a.kind == Kind::Shared {
                along!(1, splat::<V>);
            } else if OVER_ROWS {
                along!(V::LANES, V::load);
            } else {
                along!(V::Task::LANES, V::repeat);
            }
        }
        if OVER_ROWS {
            for (i, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    let at = (p + i) * target.row + (q + j) * target.column;
                    let mut sum = sum.fold();
                    if let Some((factor, old)) = target.add {
                        sum = V::Task::splat(factor).mul_add(sum, number::<V::Task>(old, at));
                    }
                    sum.store(target.c.add(at * V::Task::LANES));
                }
            }
            return;
        }
        let at = |i: usize, j: usize| (p + i) * target.row + (q + j) * target.column;
        if let Some((factor, old)) = target.add {
            let factor = V::splat(factor);
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = factor.mul_add(*sum, number::<V>(old, at(i, j)));
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, sum) in sums.iter().enumerate() {
                let at = at(i, j) * V::LANES;
                let sum = match target.gate {
                    Gate::All => *sum,
                    // Zero first: where the sum is NaN, it stays.
                    Gate::Positive => V::splat(0.0).max(*sum),
                    Gate::Where(gate) => sum.where_positive(V::load(gate.add(at))),
                };
                sum.store(target.c.add(at));
            }
        }
    }
}

/// A number, in all of the register.
///
/// # Safety
/// The features of `V`; the number must exist.
#[inline(always)]
unsafe fn number<V: Vector>(of: Operand, number: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        match of.kind {
            Kind::Shared => V::splat(*of.values.add(number)),
            Kind::Parameters => V::repeat(of.values.add(number * V::Task::LANES)),
            Kind::Activations => V::load(of.values.add(number * V::LANES)),
        }
    }
}

/// The sum across each vector of `from`.
///
/// # Safety
/// The features of `V`; `from` has a vector for each value of `to`.
#[inline(always)]
pub(crate) unsafe fn totals<V: Vector>(from: &[f32], to: &mut [f32]) {
    // SAFETY: the caller's contract; of the last vectors, only those that exist are loaded, and their sums stored.
    unsafe {
        let (mut at, count, lanes) = (0, to.len(), V::Task::LANES);
        while at < count {
            let here = lanes.min(count - at);
            let mut vectors = [V::Task::splat(0.0); 16];
            for (lane, vector) in vectors.iter_mut().enumerate().take(here) {
                *vector = V::Task::load(from.as_ptr().add((at + lane) * lanes));
            }
            let sums = V::Task::lane_sums(&vectors);
            if here == lanes {
                sums.store(to.as_mut_ptr().add(at));
            } else {
                sums.store_first(to.as_mut_ptr().add(at), here);
            }
            at += here;
        }
    }
}

/// # Safety
/// The features of `V`; the value must exist.
#[inline(always)]
unsafe fn splat<V: Vector>(from: *const f32) -> V {
    // SAFETY: the caller's contract.
    unsafe { V::splat(*from) }
}

/// The methods of a vector that holds one row.
macro_rules! one_row {
    () => {
        type Task = Self;
        #[inline(always)]
        unsafe fn repeat(from: *const f32) -> Self {
            // SAFETY: the caller's contract.
            unsafe { Self::load(from) }
        }
        #[inline(always)]
        unsafe fn fold(self) -> Self {
            self
        }
    };
}
pub(crate) use one_row;

/// [`tile`], a function of its own for a vector with these features.
macro_rules! lane_tile {
    ($features:literal) => {
        #[inline(always)]
        unsafe fn lane_tile<const P: usize, const Q: usize, const OVER_ROWS: bool>(
            terms: &[crate::kernel::lanes::Term],
            target: &crate::kernel::lanes::Target,
            p: usize,
            q: usize,
        ) {
            #[target_feature(enable = $features)]
            #[inline(never)]
            unsafe fn whole<V: Vector, const P: usize, const Q: usize, const OVER_ROWS: bool>(
                terms: &[crate::kernel::lanes::Term],
                target: &crate::kernel::lanes::Target,
                p: usize,
                q: usize,
            ) {
                // SAFETY: the caller's contract.
                unsafe { crate::kernel::lanes::tile::tile::<V, P, Q, OVER_ROWS>(terms, target, p, q) }
            }
            // SAFETY: the caller's contract.
            unsafe { whole::<Self, P, Q, OVER_ROWS>(terms, target, p, q) }
        }
    };
}
pub(crate) use lane_tile;
