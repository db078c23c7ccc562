//! Convolution of images: `z[y][x][o] = b[o] + Σ_{ky,kx,i} x[y·s + ky − p][x·s + kx − p][i] · w[o][i][ky][kx]`, its gradients, and the
//! derivatives of both along a direction (Pearlmutter 1994).
//!
//! A depthwise convolution is the same with a kernel of its own for each channel: `z[..][c] = b[c] + Σ_{ky,kx} x[..][c] · w[c][0][ky][kx]`.
//!
//! Shapes: images `[rows, height, width, channels]`; `w [outputs, channels, kernel height, kernel width]` and `b [outputs]` as in
//! PyTorch's `Conv2d` (depthwise `[channels, 1, …]`, as many groups as channels); `d…` is a gradient of the loss, `r…` a derivative along the direction `(v, vb)` in the parameters. Pixels
//! outside of the image count as 0. `scratch` has [`scratch_len`] values, whatever they are.

use sinew_models::spec::{Shape, Window};

use super::{
    Path,
    dense::Update,
    slide::{Pair, Slide},
};

/// The shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// One row of the input.
    pub input: Shape,
    /// Channels of the output.
    pub outputs: usize,
    /// The kernel, and how it moves.
    pub window: Window,
    /// One row of the output.
    pub output: Shape,
    /// Whether each channel has a kernel of its own.
    pub depthwise: bool,
}

impl Conv {
    /// A convolution of `input` with `outputs` kernels; `None` where the window has no place or there is nothing to compute.
    pub fn new(input: Shape, outputs: usize, window: Window) -> Option<Self> {
        let [height, width] = window.places(input)?;
        let output = Shape { height, width, channels: outputs };
        let new = Self { input, outputs, window, output, depthwise: false };
        (!input.is_empty() && !output.is_empty()).then_some(new)
    }

    /// A depthwise convolution of `input`; `None` as for [`Conv::new`].
    pub fn depthwise(input: Shape, window: Window) -> Option<Self> {
        Some(Self { depthwise: true, ..Self::new(input, input.channels, window)? })
    }

    /// Values of its weight.
    pub const fn weight_len(self) -> usize {
        let channels = if self.depthwise { 1 } else { self.input.channels };
        self.outputs * channels * self.window.size[0] as usize * self.window.size[1] as usize
    }

    fn slide(self) -> Option<Slide> {
        (self.outputs == self.output.channels)
            .then(|| Slide::new(self.input, self.window, self.output, self.depthwise))
            .flatten()
    }
}

/// Values of scratch that the passes below need, whatever the number of rows.
pub fn scratch_len(path: Path, conv: Conv) -> usize {
    conv.slide().map_or(0, |slide| slide.scratch_len(path))
}

/// `z = b + x ∗ w`, or what of it is above 0 if it is to be rectified.
pub fn forward(
    path: Path,
    conv: Conv,
    rows: usize,
    x: &[f32],
    (w, b): Pair<'_>,
    rectified: bool,
    z: &mut [f32],
    scratch: &mut [f32],
) {
    if let Some(slide) = conv.slide() {
        slide.outputs(path, rows, &[(x, w)], b, rectified, z, scratch);
    }
}

/// `rz = vb + x ∗ v + rx ∗ w`; `rx` is `None` where the input does not depend on the parameters.
pub fn forward_tangent(
    path: Path,
    conv: Conv,
    rows: usize,
    (x, rx): (&[f32], Option<&[f32]>),
    (w, v): Pair<'_>,
    vb: &[f32],
    rz: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(slide) = conv.slide() else { return };
    match rx {
        None => slide.outputs(path, rows, &[(x, v)], vb, false, rz, scratch),
        Some(rx) => slide.outputs(path, rows, &[(x, v), (rx, w)], vb, false, rz, scratch),
    }
}

/// `dx (+)= dz ∗ᵀ w`, the transposed convolution; and 0 where `gate`, the rectified output that `x` is, is not above 0.
pub fn input_gradient(
    path: Path,
    conv: Conv,
    rows: usize,
    (dz, w): Pair<'_>,
    gate: Option<&[f32]>,
    dx: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    if let Some(slide) = conv.slide() {
        slide.inputs(path, rows, &[(dz, w)], gate, dx, update, scratch);
    }
}

/// `rdx (+)= rdz ∗ᵀ w + dz ∗ᵀ v`; and 0 where `gate` is not above 0.
pub fn input_gradient_tangent(
    path: Path,
    conv: Conv,
    rows: usize,
    (dz, rdz): Pair<'_>,
    (w, v): Pair<'_>,
    gate: Option<&[f32]>,
    rdx: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    if let Some(slide) = conv.slide() {
        slide.inputs(path, rows, &[(rdz, w), (dz, v)], gate, rdx, update, scratch);
    }
}

/// `dw[o][i][k] (+)= Σ dz[place][o] x[pixel under tap k][i]` and `db (+)= Σ dz`, over rows and places.
pub fn weight_gradient(
    path: Path,
    conv: Conv,
    rows: usize,
    dz: &[f32],
    x: &[f32],
    dw: &mut [f32],
    db: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    if let Some(slide) = conv.slide() {
        slide.weights(path, rows, &[(dz, x)], dw, update, scratch);
        slide.biases(path, rows, dz, db, update);
    }
}

/// The same along the direction: `rdw (+)= Σ rdz x + dz rx` and `rdb (+)= Σ rdz`.
pub fn weight_gradient_tangent(
    path: Path,
    conv: Conv,
    rows: usize,
    (dz, rdz): Pair<'_>,
    (x, rx): (&[f32], Option<&[f32]>),
    rdw: &mut [f32],
    rdb: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    let Some(slide) = conv.slide() else { return };
    match rx {
        None => slide.weights(path, rows, &[(rdz, x)], rdw, update, scratch),
        Some(rx) => slide.weights(path, rows, &[(rdz, x), (dz, rx)], rdw, update, scratch),
    }
    slide.biases(path, rows, rdz, rdb, update);
}
