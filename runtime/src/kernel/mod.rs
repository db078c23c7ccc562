//! Arithmetic on slices: every kernel has a scalar twin and, where the processor has vectors, a fast path.
//!
//! The scalar twin uses plain `+` and `*` in a fixed order, so it gives the same bits on every target. The fast paths fuse
//! multiply and add and sum in another order: they agree with the twin to rounding, and with themselves to the bit.
//! Matrices are row-major; activations are `[rows, units]`, weights `[outputs, inputs]`.

pub mod activation;
#[cfg(feature = "layers")]
pub mod arrange;
#[cfg(feature = "layers")]
pub mod conv;
pub mod dense;
#[cfg(feature = "rules")]
pub mod distance;
mod exponential;
pub mod finite;
#[cfg(feature = "lanes")]
pub mod lanes;
pub mod loss;
#[cfg(feature = "layers")]
pub mod mixture;
#[cfg(feature = "layers")]
pub mod norm;
#[cfg(feature = "layers")]
pub mod pool;
#[cfg(feature = "rules")]
pub mod rotate;
pub mod scale;
#[cfg(feature = "layers")]
pub(crate) mod slide;
#[cfg(feature = "rules")]
pub mod solve;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod product;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Which implementation of the kernels runs. A value of this type proves that the processor has what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(pub(crate) Kind);

/// The implementations of this target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Path {
    /// The deterministic reference: the same bits on every target.
    pub const SCALAR: Self = Self(Kind::Scalar);

    /// The fastest path of this processor: asked at run time with the feature `std`, else known at compile time.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Self::SCALAR)
    }

    /// All paths of this processor, the scalar one first and the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        let fast: [Option<Self>; 2] = fast();
        core::iter::once(Self::SCALAR).chain(fast.into_iter().flatten())
    }

    /// Its name: `scalar`, `avx2`, `avx512` or `neon`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// Values of the packed panel that one matrix with `inputs` columns needs.
    pub(crate) const fn panel_len(self, inputs: usize) -> usize {
        // Not used where there is no fast path.
        let _ = inputs;
        match self.0 {
            Kind::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 24 * inputs,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 48 * inputs,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => 12 * inputs,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn fast() -> [Option<Path>; 2] {
    #[cfg(feature = "std")]
    let (avx2, avx512) = {
        let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        let avx512 = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512dq");
        (avx2, avx2 && avx512)
    };
    #[cfg(not(feature = "std"))]
    let (avx2, avx512) = {
        let avx2 = cfg!(all(target_feature = "avx2", target_feature = "fma"));
        (avx2, avx2 && cfg!(all(target_feature = "avx512f", target_feature = "avx512vl", target_feature = "avx512dq")))
    };
    [avx2.then_some(Path(Kind::Avx2)), avx512.then_some(Path(Kind::Avx512))]
}

#[cfg(target_arch = "aarch64")]
fn fast() -> [Option<Path>; 2] {
    // Every aarch64 target of Rust but the soft-float ones has NEON.
    [cfg!(target_feature = "neon").then_some(Path(Kind::Neon)), None]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fast() -> [Option<Path>; 2] {
    [None, None]
}

/// Makes the entries of a kernel: one function for each path, compiled for what the path needs, and the choice among them.
///
/// `vectors!(path, scalar_expression, generic::<V>(arguments: types))` runs the scalar twin, or `generic` with the path's vector.
macro_rules! vectors {
    ($path:expr, $scalar:expr, $generic:ident($($argument:ident: $kind:ty = $value:expr),* $(,)?) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($argument: $kind),*) $(-> $result)? {
            // SAFETY: the caller keeps the contract of the generic kernel; this function has the features of the vector.
            unsafe { $generic::<crate::kernel::x86::Ymm>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq")]
        unsafe fn avx512($($argument: $kind),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $generic::<crate::kernel::x86::Zmm>($($argument),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        unsafe fn neon($($argument: $kind),*) $(-> $result)? {
            // SAFETY: as above.
            unsafe { $generic::<crate::kernel::neon::Quad>($($argument),*) }
        }
        match $path.0 {
            crate::kernel::Kind::Scalar => $scalar,
            // SAFETY: a `Path` of this kind exists only where the processor has the features; the caller of the macro
            // keeps the contract of the generic kernel.
            #[cfg(target_arch = "x86_64")]
            crate::kernel::Kind::Avx2 => unsafe { avx2($($value),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            crate::kernel::Kind::Avx512 => unsafe { avx512($($value),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            crate::kernel::Kind::Neon => unsafe { neon($($value),*) },
        }
    }};
}
pub(crate) use vectors;

/// Leaves a kernel unless the lengths of its slices are right: what is unsafe behind it relies on them, and nothing on a device may
/// panic. A build with debug assertions panics.
macro_rules! expect_lengths {
    ($right:expr) => {
        if !$right {
            debug_assert!(false, stringify!($right));
            return;
        }
    };
}
pub(crate) use expect_lengths;
