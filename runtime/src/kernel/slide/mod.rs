//! Sums over a window that slides over an image: what convolutions and depthwise convolutions have in common.
//!
//! A convolution sums over all channels of a pixel, a depthwise one keeps each channel to itself; the rest is the same. Images are
//! `[height, width, channels]`; weights are `[output channels, inner, kernel height, kernel width]` as PyTorch has them, where `inner`
//! is the number of input channels that one output channel sees.
//!
//! On a fast path each row of the batch is copied into an image with its padding around it, and the weights are packed once with
//! output channels side by side. Then every pass is the one product of [`tile`], with pixels (or taps) as its rows and channels as
//! its lanes: no matrix of patches is written out.

use sinew_models::spec::{Shape, Window};

use super::{Path, dense::Update, vectors};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{product::some, vector::Vector};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use fast::Phase;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod fast;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lines;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tile;

/// One axis of an image and of what slides along it, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub input: usize,
    pub output: usize,
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Axis {
    /// The axes along height and width; `None` where the window has no place or the output is not what it leaves.
    pub fn pair(input: Shape, window: Window, output: Shape) -> Option<[Self; 2]> {
        let places = window.places(input)?;
        let along = |axis: usize, input, output| {
            let [size, stride, padding] =
                [window.size, window.stride, window.padding].map(|pair| usize::from(pair[axis]));
            Self { input, output, size, stride, padding }
        };
        (places == [output.height, output.width])
            .then(|| [along(0, input.height, output.height), along(1, input.width, output.width)])
    }

    /// Of the window at `place`: the first tap inside the image, the pixel that it sees, and how many are inside.
    pub fn inside(self, place: usize) -> (usize, usize, usize) {
        let start = place * self.stride;
        let first = self.padding.saturating_sub(start).min(self.size);
        let end = (self.padding + self.input).saturating_sub(start).min(self.size);
        (first, (start + first).saturating_sub(self.padding), end.saturating_sub(first))
    }

    /// Who sees `pixel`: place `q − j` by tap `first + j · stride`, for `j < count`; returns `(first, q, count)`.
    fn seen(self, pixel: usize) -> (usize, usize, usize) {
        let (quotient, rest) = ((pixel + self.padding) / self.stride, (pixel + self.padding) % self.stride);
        let skip = (quotient + 1).saturating_sub(self.output);
        let end = self.size.saturating_sub(rest).div_ceil(self.stride).min(quotient + 1);
        (rest + skip * self.stride, quotient.saturating_sub(skip), end.saturating_sub(skip))
    }

    /// The places where `tap` sees a pixel: the first, the pixel there, and how many.
    fn places(self, tap: usize) -> (usize, usize, usize) {
        let first = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let end = (self.padding + self.input).saturating_sub(tap).div_ceil(self.stride).min(self.output);
        (first, (first * self.stride + tap).saturating_sub(self.padding), end.saturating_sub(first))
    }
}

/// A window that slides over an image and sums.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slide {
    axes: [Axis; 2],
    inputs: usize,
    outputs: usize,
    depthwise: bool,
}

/// The slices of one addend of a product.
pub(crate) type Pair<'a> = (&'a [f32], &'a [f32]);

impl Slide {
    /// `None` where the shapes do not fit one another.
    pub fn new(input: Shape, window: Window, output: Shape, depthwise: bool) -> Option<Self> {
        let axes = Axis::pair(input, window, output)?;
        let whole = !input.is_empty() && !output.is_empty() && (!depthwise || input.channels == output.channels);
        whole.then_some(Self { axes, inputs: input.channels, outputs: output.channels, depthwise })
    }

    /// Input channels that one output channel sees.
    const fn inner(self) -> usize {
        if self.depthwise { 1 } else { self.inputs }
    }

    const fn taps(self) -> usize {
        self.axes[0].size * self.axes[1].size
    }

    const fn weight_len(self) -> usize {
        self.outputs * self.inner() * self.taps()
    }

    const fn input_len(self) -> usize {
        self.axes[0].input * self.axes[1].input * self.inputs
    }

    const fn output_len(self) -> usize {
        self.axes[0].output * self.axes[1].output * self.outputs
    }

    /// Values of scratch that each of the passes below needs.
    pub fn scratch_len(self, path: Path) -> usize {
        match path.0 {
            super::Kind::Scalar => 0,
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => fast::scratch_len(self),
        }
    }

    /// `z = b + Σ_pairs x ∗ w`, or what of it is above 0.
    pub fn outputs(
        self,
        path: Path,
        rows: usize,
        pairs: &[Pair<'_>],
        b: &[f32],
        rectified: bool,
        z: &mut [f32],
        scratch: &mut [f32],
    ) {
        assert!(b.len() == self.outputs && z.len() == rows * self.output_len());
        assert!(pairs.iter().all(|(x, w)| x.len() == rows * self.input_len() && w.len() == self.weight_len()));
        assert!(pairs.len() <= 2 && scratch.len() >= self.scratch_len(path));
        match path.0 {
            super::Kind::Scalar => scalar::outputs(self, pairs, b, rectified, z),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => fast::outputs(self, path, pairs, b, rectified, z, scratch),
        }
    }

    /// `dx (+)= Σ_pairs` of the transposed product of `dz` and `w`; 0 where `gate` is not above 0.
    pub fn inputs(
        self,
        path: Path,
        rows: usize,
        pairs: &[Pair<'_>],
        gate: Option<&[f32]>,
        dx: &mut [f32],
        update: Update,
        scratch: &mut [f32],
    ) {
        assert!(dx.len() == rows * self.input_len() && gate.is_none_or(|gate| gate.len() == dx.len()));
        assert!(pairs.iter().all(|(dz, w)| dz.len() == rows * self.output_len() && w.len() == self.weight_len()));
        assert!(pairs.len() <= 2 && scratch.len() >= self.scratch_len(path));
        match path.0 {
            super::Kind::Scalar => scalar::inputs(self, pairs, gate, dx, update),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => fast::inputs(self, path, pairs, gate, dx, update, scratch),
        }
    }

    /// `dw (+)= Σ_pairs Σ_rows` of `dz` at each place times `x` under each tap.
    pub fn weights(
        self,
        path: Path,
        rows: usize,
        pairs: &[Pair<'_>],
        dw: &mut [f32],
        update: Update,
        scratch: &mut [f32],
    ) {
        assert!(dw.len() == self.weight_len() && pairs.len() <= 2 && scratch.len() >= self.scratch_len(path));
        assert!(pairs.iter().all(|(dz, x)| dz.len() == rows * self.output_len() && x.len() == rows * self.input_len()));
        match path.0 {
            super::Kind::Scalar => scalar::weights(self, pairs, dw, update),
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ => fast::weights(self, path, rows, pairs, dw, update, scratch),
        }
    }

    /// `db (+)= Σ_rows Σ_pixels dz`
    pub fn biases(self, path: Path, rows: usize, dz: &[f32], db: &mut [f32], update: Update) {
        assert!(db.len() == self.outputs && dz.len() == rows * self.output_len());
        // Contract of the generic kernel: the lengths above.
        vectors!(
            path,
            for (o, b) in db.iter_mut().enumerate() {
                update.apply(b, dz.iter().skip(o).step_by(self.outputs).fold(0.0, |sum, dz| sum + dz));
            },
            biases_fast(dz: &[f32] = dz, db: &mut [f32] = db, update: Update = update)
        );
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn biases_fast<V: Vector>(dz: &[f32], db: &mut [f32], update: Update) {
    let mut at = 0;
    // SAFETY: the caller checked that `dz` is whole pixels as wide as `db`; what a call sums stays within one.
    unsafe {
        while at < db.len() {
            let left = db.len() - at;
            at += if left >= V::LANES {
                channel_sums::<V>(dz, db, at, 0, update)
            } else if left >= V::Half::LANES {
                channel_sums::<V::Half>(dz, db, at, 0, update)
            } else {
                channel_sums::<V::Half>(dz, db, at, left, update)
            };
        }
    }
}

/// Sums of the channels in one vector from `at` on, or in its `left` first lanes; how many those are.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn channel_sums<V: Vector>(dz: &[f32], db: &mut [f32], at: usize, left: usize, update: Update) -> usize {
    /// Independent sums, so that none waits for the one before it.
    const SUMS: usize = 8;
    let channels = db.len();
    let (mut from, to) = (dz.as_ptr().wrapping_add(at), db.as_mut_ptr().wrapping_add(at));
    // SAFETY: the caller's contract: so many channels exist from `at` on.
    unsafe {
        let mut sums = [V::splat(0.0); SUMS];
        let mut pixels = dz.len() / channels;
        while pixels >= SUMS {
            for (m, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(some::<V>(from.add(m * channels), left));
            }
            from = from.wrapping_add(SUMS * channels);
            pixels -= SUMS;
        }
        for _ in 0..pixels {
            sums[0] = sums[0].add(some::<V>(from, left));
            from = from.wrapping_add(channels);
        }
        let mut sum = sums[0];
        for other in &sums[1..] {
            sum = sum.add(*other);
        }
        let value = match update {
            Update::Store => sum,
            Update::Add(factor) => V::splat(factor).mul_add(sum, some::<V>(to, left)),
        };
        if left == 0 { value.store(to) } else { value.store_first(to, left) }
    }
    if left == 0 { V::LANES } else { left }
}
