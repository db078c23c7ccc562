//! Layer normalisation on every path against its definition in f64 and finite differences of it.

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// Numbers between −1 and 1.
/// A function of inputs, gradients, weights and biases.
type Of<'a> = &'a dyn Fn(&[f64], &[f64], &[f64], &[f64]) -> Vec<f64>;

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// `base + t · direction`
fn moved(base: &[f64], direction: &[f64], t: f64) -> Vec<f64> {
    base.iter().zip(direction).map(|(base, direction)| base + t * direction).collect()
}

/// The normalised values and `1 / √(variance + ε)` of each row.
fn normal(shape: Shape, x: &[f64]) -> Vec<f64> {
    let mut normal = vec![];
    for x in x.chunks_exact(shape.len()) {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        normal.extend(x.iter().map(|x| (x - mean) / (variance + 1e-5).sqrt()));
    }
    normal
}

fn outputs(shape: Shape, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let place = |i: usize| i % shape.channels;
    normal(shape, x).iter().enumerate().map(|(i, h)| w[place(i)] * h + b[place(i)]).collect()
}

/// `Σ dz z`, differentiated by central differences along every value of `at`.
fn slopes(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut at = at.to_vec();
    let mut slopes = vec![];
    for i in 0..at.len() {
        let old = at[i];
        at[i] = old + step;
        let up = f(&at);
        at[i] = old - step;
        slopes.push((up - f(&at)) / (2.0 * step));
        at[i] = old;
    }
    slopes
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The gradients by x, w and b, from the chain rule in f64: `g − mean(g) − h mean(g h)`.
fn gradients(shape: Shape, x: &[f64], dz: &[f64], w: &[f64]) -> [Vec<f64>; 3] {
    let (mut dx, mut dw, mut db) = (vec![], vec![0.0; shape.channels], vec![0.0; shape.channels]);
    for (x, dz) in x.chunks_exact(shape.len()).zip(dz.chunks_exact(shape.len())) {
        let h = normal(shape, x);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let g: Vec<f64> = dz.iter().enumerate().map(|(i, dz)| dz * w[i % shape.channels]).collect();
        let (share, slope) = (1.0 / x.len() as f64, 1.0 / (variance + 1e-5).sqrt());
        let (mean, along) = (share * g.iter().sum::<f64>(), share * product(&g, &h));
        dx.extend(g.iter().zip(&h).map(|(g, h)| slope * (g - mean - h * along)));
        for (i, (dz, h)) in dz.iter().zip(&h).enumerate() {
            dw[i % shape.channels] += dz * h;
            db[i % shape.channels] += dz;
        }
    }
    [dx, dw, db]
}

fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len());
    let size = want.iter().fold(1.0, |size: f64, want| size.max(want.abs()));
    for (got, want) in got.iter().zip(want) {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance * size, "{what}: {got} {want}");
    }
}

fn holds(shape: Shape, rows: usize, mean: f32) {
    let (len, channels) = (rows * shape.len(), shape.channels);
    let x: Vec<f32> = numbers(len, 1).iter().map(|x| x + mean).collect();
    let (rx, dz, rdz) = (numbers(len, 2), numbers(len, 3), numbers(len, 4));
    let (w, v, b, vb) = (numbers(channels, 5), numbers(channels, 6), numbers(channels, 7), numbers(channels, 8));
    let (xs, rxs, dzs, rdzs) = (wide(&x), wide(&rx), wide(&dz), wide(&rdz));
    let (ws, vs, bs, vbs) = (wide(&w), wide(&v), wide(&b), wide(&vb));
    let [dx, dw, db] = gradients(shape, &xs, &dzs, &ws);
    if mean == 0.0 && len < 200 {
        // The chain rule above is the derivative of the definition.
        let by_x = slopes(&xs, |x| product(&dzs, &outputs(shape, x, &ws, &bs)));
        let by_w = slopes(&ws, |w| product(&dzs, &outputs(shape, &xs, w, &bs)));
        let size = dx.iter().chain(&dw).fold(1.0, |size: f64, value| size.max(value.abs()));
        for (a, b) in by_x.iter().chain(&by_w).zip(dx.iter().chain(&dw)) {
            assert!((a - b).abs() <= 1e-4 * size, "{a} {b}");
        }
    }
    // Derivatives along the direction, by central differences in f64.
    let along = |rxs: &[f64], f: Of<'_>| -> Vec<f64> {
        let step = 1e-5;
        let at = |t: f64| f(&moved(&xs, rxs, t), &moved(&dzs, &rdzs, t), &moved(&ws, &vs, t), &moved(&bs, &vbs, t));
        at(step).iter().zip(at(-step)).map(|(up, down)| (up - down) / (2.0 * step)).collect()
    };
    let zeros = vec![0.0; len];
    // A mean of 1000 leaves 6e-5 of rounding in the values themselves.
    let tolerance = 2e-5 * (1.0 + f64::from(mean.abs()));
    for path in Path::available() {
        let what = std::format!("{} {shape:?} {rows} {mean}", path.name());
        let mut z = vec![f32::NAN; len];
        forward(path, shape, rows, &x, (&w, &b), &mut z);
        close(&z, &outputs(shape, &xs, &ws, &bs), tolerance, &what);
        for update in [Update::Store, Update::Add(-0.5)] {
            let old = if update == Update::Store { f32::NAN } else { 0.25 };
            let updated = |sums: &[f64]| -> Vec<f64> {
                sums.iter().map(|sum| if update == Update::Store { *sum } else { 0.25 - 0.5 * sum }).collect()
            };
            let mut out = vec![old; len];
            input_gradient(path, shape, rows, &x, &dz, &w, &mut out, update);
            close(&out, &updated(&dx), tolerance, &what);
            let (mut out, mut out_b) = (vec![old; channels], vec![old; channels]);
            weight_gradient(path, shape, rows, &x, &dz, &mut out, &mut out_b, update);
            close(&out, &updated(&dw), tolerance, &what);
            close(&out_b, &updated(&db), tolerance, &what);
            for (rx, rxs) in [(None, &zeros), (Some(&rx[..]), &rxs)] {
                let mut rz = vec![f32::NAN; len];
                forward_tangent(path, shape, rows, (&x, rx), (&w, &v), &vb, &mut rz);
                let want = along(rxs, &|x, _, w, b| outputs(shape, x, w, b));
                close(&rz, &want, 10.0 * tolerance, &what);
                let mut out = vec![old; len];
                input_gradient_tangent(path, shape, rows, (&x, rx), (&dz, &rdz), (&w, &v), &mut out, update);
                let want = along(rxs, &|x, dz, w, _| gradients(shape, x, dz, w)[0].clone());
                close(&out, &updated(&want), 10.0 * tolerance, &what);
                let (mut out, mut out_b) = (vec![old; channels], vec![old; channels]);
                weight_gradient_tangent(path, shape, rows, (&x, rx), (&dz, &rdz), &mut out, &mut out_b, update);
                let want = along(rxs, &|x, dz, w, _| gradients(shape, x, dz, w)[1].clone());
                close(&out, &updated(&want), 10.0 * tolerance, &what);
                let want = along(rxs, &|x, dz, w, _| gradients(shape, x, dz, w)[2].clone());
                close(&out_b, &updated(&want), tolerance, &what);
            }
        }
    }
}

#[test]
fn every_pass_is_its_definition() {
    for shape in [
        Shape::vector(2),
        Shape::vector(5),
        Shape::vector(64),
        Shape::vector(77),
        Shape { height: 3, width: 5, channels: 1 },
        Shape { height: 4, width: 4, channels: 8 },
        Shape { height: 3, width: 2, channels: 19 },
    ] {
        for rows in [1, 3] {
            holds(shape, rows, 0.0);
        }
    }
    holds(Shape { height: 4, width: 4, channels: 8 }, 2, 1000.0);
}

#[test]
fn a_row_of_one_value_or_of_equal_ones_is_its_bias() {
    for path in Path::available() {
        for (shape, value) in [(Shape::vector(1), 7.5), (Shape { height: 3, width: 3, channels: 7 }, 1234.567)] {
            let (w, b) = (vec![2.0; shape.channels], vec![0.5; shape.channels]);
            let (x, mut z) = (vec![value; shape.len()], vec![f32::NAN; shape.len()]);
            forward(path, shape, 1, &x, (&w, &b), &mut z);
            assert!(z.iter().all(|z| (z - 0.5).abs() <= 0.1), "{} {z:?}", path.name());
            let mut dx = vec![f32::NAN; shape.len()];
            input_gradient(path, shape, 1, &x, &vec![1.0; shape.len()], &w, &mut dx, Update::Store);
            assert!(dx.iter().all(|dx| dx.abs() <= 0.1), "{} {dx:?}", path.name());
        }
    }
}

#[test]
fn what_is_no_number_spoils_its_row_alone() {
    let shape = Shape { height: 2, width: 3, channels: 9 };
    for path in Path::available() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = numbers(3 * shape.len(), 1);
            x[shape.len() + 20] = bad;
            let (w, b) = (vec![1.0; shape.channels], vec![0.0; shape.channels]);
            let mut z = vec![0.0; x.len()];
            forward(path, shape, 3, &x, (&w, &b), &mut z);
            let finite: Vec<bool> = z.chunks_exact(shape.len()).map(|z| z.iter().all(|z| z.is_finite())).collect();
            assert_eq!(finite, [true, false, true], "{}", path.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_shape_is_its_definition(
        (height, width, channels) in (1_usize..6, 1_usize..6, 2_usize..36),
        rows in 1_usize..4,
    ) {
        holds(Shape { height, width, channels }, rows, 0.0);
    }
}
