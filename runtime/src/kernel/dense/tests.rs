//! Shapes at every edge of the fast paths, against sums in f64 and against each other.

use super::*;
use std::vec::Vec;

/// Multiples of 1/64 between −1 and 1, in no order.
fn numbers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + 31 * seed) * 7919 + 104_729 * seed) % 129) as f32 / 64.0 - 1.0).collect()
}

/// Sizes around whole vectors and tiles, few rows and few outputs.
fn sizes() -> impl Iterator<Item = Size> {
    const ROWS: [usize; 11] = [1, 2, 3, 5, 8, 10, 15, 16, 17, 31, 40];
    const UNITS: [usize; 15] = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 24, 33, 40, 48, 64];
    ROWS.into_iter().flat_map(|rows| {
        let outputs = move |inputs| UNITS.into_iter().map(move |outputs| Size { rows, inputs, outputs });
        UNITS.into_iter().flat_map(outputs)
    })
}

#[test]
fn products_match_f64_on_every_path() {
    for size in sizes() {
        let Size { rows, inputs, outputs } = size;
        let (x, w, b) = (numbers(size.x(), 1), numbers(size.w(), 2), numbers(outputs, 3));
        let (v, dz) = (numbers(size.w(), 4), numbers(size.z(), 5));
        let dot = |len: usize, each: &dyn Fn(usize) -> f32| -> f64 { (0..len).map(|k| f64::from(each(k))).sum() };
        for path in Path::available() {
            let name = path.name();
            let close = |got: f32, want: f64| {
                let error = (f64::from(got) - want).abs();
                assert!(error <= 1e-4, "{name} {size:?}: {got}, not {want}");
            };
            let mut panel = std::vec![f32::NAN; 2 * panel_len(path, inputs)];
            let (mut z, mut cut) = (std::vec![f32::NAN; size.z()], std::vec![f32::NAN; size.z()]);
            forward(path, size, &x, (&w, &b), false, &mut z, &mut panel);
            forward(path, size, &x, (&w, &b), true, &mut cut, &mut panel);
            let mut rz = std::vec![f32::NAN; size.z()];
            forward_tangent(path, size, (&x, Some(&x)), (&w, &v), &b, &mut rz, &mut panel);
            for r in 0..rows {
                for o in 0..outputs {
                    let sum = dot(inputs, &|i| x[r * inputs + i] * w[o * inputs + i]);
                    close(z[r * outputs + o], sum + f64::from(b[o]));
                    let other = dot(inputs, &|i| x[r * inputs + i] * v[o * inputs + i]);
                    close(rz[r * outputs + o], sum + other + f64::from(b[o]));
                }
            }
            assert!(cut.iter().zip(&z).all(|(cut, z)| *cut == z.max(0.0)), "{name} {size:?}");
            let mut dx = std::vec![f32::NAN; size.x()];
            input_gradient(path, size, (&dz, &w), Some(&x), &mut dx, Update::Store);
            for (i, dx) in dx.iter().enumerate() {
                let (r, i) = (i / inputs, i % inputs);
                let want = dot(outputs, &|o| dz[r * outputs + o] * w[o * inputs + i]);
                close(*dx, if x[r * inputs + i] > 0.0 { want } else { 0.0 });
            }
            let (mut dw, mut db) = (v.clone(), b.clone());
            weight_gradient(path, size, &dz, &x, &mut dw, &mut db, Update::Add(-0.5));
            for o in 0..outputs {
                close(db[o], f64::from(b[o]) - 0.5 * dot(rows, &|r| dz[r * outputs + o]));
                for i in 0..inputs {
                    let sum = dot(rows, &|r| dz[r * outputs + o] * x[r * inputs + i]);
                    close(dw[o * inputs + i], f64::from(v[o * inputs + i]) - 0.5 * sum);
                }
            }
        }
    }
}

#[test]
fn a_step_to_another_buffer_has_the_bits_of_one_in_place() {
    for size in sizes() {
        let (x, dz) = (numbers(size.x(), 1), numbers(size.z(), 2));
        let (old_w, old_b) = (numbers(size.w(), 3), numbers(size.outputs, 4));
        for path in Path::available() {
            let (mut w, mut b) = (old_w.clone(), old_b.clone());
            weight_gradient(path, size, &dz, &x, &mut w, &mut b, Update::Add(-0.37));
            let (mut new_w, mut new_b) = (std::vec![f32::NAN; size.w()], std::vec![f32::NAN; size.outputs]);
            weight_gradient_step(
                path,
                size,
                &dz,
                &x,
                Some((&old_w, &old_b)),
                Update::Add(-0.37),
                (&mut new_w, &mut new_b),
            );
            let same = |one: &[f32], other: &[f32]| one.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same(&w, &new_w) && same(&b, &new_b), "{} {size:?}", path.name());
        }
    }
}

#[test]
fn nan_goes_through_what_is_rectified_and_alignment_does_not_matter() {
    for size in sizes().filter(|size| size.rows * size.outputs > 1) {
        let (x, w, mut b) = (numbers(size.x() + 1, 1), numbers(size.w() + 1, 2), numbers(size.outputs, 3));
        let (x, w) = (&x[1..], &w[1..]);
        let (moved_x, moved_w) = (x.to_vec(), w.to_vec());
        for path in Path::available() {
            let mut panel = std::vec![0.0; panel_len(path, size.inputs) + 1];
            let (mut one, mut other) = (std::vec![0.0; size.z() + 1], std::vec![0.0; size.z()]);
            forward(path, size, x, (w, &b), true, &mut one[1..], &mut panel[1..]);
            forward(path, size, &moved_x, (&moved_w, &b), true, &mut other, &mut panel);
            assert!(one[1..].iter().zip(&other).all(|(a, b)| a.to_bits() == b.to_bits()), "{} {size:?}", path.name());
            let last = size.outputs - 1;
            let before = core::mem::replace(&mut b[last], f32::NAN);
            forward(path, size, x, (w, &b), true, &mut other, &mut panel);
            for row in other.chunks_exact(size.outputs) {
                let nan = row.iter().filter(|z| z.is_nan()).count();
                assert!(nan == 1 && row[last].is_nan(), "{} {size:?}", path.name());
            }
            b[last] = before;
        }
    }
}
