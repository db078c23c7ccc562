//! Weights on their way from the layout of the parameters to the order in which a product of [`tile`](super::tile) reads them, and
//! gradients on their way back, in squares that the vectors turn.
//!
//! They are packed for each call anew, so for a row or two this is a good part of the work.

use super::{Phase, Slide};
use crate::kernel::{Path, dense::Update, product::some, vector::Vector, vectors};

/// Values of the largest square that a vector turns.
const SQUARE: usize = 64;

/// `[outputs, inner, taps]` to `[taps, inner, outputs]`.
pub(super) fn pack(path: Path, slide: Slide, w: &[f32], packed: &mut [f32]) {
    assert!(w.len() == slide.weight_len() && packed.len() >= w.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(path, {}, pack_fast(slide: Slide = slide, w: *const f32 = w.as_ptr(), packed: *mut f32 = packed.as_mut_ptr()));
}

#[inline(always)]
unsafe fn pack_fast<V: Vector>(slide: Slide, w: *const f32, packed: *mut f32) {
    let (taps, inner, outputs) = (slide.taps(), slide.inner(), slide.outputs);
    let columns = inner * taps;
    let mut square = [0.0; SQUARE];
    let mut o = 0;
    while o < outputs {
        let high = V::BLOCK.min(outputs - o);
        let (mut column, mut i, mut tap) = (0, 0, 0);
        while column < columns {
            let wide = V::BLOCK.min(columns - column);
            // SAFETY: the caller's contract; the square lies within the `outputs` rows of `columns` values, and so does what is
            // written, which has a row for each tap and inner channel.
            unsafe {
                let from = w.add(o * columns + column);
                V::transpose(from, columns, high, wide, square.as_mut_ptr(), V::BLOCK);
                for line in 0..wide {
                    let to = packed.add((tap * inner + i) * outputs + o);
                    copy::<V>(square.as_ptr().add(line * V::BLOCK), to, high);
                    tap += 1;
                    if tap == taps {
                        (i, tap) = (i + 1, 0);
                    }
                }
            }
            column += wide;
        }
        o += high;
    }
}

/// `[taps, inner, outputs]` back to `[outputs, inner, taps]`.
pub(super) fn unpack(path: Path, slide: Slide, packed: &[f32], w: &mut [f32], update: Update) {
    assert!(w.len() == slide.weight_len() && packed.len() >= w.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {},
        unpack_fast(
            slide: Slide = slide,
            packed: *const f32 = packed.as_ptr(),
            w: *mut f32 = w.as_mut_ptr(),
            update: Update = update,
        )
    );
}

#[inline(always)]
unsafe fn unpack_fast<V: Vector>(slide: Slide, packed: *const f32, w: *mut f32, update: Update) {
    let (taps, inner, outputs) = (slide.taps(), slide.inner(), slide.outputs);
    let columns = inner * taps;
    let (mut square, mut turned) = ([0.0; SQUARE], [0.0; SQUARE]);
    let mut o = 0;
    while o < outputs {
        let high = V::BLOCK.min(outputs - o);
        let (mut column, mut i, mut tap) = (0, 0, 0);
        while column < columns {
            let wide = V::BLOCK.min(columns - column);
            // What `some` takes for a whole vector.
            let left = if wide == V::Half::LANES { 0 } else { wide };
            // SAFETY: as in `pack_fast`; a half vector is as long as a line of the square.
            unsafe {
                for line in 0..wide {
                    let from = packed.add((tap * inner + i) * outputs + o);
                    copy::<V>(from, square.as_mut_ptr().add(line * V::BLOCK), high);
                    tap += 1;
                    if tap == taps {
                        (i, tap) = (i + 1, 0);
                    }
                }
                V::transpose(square.as_ptr(), V::BLOCK, wide, high, turned.as_mut_ptr(), V::BLOCK);
                for line in 0..high {
                    let to = w.add((o + line) * columns + column);
                    let mut value = V::Half::load(turned.as_ptr().add(line * V::BLOCK));
                    if let Update::Add(factor) = update {
                        value = V::Half::splat(factor).mul_add(value, some(to, left));
                    }
                    if left == 0 { value.store(to) } else { value.store_first(to, left) }
                }
            }
            column += wide;
        }
        o += high;
    }
}

/// `[outputs, inner, taps]` to `[taps, outputs, inputs]`, phase by phase as the gradient at the input goes through them, taps from the
/// last to the first.
pub(super) fn pack_turned(path: Path, slide: Slide, w: &[f32], packed: &mut [f32]) {
    assert!(w.len() == slide.weight_len() && packed.len() >= w.len());
    if slide.axes.iter().any(|axis| axis.stride > 1) {
        return pack_phases(slide, w, packed);
    }
    // Contract of the generic kernel: the lengths above, and a single phase.
    vectors!(
        path,
        {},
        pack_turned_fast(slide: Slide = slide, w: *const f32 = w.as_ptr(), packed: *mut f32 = packed.as_mut_ptr())
    );
}

#[inline(always)]
unsafe fn pack_turned_fast<V: Vector>(slide: Slide, w: *const f32, packed: *mut f32) {
    /// Taps from which on a square pays.
    const FEW: usize = 3;
    let (taps, inputs) = (slide.taps(), slide.inputs);
    let outputs = if slide.depthwise { 1 } else { slide.outputs };
    let mut square = [0.0; SQUARE];
    for o in 0..outputs {
        let mut i = 0;
        while i < inputs {
            let high = V::BLOCK.min(inputs - i);
            let mut tap = 0;
            while tap < taps {
                let wide = V::BLOCK.min(taps - tap);
                // SAFETY: the caller's contract; the square lies within the `inputs` rows of `taps` values of this output, and so does
                // what is written, which has a row of `inputs` values for each tap and output.
                unsafe {
                    let from = w.add((o * inputs + i) * taps + tap);
                    if wide >= FEW {
                        V::transpose(from, taps, high, wide, square.as_mut_ptr(), V::BLOCK);
                    }
                    for line in 0..wide {
                        let to = packed.add(((taps - 1 - tap - line) * outputs + o) * inputs + i);
                        if wide >= FEW {
                            copy::<V>(square.as_ptr().add(line * V::BLOCK), to, high);
                        } else {
                            for j in 0..high {
                                *to.add(j) = *from.add(j * taps + line);
                            }
                        }
                    }
                }
                tap += wide;
            }
            i += high;
        }
    }
}

/// [`pack_turned`] where the window has a stride.
fn pack_phases(slide: Slide, w: &[f32], packed: &mut [f32]) {
    let [down, across] = slide.axes;
    let taps = slide.taps();
    let outputs = if slide.depthwise { 1 } else { slide.outputs };
    let mut rows = packed.chunks_exact_mut(slide.inputs);
    for y in 0..down.stride.min(down.input) {
        let vertical = Phase::of(down, y);
        for x in 0..across.stride.min(across.input) {
            let horizontal = Phase::of(across, x);
            for j in (0..vertical.taps).rev() {
                for i in (0..horizontal.taps).rev() {
                    let tap = (vertical.tap + j * down.stride) * across.size + horizontal.tap + i * across.stride;
                    for (o, to) in rows.by_ref().take(outputs).enumerate() {
                        let from = w.get(o * slide.inner() * taps + tap..).unwrap_or_default();
                        for (to, from) in to.iter_mut().zip(from.iter().step_by(taps)) {
                            *to = *from;
                        }
                    }
                }
            }
        }
    }
}

/// Puts packed rows of 8 or 16 channels two by two: `[addends, channels]` to `[addends / 2, channels, 2]`.
pub(super) fn pair_up(path: Path, channels: usize, packed: &mut [f32]) {
    // Contract of the generic kernel: none beyond the features, which let the compiler use whole vectors.
    vectors!(path, {}, pair_up_fast(channels: usize = channels, packed: &mut [f32] = packed));
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn pair_up_fast<V>(channels: usize, packed: &mut [f32]) {
    match channels {
        8 => packed.as_chunks_mut().0.iter_mut().for_each(pair_rows::<8, 16>),
        16 => packed.as_chunks_mut().0.iter_mut().for_each(pair_rows::<16, 32>),
        _ => {}
    }
}

/// Two rows of `C` channels become one of `C` pairs.
#[inline(always)]
fn pair_rows<const C: usize, const BOTH: usize>(rows: &mut [f32; BOTH]) {
    let old = *rows;
    let (first, second) = old.split_at(C);
    for ((pair, first), second) in rows.chunks_exact_mut(2).zip(first).zip(second) {
        pair.copy_from_slice(&[*first, *second]);
    }
}

/// Copies `len` values, at most BLOCK.
#[inline(always)]
unsafe fn copy<V: Vector>(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        if len == V::BLOCK {
            core::ptr::copy_nonoverlapping(from, to, V::BLOCK);
        } else {
            for n in 0..len {
                *to.add(n) = *from.add(n);
            }
        }
    }
}
