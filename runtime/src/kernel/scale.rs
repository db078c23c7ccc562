//! Sums of scaled vectors.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::vector::Vector;
use super::{Path, expect_lengths, vectors};

/// `to += factor · from`
pub fn add_scaled(path: Path, to: &mut [f32], factor: f32, from: &[f32]) {
    expect_lengths!(to.len() == from.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from),
        add_scaled_fast(to: &mut [f32] = to, factor: f32 = factor, from: &[f32] = from)
    );
}

/// `to −= factors ∘ from`
pub fn subtract_product(path: Path, to: &mut [f32], factors: &[f32], from: &[f32]) {
    expect_lengths!(to.len() == from.len() && to.len() == factors.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        to.iter_mut().zip(from).zip(factors).for_each(|((to, from), factor)| *to -= factor * from),
        subtract_product_fast(to: &mut [f32] = to, factors: &[f32] = factors, from: &[f32] = from)
    );
}

/// `to = from + factor · to`
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
pub fn step_from(path: Path, to: &mut [f32], factor: f32, from: &[f32]) {
    expect_lengths!(to.len() == from.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        to.iter_mut().zip(from).for_each(|(to, from)| *to = from + factor * *to),
        step_from_fast(to: &mut [f32] = to, factor: f32 = factor, from: &[f32] = from)
    );
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn step_from_fast<V: Vector>(to: &mut [f32], factor: f32, from: &[f32]) {
    let (len, to, from) = (to.len(), to.as_mut_ptr(), from.as_ptr());
    // SAFETY: the features of `V`, and as many values behind both pointers, by the caller.
    unsafe {
        let factor = V::splat(factor);
        let mut at = 0;
        while at + V::LANES <= len {
            factor.mul_add(V::load(to.add(at)), V::load(from.add(at))).store(to.add(at));
            at += V::LANES;
        }
        if at < len {
            let left = len - at;
            let sum = factor.mul_add(V::load_first(to.add(at), left), V::load_first(from.add(at), left));
            sum.store_first(to.add(at), left);
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn add_scaled_fast<V: Vector>(to: &mut [f32], factor: f32, from: &[f32]) {
    let (len, to, from) = (to.len(), to.as_mut_ptr(), from.as_ptr());
    // SAFETY: the features of `V`, and as many values behind both pointers, by the caller.
    unsafe {
        let factor = V::splat(factor);
        let mut at = 0;
        while at + V::LANES <= len {
            factor.mul_add(V::load(from.add(at)), V::load(to.add(at))).store(to.add(at));
            at += V::LANES;
        }
        if at < len {
            let left = len - at;
            let sum = factor.mul_add(V::load_first(from.add(at), left), V::load_first(to.add(at), left));
            sum.store_first(to.add(at), left);
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn subtract_product_fast<V: Vector>(to: &mut [f32], factors: &[f32], from: &[f32]) {
    let (len, to, from, factors) = (to.len(), to.as_mut_ptr(), from.as_ptr(), factors.as_ptr());
    // SAFETY: the features of `V`, and as many values behind all pointers, by the caller.
    unsafe {
        let minus = V::splat(-1.0);
        let mut at = 0;
        while at + V::LANES <= len {
            let product = minus.mul(V::load(factors.add(at)));
            product.mul_add(V::load(from.add(at)), V::load(to.add(at))).store(to.add(at));
            at += V::LANES;
        }
        if at < len {
            let left = len - at;
            let product = minus.mul(V::load_first(factors.add(at), left));
            let sum = product.mul_add(V::load_first(from.add(at), left), V::load_first(to.add(at), left));
            sum.store_first(to.add(at), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_paths_agree() {
        for path in Path::available() {
            for len in 0..70 {
                let value = |i: usize| (i * 37 % 11) as f32 - 5.0;
                let from: std::vec::Vec<f32> = (0..len).map(value).collect();
                let mut sum: std::vec::Vec<f32> = (0..len).map(|i| value(i + 3)).collect();
                add_scaled(path, &mut sum, 0.5, &from);
                assert!((0..len).all(|i| sum[i] == value(i + 3) + 0.5 * value(i)), "{} {len}", path.name());
                let before = sum.clone();
                step_from(path, &mut sum, -1.0, &before);
                assert!(sum.iter().all(|sum| *sum == 0.0), "{} {len}", path.name());
                step_from(path, &mut sum, 2.0, &before);
                subtract_product(path, &mut sum, &from, &from);
                let want = |i: usize| value(i + 3) + 0.5 * value(i) - value(i) * value(i);
                assert!((0..len).all(|i| sum[i] == want(i)), "{} {len}", path.name());
            }
        }
    }
}
