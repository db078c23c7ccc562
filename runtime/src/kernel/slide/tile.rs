//! The product of the image layers: as [`product`](crate::kernel::product), but the rows of its left side may overlap and lie
//! anywhere, and its sums run over two nested loops.
//!
//! A tile is up to 12 pixels × 2 vectors of channels. Its pixels follow one another in the result and go on in the next line of
//! the image, so small images fill tiles too.

use crate::kernel::{
    Path,
    dense::Update,
    product::{Gate, some},
    vector::Vector,
    vectors,
};

/// What is multiplied with a vector of `b`: one value, a vector where each channel keeps to itself, or two values for two addends.
const FULL: u8 = 0;
const DEPTHWISE: u8 = 1;
const PAIRS: u8 = 2;

/// The most pixels of a tile.
const MOST: usize = 12;

/// One addend: a value of `a` (a whole vector of channels where each channel keeps to itself) times a vector of `b`.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub a: *const f32,
    pub b: *const f32,
}

/// The addends of a sum: `outer` times `len` of them.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub outer: usize,
    /// From one of the `outer` to the next in `a`.
    pub a_outer: usize,
    pub len: usize,
    /// From one of the `len` to the next in `a`.
    pub a_step: usize,
    /// From one addend to the next in `b`, which does not jump.
    pub b_step: usize,
    /// Whether `b` has half a vector of channels, or one, and its addends two by two, `[len / 2, channels, 2]`; `a_step` is 1 and `len`
    /// even then.
    pub paired: bool,
}

/// Where sums begin in `a` and go to in `c`: `height` lines of `width` pixels.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub height: usize,
    pub width: usize,
    pub a_line: usize,
    pub a_pixel: usize,
    pub c_line: usize,
    pub c_pixel: usize,
}

/// Where sums go, and what becomes of them on the way.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub c: *mut f32,
    /// Values of a pixel of `c`.
    pub channels: usize,
    /// What a sum begins with: a value for each channel, or 0.
    pub start: Option<*const f32>,
    pub finish: Update,
    pub gate: Gate,
}

/// `c[pixel][n] = finish(start[n] + Σ_terms Σ_walk a · b[n])` for all pixels of the grid and all channels.
///
/// # Safety
/// Every index that the types above name must be valid.
pub(super) unsafe fn slide(path: Path, depthwise: bool, terms: &[Term], walk: &Walk, grid: &Grid, target: &Target) {
    // Contract of the generic kernel: the caller's.
    vectors!(
        path,
        {},
        slide_fast(
            depthwise: bool = depthwise,
            terms: &[Term] = terms,
            walk: &Walk = walk,
            grid: &Grid = grid,
            target: &Target = target,
        )
    );
}

#[inline(always)]
unsafe fn slide_fast<V: Vector>(depthwise: bool, terms: &[Term], walk: &Walk, grid: &Grid, target: &Target) {
    // SAFETY: the caller's contract.
    unsafe {
        if V::LANES > V::Half::LANES && walk.paired {
            if target.channels == V::LANES {
                strip::<V, PAIRS, 2>(terms, walk, grid, target, 0, 0);
            } else {
                strip::<V, PAIRS, 1>(terms, walk, grid, target, 0, 0);
            }
        } else if depthwise {
            columns::<V, DEPTHWISE>(terms, walk, grid, target);
        } else {
            columns::<V, FULL>(terms, walk, grid, target);
        }
    }
}

/// All channels, one or two vectors at a time.
#[inline(always)]
unsafe fn columns<V: Vector, const KIND: u8>(terms: &[Term], walk: &Walk, grid: &Grid, target: &Target) {
    let mut at = 0;
    // SAFETY: the caller's contract; `at` and what each call takes stay within the channels.
    unsafe {
        while at < target.channels {
            let rest = target.channels - at;
            at += if rest <= V::Half::LANES {
                strip::<V::Half, KIND, 1>(terms, walk, grid, target, at, rest % V::Half::LANES);
                rest
            } else if KIND == DEPTHWISE || (V::LANES > V::Half::LANES && rest <= V::LANES) {
                // A depthwise sum loads as much for two vectors as for one and one.
                let here = rest.min(V::LANES);
                strip::<V, KIND, 1>(terms, walk, grid, target, at, here % V::LANES);
                here
            } else {
                let here = rest.min(2 * V::LANES);
                strip::<V, KIND, 2>(terms, walk, grid, target, at, here % V::LANES);
                here
            };
        }
    }
}

/// The highest tile of up to `pixels` for `n` vectors: few heights, so that the code stays small, the highest as the registers have
/// room for sums, vectors and factor (16 of them with AVX2, else 32), and one for the 9 taps of a 3 × 3 kernel.
#[inline(always)]
const fn tile_height<V: Vector>(n: usize, pixels: usize) -> usize {
    match (n, pixels) {
        (_, 0 | 1) => 1,
        (_, 2 | 3) => 2,
        (1, 12..) => 12,
        (1, 9..) => 9,
        (2, 8..) if V::LANES != 8 => 8,
        (_, 6..) => 6,
        _ => 4,
    }
}

/// All pixels of `N` vectors from `column` on.
#[inline(always)]
unsafe fn strip<V: Vector, const KIND: u8, const N: usize>(
    terms: &[Term],
    walk: &Walk,
    grid: &Grid,
    target: &Target,
    column: usize,
    left: usize,
) {
    let mut pixels = grid.height * grid.width;
    let (mut x, mut a_line, mut c_line) = (0, 0, 0);
    let (mut a, mut c) = ([0; MOST], [0; MOST]);
    while pixels > 0 {
        let height = tile_height::<V>(N, pixels);
        pixels -= height;
        for (a, c) in a.iter_mut().zip(&mut c).take(height) {
            *a = a_line + x * grid.a_pixel;
            *c = c_line + x * grid.c_pixel + column;
            x += 1;
            if x == grid.width {
                x = 0;
                a_line += grid.a_line;
                c_line += grid.c_line;
            }
        }
        // SAFETY: the caller's contract; the places are pixels of the grid.
        unsafe {
            match (N, height) {
                (_, 1) => tile::<V, KIND, 1, N>(terms, walk, target, &a, &c, column, left),
                (_, 2) => tile::<V, KIND, 2, N>(terms, walk, target, &a, &c, column, left),
                (_, 4) => tile::<V, KIND, 4, N>(terms, walk, target, &a, &c, column, left),
                (_, 6) => tile::<V, KIND, 6, N>(terms, walk, target, &a, &c, column, left),
                (2, _) => tile::<V, KIND, 8, N>(terms, walk, target, &a, &c, column, left),
                (_, 9) => tile::<V, KIND, 9, N>(terms, walk, target, &a, &c, column, left),
                (_, _) => tile::<V, KIND, 12, N>(terms, walk, target, &a, &c, column, left),
            }
        }
    }
}

/// `N` vectors from `from` on; of the last one `left` lanes if that is not 0.
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

/// The sums of `M` pixels and `N` vectors from `column` on; if `left` is not 0, only so many lanes of the last vector exist.
///
/// `a` and `c` say where the sum of each pixel begins and goes.
#[inline(always)]
unsafe fn tile<V: Vector, const KIND: u8, const M: usize, const N: usize>(
    terms: &[Term],
    walk: &Walk,
    target: &Target,
    a: &[usize; MOST],
    c: &[usize; MOST],
    column: usize,
    left: usize,
) {
    // SAFETY: the caller's contract; `left` keeps the last vector inside.
    unsafe {
        if KIND == PAIRS {
            let pairs = pairs::<V, M, N>(terms, walk, a);
            return if N == 2 {
                let mut sums = start::<V, M, 1>(target, column, left);
                for (sums, pairs) in sums.iter_mut().zip(pairs) {
                    sums[0] = sums[0].add(pairs[0].pair_sums(pairs[N - 1]));
                }
                put::<V, M, 1>(sums, target, c, left);
            } else {
                let mut sums = start::<V::Half, M, 1>(target, column, left);
                for (sums, pairs) in sums.iter_mut().zip(pairs) {
                    sums[0] = sums[0].add(pairs[0].pair_sums(pairs[0]).low());
                }
                put::<V::Half, M, 1>(sums, target, c, left);
            };
        }
        let mut sums = start::<V, M, N>(target, column, left);
        for term in terms {
            let mut line = term.a;
            let mut b = term.b.wrapping_add(column);
            for _ in 0..walk.outer {
                let mut from = line;
                for _ in 0..walk.len {
                    let vectors_b = vectors::<V, N>(b, left);
                    for (sums, a) in sums.iter_mut().zip(a) {
                        let from = from.add(*a);
                        let factors = if KIND == DEPTHWISE {
                            vectors::<V, N>(from.add(column), left)
                        } else {
                            [V::splat(*from); N]
                        };
                        for ((sum, vector), factor) in sums.iter_mut().zip(vectors_b).zip(factors) {
                            *sum = factor.mul_add(vector, *sum);
                        }
                    }
                    from = from.wrapping_add(walk.a_step);
                    b = b.wrapping_add(walk.b_step);
                }
                line = line.wrapping_add(walk.a_outer);
            }
        }
        put::<V, M, N>(sums, target, c, left);
    }
}

/// The sums of `M` pixels over addends that are packed two by two: those of the first of each two in the even lanes, those of the second
/// in the odd ones.
#[inline(always)]
unsafe fn pairs<V: Vector, const M: usize, const N: usize>(
    terms: &[Term],
    walk: &Walk,
    a: &[usize; MOST],
) -> [[V; N]; M] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        for term in terms {
            let (mut line, mut b) = (term.a, term.b);
            for _ in 0..walk.outer {
                let mut from = line;
                for _ in 0..walk.len / 2 {
                    let vectors = vectors::<V, N>(b, 0);
                    for (sums, a) in sums.iter_mut().zip(a) {
                        let factors = V::splat_pair(from.add(*a));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = factors.mul_add(vector, *sum);
                        }
                    }
                    from = from.wrapping_add(2);
                    b = b.wrapping_add(N * V::LANES);
                }
                line = line.wrapping_add(walk.a_outer);
            }
        }
        sums
    }
}

/// What the sums of a tile begin with.
#[inline(always)]
unsafe fn start<V: Vector, const M: usize, const N: usize>(target: &Target, column: usize, left: usize) -> [[V; N]; M] {
    // SAFETY: the caller's contract.
    unsafe {
        match target.start {
            None => [[V::splat(0.0); N]; M],
            Some(bias) => [vectors::<V, N>(bias.add(column), left); M],
        }
    }
}

/// Takes the sums of a tile to where `c` says.
#[inline(always)]
unsafe fn put<V: Vector, const M: usize, const N: usize>(
    mut sums: [[V; N]; M],
    target: &Target,
    c: &[usize; MOST],
    left: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if let Update::Add(factor) = target.finish {
            // All loads before the first store: a partial store would hold up a load of the pixel behind it.
            let factor = V::splat(factor);
            for (sums, c) in sums.iter_mut().zip(c) {
                for (sum, old) in sums.iter_mut().zip(vectors::<V, N>(target.c.add(*c), left)) {
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
                for (sums, c) in sums.iter_mut().zip(c) {
                    for (sum, gate) in sums.iter_mut().zip(vectors::<V, N>(gate.add(*c), left)) {
                        *sum = sum.where_positive(gate);
                    }
                }
            }
        }
        for (sums, c) in sums.iter().zip(c) {
            for (n, &sum) in sums.iter().enumerate() {
                let to = target.c.add(*c + n * V::LANES);
                if n + 1 < N || left == 0 { sum.store(to) } else { sum.store_first(to, left) }
            }
        }
    }
}
