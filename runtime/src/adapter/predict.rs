//! The prediction of rows, which [`Adapter`](super::Adapter) and [`Predictor`](super::Predictor) share: one arithmetic, the same bits.

use sinew_models::spec::InputForm;

use super::plan::Plan;
use super::scales::Scales;
use crate::part::{part, part_mut};
use crate::reader::LengthError;
#[cfg(feature = "rules")]
use crate::{
    kernel::Path,
    rule::{recursive::Recursive, siamese},
};

/// What adaptation leaves behind for prediction, besides what the bundle says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fitted<'a> {
    /// In the layout of the bundle, `[param_len]`.
    pub params: &'a [f32],
    /// `[input_len]`; `None` without support rows.
    pub support_mean: Option<&'a [f32]>,
    #[cfg(feature = "rules")]
    pub knowledge: Knowledge<'a>,
}

/// What the rule knows beyond parameters.
#[cfg(feature = "rules")]
#[derive(Clone, Copy, Debug)]
pub(super) enum Knowledge<'a> {
    /// Nothing.
    Parameters,
    /// How sure it is, of the Bayesian rule: the state of its filter, and the noise's variance of each output.
    Posterior { filter: Recursive, state: &'a [f32], noise: &'a [f32] },
    /// Support rows to compare with: their features, `[capacity, features]`, and classes, `[capacity]`, or [`NO_CLASS`].
    Rows { features: &'a [f32], classes: &'a [f32] },
}

/// The class of a place of the ring that has none.
#[cfg(feature = "rules")]
pub(super) const NO_CLASS: f32 = -1.0;

/// What a prediction runs on: what is the same for all tasks, and scratch.
pub(super) struct Pass<'a, 'm> {
    pub plan: &'a Plan,
    pub form: InputForm,
    pub scales: &'a Scales<'m>,
    /// `[unit_rows, presented]`.
    pub presented: &'a mut [f32],
    /// Forward trace of one unit of work.
    pub forward: &'a mut [f32],
    pub panel: &'a mut [f32],
    /// What the rule needs.
    #[cfg(feature = "rules")]
    pub scratch: &'a mut [f32],
}

impl Pass<'_, '_> {
    /// Predicts `x [rows, input_len]` into `y [rows, output_len]`; with a posterior and `variance [rows, output_len]`, that too.
    pub(super) fn predict(
        self,
        fitted: &Fitted<'_>,
        x: &[f32],
        y: &mut [f32],
        mut variance: Option<&mut [f32]>,
    ) -> Result<(), LengthError> {
        let (input_len, output_len) = (self.scales.input_mean.len().max(1), self.scales.output_mean.len().max(1));
        let rows = x.len() / input_len;
        LengthError::check(rows * input_len, x.len())?;
        LengthError::check(rows * output_len, y.len())?;
        let Plan { network, frozen, .. } = self.plan;
        let most = self.plan.unit_rows.max(1);
        let norm = self.scales.norm(fitted.support_mean);
        let mut done = 0;
        while done < rows {
            // By hand, because chunks take a microcontroller more flash.
            let (begin, rows) = (done, most.min(rows - done));
            done += rows;
            let x = part(x, begin * input_len, rows * input_len);
            let y = part_mut(y, begin * output_len, rows * output_len);
            let presented = part_mut(self.presented, 0, rows * network.input_len());
            norm.present(self.form, x, presented);
            #[cfg(feature = "rules")]
            if let Knowledge::Rows { features: support, classes } = fitted.knowledge {
                network.forward_layers(0..*frozen, fitted.params, presented, rows, self.forward, self.panel);
                let features = network.features(*frozen, presented, rows, self.forward);
                similarities(self.plan, fitted.params, (support, classes), features, y, self.scratch);
                continue;
            }
            network.forward(fitted.params, presented, rows, self.forward, self.panel);
            network.outputs(self.forward, rows, y);
            for row in y.chunks_exact_mut(output_len) {
                self.scales.unscale(row);
                network.predict(row);
            }
            #[cfg(feature = "rules")]
            if let (Some(variance), Knowledge::Posterior { filter, state, noise }) = (&mut variance, &fitted.knowledge)
            {
                let features = network.features(*frozen, presented, rows, self.forward);
                let variance = part_mut(variance, begin * output_len, rows * output_len);
                let rows = features.chunks_exact(self.plan.behind().input_len().max(1));
                for (features, variance) in rows.zip(variance.chunks_exact_mut(output_len)) {
                    let factor = filter.variance_factor(state, features, self.scratch).unwrap_or(f32::INFINITY);
                    let scales = noise.iter().zip(&*self.scales.output_scale);
                    variance
                        .iter_mut()
                        .zip(scales)
                        .for_each(|(to, (noise, scale))| *to = noise * (1.0 + factor) * (scale * scale));
                }
            }
            let _ = (frozen, &mut variance);
        }
        Ok(())
    }
}

/// For each row of features the highest similarity to a known support row of each class.
#[cfg(feature = "rules")]
fn similarities(
    plan: &Plan,
    params: &[f32],
    (support, classes): (&[f32], &[f32]),
    features: &[f32],
    y: &mut [f32],
    scratch: &mut [f32],
) {
    let (len, places) = (plan.behind().input_len(), classes.len());
    let Some((_, weight, bias)) = plan.behind().linear_outputs().next() else { return };
    let (weight, bias) = (part(params, weight, len), part(params, bias, 1).first().copied().unwrap_or(f32::NAN));
    let scores = part_mut(scratch, 0, places);
    let outputs = y.len() / (features.len() / len.max(1)).max(1);
    let path: Path = plan.network.path();
    for (query, best) in features.chunks_exact(len.max(1)).zip(y.chunks_exact_mut(outputs.max(1))) {
        let scored = siamese::scores(path, query, support, weight, bias, scores);
        debug_assert!(scored);
        // A place without a class is one beyond all classes.
        let known = classes.iter().map(|class| if *class == NO_CLASS { usize::MAX } else { *class as usize });
        siamese::best_of_classes(scores, known, best);
    }
}
