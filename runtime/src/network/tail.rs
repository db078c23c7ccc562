//! What lies behind the layers that stay as they are: the part of a network that is adapted, on features that are made once.

use core::ops::Range;

use sinew_models::layout::Place;

use super::layer::{Inputs, Planned};
use super::{LayerSet, Network, PlannedHead};
use crate::kernel::{Path, loss::Targets};
use crate::part::part;

/// Rows one behind the other, of those that a forward trace holds.
///
/// Without the feature `masks` these are all there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Rows of the trace.
    traced: usize,
    #[cfg(feature = "masks")]
    first: usize,
    #[cfg(feature = "masks")]
    rows: usize,
}

impl Section {
    /// All rows of a trace.
    pub(crate) const fn whole(rows: usize) -> Self {
        Self {
            traced: rows,
            #[cfg(feature = "masks")]
            first: 0,
            #[cfg(feature = "masks")]
            rows,
        }
    }

    /// The `rows` rows from `first` on, of a trace of `traced` rows.
    #[cfg(feature = "masks")]
    pub(crate) const fn of(traced: usize, first: usize, rows: usize) -> Self {
        Self { traced, first, rows }
    }

    const fn first(self) -> usize {
        #[cfg(feature = "masks")]
        return self.first;
        #[cfg(not(feature = "masks"))]
        0
    }

    pub(super) const fn rows(self) -> usize {
        #[cfg(feature = "masks")]
        return self.rows;
        #[cfg(not(feature = "masks"))]
        self.traced
    }
}

/// A network from one of its layers on: it takes what that layer takes, has the parameter vector and the numbers of layers of the whole,
/// and traces for its own layers alone.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'n> {
    pub(super) network: &'n Network,
    /// The number of its first layer.
    pub(super) first: usize,
    /// Where its traces begin in those of the whole, for one row.
    forward: usize,
    backward: usize,
}

impl<'n> Tail<'n> {
    // One copy for all callers on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn new(network: &'n Network, first: usize) -> Self {
        let (forward, backward) = match network.layers.get(first) {
            Some(planned) => (planned.a, planned.dz),
            None => (network.forward_len, network.backward_len),
        };
        Self { network, first, forward, backward }
    }

    /// The path that it runs on.
    pub const fn path(&self) -> Path {
        self.network.path
    }
    /// Values in one input row: a presented one, or the features of the layers before.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn input_len(&self) -> usize {
        let last = self.first.checked_sub(1).and_then(|last| self.network.layers.get(last));
        last.map_or(self.network.input_len, Planned::outputs)
    }
    /// Values in one output row.
    pub const fn output_len(&self) -> usize {
        self.network.output_len
    }
    /// Values in the flat parameter vector, that of the whole network.
    pub const fn param_len(&self) -> usize {
        self.network.param_len
    }
    /// Values of a forward trace of `rows` rows.
    pub const fn forward_len(&self, rows: usize) -> usize {
        (self.network.forward_len - self.forward) * rows
    }
    /// Values of a backward trace of `rows` rows.
    pub const fn backward_len(&self, rows: usize) -> usize {
        (self.network.backward_len - self.backward) * rows
    }
    /// Layers of the whole network, heads included.
    pub fn layer_count(&self) -> usize {
        self.network.layer_count()
    }
    /// The numbers of its layers in the whole network.
    pub fn numbers(&self) -> Range<usize> {
        self.first..self.network.layers.len()
    }
    /// Where the parameters of `layer` lie in the flat vector.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn params_of(&self, layer: usize) -> Range<usize> {
        self.network.params_of(layer)
    }
    /// Multiply-adds of the products and convolutions of some layers, for one row.
    pub fn multiply_adds(&self, layers: Range<usize>) -> u64 {
        self.network.multiply_adds(layers)
    }

    /// Of each output of heads that are one dense layer: its column, and where its row of the weight and its bias begin in the flat
    /// vector.
    #[cfg(feature = "rules")]
    pub(crate) fn linear_outputs(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<'n> {
        let network = self.network;
        network.heads.iter().filter_map(move |head| Some((head, network.layers.get(head.last)?.layer))).flat_map(
            |(head, layer)| {
                (0..head.outputs).map(move |output| {
                    let weight = layer.offset + output * layer.inputs();
                    (head.column + output, weight, layer.offset + layer.weight_len() + output)
                })
            },
        )
    }

    /// The layers at whose outputs a gradient is needed for the parameters of those that `wants` says: themselves and all behind them.
    pub(super) fn needed(&self, wants: impl Fn(usize) -> bool) -> LayerSet {
        let (mut needed, mut backbone) = (0_u32, false);
        let mut reach = false;
        for (index, planned) in self.network.layers.iter().enumerate().skip(self.first) {
            if planned.layer.index == 0 && planned.layer.place != Place::Backbone {
                reach = backbone;
            }
            reach |= planned.param_len() > 0 && wants(index);
            if planned.layer.place == Place::Backbone {
                backbone = reach;
            }
            needed |= u32::from(reach) << index;
        }
        LayerSet(needed)
    }

    /// What a layer takes: `x`, or the outputs of others in the forward trace.
    pub(super) fn inputs<'t>(&self, planned: &Planned, x: &'t [f32], rows: Section, forward: &'t [f32]) -> Inputs<'t> {
        let output = |source: Option<usize>| match source.filter(|source| *source >= self.first) {
            None => x,
            Some(source) => self.network.layers.get(source).map_or(x, |source| self.output(source, forward, rows)),
        };
        Inputs {
            x: output(planned.source),
            #[cfg(feature = "layers")]
            skip: planned.skip.map_or(&[][..], output),
        }
    }

    /// Where the values of a layer begin in the forward trace of `rows` rows.
    pub(super) fn place(&self, planned: &Planned, rows: usize) -> usize {
        planned.a.wrapping_sub(self.forward) * rows
    }

    /// Where the gradients of a layer begin in the backward trace of `rows` rows.
    pub(super) fn place_back(&self, planned: &Planned, rows: usize) -> usize {
        planned.dz.wrapping_sub(self.backward) * rows
    }

    /// The output of a layer in the forward trace.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn output<'t>(&self, planned: &Planned, forward: &'t [f32], rows: Section) -> &'t [f32] {
        let outputs = planned.outputs();
        part(forward, self.place(planned, rows.traced) + rows.first() * outputs, rows.rows() * outputs)
    }

    /// What the slope of a layer is told from: the output, or the sum.
    pub(super) fn known<'t>(&self, planned: &Planned, forward: &'t [f32], rows: Section) -> &'t [f32] {
        let outputs = planned.outputs();
        let sums = if planned.deep() { rows.traced * outputs } else { 0 };
        part(forward, self.place(planned, rows.traced) + sums + rows.first() * outputs, rows.rows() * outputs)
    }

    pub(super) fn targets<'t>(&self, head: &PlannedHead, targets: &'t [f32]) -> Targets<'t> {
        Targets { y: targets.get(head.column..).unwrap_or_default(), row: self.network.output_len }
    }
}
