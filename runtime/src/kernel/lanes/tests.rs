extern crate std;

use std::format;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::kernel::dense;
use proptest::prelude::*;

/// Numbers from a seed.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// The parameters of one task.
fn of_task(values: &[f32], lanes: usize, lane: usize) -> Vec<f32> {
    values.iter().skip(lane).step_by(lanes).copied().collect()
}

/// The activations of one task.
fn rows_of_task(path: Path, values: &[f32], count: usize, units: usize, lane: usize) -> Vec<f32> {
    let at = |row: usize| (0..units).map(move |unit| place(path, units, row, unit, lane));
    (0..count).flat_map(at).map(|at| values[at]).collect()
}

/// Activations in which rows that are left over are 0.
fn activations(path: Path, seed: u64, count: usize, units: usize) -> Vec<f32> {
    let mut values = vec![0.0; count.div_ceil(rows(path)) * units * width(path)];
    let mut from = numbers(seed, count * units * lanes(path)).into_iter();
    for (row, unit, lane) in
        (0..count).flat_map(|row| (0..units).flat_map(move |unit| (0..lanes(path)).map(move |lane| (row, unit, lane))))
    {
        values[place(path, units, row, unit, lane)] = from.next().unwrap();
    }
    values
}

fn assert_close(name: &str, got: &[f32], want: &[f32], terms: usize) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let tolerance = 1e-6 * (terms as f32 + 4.0);
        assert!((got - want).abs() <= tolerance, "{name}: {got} {want}");
    }
}

/// Every kernel gives each task what the kernels for one task give it.
fn check(path: Path, size: Size, seed: u64, shared: bool, cut: bool, add: Option<f32>) {
    let Size { rows, inputs, outputs } = size;
    let count = lanes(path);
    let each = |salt: u64, len: usize| numbers(seed ^ salt << 17, len * count);
    let acts = |salt: u64, units: usize| activations(path, seed ^ salt << 17, rows, units);
    let update = add.map_or(Update::Store, Update::Add);
    let (x, rx) = (acts(1, inputs), acts(2, inputs));
    let (dz, rd) = (acts(3, outputs), acts(4, outputs));
    let (v, vb) = (each(5, inputs * outputs), each(6, outputs));
    let (w_each, b_each) = (each(7, inputs * outputs), each(8, outputs));
    let (w_shared, b_shared) = (numbers(seed ^ 9, inputs * outputs), numbers(seed ^ 10, outputs));
    let (w, b) = if shared {
        (Numbers::Shared(&w_shared), Numbers::Shared(&b_shared))
    } else {
        (Numbers::Each(&w_each), Numbers::Each(&b_each))
    };
    let old = (acts(11, inputs), each(12, inputs * outputs), each(13, outputs));
    let (mut z, mut rz) = (acts(14, outputs), acts(15, outputs));
    forward(path, size, &x, (w, b), cut, &mut z);
    forward_tangent(path, size, (&x, Some(&rx)), (w, &v), &vb, Some(&dz), &mut rz);
    let mut first_rz = acts(16, outputs);
    forward_tangent(path, size, (&x, None), (w, &v), &vb, None, &mut first_rz);
    let (mut dx, mut rdx) = (old.0.clone(), old.0.clone());
    input_gradient(path, size, (&dz, w), Some(&rx), &mut dx, update);
    input_gradient_tangent(path, size, (&dz, &rd), (w, &v), Some(&rx), &mut rdx, update);
    let (mut dw, mut db) = (old.1.clone(), old.2.clone());
    weight_gradient(path, size, &dz, &x, &mut dw, &mut db, update);
    let (mut rdw, mut rdb) = (old.1.clone(), old.2.clone());
    weight_gradient_tangent(path, size, (&dz, &rd), (&x, Some(&rx)), &mut rdw, &mut rdb, update);
    let (mut first_rdw, mut first_rdb) = (old.1.clone(), old.2.clone());
    weight_gradient_tangent(path, size, (&dz, &rd), (&x, None), &mut first_rdw, &mut first_rdb, update);
    let (mut new_w, mut new_b) = (each(17, inputs * outputs), each(18, outputs));
    weight_gradient_step(path, size, &dz, &x, (w, b), -0.3, (&mut new_w, &mut new_b));

    for lane in 0..count {
        let one = |values: &[f32]| of_task(values, count, lane);
        let xs = |values: &[f32]| rows_of_task(path, values, rows, inputs, lane);
        let zs = |values: &[f32]| rows_of_task(path, values, rows, outputs, lane);
        let scalar = Path::SCALAR;
        let (x, rx, dz, rd, v, vb) = (xs(&x), xs(&rx), zs(&dz), zs(&rd), one(&v), one(&vb));
        let (w, b) = if shared { (w_shared.clone(), b_shared.clone()) } else { (one(&w_each), one(&b_each)) };
        let (old_x, old_w, old_b) = (xs(&old.0), one(&old.1), one(&old.2));
        let name = path.name();

        let mut want = vec![0.0; rows * outputs];
        dense::forward(scalar, size, &x, (&w, &b), cut, &mut want, &mut []);
        assert_close(&format!("forward on {name}"), &zs(&z), &want, inputs);
        dense::forward_tangent(scalar, size, (&x, Some(&rx)), (&w, &v), &vb, &mut want, &mut []);
        want.iter_mut().zip(&dz).filter(|(_, gate)| **gate <= 0.0).for_each(|(want, _)| *want = 0.0);
        assert_close(&format!("its tangent on {name}"), &zs(&rz), &want, 2 * inputs);
        dense::forward_tangent(scalar, size, (&x, None), (&w, &v), &vb, &mut want, &mut []);
        assert_close(&format!("its first tangent on {name}"), &zs(&first_rz), &want, inputs);
        let mut want = old_x.clone();
        dense::input_gradient(scalar, size, (&dz, &w), Some(&rx), &mut want, update);
        assert_close(&format!("input gradient on {name}"), &xs(&dx), &want, outputs);
        let mut want = old_x.clone();
        dense::input_gradient_tangent(scalar, size, (&dz, &rd), (&w, &v), Some(&rx), &mut want, update);
        assert_close(&format!("its tangent on {name}"), &xs(&rdx), &want, 2 * outputs);
        let (mut want, mut want_b) = (old_w.clone(), old_b.clone());
        dense::weight_gradient(scalar, size, &dz, &x, &mut want, &mut want_b, update);
        assert_close(&format!("weight gradient on {name}"), &one(&dw), &want, rows);
        assert_close(&format!("bias gradient on {name}"), &one(&db), &want_b, rows);
        for (rx, rdw, rdb) in [(Some(&rx[..]), &rdw, &rdb), (None, &first_rdw, &first_rdb)] {
            let (mut want, mut want_b) = (old_w.clone(), old_b.clone());
            dense::weight_gradient_tangent(scalar, size, (&dz, &rd), (&x, rx), &mut want, &mut want_b, update);
            assert_close(&format!("its tangent on {name}"), &one(rdw), &want, 2 * rows);
            assert_close(&format!("its bias' tangent on {name}"), &one(rdb), &want_b, rows);
        }
        let (mut want, mut want_b) = (old_w, old_b);
        dense::weight_gradient_step(scalar, size, &dz, &x, Some((&w, &b)), Update::Add(-0.3), (&mut want, &mut want_b));
        assert_close(&format!("step on {name}"), &one(&new_w), &want, rows);
        assert_close(&format!("step of the bias on {name}"), &one(&new_b), &want_b, rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn each_task_gets_what_it_gets_alone(
        rows in 1_usize..24,
        inputs in 1_usize..24,
        outputs in 1_usize..24,
        seed: u64,
        shared: bool,
        cut: bool,
        add in prop::option::of(-2.0_f32..2.0),
    ) {
        for path in Path::available() {
            check(path, Size { rows, inputs, outputs }, seed, shared, cut, add);
        }
    }
}

#[test]
fn layers_of_every_kind_of_tile() {
    for path in Path::available() {
        for (rows, inputs, outputs) in [(10, 1, 40), (10, 40, 40), (10, 40, 1), (16, 64, 64), (1, 1, 1), (3, 2, 2)] {
            check(path, Size { rows, inputs, outputs }, 5, false, true, None);
            check(path, Size { rows, inputs, outputs }, 6, true, false, Some(1.0));
        }
    }
}

#[test]
fn totals_are_over_tasks() {
    for path in Path::available() {
        for count in [1, 3, 15, 16, 17, 50] {
            let from = numbers(3, count * lanes(path));
            let mut to = vec![f32::NAN; count];
            totals(path, &from, &mut to);
            let want: Vec<f32> = from.chunks_exact(lanes(path)).map(|lanes| lanes.iter().sum()).collect();
            assert_close(path.name(), &to, &want, 16);
        }
    }
}

#[test]
fn what_is_not_a_number_stays() {
    for path in Path::available() {
        let size = Size { rows: 1, inputs: 1, outputs: 1 };
        let count = width(path);
        let mut z = vec![0.0; count];
        let mut x = vec![1.0; count];
        x[count - 1] = f32::NAN;
        forward(path, size, &x, (Numbers::Shared(&[1.0]), Numbers::Shared(&[-2.0])), true, &mut z);
        assert!(z[..count - 1].iter().all(|z| *z == 0.0) && z[count - 1].is_nan());
    }
}
