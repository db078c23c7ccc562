//! A convolution of images with one channel: there is little to sum, so pixels are the lanes, as they lie in a line, and channels the
//! rows of the product; squares of its results are turned on their way out.

use super::Slide;
use crate::kernel::{
    Path,
    product::{Finish, Gate, Start, Target, Term, plain, turn},
    vector::Vector,
    vectors,
};

/// Lines of a window, counted for each pair of slices.
const MOST_LINES: usize = 16;
/// Channels of one product.
const HEIGHT: usize = 8;
/// Values of one product: two vectors of at most 16 lanes.
const BLOCK: usize = HEIGHT * 2 * 16;

/// Whether this does the work of `slide`, for so many pairs of slices.
pub(super) fn fits(path: Path, slide: Slide, pairs: usize) -> bool {
    let [down, across] = slide.axes;
    let lanes = vectors!(path, usize::MAX, lanes() -> usize);
    let one = slide.inputs == 1 && !slide.depthwise && slide.outputs > 1;
    one && across.stride == 1 && across.output >= lanes && down.size * pairs <= MOST_LINES
}

#[inline(always)]
unsafe fn lanes<V: Vector>() -> usize {
    V::LANES
}

/// What is convolved: the padded image, and the weights as they lie in the parameters.
pub(super) type Source = (*const f32, *const f32);

/// `z = b + Σ_sources x ∗ w`, through `gate`, for one row of the batch, where the padded image has `line` values in a line.
///
/// # Safety
/// [`fits`] says so; the slices behind the pointers are as long as `slide` says.
pub(super) unsafe fn outputs(
    path: Path,
    slide: Slide,
    sources: &[Source],
    line: usize,
    b: *const f32,
    gate: Gate,
    z: *mut f32,
) {
    // Contract of the generic kernel: the caller's.
    vectors!(
        path,
        {},
        outputs_fast(
            slide: Slide = slide,
            sources: &[Source] = sources,
            line: usize = line,
            b: *const f32 = b,
            gate: Gate = gate,
            z: *mut f32 = z,
        )
    );
}

#[inline(always)]
unsafe fn outputs_fast<V: Vector>(
    slide: Slide,
    sources: &[Source],
    line: usize,
    b: *const f32,
    gate: Gate,
    z: *mut f32,
) {
    let [down, across] = slide.axes;
    let (taps, outputs) = (slide.taps(), slide.outputs);
    let none = Term { a: b, a_row: taps, a_step: 1, b, b_step: 1, len: across.size };
    let mut block = [0.0; BLOCK];
    for y in 0..down.output {
        let mut x = 0;
        while x < across.output {
            let wide = if across.output - x >= 2 * V::LANES { 2 * V::LANES } else { V::LANES };
            // The last vector of a line may begin before the end of the one in front of it.
            let from = x.min(across.output - wide);
            x = from + wide;
            let mut channel = 0;
            while channel < outputs {
                let high = HEIGHT.min(outputs - channel);
                let mut terms = [none; MOST_LINES];
                let mut count = 0;
                // SAFETY: the caller's contract: a window whose first pixel is `from` ends, as do those `wide` pixels on, within the
                // line; `channel + high` is at most `outputs`; the block has `high` lines of `wide` values.
                unsafe {
                    for (image, w) in sources {
                        for tap_line in 0..down.size {
                            if let Some(term) = terms.get_mut(count) {
                                term.a = w.add(channel * taps + tap_line * across.size);
                                term.b = image.add((y * down.stride + tap_line) * line + from);
                            }
                            count += 1;
                        }
                    }
                    let start = Start::Column(b.add(channel));
                    let target = Target { c: block.as_mut_ptr(), row: wide, start, finish: Finish::Store, gate };
                    plain::<V>(terms.get(..count).unwrap_or_default(), target, high, wide);
                    let to = z.add((y * across.output + from) * outputs + channel);
                    let mut part = 0;
                    while part < high {
                        let here = V::BLOCK.min(high - part);
                        if here == V::BLOCK {
                            turn::<V>(block.as_ptr().add(part * wide), wide, here, wide, to.add(part), outputs);
                        } else {
                            for m in part..high {
                                for n in 0..wide {
                                    *to.add(n * outputs + m) = *block.as_ptr().add(m * wide + n);
                                }
                            }
                        }
                        part += here;
                    }
                }
                channel += high;
            }
        }
    }
}
