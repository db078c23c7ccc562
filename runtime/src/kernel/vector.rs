//! What a fast path asks of a vector register.

use super::product::{Target, Term};

/// A vector of f32.
///
/// # Safety
/// Every method may be called only where the processor has the features of the implementing type; pointers must be valid for the
/// lanes that a method says it touches. No alignment is needed.
#[cfg_attr(not(feature = "layers"), allow(dead_code, reason = "some methods are for images alone"))]
pub(crate) trait Vector: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Rows and columns of the square that [`Vector::transpose`] turns.
    const BLOCK: usize;
    /// Rows and columns of the squares that [`Vector::turn_squares`] turns; 0 where it turns none.
    const SQUARE: usize = 0;
    /// Registers that hold vectors.
    #[cfg(feature = "lanes")]
    const REGISTERS: usize;
    /// A vector for what is left at the end of a row: half as long where that exists, else the same.
    type Half: Vector;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Loads `count < LANES` values, the other lanes are 0.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Stores the first `count < LANES` values.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// `self · factor + addend`, rounded once.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The larger, lane by lane; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller, lane by lane; `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// `self` where `gate > 0`, else 0.
    unsafe fn where_positive(self, gate: Self) -> Self;
    /// `self` where `gate` is not above 0 or is NaN, else 0.
    unsafe fn unless_positive(self, gate: Self) -> Self;
    /// The larger, lane by lane; NaN where either is.
    unsafe fn larger(self, other: Self) -> Self;
    /// The two values at `from`, again and again.
    unsafe fn splat_pair(from: *const f32) -> Self;
    /// The sums of lanes 2j and 2j + 1: those of `self`, then those of `other`.
    unsafe fn pair_sums(self, other: Self) -> Self;
    /// The first lanes.
    unsafe fn low(self) -> Self::Half;

    /// Turns the `rows × columns` (each at most BLOCK) square at `from`, whose rows are `stride` apart, into `columns` rows of
    /// BLOCK values at `to`, `to_stride` apart; missing rows become zeros.
    unsafe fn transpose(from: *const f32, stride: usize, rows: usize, columns: usize, to: *mut f32, to_stride: usize);

    /// Turns the `[rows, columns]` matrix at `from`, whose rows are `step` apart, into `[columns, rows]` at `to`, `to_step` apart;
    /// both are multiples of SQUARE. Faster than a block at a time.
    unsafe fn turn_squares(
        _from: *const f32,
        _step: usize,
        _rows: usize,
        _columns: usize,
        _to: *mut f32,
        _to_step: usize,
    ) {
    }

    /// Lane j is the sum of the lanes of `of[j]`; what is past LANES is not used.
    unsafe fn lane_sums(of: &[Self; 16]) -> Self;

    /// [`super::product::tile`], a function of its own for each path: compiled once, and with all registers to itself.
    unsafe fn tile<const M: usize, const N: usize, const ALONG: bool>(
        terms: &[Term],
        target: &Target,
        row: usize,
        column: usize,
        left: usize,
    );

    /// A vector that holds a value of each task, where this one holds several rows of them.
    #[cfg(feature = "lanes")]
    type Task: Vector<Task = Self::Task>;
    /// The values of each task at `from`, for each row.
    #[cfg(feature = "lanes")]
    unsafe fn repeat(from: *const f32) -> Self;
    /// The sums over rows.
    #[cfg(feature = "lanes")]
    unsafe fn fold(self) -> Self::Task;
    /// [`super::lanes::tile::tile`], in the same way.
    #[cfg(feature = "lanes")]
    unsafe fn lane_tile<const P: usize, const Q: usize, const OVER_ROWS: bool>(
        terms: &[super::lanes::Term],
        target: &super::lanes::Target,
        p: usize,
        q: usize,
    );
}
