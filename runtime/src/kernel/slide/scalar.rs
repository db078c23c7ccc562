//! The scalar twins: plain loops over the image as it lies in memory, in a fixed order. What lies outside of it is left out.

use super::{Pair, Slide};
use crate::kernel::dense::Update;

/// `len` values from `at` on; none where they do not exist.
fn part(values: &[f32], at: usize, len: usize) -> &[f32] {
    values.get(at..at + len).unwrap_or_default()
}

/// Every `step`-th value from `at` on.
fn every(values: &[f32], at: usize, step: usize) -> impl Iterator<Item = &f32> {
    values.get(at..).unwrap_or_default().iter().step_by(step)
}

/// The scalar twin of [`Slide::outputs`].
pub(super) fn outputs(slide: Slide, pairs: &[Pair<'_>], b: &[f32], rectified: bool, z: &mut [f32]) {
    let ([down, across], inner) = (slide.axes, slide.inner());
    for (row, z) in z.chunks_exact_mut(slide.output_len()).enumerate() {
        for (place, z) in z.chunks_exact_mut(slide.outputs).enumerate() {
            let (tap_y, pixel_y, high) = down.inside(place / across.output);
            let (tap_x, pixel_x, wide) = across.inside(place % across.output);
            for (o, (z, b)) in z.iter_mut().zip(b).enumerate() {
                let mut sum = *b;
                let channel = if slide.depthwise { o } else { 0 };
                for (x, w) in pairs {
                    for y in 0..high {
                        for i in 0..wide {
                            let tap = (tap_y + y) * across.size + tap_x + i;
                            let pixel = (row * down.input + pixel_y + y) * across.input + pixel_x + i;
                            let pixel = part(x, pixel * slide.inputs + channel, inner);
                            let weights = every(w, o * inner * slide.taps() + tap, slide.taps());
                            for (x, w) in pixel.iter().zip(weights) {
                                sum += x * w;
                            }
                        }
                    }
                }
                *z = if rectified && 0.0 > sum { 0.0 } else { sum };
            }
        }
    }
}

/// The scalar twin of [`Slide::inputs`].
pub(super) fn inputs(slide: Slide, pairs: &[Pair<'_>], gate: Option<&[f32]>, dx: &mut [f32], update: Update) {
    let ([down, across], inner) = (slide.axes, slide.inner());
    let seen = if slide.depthwise { 1 } else { slide.outputs };
    for (row, dx) in dx.chunks_exact_mut(slide.input_len()).enumerate() {
        for (pixel, dx) in dx.chunks_exact_mut(slide.inputs).enumerate() {
            let (tap_y, place_y, high) = down.seen(pixel / across.input);
            let (tap_x, place_x, wide) = across.seen(pixel % across.input);
            for (channel, dx) in dx.iter_mut().enumerate() {
                let mut sum = 0.0;
                let output = if slide.depthwise { channel } else { 0 };
                for (dz, w) in pairs {
                    for y in 0..high {
                        for i in 0..wide {
                            let tap = (tap_y + y * down.stride) * across.size + tap_x + i * across.stride;
                            let place = (row * down.output + place_y - y) * across.output + place_x - i;
                            let place = part(dz, place * slide.outputs + output, seen);
                            let weights = every(w, channel * slide.taps() + tap, inner * slide.taps());
                            for (dz, w) in place.iter().zip(weights) {
                                sum += dz * w;
                            }
                        }
                    }
                }
                update.apply(dx, sum);
            }
        }
    }
    for (dx, gate) in dx.iter_mut().zip(gate.unwrap_or_default()) {
        let open = *gate > 0.0;
        if !open {
            *dx = 0.0;
        }
    }
}

/// The scalar twin of [`Slide::weights`].
pub(super) fn weights(slide: Slide, pairs: &[Pair<'_>], dw: &mut [f32], update: Update) {
    let [down, across] = slide.axes;
    for (filter, dw) in dw.chunks_exact_mut(slide.taps()).enumerate() {
        let o = filter / slide.inner();
        let channel = if slide.depthwise { o } else { filter % slide.inner() };
        for (tap, dw) in dw.iter_mut().enumerate() {
            let (place_y, pixel_y, high) = down.places(tap / across.size);
            let (place_x, pixel_x, wide) = across.places(tap % across.size);
            let mut sum = 0.0;
            for (dz, x) in pairs {
                let rows = dz.chunks_exact(slide.output_len()).zip(x.chunks_exact(slide.input_len()));
                for (dz, x) in rows {
                    for y in 0..high {
                        let place = (place_y + y) * across.output + place_x;
                        let pixel = (pixel_y + y * down.stride) * across.input + pixel_x;
                        let dz = every(dz, place * slide.outputs + o, slide.outputs);
                        let x = every(x, pixel * slide.inputs + channel, across.stride * slide.inputs);
                        for (dz, x) in dz.zip(x).take(wide) {
                            sum += dz * x;
                        }
                    }
                }
            }
            update.apply(dw, sum);
        }
    }
}
