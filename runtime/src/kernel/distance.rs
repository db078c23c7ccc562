//! Distances of one point from many: squared, and absolute with a weight for each coordinate.

use super::{Path, vectors};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{product::some, vector::Vector};

/// `to[r] = Σ_j (z_j − rows[r][j])²`, with `rows` `[to.len(), z.len()]`.
pub fn squared(path: Path, z: &[f32], rows: &[f32], to: &mut [f32]) {
    assert!(!z.is_empty() && rows.len() == z.len() * to.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        for (to, row) in to.iter_mut().zip(rows.chunks_exact(z.len())) {
            *to = row.iter().zip(z).fold(0.0, |sum, (row, z)| sum + (z - row) * (z - row));
        },
        squared_fast(z: &[f32] = z, rows: &[f32] = rows, to: &mut [f32] = to)
    );
}

/// `to[r] = Σ_j weight_j |z_j − rows[r][j]|`, with `rows` `[to.len(), z.len()]` and `weight` as long as `z`.
pub fn weighted(path: Path, z: &[f32], rows: &[f32], weight: &[f32], to: &mut [f32]) {
    assert!(!z.is_empty() && rows.len() == z.len() * to.len() && weight.len() == z.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        for (to, row) in to.iter_mut().zip(rows.chunks_exact(z.len())) {
            let terms = row.iter().zip(z).zip(weight);
            *to = terms.fold(0.0, |sum, ((row, z), weight)| sum + weight * (z - row).abs());
        },
        weighted_fast(z: &[f32] = z, rows: &[f32] = rows, weight: &[f32] = weight, to: &mut [f32] = to)
    );
}

/// `to += share · (z − to)`: a mean moves toward `z`.
pub fn approach(path: Path, z: &[f32], share: f32, to: &mut [f32]) {
    assert!(z.len() == to.len());
    // Contract of the generic kernel: none beyond the features, which let the compiler use whole vectors.
    vectors!(
        path,
        approach_plain(z, share, to),
        approach_fast(z: &[f32] = z, share: f32 = share, to: &mut [f32] = to)
    );
}

#[inline(always)]
fn approach_plain(z: &[f32], share: f32, to: &mut [f32]) {
    for (to, z) in to.iter_mut().zip(z) {
        *to += share * (z - *to);
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn approach_fast<V>(z: &[f32], share: f32, to: &mut [f32]) {
    approach_plain(z, share, to);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn squared_fast<V: Vector>(z: &[f32], rows: &[f32], to: &mut [f32]) {
    // SAFETY: the caller's contract; weights are not read.
    unsafe { sums::<V, false>(z, rows, z, to) }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn weighted_fast<V: Vector>(z: &[f32], rows: &[f32], weight: &[f32], to: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { sums::<V, true>(z, rows, weight, to) }
}

/// As many rows at a time as a vector has lanes: a vector of partial sums for each, whose lanes are summed together.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn sums<V: Vector, const WEIGHTED: bool>(z: &[f32], rows: &[f32], weight: &[f32], to: &mut [f32]) {
    let (len, count) = (z.len(), to.len());
    let (z, rows, weight, to) = (z.as_ptr(), rows.as_ptr(), weight.as_ptr(), to.as_mut_ptr());
    let mut begin = 0;
    // SAFETY: the features of `V` and the lengths, by the caller; a vector has at most 16 lanes.
    unsafe {
        while begin < count {
            let here = V::LANES.min(count - begin);
            let mut parts = [V::splat(0.0); 16];
            for (r, part) in parts.iter_mut().enumerate().take(here) {
                let row = rows.add((begin + r) * len);
                let (mut even, mut odd) = (V::splat(0.0), V::splat(0.0));
                let mut at = 0;
                while at + 2 * V::LANES <= len {
                    even = term::<V, WEIGHTED>(z, row, weight, at, 0, even);
                    odd = term::<V, WEIGHTED>(z, row, weight, at + V::LANES, 0, odd);
                    at += 2 * V::LANES;
                }
                if at + V::LANES <= len {
                    even = term::<V, WEIGHTED>(z, row, weight, at, 0, even);
                    at += V::LANES;
                }
                if at < len {
                    odd = term::<V, WEIGHTED>(z, row, weight, at, len - at, odd);
                }
                *part = even.add(odd);
            }
            let sums = V::lane_sums(&parts);
            let to = to.add(begin);
            if here == V::LANES {
                sums.store(to)
            } else {
                sums.store_first(to, here)
            }
            begin += here;
        }
    }
}

/// `sum` and what the vector at `at`, or its first `left` lanes if that is not 0, adds to it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn term<V: Vector, const WEIGHTED: bool>(
    z: *const f32,
    row: *const f32,
    weight: *const f32,
    at: usize,
    left: usize,
    sum: V,
) -> V {
    // SAFETY: the caller's contract: the lanes exist.
    unsafe {
        let apart = some::<V>(z.add(at), left).sub(some::<V>(row.add(at), left));
        if WEIGHTED {
            // Zero first, so that NaN stays.
            some::<V>(weight.add(at), left).mul_add(apart.max(V::splat(0.0).sub(apart)), sum)
        } else {
            apart.mul_add(apart, sum)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn sums_match_f64_on_every_path_and_nan_stays() {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for path in Path::available() {
            for len in (1..40).chain([64, 100]) {
                for count in [0, 1, 5, 8, 11] {
                    let z: Vec<f32> = (0..len).map(value).collect();
                    let weight: Vec<f32> = (0..len).map(|i| value(i + 77)).collect();
                    let mut rows: Vec<f32> = (0..len * count).map(|i| value(i + 500)).collect();
                    let (mut square, mut absolute) = ([9.0; 12], [9.0; 12]);
                    squared(path, &z, &rows, &mut square[..count]);
                    weighted(path, &z, &rows, &weight, &mut absolute[..count]);
                    for (r, row) in rows.chunks_exact(len).enumerate() {
                        let apart = |j: usize| f64::from(z[j]) - f64::from(row[j]);
                        let want: f64 = (0..len).map(|j| apart(j) * apart(j)).sum();
                        assert!((f64::from(square[r]) - want).abs() <= 1e-6 * len as f64, "{} {len}", path.name());
                        let want: f64 = (0..len).map(|j| f64::from(weight[j]) * apart(j).abs()).sum();
                        assert!((f64::from(absolute[r]) - want).abs() <= 1e-6 * len as f64, "{} {len}", path.name());
                    }
                    assert!(square[count..].iter().chain(&absolute[count..]).all(|untouched| *untouched == 9.0));
                    if let Some(last) = rows.last_mut() {
                        *last = f32::NAN;
                        squared(path, &z, &rows, &mut square[..count]);
                        weighted(path, &z, &rows, &weight, &mut absolute[..count]);
                        assert!(square[count - 1].is_nan() && absolute[count - 1].is_nan());
                        assert!(square[..count - 1].iter().all(|square| square.is_finite()));
                    }
                }
            }
        }
    }

    #[test]
    fn approaching_gives_the_same_bits_on_every_path() {
        for path in Path::available() {
            for len in 0..40 {
                let z: Vec<f32> = (0..len).map(|i| i as f32 * 0.3).collect();
                let mut mean: Vec<f32> = (0..len).map(|i| 2.0 - i as f32).collect();
                approach(path, &z, 0.25, &mut mean);
                let want = |i: usize| (2.0 - i as f32) + 0.25 * (i as f32 * 0.3 - (2.0 - i as f32));
                assert!((0..len).all(|i| mean[i] == want(i)), "{} {len}", path.name());
            }
        }
    }
}
