//! From the units of a world to what a network sees, and back: statistics of the training tasks.

use sinew_models::spec::{InputForm, NetworkSpec};
use sinew_runtime::adapter::Norm;

use crate::engine::{Rows, TaskRows};
use crate::episode::{Episode, Samples};

/// Scales smaller than this part of the largest are taken for a column that does not vary, and left at 1.
const CONSTANT: f64 = 1e-9;

/// The scales that go into a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// How rows are presented.
    pub form: InputForm,
    /// Mean of the training inputs: `[input]`.
    pub input_mean: Vec<f32>,
    /// Their standard deviation: `[input]`.
    pub input_scale: Vec<f32>,
    /// Root mean square of x − m: `[input]`.
    pub relative_scale: Vec<f32>,
    /// Mean of the training targets; 0 for classes: `[output]`.
    pub output_mean: Vec<f32>,
    /// Their standard deviation; 1 for classes: `[output]`.
    pub output_scale: Vec<f32>,
    /// The median and the 99th percentile, over training tasks, of the mean square of the support inputs' plain presentation; `None` if
    /// it is not known.
    pub novelty: Option<[f32; 2]>,
}

/// Sums from which a mean and a standard deviation follow, column by column.
#[derive(Clone, Debug)]
struct Moments {
    counts: Vec<f64>,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(columns: usize) -> Self {
        Self { counts: vec![0.0; columns], sums: vec![0.0; columns], squares: vec![0.0; columns] }
    }

    fn add(&mut self, row: impl Iterator<Item = f64>) {
        let columns = self.counts.iter_mut().zip(&mut self.sums).zip(&mut self.squares);
        // A label that is missing is NaN.
        for (((count, sum), square), value) in columns.zip(row).filter(|(_, value)| !value.is_nan()) {
            *count += 1.0;
            *sum += value;
            *square += value * value;
        }
    }

    fn means(&self) -> Vec<f32> {
        self.sums.iter().zip(&self.counts).map(|(sum, count)| (sum / count.max(1.0)) as f32).collect()
    }

    /// Standard deviations, about the mean or about 0.
    fn scales(&self, about_mean: bool) -> Vec<f32> {
        let columns = self.sums.iter().zip(&self.squares).zip(&self.counts);
        let scale = |((sum, square), count): ((&f64, &f64), &f64)| {
            let count = count.max(1.0);
            let (mean, square) = (sum / count, square / count);
            let variance = if about_mean { square - mean * mean } else { square };
            let floor = CONSTANT * (1.0 + square.sqrt());
            if variance.sqrt() > floor { variance.sqrt() as f32 } else { 1.0 }
        };
        columns.map(scale).collect()
    }
}

impl Scaling {
    /// No scaling: means 0 and scales 1.
    pub fn none(network: &NetworkSpec) -> Self {
        let (inputs, outputs) = (network.input.len, network.output_len());
        Self {
            form: network.input.form,
            input_mean: vec![0.0; inputs],
            input_scale: vec![1.0; inputs],
            relative_scale: vec![1.0; inputs],
            output_mean: vec![0.0; outputs],
            output_scale: vec![1.0; outputs],
            novelty: None,
        }
    }

    /// Scales from the rows of training episodes. Targets of classes stay as they are.
    pub fn of<'e>(network: &NetworkSpec, episodes: impl Iterator<Item = &'e Episode> + Clone) -> Self {
        let (inputs, outputs) = (network.input.len, network.output_len());
        let (mut input, mut relative, mut output) = (Moments::new(inputs), Moments::new(inputs), Moments::new(outputs));
        for episode in episodes.clone() {
            let mean = support_mean(&episode.support);
            for samples in [&episode.support, &episode.query] {
                for row in 0..samples.rows {
                    let x = samples.input(row);
                    input.add(x.iter().map(|x| f64::from(*x)));
                    if let Some(mean) = &mean {
                        relative.add(x.iter().zip(mean).map(|(x, m)| f64::from(x - m)));
                    }
                    output.add(samples.target(row).iter().map(|y| f64::from(*y)));
                }
            }
        }
        let mut scaling = Self {
            form: network.input.form,
            input_mean: input.means(),
            input_scale: input.scales(true),
            relative_scale: relative.scales(false),
            output_mean: output.means(),
            output_scale: output.scales(true),
            novelty: None,
        };
        let mut scores: Vec<f64> = episodes.filter_map(|episode| scaling.score(&episode.support)).collect();
        scores.sort_by(f64::total_cmp);
        let at = |share: f64| scores.get((share * (scores.len().saturating_sub(1)) as f64).round() as usize);
        scaling.novelty = at(0.5).zip(at(0.99)).map(|(median, limit)| [*median as f32, *limit as f32]);
        let classes = network.heads.iter().flat_map(|head| (0..head.outputs()).map(|_| head.loss.is_classification()));
        for (column, _) in classes.enumerate().filter(|(_, is_class)| *is_class) {
            scaling.output_mean[column] = 0.0;
            scaling.output_scale[column] = 1.0;
        }
        scaling
    }

    /// The same for a rule whose predictions have `outputs` values where the network has others: they are classes.
    pub fn for_outputs(mut self, outputs: usize) -> Self {
        if self.output_len() != outputs {
            (self.output_mean, self.output_scale) = (vec![0.0; outputs], vec![1.0; outputs]);
        }
        self
    }

    /// The mean square of the plain presentation of some inputs: how far they are from those of training. `None` without rows.
    fn score(&self, samples: &Samples) -> Option<f64> {
        let scales = || self.input_mean.iter().zip(&self.input_scale);
        let squares = (0..samples.rows).flat_map(|row| {
            samples.input(row).iter().zip(scales()).map(|(x, (mean, scale))| {
                let z = f64::from((x - mean) / scale);
                z * z
            })
        });
        let values = samples.rows * self.input_len();
        (values > 0).then(|| squares.sum::<f64>() / values as f64)
    }

    /// Values in one row of inputs.
    pub fn input_len(&self) -> usize {
        self.input_mean.len()
    }

    /// Values in one row of targets.
    pub fn output_len(&self) -> usize {
        self.output_mean.len()
    }

    /// Presents rows of inputs as the device does, relative to `mean` (the mean of the support inputs).
    pub fn present(&self, mean: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
        let inverse = |scales: &[f32]| -> Vec<f32> { scales.iter().map(|scale| 1.0 / scale).collect() };
        let (factor, relative_factor) = (inverse(&self.input_scale), inverse(&self.relative_scale));
        let norm = Norm {
            mean: &self.input_mean,
            factor: &factor,
            relative: mean.unwrap_or(&self.input_mean),
            relative_factor: &relative_factor,
        };
        let parts = if self.form == InputForm::Both { 2 } else { 1 };
        let mut presented = vec![0.0; x.len() * parts];
        norm.present(self.form, x, &mut presented);
        presented
    }

    /// Targets as the network sees them.
    pub fn scale_targets(&self, y: &[f32]) -> Vec<f32> {
        let scales = self.output_mean.iter().zip(&self.output_scale).cycle();
        y.iter().zip(scales).map(|(y, (mean, scale))| (y - mean) / scale).collect()
    }

    /// An episode as the engine takes it.
    pub fn task_rows(&self, episode: &Episode) -> TaskRows {
        let mean = support_mean(&episode.support);
        let rows = |samples: &Samples| Rows {
            x: self.present(mean.as_deref(), &samples.inputs),
            y: self.scale_targets(&samples.targets),
            rows: samples.rows,
        };
        TaskRows { support: rows(&episode.support), query: rows(&episode.query) }
    }
}

/// The mean of the support inputs, summed as the device sums it; `None` where there are none.
pub fn support_mean(support: &Samples) -> Option<Vec<f32>> {
    if support.rows == 0 {
        return None;
    }
    let mut mean = vec![0.0; support.input_len()];
    for row in support.inputs.chunks_exact(mean.len()) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x);
    }
    let share = 1.0 / support.rows as f32;
    mean.iter_mut().for_each(|mean| *mean *= share);
    Some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sinew_models::networks;
    use sinew_models::spec::{Activation, Loss};

    #[test]
    fn scales_are_those_of_the_rows() {
        let network = networks::mlp(2, InputForm::Both, &[3], Activation::Relu, "y", 1, Loss::MeanSquared).unwrap();
        let mut episode = Episode::default();
        episode.support.push(&[1.0, 7.0], &[10.0]);
        episode.support.push(&[3.0, 7.0], &[14.0]);
        episode.query.push(&[5.0, 7.0], &[12.0]);
        let scaling = Scaling::of(&network, [episode.clone()].iter());
        assert_eq!(scaling.input_mean, [3.0, 7.0]);
        assert!((scaling.input_scale[0] - (8.0_f32 / 3.0).sqrt()).abs() <= 1e-6);
        assert_eq!(scaling.input_scale[1], 1.0, "a column that does not vary");
        // Relative to m = 2: −1, 1 and 3.
        assert!((scaling.relative_scale[0] - (11.0_f32 / 3.0).sqrt()).abs() <= 1e-6);
        let rows = scaling.task_rows(&episode);
        assert_eq!((rows.support.rows, rows.support.x.len(), rows.query.x.len()), (2, 8, 4));
        assert!((rows.query.x[2] - 3.0 / scaling.relative_scale[0]).abs() <= 1e-6);
        assert!(rows.query.y[0].abs() <= 1e-6);
        // A label that is missing changes nothing, and stays missing.
        episode.query.push(&[5.0, 7.0], &[f32::NAN]);
        let lacking = Scaling::of(&network, [episode.clone()].iter());
        assert_eq!((&lacking.output_mean, &lacking.output_scale), (&scaling.output_mean, &scaling.output_scale));
        assert!(lacking.task_rows(&episode).query.y[1].is_nan());
    }
}
