//! Fine-tuning: Adam on the support set, the whole network, from a pooled start or from scratch.

use sinew_runtime::Network;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Destination, LayerSet};

use crate::aligned::Aligned;
use crate::engine::Rows;
use crate::optimiser::{AdamW, Moments};

/// How long and how fast.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Setting {
    /// Adam's rate.
    pub rate: f64,
    /// Steps.
    pub steps: usize,
}

/// What can be chosen from a pooled start.
pub const POOLED: ([f64; 6], [usize; 7]) = ([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2], [5, 10, 25, 50, 100, 200, 400]);
/// What can be chosen from scratch.
pub const SCRATCH: ([f64; 5], [usize; 6]) = ([1e-3, 3e-3, 1e-2, 3e-2, 1e-1], [25, 50, 100, 200, 400, 800]);

/// Fits `network` to `support` from `start`, and shows the parameters after each number of steps in `at` (ascending).
pub fn fine_tune(
    network: &Network,
    start: &[f32],
    support: &Rows,
    rate: f64,
    at: &[usize],
    mut show: impl FnMut(usize, &[f32]),
) {
    let mut params = Aligned::copy_of(start);
    let mut gradient = Aligned::zeros(start.len());
    let mut forward = Aligned::zeros(network.forward_len(support.rows));
    let mut backward = Aligned::zeros(network.backward_len(support.rows));
    let mut panel = Aligned::zeros(network.panel_len());
    let mut moments = Moments::zeros(start.len());
    let last = at.last().copied().unwrap_or(0);
    for step in 0..=last {
        if at.contains(&step) {
            show(step, &params);
        }
        if support.rows == 0 {
            continue;
        }
        network.forward(&params, &support.x, support.rows, &mut forward, &mut panel);
        let (gradient_at, layers, update) = (&mut gradient, LayerSet::ALL, Update::Store);
        let destination = Destination::Gradient { params: &params, gradient: gradient_at, layers, update };
        network.gradient(destination, support.batch(), &forward, &mut backward, &mut panel);
        AdamW::default().step(rate, &mut moments, &mut params, &gradient);
    }
}

/// The parameters after one setting.
pub fn fine_tuned(network: &Network, start: &[f32], support: &Rows, setting: Setting) -> Vec<f32> {
    let mut params = start.to_vec();
    fine_tune(network, start, support, setting.rate, &[setting.steps], |_, tuned| params.copy_from_slice(tuned));
    params
}
