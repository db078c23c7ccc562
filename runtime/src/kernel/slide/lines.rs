//! A convolution of images with one channel: there is little to sum, so pixels are the lanes, as they lie in a line, and channels the
//! rows of the product; squares of its results are turned on their way out.

use super::{
    Slide,
    tile::{Target, Term},
};
use crate::kernel::{Path, product::Gate, vector::Vector, vectors};

/// Results of one square of channels for two vectors of pixels, of at most 8 channels and 16 lanes.
#[repr(align(64))]
struct Block([f32; 8 * 2 * 16]);

/// Whether this does the work of `slide`.
pub(super) fn fits(path: Path, slide: Slide) -> bool {
    let lanes = vectors!(path, usize::MAX, lanes() -> usize);
    let across = slide.axes[1];
    slide.inputs == 1 && slide.outputs > 1 && !slide.depthwise && across.stride == 1 && across.output >= lanes
}

#[inline(always)]
unsafe fn lanes<V: Vector>() -> usize {
    V::LANES
}

/// `z = start + Σ_terms x ∗ w`, through a gate that is not `Where`, for one row of the batch: of each term `a` is the padded image, with
/// `line` values in a line, and `b` the packed weights.
///
/// # Safety
/// [`fits`] says so; the slices behind the pointers are as long as `slide` says.
pub(super) unsafe fn outputs(path: Path, slide: Slide, terms: &[Term], line: usize, target: &Target) {
    // Contract of the generic kernel: the caller's.
    vectors!(
        path,
        {},
        outputs_fast(slide: Slide = slide, terms: &[Term] = terms, line: usize = line, target: &Target = target)
    );
}

#[inline(always)]
unsafe fn outputs_fast<V: Vector>(slide: Slide, terms: &[Term], line: usize, target: &Target) {
    let [down, across] = slide.axes;
    let mut block = Block([0.0; 8 * 2 * 16]);
    for y in 0..down.output {
        let mut x = 0;
        while x < across.output {
            let wide = if across.output - x >= 2 * V::LANES { 2 * V::LANES } else { V::LANES };
            // The last vector of a line may begin before the end of the one in front of it.
            let first = x.min(across.output - wide);
            x = first + wide;
            let from = y * down.stride * line + first;
            let to = target.c.wrapping_add((y * across.output + first) * slide.outputs);
            // SAFETY: the caller's contract: a window whose first pixel is `first` ends, as do those `wide` pixels on, within the line.
            unsafe {
                if wide == V::LANES {
                    pixels::<V, 1>(slide, terms, line, target, from, to, &mut block);
                } else {
                    pixels::<V, 2>(slide, terms, line, target, from, to, &mut block);
                }
            }
        }
    }
}

/// All channels of `N` vectors of pixels, which begin to look at `from` and go to `to`.
#[inline(always)]
unsafe fn pixels<V: Vector, const N: usize>(
    slide: Slide,
    terms: &[Term],
    line: usize,
    target: &Target,
    from: usize,
    to: *mut f32,
    block: &mut Block,
) {
    let (outputs, block) = (slide.outputs, block.0.as_mut_ptr());
    let mut channel = 0;
    // SAFETY: the caller's contract; `channel` and what each call takes stay within the channels; the block has BLOCK lines of `N`
    // vectors.
    unsafe {
        while channel + V::BLOCK <= outputs {
            if V::LANES == 16 {
                tile::<V, 8, N>(slide, terms, line, target, from, channel, block);
            } else {
                // As many sums as the registers of AVX2 have room for.
                let mut part = 0;
                while part < V::BLOCK {
                    let to = block.add(part * N * V::LANES);
                    tile::<V, 4, N>(slide, terms, line, target, from, channel + part, to);
                    part += 4;
                }
            }
            let mut n = 0;
            while n < N * V::LANES {
                let to = to.add(n * outputs + channel);
                V::transpose(block.add(n), N * V::LANES, V::BLOCK, V::BLOCK, to, outputs);
                n += V::BLOCK;
            }
            channel += V::BLOCK;
        }
        while channel < outputs {
            tile::<V, 1, N>(slide, terms, line, target, from, channel, block);
            for n in 0..N * V::LANES {
                *to.add(n * outputs + channel) = *block.add(n);
            }
            channel += 1;
        }
    }
}

/// `M` channels from `channel` on of `N` vectors of pixels, to as many lines of `block`.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    slide: Slide,
    terms: &[Term],
    line: usize,
    target: &Target,
    from: usize,
    channel: usize,
    block: *mut f32,
) {
    let [down, across] = slide.axes;
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        if let Some(start) = target.start {
            for (m, sums) in sums.iter_mut().enumerate() {
                *sums = [V::splat(*start.add(channel + m)); N];
            }
        }
        for term in terms {
            let mut w = term.b.add(channel);
            for tap_line in 0..down.size {
                let mut pixel = term.a.add(from + tap_line * line);
                for _ in 0..across.size {
                    let mut vectors = [V::splat(0.0); N];
                    for (n, vector) in vectors.iter_mut().enumerate() {
                        *vector = V::load(pixel.add(n * V::LANES));
                    }
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let factor = V::splat(*w.add(m));
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = factor.mul_add(vector, *sum);
                        }
                    }
                    pixel = pixel.wrapping_add(1);
                    w = w.wrapping_add(slide.outputs);
                }
            }
        }
        let positive = matches!(target.gate, Gate::Positive);
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                // Zero first: where the sum is NaN, it stays.
                let sum = if positive { V::splat(0.0).max(sum) } else { sum };
                sum.store(block.add((m * N + n) * V::LANES));
            }
        }
    }
}
