//! Cross-stitch units: Misra, Shrivastava, Gupta, Hebert, *Cross-stitch networks for multi-task learning* (2016), equation 1.
//!
//! A tower for each job, side by side, all of which take the input. Into every later layer of tower t goes Σ_k α_tk x_k, a mixture of what
//! the layers before it of all T towers put out, with an α `[T, T]` of its own for each layer; and so into the head of job t. With the weight W_t of
//! that layer it is W_t Σ_k α_tk x_k = Σ_k (α_tk W_t) x_k: **a dense layer over all towers whose block (t, k) is α_tk W_t**, which is the network
//! that is trained, exported and run. α is one number for a whole tower. The paper begins
//! with values near 1 for the tower itself and near 0 for the others, and lets α learn faster than weights (`train.rate_outer_rate`).
//!
//! φ has W_t in block (t, t) and zeros in the others, and α as what mixes.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::layout::PlacedLayer;
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::spec::{Layer, NetworkSpec, SpecError};

use super::{Architecture, Learned, Unfit, backbone, field, layers_of};

/// What a configuration says of it, `kind = "cross_stitch"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// α_tt at the beginning; those of the other towers share what is left of 1.
    #[serde(default = "mostly")]
    pub own: f64,
}

fn mostly() -> f64 {
    0.9
}

impl Settings {
    pub(super) fn check(&self, plan: &Plan<'_>) -> Result<(), Unfit> {
        field("learner.architecture.own", "a number from 0 to 1", self.own, (0.0..=1.0).contains(&self.own))?;
        field("network.hidden", "the widths of a tower, at least one", plan.hidden, !plan.hidden.is_empty())
    }
}

/// The network of a plan for one tower: every layer is as wide as all towers together.
pub(super) fn network(plan: &Plan<'_>, heads: &[HeadPlan<'_>]) -> Result<NetworkSpec, SpecError> {
    let hidden: Vec<_> = plan.hidden.iter().map(|width| width.saturating_mul(heads.len())).collect();
    Plan { hidden: &hidden, ..*plan }.network(heads)
}

/// What one tower, or its head, has in a layer that takes all towers.
#[derive(Clone, Debug)]
struct Stitched {
    tower: usize,
    /// Its rows of the weight, `[rows, towers, width]`.
    weight: Range<usize>,
    bias: Range<usize>,
    /// Values of one tower.
    width: usize,
    /// Its row of α.
    mixing: Range<usize>,
}

/// Towers that mix.
#[derive(Clone, Debug)]
pub struct CrossStitch {
    own: f64,
    towers: usize,
    stitched: Vec<Stitched>,
    /// Layers that are stitched, each with an α.
    units: usize,
    shared: [Range<usize>; 1],
}

impl CrossStitch {
    /// Of `network`, whose last layers before the heads are dense and as wide as all towers.
    #[must_use]
    pub fn new(network: &NetworkSpec, settings: Settings) -> Self {
        let towers = network.heads.len();
        let dense = network.backbone.iter().rev().take_while(|layer| matches!(layer, Layer::Dense { .. })).count();
        let first = network.backbone.len() - dense;
        // The first of them takes what all towers share.
        let hidden: Vec<_> = network.layers().take(network.backbone.len()).skip(first + 1).collect();
        let mut stitched = Vec::new();
        let mut stitch = |unit: usize, tower: usize, layer: &PlacedLayer, rows: Range<usize>| {
            let (inputs, bias) = (layer.inputs(), layer.offset + layer.weight_len());
            let alpha = (unit * towers + tower) * towers;
            stitched.push(Stitched {
                tower,
                weight: layer.offset + rows.start * inputs..layer.offset + rows.end * inputs,
                bias: bias + rows.start..bias + rows.end,
                width: inputs / towers,
                mixing: alpha..alpha + towers,
            });
        };
        for (unit, layer) in hidden.iter().enumerate() {
            let rows = layer.outputs() / towers;
            (0..towers).for_each(|tower| stitch(unit, tower, layer, tower * rows..(tower + 1) * rows));
        }
        for tower in 0..towers {
            layers_of(network, tower).take(1).for_each(|layer| stitch(hidden.len(), tower, &layer, 0..layer.outputs()));
        }
        Self { own: settings.own, towers, stitched, units: hidden.len() + 1, shared: [backbone(network)] }
    }
}

impl Stitched {
    /// The values of each tower in each row of its weight.
    fn rows<'v>(&self, towers: usize, values: &'v [f32]) -> impl Iterator<Item = std::slice::ChunksExact<'v, f32>> {
        let width = self.width;
        values[self.weight.clone()].chunks_exact(towers * width).map(move |row| row.chunks_exact(width))
    }

    fn rows_mut<'v>(
        &self,
        towers: usize,
        values: &'v mut [f32],
    ) -> impl Iterator<Item = std::slice::ChunksExactMut<'v, f32>> {
        let width = self.width;
        values[self.weight.clone()].chunks_exact_mut(towers * width).map(move |row| row.chunks_exact_mut(width))
    }

    /// The rows of W_t.
    fn own<'v>(&self, towers: usize, values: &'v [f32]) -> impl Iterator<Item = &'v [f32]> {
        let tower = self.tower;
        self.rows(towers, values).filter_map(move |mut row| row.nth(tower))
    }
}

impl Architecture for CrossStitch {
    fn mixing(&self) -> Vec<f32> {
        let towers = self.towers;
        let others = (1.0 - self.own) / (towers - 1).max(1) as f64;
        // One tower has nothing to mix with.
        let own = if towers == 1 { 1.0 } else { self.own };
        let alpha = |place: usize| if place / towers % towers == place % towers { own } else { others };
        (0..self.units * towers * towers).map(|place| alpha(place) as f32).collect()
    }

    fn initialise(&self, params: &mut [f32]) {
        // Drawn for the sums of a layer over all towers, of which each has only its own.
        let factor = (self.towers as f32).sqrt();
        for stitched in &self.stitched {
            for row in stitched.rows_mut(self.towers, params) {
                for (tower, values) in row.enumerate() {
                    let factor = if tower == stitched.tower { factor } else { 0.0 };
                    values.iter_mut().for_each(|value| *value *= factor);
                }
            }
            params[stitched.bias.clone()].iter_mut().for_each(|value| *value *= factor);
        }
    }

    fn fold(&self, Learned { params, mixing }: &Learned) -> Vec<f32> {
        let mut folded = params.clone();
        for stitched in &self.stitched {
            let alpha = &mixing[stitched.mixing.clone()];
            let own = stitched.own(self.towers, params);
            for (to, own) in stitched.rows_mut(self.towers, &mut folded).zip(own) {
                for (to, alpha) in to.zip(alpha) {
                    to.iter_mut().zip(own).for_each(|(to, own)| *to = alpha * own);
                }
            }
        }
        folded
    }

    fn pull_back(&self, learned: &Learned, mut by_params: Vec<f32>) -> Learned {
        let mut by_mixing = vec![0.0; learned.mixing.len()];
        for stitched in &self.stitched {
            let alpha = &learned.mixing[stitched.mixing.clone()];
            let by_alpha = &mut by_mixing[stitched.mixing.clone()];
            let mut by_own = vec![0.0; stitched.width];
            let own = stitched.own(self.towers, &learned.params);
            for (by_row, own) in stitched.rows_mut(self.towers, &mut by_params).zip(own) {
                by_own.fill(0.0);
                let mut by_row: Vec<_> = by_row.collect();
                for ((by, alpha), by_alpha) in by_row.iter_mut().zip(alpha).zip(&mut *by_alpha) {
                    for ((by, own), by_own) in by.iter_mut().zip(own).zip(&mut by_own) {
                        *by_alpha += f64::from(*by) * f64::from(*own);
                        *by_own += alpha * std::mem::take(by);
                    }
                }
                by_row[stitched.tower].copy_from_slice(&by_own);
            }
        }
        Learned { params: by_params, mixing: by_mixing.into_iter().map(|by| by as f32).collect() }
    }

    fn shared(&self) -> &[Range<usize>] {
        &self.shared
    }
}
