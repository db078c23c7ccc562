//! How inputs are presented to the network, and what its outputs mean in the units of the bundle.

use sinew_models::spec::InputForm;

use crate::reader::{Bundle, LengthError};

/// The scales of a bundle, in memory of the caller.
#[derive(Debug, Default)]
pub(super) struct Scales<'m> {
    pub input_mean: &'m mut [f32],
    pub input_factor: &'m mut [f32],
    pub relative_factor: &'m mut [f32],
    pub output_mean: &'m mut [f32],
    pub output_scale: &'m mut [f32],
}

impl Scales<'_> {
    pub(super) fn load(&mut self, bundle: &Bundle<'_>) -> Result<(), LengthError> {
        let Self { input_mean, input_factor, relative_factor, output_mean, output_scale } = self;
        let parts = [input_mean, input_factor, relative_factor, output_mean, output_scale];
        for (view, part) in bundle.tensors().scales().iter().zip(parts) {
            view.copy_to(part)?;
        }
        let scales = self.input_factor.iter_mut().chain(&mut *self.relative_factor);
        scales.for_each(|scale| *scale = 1.0 / *scale);
        Ok(())
    }

    /// The presentation for a task whose support inputs have this mean.
    pub(super) fn norm<'a>(&'a self, support_mean: Option<&'a [f32]>) -> Norm<'a> {
        Norm {
            mean: self.input_mean,
            factor: self.input_factor,
            relative: support_mean.unwrap_or(self.input_mean),
            relative_factor: self.relative_factor,
        }
    }

    /// Targets as the network sees them.
    pub(super) fn scaled<'a>(&'a self, y: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        let scales = self.output_mean.iter().zip(&*self.output_scale);
        y.iter().zip(scales).map(|(y, (mean, scale))| (y - mean) / scale)
    }

    /// One row of outputs in the units of the bundle, in place.
    pub(super) fn unscale(&self, row: &mut [f32]) {
        let scales = self.output_mean.iter().zip(&*self.output_scale);
        row.iter_mut().zip(scales).for_each(|(y, (mean, scale))| *y = mean + scale * *y);
    }
}

/// How input rows are presented to the first layer; factors are one over the bundle's scales.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// Mean of the training inputs.
    pub mean: &'a [f32],
    /// One over their scale.
    pub factor: &'a [f32],
    /// m: the mean of the support inputs, or of the training inputs where there is no support.
    pub relative: &'a [f32],
    /// One over the scale of x − m.
    pub relative_factor: &'a [f32],
}

impl Norm<'_> {
    /// Presents rows `x [rows, input_len]` as `form` says: `[rows, presented]`.
    pub fn present(&self, form: InputForm, x: &[f32], presented: &mut [f32]) {
        let len = self.mean.len();
        let (plain, relative) = ((self.mean, self.factor), (self.relative, self.relative_factor));
        let (first, second) = match form {
            InputForm::Plain => (plain, None),
            InputForm::Relative => (relative, None),
            InputForm::Both => (plain, Some(relative)),
        };
        let scale = |x: &[f32], (mean, factor): (&[f32], &[f32]), to: &mut [f32]| {
            to.iter_mut()
                .zip(x)
                .zip(mean.iter().zip(factor))
                .for_each(|((to, x), (mean, factor))| *to = (x - mean) * factor);
        };
        let mut parts = presented.chunks_exact_mut(len.max(1));
        for x in x.chunks_exact(len.max(1)) {
            for scales in core::iter::once(first).chain(second) {
                if let Some(to) = parts.next() {
                    scale(x, scales, to);
                }
            }
        }
    }
}
