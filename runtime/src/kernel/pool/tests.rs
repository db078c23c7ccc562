//! Pooling on every path against its definition in f64, its gradients against the adjoint identity.

use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// Numbers of which some are equal, so that there are maxima twice in a window.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 24) % 9) as f32 - 4.0
    };
    (0..len).map(|_| next()).collect()
}

/// For each value of the output the places in the input that it sees, line by line.
fn windows(pool: Pool, rows: usize) -> Vec<Vec<usize>> {
    let (input, output, window) = (pool.input, pool.output, pool.window);
    let mut all = vec![];
    for at in 0..rows * output.len() {
        let channel = at % output.channels;
        let place = at / output.channels;
        let (x, y, row) =
            (place % output.width, place / output.width % output.height, place / output.width / output.height);
        let mut seen = vec![];
        for ky in 0..usize::from(window.size[0]) {
            for kx in 0..usize::from(window.size[1]) {
                let py = (y * usize::from(window.stride[0]) + ky).checked_sub(window.padding[0].into());
                let px = (x * usize::from(window.stride[1]) + kx).checked_sub(window.padding[1].into());
                if let (Some(py), Some(px)) = (py, px)
                    && py < input.height
                    && px < input.width
                {
                    seen.push(((row * input.height + py) * input.width + px) * input.channels + channel);
                }
            }
        }
        all.push(seen);
    }
    all
}

fn close_to(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= 1e-5 * (1.0 + want.abs()), "{what}: {got} {want}");
    }
}

fn holds(pool: Pool, rows: usize) {
    let (x_len, z_len) = (rows * pool.input.len(), rows * pool.output.len());
    let (x, rx, dz, old) = (numbers(x_len, 1), numbers(x_len, 2), numbers(z_len, 3), numbers(x_len, 4));
    let seen = windows(pool, rows);
    let area = f64::from(pool.window.size[0]) * f64::from(pool.window.size[1]);
    let first = |seen: &[usize]| seen.iter().copied().reduce(|best, i| if x[i] > x[best] { i } else { best }).unwrap();
    let chosen: Vec<usize> = seen.iter().map(|seen| first(seen)).collect();
    let want_z: Vec<f32> = chosen.iter().map(|&i| x[i]).collect();
    let want_rz: Vec<f32> = chosen.iter().map(|&i| rx[i]).collect();
    let want_mean: Vec<f64> =
        seen.iter().map(|seen| seen.iter().map(|&i| f64::from(x[i])).sum::<f64>() / area).collect();
    let (mut max_dx, mut mean_dx) = (vec![0.0_f64; x_len], vec![0.0_f64; x_len]);
    for (at, seen) in seen.iter().enumerate() {
        max_dx[chosen[at]] += f64::from(dz[at]);
        seen.iter().for_each(|&i| mean_dx[i] += f64::from(dz[at]) / area);
    }
    for path in Path::available() {
        let what = std::format!("{} {pool:?} {rows}", path.name());
        let (mut z, mut rz, mut mean) = (vec![f32::NAN; z_len], vec![f32::NAN; z_len], vec![f32::NAN; z_len]);
        max_forward(path, pool, rows, &x, &mut z);
        assert_eq!(z, want_z, "{what}");
        max_tangent(path, pool, rows, &x, &z, &rx, &mut rz);
        assert_eq!(rz, want_rz, "{what}");
        average_forward(path, pool, rows, &x, &mut mean);
        close_to(&mean, &want_mean, &what);
        for update in [Update::Store, Update::Add(-0.5)] {
            let sum = |sums: &[f64]| -> Vec<f64> {
                let add = |(old, sum): (&f32, &f64)| match update {
                    Update::Store => *sum,
                    Update::Add(factor) => f64::from(*old) + f64::from(factor) * sum,
                };
                old.iter().zip(sums).map(add).collect()
            };
            for gate in [None, Some(&x[..])] {
                let mut dx = if update == Update::Store { vec![f32::NAN; x_len] } else { old.clone() };
                max_backward(path, pool, rows, &x, &z, &dz, gate, &mut dx, update);
                let mut want = sum(&max_dx);
                for (want, gate) in want.iter_mut().zip(gate.unwrap_or_default()) {
                    *want = if *gate > 0.0 { *want } else { 0.0 };
                }
                close_to(&dx, &want, &what);
            }
            let mut dx = if update == Update::Store { vec![f32::NAN; x_len] } else { old.clone() };
            average_backward(path, pool, rows, &dz, &mut dx, update);
            close_to(&dx, &sum(&mean_dx), &what);
        }
        // <dz, J rx> = <Jᵀ dz, rx>
        let mut dx = vec![0.0; x_len];
        max_backward(path, pool, rows, &x, &z, &dz, None, &mut dx, Update::Store);
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let error = (product(&dz, &rz) - product(&dx, &rx)).abs();
        assert!(error <= 1e-9, "{what}");
    }
}

fn image(height: usize, width: usize, channels: usize) -> Shape {
    Shape { height, width, channels }
}

#[test]
fn every_pass_is_its_definition() {
    for (input, window, rows) in [
        (image(32, 32, 8), Window::square(2, 2, 0), 2),
        (image(16, 16, 16), Window::square(2, 2, 0), 1),
        (image(7, 9, 33), Window::square(2, 2, 0), 2),
        (image(7, 9, 24), Window::square(3, 2, 1), 2),
        (image(12, 13, 3), Window::square(3, 1, 1), 2),
        (image(1, 1, 1), Window::square(1, 1, 0), 1),
        (image(1, 1, 5), Window::square(3, 1, 1), 3),
        (image(5, 5, 2), Window::square(2, 3, 1), 2),
        (image(9, 4, 17), Window { size: [5, 1], stride: [1, 2], padding: [2, 0] }, 2),
    ] {
        holds(Pool::new(input, window).unwrap(), rows);
    }
    assert_eq!(Pool::new(image(4, 4, 1), Window::square(3, 1, 2)), None);
    assert_eq!(Pool::new(image(4, 4, 1), Window::square(5, 1, 0)), None);
    assert_eq!(Pool::new(image(4, 4, 0), Window::square(2, 2, 0)), None);
}

#[test]
fn what_is_no_number_goes_through() {
    let pool = Pool::new(image(6, 6, 19), Window::square(2, 2, 0)).unwrap();
    for path in Path::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..pool.input.len() {
                let mut x = vec![1.0; pool.input.len()];
                x[place] = bad;
                let mut z = vec![0.0; pool.output.len()];
                max_forward(path, pool, 1, &x, &mut z);
                let same = z.iter().filter(|z| z.to_bits() == bad.to_bits() || (z.is_nan() && bad.is_nan())).count();
                assert_eq!(same, usize::from(bad != f32::NEG_INFINITY), "{}", path.name());
                average_forward(path, pool, 1, &x, &mut z);
                assert_eq!(z.iter().filter(|z| !z.is_finite()).count(), 1, "{}", path.name());
            }
            // A window of nothing else: its first pixel has the gradient, whatever it is.
            let x = vec![bad; pool.input.len()];
            let (mut z, mut dx) = (vec![0.0; pool.output.len()], vec![0.0; pool.input.len()]);
            max_forward(path, pool, 1, &x, &mut z);
            max_backward(path, pool, 1, &x, &z, &vec![f32::INFINITY; z.len()], None, &mut dx, Update::Store);
            for (i, dx) in dx.iter().enumerate() {
                let pixel = i / pool.input.channels;
                let first = pixel.is_multiple_of(2) && (pixel / 6).is_multiple_of(2);
                assert_eq!(*dx, if first { f32::INFINITY } else { 0.0 }, "{}", path.name());
            }
        }
    }
}

#[test]
fn the_mean_of_a_channel() {
    for shape in [image(1, 1, 1), image(3, 5, 7), image(16, 16, 32)] {
        for path in Path::available() {
            let rows = 3;
            let (x, dz) = (numbers(rows * shape.len(), 1), numbers(rows * shape.channels, 2));
            let mut z = vec![f32::NAN; dz.len()];
            global_average_forward(path, shape, rows, &x, &mut z);
            let pixels = shape.height * shape.width;
            let mean = |i: usize| {
                let (row, channel) = (i / shape.channels, i % shape.channels);
                let values = x[row * shape.len()..][..shape.len()].iter().skip(channel).step_by(shape.channels);
                values.map(|x| f64::from(*x)).sum::<f64>() / pixels as f64
            };
            close_to(&z, &(0..z.len()).map(mean).collect::<Vec<_>>(), path.name());
            for (update, old) in [(Update::Store, f32::NAN), (Update::Add(2.0), 1.0)] {
                let mut dx = vec![old; x.len()];
                global_average_backward(path, shape, rows, &dz, &mut dx, update);
                let share = |i: usize| {
                    let dz = f64::from(dz[i / shape.len() * shape.channels + i % shape.channels]) / pixels as f64;
                    if update == Update::Store { dz } else { 1.0 + 2.0 * dz }
                };
                close_to(&dx, &(0..dx.len()).map(share).collect::<Vec<_>>(), path.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_shape_is_its_definition(
        (height, width, channels) in (1_usize..12, 1_usize..12, 1_usize..36),
        (size, stride, padding) in ([1_u8..5, 1_u8..5], [1_u8..5, 1_u8..5], [0_u8..3, 0_u8..3]),
        rows in 1_usize..4,
    ) {
        if let Some(pool) = Pool::new(image(height, width, channels), Window { size, stride, padding }) {
            holds(pool, rows);
        }
    }
}
