//! Layer normalisation (Ba, Kiros, Hinton 2016): each row to mean 0 and variance 1, then a weight and a bias for each channel.
//!
//! `z = w h + b` with `h = (x − mean) / √(variance + ε)` over all values of the row, never over other rows: PyTorch's `LayerNorm` of a
//! vector and `GroupNorm` with one group of an image. Shapes: `x`, `z` `[rows, height, width, channels]`; `w`, `b` `[channels]`; `d…` is a
//! gradient of the loss, `r…` a derivative along the direction `(v, vb)` in the parameters. Mean and variance are made anew from `x`
//! in each pass, the variance from the deviations, so that a large mean does not drown it.
//!
//! Each pass is written once: the scalar path runs it with one sum after the other, a fast path is compiled for the processor's
//! vectors and keeps 16 partial sums side by side.

use sinew_models::spec::Shape;

use super::{Path, dense::Update, vectors};

mod passes;
#[cfg(test)]
mod tests;

use passes::{input_tangents, inputs, outputs, weights};

/// Partial sums of a fast path.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const LANES: usize = 16;

/// The slices of one pair of values.
type Pair<'a> = (&'a [f32], &'a [f32]);

/// Values and, if they depend on the parameters, their derivatives along the direction.
type Known<'a> = (&'a [f32], Option<&'a [f32]>);

/// `z = w h + b`
pub fn forward(path: Path, shape: Shape, rows: usize, x: &[f32], (w, b): Pair<'_>, z: &mut [f32]) {
    assert!(x.len() == rows * shape.len() && z.len() == x.len() && w.len() == shape.channels && b.len() == w.len());
    run_outputs(path, shape, (x, None), (w, w), b, z);
}

/// `rz = v h + w rh + vb`; `rx` is `None` where the input does not depend on the parameters.
pub fn forward_tangent(
    path: Path,
    shape: Shape,
    rows: usize,
    (x, rx): Known<'_>,
    (w, v): Pair<'_>,
    vb: &[f32],
    rz: &mut [f32],
) {
    assert!(x.len() == rows * shape.len() && rz.len() == x.len() && rx.is_none_or(|rx| rx.len() == x.len()));
    assert!(w.len() == shape.channels && v.len() == w.len() && vb.len() == w.len());
    run_outputs(path, shape, (x, rx), (w, v), vb, rz);
}

fn run_outputs(path: Path, shape: Shape, x: Known<'_>, w: Pair<'_>, b: &[f32], z: &mut [f32]) {
    // Contract of the generic kernel: none beyond the features.
    vectors!(
        path,
        outputs::<1>(shape, x, w, b, z),
        outputs_fast(shape: Shape = shape, x: Known<'_> = x, w: Pair<'_> = w, b: &[f32] = b, z: &mut [f32] = z)
    );
}

/// `dx (+)= (g − mean(g) − h mean(g h)) / √(variance + ε)` with `g = w dz`.
pub fn input_gradient(
    path: Path,
    shape: Shape,
    rows: usize,
    x: &[f32],
    dz: &[f32],
    w: &[f32],
    dx: &mut [f32],
    update: Update,
) {
    assert!(x.len() == rows * shape.len() && dz.len() == x.len() && dx.len() == x.len() && w.len() == shape.channels);
    // Contract of the generic kernel: none beyond the features.
    vectors!(
        path,
        inputs::<1>(shape, x, dz, w, dx, update),
        inputs_fast(
            shape: Shape = shape,
            x: &[f32] = x,
            dz: &[f32] = dz,
            w: &[f32] = w,
            dx: &mut [f32] = dx,
            update: Update = update,
        )
    );
}

/// The derivative of [`input_gradient`] along the direction.
pub fn input_gradient_tangent(
    path: Path,
    shape: Shape,
    rows: usize,
    (x, rx): Known<'_>,
    (dz, rdz): Pair<'_>,
    (w, v): Pair<'_>,
    rdx: &mut [f32],
    update: Update,
) {
    assert!(x.len() == rows * shape.len() && rx.is_none_or(|rx| rx.len() == x.len()) && rdx.len() == x.len());
    assert!(dz.len() == x.len() && rdz.len() == x.len() && w.len() == shape.channels && v.len() == w.len());
    // Contract of the generic kernel: none beyond the features.
    vectors!(
        path,
        input_tangents::<1>(shape, (x, rx), (dz, rdz), (w, v), rdx, update),
        input_tangents_fast(
            shape: Shape = shape,
            x: Known<'_> = (x, rx),
            dz: Pair<'_> = (dz, rdz),
            w: Pair<'_> = (w, v),
            rdx: &mut [f32] = rdx,
            update: Update = update,
        )
    );
}

/// `dw (+)= Σ dz h` and `db (+)= Σ dz`, over rows and pixels.
pub fn weight_gradient(
    path: Path,
    shape: Shape,
    rows: usize,
    x: &[f32],
    dz: &[f32],
    dw: &mut [f32],
    db: &mut [f32],
    update: Update,
) {
    assert!(x.len() == rows * shape.len() && dz.len() == x.len() && dw.len() == shape.channels);
    assert!(db.len() == dw.len());
    run_weights(path, shape, (x, None), (dz, dz), dw, db, update);
}

/// The same along the direction: `rdw (+)= Σ rdz h + dz rh` and `rdb (+)= Σ rdz`.
pub fn weight_gradient_tangent(
    path: Path,
    shape: Shape,
    rows: usize,
    (x, rx): Known<'_>,
    (dz, rdz): Pair<'_>,
    rdw: &mut [f32],
    rdb: &mut [f32],
    update: Update,
) {
    assert!(x.len() == rows * shape.len() && rx.is_none_or(|rx| rx.len() == x.len()) && dz.len() == x.len());
    assert!(rdz.len() == x.len() && rdw.len() == shape.channels && rdb.len() == rdw.len());
    run_weights(path, shape, (x, rx), (dz, rdz), rdw, rdb, update);
}

fn run_weights(path: Path, shape: Shape, x: Known<'_>, dz: Pair<'_>, dw: &mut [f32], db: &mut [f32], update: Update) {
    // Contract of the generic kernel: none beyond the features.
    vectors!(
        path,
        weights::<1>(shape, x, dz, dw, db, update),
        weights_fast(
            shape: Shape = shape,
            x: Known<'_> = x,
            dz: Pair<'_> = dz,
            dw: &mut [f32] = dw,
            db: &mut [f32] = db,
            update: Update = update,
        )
    );
}

/// The fast twin of a pass: the same, with many sums at once.
macro_rules! fast {
    ($name:ident = $pass:ident($($argument:ident: $kind:ty),*)) => {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        #[inline(always)]
        #[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
        unsafe fn $name<V>($($argument: $kind),*) {
            $pass::<LANES>($($argument),*);
        }
    };
}

fast!(outputs_fast = outputs(shape: Shape, x: Known<'_>, w: Pair<'_>, b: &[f32], z: &mut [f32]));
fast!(inputs_fast = inputs(shape: Shape, x: &[f32], dz: &[f32], w: &[f32], dx: &mut [f32], update: Update));
fast!(
    input_tangents_fast =
        input_tangents(shape: Shape, x: Known<'_>, dz: Pair<'_>, w: Pair<'_>, rdx: &mut [f32], update: Update)
);
fast!(
    weights_fast =
        weights(shape: Shape, x: Known<'_>, dz: Pair<'_>, dw: &mut [f32], db: &mut [f32], update: Update)
);
