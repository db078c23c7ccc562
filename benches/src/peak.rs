//! The most f32 operations that one core does: fused multiply-adds on registers alone, as wide as the processor has them.

use std::hint::black_box;

/// Independent sums, enough to hide the latency of two units (4 or 5 cycles each) and few enough for 16 registers.
const SUMS: usize = 12;

/// The widest multiply-add of this processor.
#[derive(Clone, Copy, Debug)]
pub struct Peak(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Plain,
}

impl Peak {
    /// Asks the processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Kind::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Self(Kind::Neon);
        }
        Self(Kind::Plain)
    }

    /// What the AVX2 path is held against, where there is AVX2: a core whose AVX-512 is wider reaches about twice that.
    #[cfg(target_arch = "x86_64")]
    pub fn avx2() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(Kind::Avx2))
    }

    /// What does the multiply-adds: `avx512`, `avx2`, `neon`, or `plain` for a multiplication and an addition.
    pub const fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            Kind::Plain => "plain",
        }
    }

    const fn lanes(self) -> u64 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 8,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => 4,
            Kind::Plain => 4,
        }
    }

    /// Operations of [`Peak::run`], a multiply-add counting as 2.
    pub const fn operations(self, rounds: u32) -> u64 {
        2 * SUMS as u64 * self.lanes() * rounds as u64
    }

    /// One multiply-add in every lane of every sum, `rounds` times; one lane is returned.
    pub fn run(self, rounds: u32) -> f32 {
        match self.0 {
            // SAFETY: a `Peak` of this kind comes from a constructor that saw avx512f.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { avx512(rounds) },
            // SAFETY: a `Peak` of this kind comes from a constructor that saw avx2 and fma.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2(rounds) },
            // SAFETY: a `Peak` of this kind comes from a constructor that saw neon.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { neon(rounds) },
            Kind::Plain => plain(rounds),
        }
    }
}

/// One loop for all: black boxes keep the compiler from knowing the factors.
macro_rules! kernel {
    ($rounds:ident, $splat:expr, $multiply_add:expr) => {{
        let mut sums: [_; SUMS] = std::array::from_fn(|index| $splat(index as f32 * 0.01));
        let (factor, term) = ($splat(black_box(0.999)), $splat(black_box(0.001)));
        for _ in 0..$rounds {
            for sum in &mut sums {
                *sum = $multiply_add(*sum, factor, term);
            }
        }
        sums
    }};
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: u32) -> f32 {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_cvtss_f32, _mm512_fmadd_ps, _mm512_set1_ps};
    let sums = kernel!(rounds, |x| _mm512_set1_ps(x), |a, b, c| _mm512_fmadd_ps(a, b, c));
    _mm512_cvtss_f32(sums.into_iter().fold(_mm512_set1_ps(0.0), |a, b| _mm512_add_ps(a, b)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: u32) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps};
    let sums = kernel!(rounds, |x| _mm256_set1_ps(x), |a, b, c| _mm256_fmadd_ps(a, b, c));
    _mm256_cvtss_f32(sums.into_iter().fold(_mm256_set1_ps(0.0), |a, b| _mm256_add_ps(a, b)))
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon(rounds: u32) -> f32 {
    use std::arch::aarch64::{vaddq_f32, vdupq_n_f32, vfmaq_f32, vgetq_lane_f32};
    // `fmla` adds a product to its destination, so only sum = sum + factor · term needs no move.
    let sums = kernel!(rounds, |x| vdupq_n_f32(x), |a, b, c| vfmaq_f32(a, b, c));
    vgetq_lane_f32::<0>(sums.into_iter().fold(vdupq_n_f32(0.0), |a, b| vaddq_f32(a, b)))
}

fn plain(rounds: u32) -> f32 {
    let multiply_add = |a: [f32; 4], b: [f32; 4], c: [f32; 4]| std::array::from_fn(|lane| a[lane] * b[lane] + c[lane]);
    kernel!(rounds, |x: f32| [x; 4], multiply_add).into_iter().map(|sum| sum[0]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_what_it_says() {
        let chain = |index: usize| (0..1000).fold(index as f64 * 0.01, |sum, _| sum * 0.999 + 0.001);
        let mut peaks = vec![Peak::detect(), Peak(Kind::Plain)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            peaks.push(Peak(Kind::Avx2));
        }
        for peak in peaks {
            let want: f64 = (0..SUMS).map(chain).sum();
            // On NEON the sums are 0.01 · index + 1000 · 0.000999.
            let want = if peak.name() == "neon" { 0.66 + 12.0 * 0.999 } else { want };
            let error = (f64::from(peak.run(1000)) - want).abs();
            assert!(error <= 1e-2, "{}: {error}", peak.name());
        }
        assert_eq!(Peak(Kind::Plain).operations(10), 960);
    }
}
