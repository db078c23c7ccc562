//! The passes of layer normalisation, with `LANES` partial sums.

use sinew_models::spec::Shape;

use super::{Known, Pair};
use crate::kernel::dense::Update;
use crate::part::part;

/// What is added to the variance.
const EPSILON: f32 = 1e-5;

/// Adds `term` of each pair to sums side by side: the n-th to sum n modulo LANES.
#[inline(always)]
fn add_up<const LANES: usize>(sums: &mut [f32; LANES], a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(*a, *b);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += term(*a, *b);
    }
}

/// `Σ term(a, b)` over a row.
#[inline(always)]
fn sum_over<const LANES: usize>(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    add_up(&mut sums, a, b, term);
    sums.iter().sum()
}

/// `Σ w[c] · term(a, b)` over a row.
#[inline(always)]
fn weighted<const LANES: usize>(w: &[f32], a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (w_chunks, w_rest) = w.as_chunks::<LANES>();
    for (a, b) in a.chunks_exact(w.len()).zip(b.chunks_exact(w.len())) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for ((a, b), w) in a.iter().zip(b).zip(w_chunks) {
            for (((sum, a), b), w) in sums.iter_mut().zip(a).zip(b).zip(w) {
                *sum += w * term(*a, *b);
            }
        }
        for (((sum, a), b), w) in sums.iter_mut().zip(a_rest).zip(b_rest).zip(w_rest) {
            *sum += w * term(*a, *b);
        }
    }
    sums.iter().sum()
}

/// What a row is normalised with, and how that changes along a direction.
#[derive(Clone, Copy)]
struct Row<'a> {
    x: &'a [f32],
    rx: Option<&'a [f32]>,
    /// 1 / values of the row.
    share: f32,
    mean: f32,
    /// 1 / √(variance + ε)
    slope: f32,
    /// The mean of `rx`.
    shift: f32,
    /// The mean of `rx h`.
    along: f32,
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn new<const LANES: usize>(x: &'a [f32], rx: Option<&'a [f32]>) -> Self {
        let share = 1.0 / x.len() as f32;
        let rough = share * sum_over::<LANES>(x, x, |x, _| x);
        // What rounding left out of a mean that is large beside the deviations.
        let mean = rough + share * sum_over::<LANES>(x, x, |x, _| x - rough);
        let variance = share * sum_over::<LANES>(x, x, |x, _| (x - mean) * (x - mean));
        let slope = 1.0 / libm::sqrtf(variance + EPSILON);
        let mut row = Self { x, rx, share, mean, slope, shift: 0.0, along: 0.0 };
        if let Some(rx) = rx {
            row.shift = share * sum_over::<LANES>(rx, rx, |rx, _| rx);
            row.along = share * sum_over::<LANES>(x, rx, |x, rx| row.normal(x) * rx);
        }
        row
    }

    /// h
    #[inline(always)]
    fn normal(&self, x: f32) -> f32 {
        (x - self.mean) * self.slope
    }

    /// rh
    #[inline(always)]
    fn change(&self, h: f32, rx: f32) -> f32 {
        self.slope * (rx - self.shift - h * self.along)
    }
}

/// A row of an input. A function and no iterator: its closure would not be compiled for the processor's vectors.
#[inline(always)]
fn row_of<'a, const LANES: usize>(len: usize, (x, rx): Known<'a>, number: usize) -> Row<'a> {
    Row::new::<LANES>(part(x, number * len, len), rx.map(|rx| part(rx, number * len, len)))
}

/// `z = v h + vb`, and `+ w rh` where the input changes.
#[inline(always)]
pub(super) fn outputs<const LANES: usize>(shape: Shape, x: Known<'_>, (w, v): Pair<'_>, vb: &[f32], z: &mut [f32]) {
    let (len, channels) = (shape.len().max(1), shape.channels.max(1));
    for (number, z) in z.chunks_exact_mut(len).enumerate() {
        let row = row_of::<LANES>(len, x, number);
        for (x, z) in row.x.chunks_exact(channels).zip(z.chunks_exact_mut(channels)) {
            for (((z, x), v), vb) in z.iter_mut().zip(x).zip(v).zip(vb) {
                *z = row.normal(*x) * v + vb;
            }
        }
        let Some(rx) = row.rx else { continue };
        let pixels = row.x.chunks_exact(channels).zip(rx.chunks_exact(channels));
        for ((x, rx), z) in pixels.zip(z.chunks_exact_mut(channels)) {
            for (((z, x), rx), w) in z.iter_mut().zip(x).zip(rx).zip(w) {
                *z += w * row.change(row.normal(*x), *rx);
            }
        }
    }
}

/// `dx (+)= slope · (g − mean(g) − h mean(g h))` with `g = w dz`.
#[inline(always)]
pub(super) fn inputs<const LANES: usize>(
    shape: Shape,
    x: &[f32],
    dz: &[f32],
    w: &[f32],
    dx: &mut [f32],
    update: Update,
) {
    let (len, channels) = (shape.len().max(1), shape.channels.max(1));
    for (number, (dz, dx)) in dz.chunks_exact(len).zip(dx.chunks_exact_mut(len)).enumerate() {
        let row = row_of::<LANES>(len, (x, None), number);
        let mean = row.share * weighted::<LANES>(w, dz, dz, |dz, _| dz);
        let along = row.share * weighted::<LANES>(w, dz, row.x, |dz, x| dz * row.normal(x));
        let pixels = row.x.chunks_exact(channels).zip(dz.chunks_exact(channels));
        for ((x, dz), dx) in pixels.zip(dx.chunks_exact_mut(channels)) {
            for (((dx, x), dz), w) in dx.iter_mut().zip(x).zip(dz).zip(w) {
                update.apply(dx, row.slope * (w * dz - mean - row.normal(*x) * along));
            }
        }
    }
}

/// The derivative of [`inputs`], by the product rule: the slope changes by `−slope² mean(rx h)`, and what it multiplies by
/// `rg − mean(rg) − rh mean(g h) − h r(mean(g h))` with `rg = w rdz + v dz`.
#[inline(always)]
pub(super) fn input_tangents<const LANES: usize>(
    shape: Shape,
    x: Known<'_>,
    (dz, rdz): Pair<'_>,
    (w, v): Pair<'_>,
    rdx: &mut [f32],
    update: Update,
) {
    let (len, channels) = (shape.len().max(1), shape.channels.max(1));
    let rows = dz.chunks_exact(len).zip(rdz.chunks_exact(len)).zip(rdx.chunks_exact_mut(len));
    for (number, ((dz, rdz), rdx)) in rows.enumerate() {
        let row = row_of::<LANES>(len, x, number);
        let share = row.share;
        let mean = share * weighted::<LANES>(w, dz, dz, |dz, _| dz);
        let along = share * weighted::<LANES>(w, dz, row.x, |dz, x| dz * row.normal(x));
        let r_mean = share * (weighted::<LANES>(w, rdz, rdz, |rdz, _| rdz) + weighted::<LANES>(v, dz, dz, |dz, _| dz));
        let mut r_along = share
            * (weighted::<LANES>(w, rdz, row.x, |rdz, x| rdz * row.normal(x))
                + weighted::<LANES>(v, dz, row.x, |dz, x| dz * row.normal(x)));
        if let Some(rx) = row.rx {
            let product = share * weighted::<LANES>(w, dz, rx, |dz, rx| dz * (rx - row.shift));
            r_along += row.slope * (product - row.along * along);
        }
        let r_slope = -row.slope * row.slope * row.along;
        // Without a change of the input the last factor of `rh` is 0, whatever stands in for `rx`.
        let (rx, change) = row.rx.map_or((row.x, 0.0), |rx| (rx, 1.0));
        let pixels = row.x.chunks_exact(channels).zip(rx.chunks_exact(channels));
        let pixels = pixels.zip(dz.chunks_exact(channels).zip(rdz.chunks_exact(channels)));
        for (((x, rx), (dz, rdz)), rdx) in pixels.zip(rdx.chunks_exact_mut(channels)) {
            let values = x.iter().zip(rx).zip(dz.iter().zip(rdz)).zip(w.iter().zip(v));
            for ((((x, rx), (dz, rdz)), (w, v)), rdx) in values.zip(rdx) {
                let h = row.normal(*x);
                let rh = change * row.change(h, *rx);
                let plain = w * dz - mean - h * along;
                let changed = w * rdz + v * dz - r_mean - rh * along - h * r_along;
                update.apply(rdx, r_slope * plain + row.slope * changed);
            }
        }
    }
}

/// `dw (+)= Σ rdz h`, and `+ dz rh` where the input changes; `db (+)= Σ rdz`.
#[inline(always)]
pub(super) fn weights<const LANES: usize>(
    shape: Shape,
    x: Known<'_>,
    (dz, rdz): Pair<'_>,
    dw: &mut [f32],
    db: &mut [f32],
    update: Update,
) {
    let factor = match update {
        Update::Store => {
            dw.fill(0.0);
            db.fill(0.0);
            1.0
        }
        Update::Add(factor) => factor,
    };
    let (len, channels) = (shape.len().max(1), shape.channels.max(1));
    for (number, (dz, rdz)) in dz.chunks_exact(len).zip(rdz.chunks_exact(len)).enumerate() {
        let row = row_of::<LANES>(len, x, number);
        for (x, rdz) in row.x.chunks_exact(channels).zip(rdz.chunks_exact(channels)) {
            for (((dw, db), x), rdz) in dw.iter_mut().zip(&mut *db).zip(x).zip(rdz) {
                *dw += factor * rdz * row.normal(*x);
                *db += factor * rdz;
            }
        }
        let Some(rx) = row.rx else { continue };
        let pixels = row.x.chunks_exact(channels).zip(rx.chunks_exact(channels)).zip(dz.chunks_exact(channels));
        for ((x, rx), dz) in pixels {
            for (((dw, x), rx), dz) in dw.iter_mut().zip(x).zip(rx).zip(dz) {
                *dw += factor * dz * row.change(row.normal(*x), *rx);
            }
        }
    }
}
