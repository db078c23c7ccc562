//! Activations, their slopes, and the derivatives of both along a direction.
//!
//! tanh is the rational function of Eigen and XNNPACK (Padé form with fitted coefficients, relative error below 4e-7, clamped at
//! ±7.9); sigmoid and silu are built on it. The scalar twin computes the same formula, so all paths agree to rounding.

use sinew_models::spec::Activation;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::vector::Vector;
use super::{Path, expect_lengths, vectors};

/// Beyond it tanh is ±1 in f32.
const TANH_LIMIT: f32 = 7.905_311;
/// Numerator, odd powers from the 13th down to the first.
const TANH_UP: [f32; 7] =
    [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_525e-3];
/// Denominator, even powers from the 6th down to the 0th.
const TANH_DOWN: [f32; 4] = [1.198_258_4e-6, 1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3];

/// Whether the second derivative is not zero everywhere: only then is the gradient at the output needed again later.
pub const fn is_curved(activation: Activation) -> bool {
    matches!(activation, Activation::Tanh | Activation::Silu | Activation::Sigmoid)
}

/// Whether the slope cannot be told from the output alone.
pub const fn needs_input(activation: Activation) -> bool {
    matches!(activation, Activation::Silu)
}

/// tanh of one value.
pub fn tanh(x: f32) -> f32 {
    // Written so that NaN goes through.
    let x = if x > TANH_LIMIT { TANH_LIMIT } else { x };
    let x = if x < -TANH_LIMIT { -TANH_LIMIT } else { x };
    let square = x * x;
    let polynomial = |coefficients: &[f32]| coefficients.iter().fold(0.0, |sum, c| sum * square + c);
    x * polynomial(&TANH_UP) / polynomial(&TANH_DOWN)
}

/// 1 / (1 + exp(−x)) of one value.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
pub fn sigmoid(x: f32) -> f32 {
    0.5 + 0.5 * tanh(0.5 * x)
}

/// Of one value z: the output a, the slope, and its derivative.
fn of(activation: Activation, z: f32) -> (f32, f32, f32) {
    match activation {
        Activation::Identity => (z, 1.0, 0.0),
        Activation::Relu => {
            let a = if 0.0 > z { 0.0 } else { z };
            (a, if z > 0.0 { 1.0 } else { 0.0 }, 0.0)
        }
        Activation::Tanh => from_output(activation, tanh(z)),
        Activation::Sigmoid => from_output(activation, sigmoid(z)),
        Activation::Silu => {
            let s = sigmoid(z);
            let bend = s * (1.0 - s);
            (z * s, s + z * bend, bend * (2.0 + z * (1.0 - 2.0 * s)))
        }
    }
}

/// The same, told from the output where that is possible.
fn from_output(activation: Activation, a: f32) -> (f32, f32, f32) {
    match activation {
        Activation::Identity => (a, 1.0, 0.0),
        Activation::Relu => (a, if a > 0.0 { 1.0 } else { 0.0 }, 0.0),
        Activation::Tanh => {
            let slope = 1.0 - a * a;
            (a, slope, -2.0 * a * slope)
        }
        Activation::Sigmoid => {
            let slope = a * (1.0 - a);
            (a, slope, slope * (1.0 - 2.0 * a))
        }
        Activation::Silu => of(activation, a),
    }
}

/// The scalar twin of [`backward_in_place`].
// One copy for all callers, to save flash.
#[inline(never)]
fn times_slope(activation: Activation, known: &[f32], d: &mut [f32]) {
    d.iter_mut().zip(known).for_each(|(d, known)| *d *= from_output(activation, *known).1);
}

/// `z` becomes `activation(z)`.
pub fn forward(path: Path, activation: Activation, z: &mut [f32]) {
    if activation == Activation::Identity {
        return;
    }
    // Contract of the generic kernel: none beyond the features.
    vectors!(
        path,
        z.iter_mut().for_each(|z| *z = of(activation, *z).0),
        forward_fast(activation: Activation = activation, z: &mut [f32] = z)
    );
}

/// `dz = da · slope`, where `known` is the output of the activation, or its input for those that [`needs_input`].
pub fn backward(path: Path, activation: Activation, known: &[f32], da: &[f32], dz: &mut [f32]) {
    expect_lengths!(known.len() == dz.len() && da.len() == dz.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            dz.iter_mut().zip(da).for_each(|(dz, da)| *dz = *da);
            times_slope(activation, known, dz);
        },
        backward_fast(activation: Activation = activation, known: &[f32] = known, da: *const f32 = da.as_ptr(), dz: &mut [f32] = dz)
    );
}

/// `d` becomes `d · slope`: [`backward`] in place.
pub fn backward_in_place(path: Path, activation: Activation, known: &[f32], d: &mut [f32]) {
    expect_lengths!(known.len() == d.len());
    if activation == Activation::Identity {
        return;
    }
    // Contract of the generic kernel: the lengths above; each value is read before it is written.
    vectors!(
        path,
        times_slope(activation, known, d),
        backward_fast(activation: Activation = activation, known: &[f32] = known, da: *const f32 = d.as_ptr(), dz: &mut [f32] = d)
    );
}

/// `rdz = rda · slope + da · bend · rz` in place of `rda`: the derivative of [`backward`].
pub fn backward_tangent(path: Path, activation: Activation, known: &[f32], da: &[f32], rz: &[f32], rd: &mut [f32]) {
    expect_lengths!(known.len() == rd.len() && da.len() == rd.len() && rz.len() == rd.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        for (((rd, da), rz), known) in rd.iter_mut().zip(da).zip(rz).zip(known) {
            let (_, slope, bend) = from_output(activation, *known);
            *rd = *rd * slope + da * bend * rz;
        },
        backward_tangent_fast(
            activation: Activation = activation,
            known: &[f32] = known,
            da: &[f32] = da,
            rz: &[f32] = rz,
            rd: &mut [f32] = rd,
        )
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn tanh_fast<V: Vector>(x: V) -> V {
    // SAFETY: the features of `V`, by the caller.
    unsafe {
        let limit = V::splat(TANH_LIMIT);
        // The limit first: where x is NaN, both give x.
        let x = V::splat(-TANH_LIMIT).max(limit.min(x));
        let square = x.mul(x);
        x.mul(polynomial(&TANH_UP, square)).div(polynomial(&TANH_DOWN, square))
    }
}

/// Horner's scheme, from the highest coefficient on.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(coefficients: &[f32; N], at: V) -> V {
    // SAFETY: the features of `V`, by the caller.
    unsafe {
        let mut sum = V::splat(coefficients[0]);
        for &coefficient in &coefficients[1..] {
            sum = sum.mul_add(at, V::splat(coefficient));
        }
        sum
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn sigmoid_fast<V: Vector>(x: V) -> V {
    // SAFETY: the features of `V`, by the caller.
    unsafe {
        let half = V::splat(0.5);
        tanh_fast(x.mul(half)).mul_add(half, half)
    }
}

/// `to[i] = value` for `i < len`, over whole vectors and then over what is left; the names before `in` are vectors at the pointers.
///
/// A macro and not a function that takes a closure: a closure does not have the features of the function around it, and a long one
/// would not be inlined into it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each {
    ($V:ident, $len:expr, $to:expr, $($name:ident in $from:expr),+ => $value:expr) => {{
        let mut at = 0;
        while at + $V::LANES <= $len {
            $(let $name = $V::load($from.add(at));)+
            $value.store($to.add(at));
            at += $V::LANES;
        }
        if at < $len {
            let left = $len - at;
            $(let $name = $V::load_first($from.add(at), left);)+
            $value.store_first($to.add(at), left);
        }
    }};
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn forward_fast<V: Vector>(activation: Activation, z: &mut [f32]) {
    let (to, len) = (z.as_mut_ptr(), z.len());
    // SAFETY: the features of `V`, by the caller; `each` stays within the slice.
    unsafe {
        let from = to.cast_const();
        match activation {
            Activation::Identity => {}
            Activation::Relu => each!(V, len, to, z in from => V::splat(0.0).max(z)),
            Activation::Tanh => each!(V, len, to, z in from => tanh_fast(z)),
            Activation::Sigmoid => each!(V, len, to, z in from => sigmoid_fast(z)),
            Activation::Silu => each!(V, len, to, z in from => z.mul(sigmoid_fast(z))),
        }
    }
}

/// `da` may be the pointer of `dz`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn backward_fast<V: Vector>(activation: Activation, known: &[f32], da: *const f32, dz: &mut [f32]) {
    let (known, to, len) = (known.as_ptr(), dz.as_mut_ptr(), dz.len());
    // SAFETY: the features of `V` and as many values behind every pointer as `dz` has, by the caller; each value is read before it
    // is written.
    unsafe {
        let one = V::splat(1.0);
        match activation {
            Activation::Identity => each!(V, len, to, d in da => d),
            Activation::Relu => each!(V, len, to, a in known, d in da => d.where_positive(a)),
            Activation::Tanh => each!(V, len, to, a in known, d in da => d.mul(one.sub(a.mul(a)))),
            Activation::Sigmoid => each!(V, len, to, a in known, d in da => d.mul(a.mul(one.sub(a)))),
            Activation::Silu => each!(V, len, to, z in known, d in da => {
                let s = sigmoid_fast(z);
                d.mul(z.mul(s.mul(one.sub(s))).add(s))
            }),
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn backward_tangent_fast<V: Vector>(
    activation: Activation,
    known: &[f32],
    da: &[f32],
    rz: &[f32],
    rd: &mut [f32],
) {
    let (known, da, rz, to, len) = (known.as_ptr(), da.as_ptr(), rz.as_ptr(), rd.as_mut_ptr(), rd.len());
    let from = to.cast_const();
    // SAFETY: the features of `V` and as many values in every slice as `rd` has, by the caller.
    unsafe {
        let (one, two) = (V::splat(1.0), V::splat(2.0));
        match activation {
            // Their slopes do not bend.
            Activation::Identity | Activation::Relu => {
                backward_fast::<V>(activation, core::slice::from_raw_parts(known, len), from, rd)
            }
            Activation::Tanh => each!(V, len, to, a in known, d in da, rz in rz, rd in from => {
                let slope = one.sub(a.mul(a));
                // rd · slope − 2 a · slope · d · rz
                slope.mul(rd.sub(two.mul(a).mul(d.mul(rz))))
            }),
            Activation::Sigmoid => each!(V, len, to, a in known, d in da, rz in rz, rd in from => {
                let slope = a.mul(one.sub(a));
                slope.mul(one.sub(two.mul(a)).mul_add(d.mul(rz), rd))
            }),
            Activation::Silu => each!(V, len, to, z in known, d in da, rz in rz, rd in from => {
                let s = sigmoid_fast(z);
                let bend = s.mul(one.sub(s));
                let second = bend.mul(z.mul_add(one.sub(two.mul(s)), two));
                rd.mul(z.mul_add(bend, s)).add(second.mul(d.mul(rz)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 5] =
        [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Sigmoid];

    fn exact(activation: Activation, z: f64) -> f64 {
        match activation {
            Activation::Identity => z,
            Activation::Relu => z.max(0.0),
            Activation::Tanh => z.tanh(),
            Activation::Silu => z / (1.0 + (-z).exp()),
            Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
        }
    }

    #[test]
    fn values_and_slopes_match_f64_on_every_path() {
        let points: [f32; 4003] = core::array::from_fn(|i| (i as f32 - 2001.0) * 0.006);
        for path in Path::available() {
            for activation in ALL {
                let mut a = points;
                forward(path, activation, &mut a);
                let known = if needs_input(activation) { points } else { a };
                let mut slope = [1.0; 4003];
                backward_in_place(path, activation, &known, &mut slope);
                for ((&z, &a), &slope) in points.iter().zip(&a).zip(&slope) {
                    let z = f64::from(z);
                    let want = exact(activation, z);
                    let error = (f64::from(a) - want).abs();
                    assert!(error <= 2e-7 * (2.0 + z.abs()), "{activation:?} {} at {z}: {a}", path.name());
                    if z.abs() > 1e-3 {
                        let h = 1e-4;
                        let want = (exact(activation, z + h) - exact(activation, z - h)) / (2.0 * h);
                        let error = (f64::from(slope) - want).abs();
                        assert!(error <= 2e-6, "{activation:?} {} slope at {z}: {slope}", path.name());
                    }
                }
            }
        }
    }

    #[test]
    fn small_arguments_keep_their_digits() {
        for x in [1e-30_f32, 1e-6, 1e-3] {
            let error = (f64::from(tanh(x)) / f64::from(x).tanh() - 1.0).abs();
            assert!(error <= 4e-7, "{x}: {error}");
        }
    }

    #[test]
    fn nan_goes_through_and_infinity_saturates() {
        for path in Path::available() {
            for activation in ALL {
                let mut a = [f32::NAN; 19];
                forward(path, activation, &mut a);
                assert!(a.iter().all(|a| a.is_nan()), "{activation:?} {}", path.name());
            }
            let mut a = [f32::INFINITY, f32::NEG_INFINITY, -0.0];
            forward(path, Activation::Tanh, &mut a);
            assert!((a[0] - 1.0).abs() <= 1e-6 && (a[1] + 1.0).abs() <= 1e-6 && a[2] == 0.0);
        }
    }

    #[test]
    fn bends_match_differences_of_slopes() {
        for activation in [Activation::Tanh, Activation::Silu, Activation::Sigmoid] {
            for i in -40..40 {
                let (z, h) = (i as f32 * 0.2 + 0.05, 1e-2);
                let want = (of(activation, z + h).1 - of(activation, z - h).1) / (2.0 * h);
                let error = (of(activation, z).2 - want).abs();
                assert!(error <= 2e-4, "{activation:?} at {z}: {error}");
            }
        }
    }
}
