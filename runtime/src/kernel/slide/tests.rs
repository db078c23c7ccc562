//! Both convolutions on every path, held against sums in f64 straight from their definition.
//!
//! Values are small whole numbers, so that every sum is exact in f32 in whatever order it is made, and results must be equal.

use std::{vec, vec::Vec};

use proptest::prelude::*;
use sinew_models::spec::{Shape, Window};

use crate::kernel::{Path, conv, conv::Conv, dense::Update};

impl Conv {
    /// A depthwise one where `outputs` is 0.
    fn of(input: Shape, outputs: usize, window: Window) -> Option<Self> {
        if outputs == 0 { Self::depthwise(input, window) } else { Self::new(input, outputs, window) }
    }
    fn shapes(self) -> (Shape, Window, Shape) {
        (self.input, self.window, self.output)
    }

    /// Calls `visit(place in z, place in x, place in w)` for every product in the definition.
    fn each(self, rows: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (input, window, output) = self.shapes();
        let [kh, kw] = window.size.map(usize::from);
        let inner = if self.depthwise { 1 } else { input.channels };
        for row in 0..rows {
            for (y, x) in (0..output.height).flat_map(|y| (0..output.width).map(move |x| (y, x))) {
                for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                    let py = (y * usize::from(window.stride[0]) + ky).checked_sub(window.padding[0].into());
                    let px = (x * usize::from(window.stride[1]) + kx).checked_sub(window.padding[1].into());
                    let (Some(py), Some(px)) = (py, px) else { continue };
                    if py >= input.height || px >= input.width {
                        continue;
                    }
                    for (o, i) in (0..output.channels).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                        let channel = if self.depthwise { o } else { i };
                        visit(
                            ((row * output.height + y) * output.width + x) * output.channels + o,
                            ((row * input.height + py) * input.width + px) * input.channels + channel,
                            ((o * inner + i) * kh + ky) * kw + kx,
                        );
                    }
                }
            }
        }
    }
}

/// Whole numbers from −3 to 3.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) % 7) as f32 - 3.0
    };
    (0..len).map(|_| next()).collect()
}

fn updated(update: Update, old: f32, sum: f64) -> f32 {
    match update {
        Update::Store => sum as f32,
        Update::Add(factor) => (f64::from(old) + f64::from(factor) * sum) as f32,
    }
}

/// Every pass of the layer on every path against its definition, and the adjoint identities between them.
fn holds(layer: Conv, rows: usize, update: Update) {
    let (input, _, output) = layer.shapes();
    let (x_len, z_len, w_len) = (rows * input.len(), rows * output.len(), layer.weight_len());
    let (x, rx, dz, rdz) = (numbers(x_len, 1), numbers(x_len, 2), numbers(z_len, 3), numbers(z_len, 4));
    let (w, v, b, vb) =
        (numbers(w_len, 5), numbers(w_len, 6), numbers(output.channels, 7), numbers(output.channels, 8));
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let bias = |b: &[f32]| (0..z_len).map(|i| f64::from(b[i % output.channels])).collect::<Vec<_>>();
    let (mut z, mut rz, mut rz_plain) = (bias(&b), bias(&vb), bias(&vb));
    let (mut dx, mut rdx) = (vec![0.0; x_len], vec![0.0; x_len]);
    let (mut dw, mut rdw, mut rdw_plain) = (vec![0.0; w_len], vec![0.0; w_len], vec![0.0; w_len]);
    let (xs, rxs, dzs, rdzs, ws, vs) = (wide(&x), wide(&rx), wide(&dz), wide(&rdz), wide(&w), wide(&v));
    layer.each(rows, |o, i, k| {
        z[o] += xs[i] * ws[k];
        rz_plain[o] += xs[i] * vs[k];
        rz[o] += xs[i] * vs[k] + rxs[i] * ws[k];
        dx[i] += dzs[o] * ws[k];
        rdx[i] += rdzs[o] * ws[k] + dzs[o] * vs[k];
        dw[k] += dzs[o] * xs[i];
        rdw_plain[k] += rdzs[o] * xs[i];
        rdw[k] += rdzs[o] * xs[i] + dzs[o] * rxs[i];
    });
    let sums = |dz: &[f64]| {
        let mut sums = vec![0.0; output.channels];
        dz.iter().enumerate().for_each(|(i, dz)| sums[i % output.channels] += dz);
        sums
    };
    let expect = |old: &[f32], sums: &[f64]| -> Vec<f32> {
        old.iter().zip(sums).map(|(&old, &sum)| updated(update, old, sum)).collect()
    };
    let gated = |values: Vec<f32>, gate: &[f32]| -> Vec<f32> {
        values.into_iter().zip(gate).map(|(value, &gate)| if gate > 0.0 { value } else { 0.0 }).collect()
    };
    let stored = |sums: &[f64]| sums.iter().map(|&sum| sum as f32).collect::<Vec<_>>();
    let (x_old, w_old, b_old) = (numbers(x_len, 9), numbers(w_len, 10), numbers(output.channels, 11));
    let gate = numbers(x_len, 12);

    for path in Path::available() {
        let name = (path.name(), layer, rows, update);
        let mut scratch = vec![f32::NAN; conv::scratch_len(path, layer)];
        let scratch = &mut scratch[..];
        let mut out = vec![f32::NAN; z_len];
        conv::forward(path, layer, rows, &x, (&w, &b), false, &mut out, scratch);
        assert_eq!(out, stored(&z), "forward {name:?}");
        conv::forward(path, layer, rows, &x, (&w, &b), true, &mut out, scratch);
        let rectified = z.iter().map(|z| z.max(0.0) as f32).collect::<Vec<_>>();
        assert_eq!(out, rectified, "rectified {name:?}");
        conv::forward_tangent(path, layer, rows, (&x, None), (&w, &v), &vb, &mut out, scratch);
        assert_eq!(out, stored(&rz_plain), "forward tangent, first layer {name:?}");
        conv::forward_tangent(path, layer, rows, (&x, Some(&rx)), (&w, &v), &vb, &mut out, scratch);
        assert_eq!(out, stored(&rz), "forward tangent {name:?}");

        for gate in [None, Some(&gate[..])] {
            let want = |sums| gate.map_or(expect(&x_old, sums), |gate| gated(expect(&x_old, sums), gate));
            let mut out = x_old.clone();
            conv::input_gradient(path, layer, rows, (&dz, &w), gate, &mut out, update, scratch);
            assert_eq!(out, want(&dx), "input gradient {name:?}");
            let mut out = x_old.clone();
            conv::input_gradient_tangent(path, layer, rows, (&dz, &rdz), (&w, &v), gate, &mut out, update, scratch);
            assert_eq!(out, want(&rdx), "input gradient tangent {name:?}");
        }

        let (mut out, mut out_b) = (w_old.clone(), b_old.clone());
        conv::weight_gradient(path, layer, rows, &dz, &x, &mut out, &mut out_b, update, scratch);
        assert_eq!(out, expect(&w_old, &dw), "weight gradient {name:?}");
        assert_eq!(out_b, expect(&b_old, &sums(&dzs)), "bias gradient {name:?}");
        for (rx, want) in [(None, &rdw_plain), (Some(&rx[..]), &rdw)] {
            let (mut out, mut out_b) = (w_old.clone(), b_old.clone());
            conv::weight_gradient_tangent(
                path,
                layer,
                rows,
                (&dz, &rdz),
                (&x, rx),
                &mut out,
                &mut out_b,
                update,
                scratch,
            );
            assert_eq!(out, expect(&w_old, want), "weight gradient tangent {name:?}");
            assert_eq!(out_b, expect(&b_old, &sums(&rdzs)), "bias gradient tangent {name:?}");
        }
    }
}

fn image(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

#[test]
fn every_pass_is_its_definition() {
    let window = |size, stride, padding| Window { size, stride, padding };
    for (input, outputs, window, rows) in [
        (image(32, 32, 1), 8, Window::square(3, 1, 1), 2),
        (image(16, 16, 8), 16, Window::square(3, 1, 1), 2),
        (image(8, 8, 16), 32, Window::square(3, 1, 1), 3),
        (image(1, 1, 1), 1, Window::square(1, 1, 0), 1),
        (image(1, 1, 40), 50, Window::square(1, 1, 0), 3),
        (image(1, 1, 3), 5, Window::square(3, 1, 1), 2),
        (image(1, 1, 3), 5, Window::square(1, 2, 3), 2),
        (image(2, 2, 17), 33, Window::square(3, 1, 1), 2),
        (image(5, 7, 2), 24, Window::square(5, 2, 2), 2),
        (image(9, 4, 3), 48, Window::square(7, 3, 3), 1),
        (image(6, 6, 4), 9, Window::square(2, 3, 0), 2),
        (image(4, 9, 5), 7, window([1, 5], [2, 1], [0, 3]), 2),
        (image(9, 3, 16), 12, window([5, 1], [1, 3], [1, 2]), 2),
        (image(3, 3, 2), 3, Window::square(1, 1, 2), 2),
        (image(7, 7, 1), 1, Window::square(7, 1, 0), 4),
        // One channel: lines of one vector and more, whole and not, channels in squares and left over.
        (image(3, 16, 1), 8, Window::square(3, 1, 1), 1),
        (image(4, 43, 1), 13, window([3, 5], [2, 1], [1, 2]), 2),
        (image(2, 37, 1), 3, Window::square(1, 1, 0), 2),
        // Addends two by two, forward and back, with phases.
        (image(5, 3, 2), 8, Window::square(3, 1, 1), 2),
        (image(4, 5, 6), 16, Window::square(3, 1, 0), 2),
        (image(5, 6, 8), 16, Window::square(3, 2, 1), 2),
        (image(6, 5, 16), 8, window([3, 4], [2, 3], [1, 1]), 2),
        (image(3, 4, 16), 7, Window::square(3, 1, 1), 1),
        (image(3, 5, 2), 3, Window::square(3, 9, 1), 2),
    ] {
        for outputs in [outputs, 0] {
            for update in [Update::Store, Update::Add(-0.5)] {
                holds(Conv::of(input, outputs, window).unwrap(), rows, update);
            }
        }
    }
    // No rows: a gradient of nothing.
    holds(Conv::of(image(4, 4, 2), 3, Window::square(3, 1, 1)).unwrap(), 0, Update::Store);
    assert_eq!(Conv::new(image(2, 2, 1), 1, Window::square(3, 1, 0)), None);
    assert_eq!(Conv::new(image(2, 2, 1), 0, Window::square(1, 1, 0)), None);
    assert_eq!(Conv::depthwise(image(2, 2, 0), Window::square(1, 1, 0)), None);
}

#[test]
fn what_is_no_number_goes_where_it_is_seen() {
    let square = image(5, 5, 3);
    for (input, outputs) in [(square, 5), (square, 0), (image(5, 5, 16), 16), (image(5, 5, 8), 8), (image(5, 19, 1), 9)]
    {
        let layer = Conv::of(input, outputs, Window::square(3, 1, 1)).unwrap();
        let (input, _, output) = layer.shapes();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for path in Path::available() {
                let mut scratch = vec![0.0; conv::scratch_len(path, layer)];
                let (mut x, w, b) = (vec![0.0; input.len()], vec![1.0; layer.weight_len()], vec![0.0; output.channels]);
                let mut z = vec![0.0; output.len()];
                let place = input.len() / 2;
                x[place] = bad;
                let mut want = vec![0.0_f32; output.len()];
                layer.each(1, |o, i, _| want[o] += x[i]);
                conv::forward(path, layer, 1, &x, (&w, &b), true, &mut z, &mut scratch);
                let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
                assert!(z.iter().zip(&want).all(|(z, want)| same(*z, if 0.0 > *want { 0.0 } else { *want })));
                let mut dx = vec![0.0; input.len()];
                let mut dz = vec![0.0; output.len()];
                dz[output.len() / 2] = bad;
                let mut want = vec![0.0_f32; input.len()];
                layer.each(1, |o, i, _| want[i] += dz[o]);
                conv::input_gradient(path, layer, 1, (&dz, &w), None, &mut dx, Update::Store, &mut scratch);
                assert!(dx.iter().zip(&want).all(|(dx, want)| same(*dx, *want)), "{}", path.name());
            }
        }
    }
}

/// The second image and its scratch differ from the first only in what lies around it: nothing may be read from there.
#[test]
fn only_its_own_memory_counts() {
    let window = Window::square(3, 2, 1);
    for (input, outputs, window) in [
        (image(6, 5, 8), 8, window),
        (image(6, 5, 8), 0, window),
        (image(3, 4, 8), 16, window),
        (image(5, 35, 1), 9, Window::square(3, 1, 0)),
    ] {
        let layer = Conv::of(input, outputs, window).unwrap();
        let (input, _, output) = layer.shapes();
        for path in Path::available() {
            let (w, b) = (numbers(layer.weight_len(), 1), numbers(output.channels, 2));
            let run = |around: f32| {
                let mut x = vec![around; input.len() + 2];
                x[1..=input.len()].copy_from_slice(&numbers(input.len(), 3));
                let mut z = vec![around; output.len() + 2];
                let mut scratch = vec![around; conv::scratch_len(path, layer)];
                let (inner, end) = (1..=input.len(), output.len());
                conv::forward(path, layer, 1, &x[inner], (&w, &b), false, &mut z[1..=end], &mut scratch);
                assert!(z[0].to_bits() == around.to_bits() && z[end + 1].to_bits() == around.to_bits());
                z[1..=end].to_vec()
            };
            assert_eq!(run(f32::NAN), run(1e30), "{}", path.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_shape_is_its_definition(
        (height, width, channels) in (1_usize..9, 1_usize..9, 1_usize..20),
        outputs in 0_usize..36,
        (size, stride, padding) in ([1_u8..6, 1_u8..6], [1_u8..4, 1_u8..4], [0_u8..4, 0_u8..4]),
        rows in 1_usize..4,
        add in any::<bool>(),
    ) {
        let update = if add { Update::Add(2.0) } else { Update::Store };
        if let Some(layer) = Conv::of(image(height, width, channels), outputs, Window { size, stride, padding }) {
            holds(layer, rows, update);
        }
    }
}
