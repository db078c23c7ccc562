//! Pooling of images: the maximum or the mean of a window of each channel, and the mean of a whole channel.
//!
//! Shapes: images `[rows, height, width, channels]`; `d…` is a gradient of the loss, `r…` a derivative along a direction. As in
//! PyTorch, padding is never the maximum, counts as zeros in a mean, and covers at most half of the window; of equal maxima the
//! first one, line by line, has the gradient. Which one that was is told again from the values: no places are kept.

use sinew_models::spec::{Shape, Window};

use super::{Path, dense::Update, slide::Axis, vectors};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod fast;
#[cfg(test)]
mod tests;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use fast::{average_backward_fast, average_forward_fast, max_backward_fast, max_forward_fast, max_tangent_fast};

/// The shapes of a pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// One row of the input.
    pub input: Shape,
    /// What is pooled, and how it moves.
    pub window: Window,
    /// One row of the output.
    pub output: Shape,
}

impl Pool {
    /// A pooling of `input`; `None` where the window has no place, where its padding is more than half of it, so that a window could
    /// see no pixel, or where there is nothing to compute.
    pub fn new(input: Shape, window: Window) -> Option<Self> {
        let [height, width] = window.places(input)?;
        let pool = Self { input, window, output: Shape { height, width, channels: input.channels } };
        pool.axes().map(|_| pool)
    }

    /// Its axes, if the shapes fit one another.
    fn axes(self) -> Option<[Axis; 2]> {
        let padded = self.window.size.iter().zip(self.window.padding).all(|(size, padding)| padding <= size / 2);
        let whole = padded && !self.input.is_empty() && self.input.channels == self.output.channels;
        whole.then(|| Axis::pair(self.input, self.window, self.output)).flatten()
    }

    /// 1 / the pixels of a window, padding among them.
    fn share(self) -> f32 {
        1.0 / (f32::from(self.window.size[0]) * f32::from(self.window.size[1]))
    }

    /// Whether every pixel of the input is seen by exactly one window.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn is_tiling(self) -> bool {
        let along = |axis: Axis| axis.stride == axis.size && axis.padding == 0 && axis.output * axis.size == axis.input;
        self.axes().is_some_and(|axes| axes.into_iter().all(along))
    }
}

/// `z` = the maximum of each window of `x`; NaN where it sees one.
pub fn max_forward(path: Path, pool: Pool, rows: usize, x: &[f32], z: &mut [f32]) {
    let Some(axes) = pool.axes() else { return };
    assert!(x.len() == rows * pool.input.len() && z.len() == rows * pool.output.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        scalar(pool, axes, rows, |at, seen| {
            z[at] = seen.places().fold(f32::NEG_INFINITY, |max, i| if x[i] > max || x[i].is_nan() { x[i] } else { max });
        }),
        max_forward_fast(pool: Pool = pool, axes: [Axis; 2] = axes, rows: usize = rows, x: &[f32] = x, z: &mut [f32] = z)
    );
}

/// `rz` = `rx` where the maximum `z` of each window of `x` is.
pub fn max_tangent(path: Path, pool: Pool, rows: usize, x: &[f32], z: &[f32], rx: &[f32], rz: &mut [f32]) {
    let Some(axes) = pool.axes() else { return };
    assert!(x.len() == rows * pool.input.len() && z.len() == rows * pool.output.len());
    assert!(rx.len() == x.len() && rz.len() == z.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        scalar(pool, axes, rows, |at, seen| {
            rz[at] = seen.places().find(|&i| is_chosen(x[i], z[at])).map_or(0.0, |i| rx[i]);
        }),
        max_tangent_fast(
            pool: Pool = pool,
            axes: [Axis; 2] = axes,
            rows: usize = rows,
            x: &[f32] = x,
            z: &[f32] = z,
            rx: &[f32] = rx,
            rz: &mut [f32] = rz,
        )
    );
}

/// `dx (+)=` the gradient `dz` where the maximum `z` of each window of `x` is; and 0 where `gate`, the rectified output that `x` is, is
/// not above 0.
pub fn max_backward(
    path: Path,
    pool: Pool,
    rows: usize,
    x: &[f32],
    z: &[f32],
    dz: &[f32],
    gate: Option<&[f32]>,
    dx: &mut [f32],
    update: Update,
) {
    let Some(axes) = pool.axes() else { return };
    assert!(x.len() == rows * pool.input.len() && z.len() == rows * pool.output.len());
    assert!(dx.len() == x.len() && dz.len() == z.len() && gate.is_none_or(|gate| gate.len() == x.len()));
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            let factor = begin(update, dx);
            scalar(pool, axes, rows, |at, seen| {
                if let Some(i) = seen.places().find(|&i| is_chosen(x[i], z[at])) {
                    dx[i] += factor * dz[at];
                }
            });
            close(gate, dx);
        },
        max_backward_fast(
            pool: Pool = pool,
            axes: [Axis; 2] = axes,
            rows: usize = rows,
            x: &[f32] = x,
            z: &[f32] = z,
            dz: &[f32] = dz,
            gate: Option<&[f32]> = gate,
            dx: &mut [f32] = dx,
            update: Update = update,
        )
    );
}

/// `z` = the mean of each window of `x`. It is linear, so this is the derivative along a direction too.
pub fn average_forward(path: Path, pool: Pool, rows: usize, x: &[f32], z: &mut [f32]) {
    let Some(axes) = pool.axes() else { return };
    assert!(x.len() == rows * pool.input.len() && z.len() == rows * pool.output.len());
    let share = pool.share();
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        scalar(pool, axes, rows, |at, seen| z[at] = share * seen.places().fold(0.0, |sum, i| sum + x[i])),
        average_forward_fast(pool: Pool = pool, axes: [Axis; 2] = axes, rows: usize = rows, x: &[f32] = x, z: &mut [f32] = z)
    );
}

/// `dx (+)=` its share of `dz` for every pixel of each window; the derivative along a direction too.
pub fn average_backward(path: Path, pool: Pool, rows: usize, dz: &[f32], dx: &mut [f32], update: Update) {
    let Some(axes) = pool.axes() else { return };
    assert!(dx.len() == rows * pool.input.len() && dz.len() == rows * pool.output.len());
    // Contract of the generic kernel: the lengths above.
    vectors!(
        path,
        {
            let share = begin(update, dx) * pool.share();
            scalar(pool, axes, rows, |at, seen| seen.places().for_each(|i| dx[i] += share * dz[at]));
        },
        average_backward_fast(
            pool: Pool = pool,
            axes: [Axis; 2] = axes,
            rows: usize = rows,
            dz: &[f32] = dz,
            dx: &mut [f32] = dx,
            update: Update = update,
        )
    );
}

/// `z [rows, channels]` = the mean of each channel of `x`; the derivative along a direction too.
pub fn global_average_forward(path: Path, shape: Shape, rows: usize, x: &[f32], z: &mut [f32]) {
    assert!(x.len() == rows * shape.len() && z.len() == rows * shape.channels);
    // Contract of the generic kernel: none beyond the features, which let the compiler use whole vectors.
    vectors!(
        path,
        channel_means(shape, x, z),
        channel_means_fast(shape: Shape = shape, x: &[f32] = x, z: &mut [f32] = z)
    );
}

/// `dx (+)= dz / pixels` for each pixel of a channel; the derivative along a direction too.
pub fn global_average_backward(path: Path, shape: Shape, rows: usize, dz: &[f32], dx: &mut [f32], update: Update) {
    assert!(dx.len() == rows * shape.len() && dz.len() == rows * shape.channels);
    // Contract of the generic kernel: as above.
    vectors!(
        path,
        spread(shape, dz, dx, update),
        spread_fast(shape: Shape = shape, dz: &[f32] = dz, dx: &mut [f32] = dx, update: Update = update)
    );
}

/// Whether `x` is the maximum `z` of its window, where none before it is: where a NaN made `z`, the first pixel is as good as any.
fn is_chosen(x: f32, z: f32) -> bool {
    let below = x < z;
    !below
}

/// Clears a target that is to be stored; what each gradient is to be multiplied with.
fn begin(update: Update, dx: &mut [f32]) -> f32 {
    match update {
        Update::Store => {
            dx.fill(0.0);
            1.0
        }
        Update::Add(factor) => factor,
    }
}

/// 0 where the gate is not above 0.
fn close(gate: Option<&[f32]>, dx: &mut [f32]) {
    for (dx, gate) in dx.iter_mut().zip(gate.unwrap_or_default()) {
        *dx = if *gate > 0.0 { *dx } else { 0.0 };
    }
}

/// The values of one channel that a window sees.
#[derive(Clone, Copy)]
struct Seen {
    first: usize,
    high: usize,
    wide: usize,
    line: usize,
    pixel: usize,
}

impl Seen {
    /// Where they lie, line by line.
    fn places(self) -> impl Iterator<Item = usize> {
        let Self { first, high, wide, line, pixel } = self;
        (0..high).flat_map(move |j| (0..wide).map(move |i| first + j * line + i * pixel))
    }
}

/// Calls `visit(place in the output, what it sees)` for each value of the output.
fn scalar(pool: Pool, [down, across]: [Axis; 2], rows: usize, mut visit: impl FnMut(usize, Seen)) {
    let pixel = pool.input.channels;
    let mut at = 0;
    for row in 0..rows {
        for y in 0..down.output {
            let (_, pixel_y, high) = down.inside(y);
            for x in 0..across.output {
                let (_, pixel_x, wide) = across.inside(x);
                let corner = ((row * down.input + pixel_y) * across.input + pixel_x) * pixel;
                for channel in 0..pixel {
                    visit(at, Seen { first: corner + channel, high, wide, line: across.input * pixel, pixel });
                    at += 1;
                }
            }
        }
    }
}

#[inline(always)]
fn channel_means(shape: Shape, x: &[f32], z: &mut [f32]) {
    if shape.is_empty() {
        return;
    }
    let share = 1.0 / (shape.height * shape.width) as f32;
    for (x, z) in x.chunks_exact(shape.len()).zip(z.chunks_exact_mut(shape.channels)) {
        z.fill(0.0);
        for pixel in x.chunks_exact(shape.channels) {
            for (z, x) in z.iter_mut().zip(pixel) {
                *z += *x;
            }
        }
        for z in z {
            *z *= share;
        }
    }
}

#[inline(always)]
fn spread(shape: Shape, dz: &[f32], dx: &mut [f32], update: Update) {
    if shape.is_empty() {
        return;
    }
    let share = 1.0 / (shape.height * shape.width) as f32;
    for (dx, dz) in dx.chunks_exact_mut(shape.len()).zip(dz.chunks_exact(shape.channels)) {
        for pixel in dx.chunks_exact_mut(shape.channels) {
            for (dx, dz) in pixel.iter_mut().zip(dz) {
                update.apply(dx, share * dz);
            }
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn channel_means_fast<V>(shape: Shape, x: &[f32], z: &mut [f32]) {
    channel_means(shape, x, z);
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "the macro names a vector; the compiler finds its own")]
unsafe fn spread_fast<V>(shape: Shape, dz: &[f32], dx: &mut [f32], update: Update) {
    spread(shape, dz, dx, update);
}
