//! The caller's memory, cut into the parts that an adapter needs.

use sinew_models::rule::{Rate, Rule};

use super::scales::Scales;
use crate::kernel::Path;
use crate::network::Network;
use crate::reader::Bundle;

/// A fast path begins every part at a multiple of so many values: 64 bytes, a cache line.
const ALIGNMENT: usize = 16;

/// Values of each part.
pub(super) struct Sizes {
    params: usize,
    gradient: usize,
    rates: usize,
    input: usize,
    output: usize,
    capacity_inputs: usize,
    capacity_outputs: usize,
    presented: usize,
    forward: usize,
    backward: usize,
    panel: usize,
}

/// The parts, but for the support ring.
#[derive(Debug)]
pub(super) struct Memory<'m> {
    /// The parameters that predict.
    pub params: &'m mut [f32],
    /// The parameters that are being adapted.
    pub work: &'m mut [f32],
    /// Only for a rate for each parameter.
    pub gradient: &'m mut [f32],
    pub forward: &'m mut [f32],
    pub backward: &'m mut [f32],
    pub panel: &'m mut [f32],
    pub presented: &'m mut [f32],
    pub rates: &'m mut [f32],
    pub scales: Scales<'m>,
}

/// The parts of the support ring.
pub(super) struct Ring<'m> {
    pub inputs: &'m mut [f32],
    pub targets: &'m mut [f32],
    pub mean: &'m mut [f32],
}

impl Sizes {
    /// `None` if there is no capacity, or a size passes `usize`.
    pub(super) fn of(bundle: &Bundle<'_>, network: &Network, capacity: usize) -> Option<Self> {
        let spec = bundle.network();
        let Rule::Gradient { rate, .. } = bundle.rule();
        let rows = |per_row: usize| capacity.checked_mul(per_row).filter(|_| capacity > 0);
        Some(Self {
            params: network.param_len(),
            gradient: if *rate == Rate::PerParameter { network.param_len() } else { 0 },
            rates: bundle.rule().rate_len(spec),
            input: spec.input.len,
            output: network.output_len(),
            capacity_inputs: rows(spec.input.len)?,
            capacity_outputs: rows(network.output_len())?,
            presented: rows(network.input_len())?,
            forward: rows(network.forward_len(1))?,
            backward: rows(network.backward_len(1))?,
            panel: network.panel_len(),
        })
    }

    fn parts(&self) -> [usize; 16] {
        [
            self.params,
            self.params,
            self.gradient,
            self.forward,
            self.backward,
            self.panel,
            self.presented,
            self.rates,
            self.input,
            self.input,
            self.input,
            self.input,
            self.output,
            self.output,
            self.capacity_inputs,
            self.capacity_outputs,
        ]
    }

    /// Values of all parts together.
    pub(super) fn total(&self, path: Path) -> Option<usize> {
        let aligned = path != Path::SCALAR;
        let start = if aligned { ALIGNMENT - 1 } else { 0 };
        self.parts().into_iter().try_fold(start, |sum, part| sum.checked_add(padded(part, aligned)?))
    }

    /// Cuts `memory`, which must not be shorter than [`Sizes::total`].
    pub(super) fn carve<'m>(&self, path: Path, memory: &'m mut [f32]) -> Option<(Memory<'m>, Ring<'m>)> {
        let aligned = path != Path::SCALAR;
        let skip =
            if aligned { memory.as_ptr().align_offset(ALIGNMENT * size_of::<f32>()).min(memory.len()) } else { 0 };
        let mut rest = memory.get_mut(skip..)?;
        let mut parts: [&mut [f32]; 16] = Default::default();
        for (part, len) in parts.iter_mut().zip(self.parts()) {
            let (here, behind) = core::mem::take(&mut rest).split_at_mut_checked(padded(len, aligned)?)?;
            here.fill(0.0);
            rest = behind;
            *part = here.get_mut(..len)?;
        }
        let [
            params,
            work,
            gradient,
            forward,
            backward,
            panel,
            presented,
            rates,
            input_mean,
            input_factor,
            relative_factor,
            mean,
            output_mean,
            output_scale,
            inputs,
            targets,
        ] = parts;
        let scales = Scales { input_mean, input_factor, relative_factor, output_mean, output_scale };
        let memory = Memory { params, work, gradient, forward, backward, panel, presented, rates, scales };
        Some((memory, Ring { mean, inputs, targets }))
    }
}

fn padded(len: usize, aligned: bool) -> Option<usize> {
    if aligned { len.checked_next_multiple_of(ALIGNMENT) } else { Some(len) }
}
