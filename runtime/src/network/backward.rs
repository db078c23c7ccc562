//! The gradient, by going back through the layers (Rumelhart, Hinton and Williams 1986).

use core::ops::Range;

use super::layer::Planned;
use super::{Batch, LayerSet, Network, Section, Tail};
use crate::kernel::activation;
use crate::kernel::dense::Update;
use crate::kernel::loss;
use crate::part::{cut, part, part_mut};

/// What becomes of the gradient.
#[derive(Debug)]
pub enum Destination<'a> {
    /// It is written to `gradient`, in the layout of the parameters, or added to it; layers outside `layers` are left as they are.
    Gradient {
        /// The parameters at which it is taken.
        params: &'a [f32],
        /// Where it goes.
        gradient: &'a mut [f32],
        /// For which layers it is wanted.
        layers: LayerSet,
        /// Whether it replaces or is added.
        update: Update,
    },
    /// A step of gradient descent is taken at once: θ' = θ − α ∇L, with an α for each layer.
    Step {
        /// θ.
        params: &'a [f32],
        /// θ', of all layers but those before the first of this network, which are left as they are.
        stepped: &'a mut [f32],
        /// α of each layer of the whole network; 0 leaves a layer as it is.
        rates: &'a [f32],
    },
}

impl Destination<'_> {
    pub(super) fn params(&self) -> &[f32] {
        match self {
            Destination::Gradient { params, .. } | Destination::Step { params, .. } => params,
        }
    }

    // One copy for all callers, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn wants(&self, layer: usize) -> bool {
        match self {
            Destination::Gradient { layers, .. } => layers.has(layer),
            Destination::Step { rates, .. } => rates.get(layer).is_some_and(|rate| *rate != 0.0),
        }
    }
}

impl Network {
    /// The loss of a trace that [`Network::forward`] filled, and its gradient with respect to the parameters, to where `destination`
    /// says. The trace `backward` keeps the gradients at the sums. Of a part of the rows, both are its share in those of the whole.
    ///
    /// `panel` is scratch of [`Network::panel_len`] values.
    pub fn gradient(
        &self,
        destination: Destination<'_>,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        panel: &mut [f32],
    ) -> f32 {
        self.behind(0).gradient(destination, batch, forward, backward, panel)
    }
}

impl Tail<'_> {
    /// As [`Network::gradient`], for its own layers.
    pub fn gradient(
        &self,
        destination: Destination<'_>,
        batch: Batch<'_>,
        forward: &[f32],
        backward: &mut [f32],
        panel: &mut [f32],
    ) -> f32 {
        self.gradient_of(destination, batch, (forward, Section::whole(batch.rows)), backward, panel)
    }

    /// The same of a batch that is a section of the rows that went forward.
    ///
    /// Through a head none of whose targets are there nothing goes back: its gradients are 0, whatever its outputs are.
    // One copy for all callers, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn gradient_of(
        &self,
        mut destination: Destination<'_>,
        batch: Batch<'_>,
        forward: (&[f32], Section),
        backward: &mut [f32],
        panel: &mut [f32],
    ) -> f32 {
        let (mut total, share) = (0.0, batch.share());
        let needed = self.needed(|layer| destination.wants(layer));
        for head in &self.network.heads {
            let Some(last) = self.network.layers.get(head.last) else { continue };
            let targets = self.targets(head, batch.y);
            #[cfg(feature = "masks")]
            if !targets.any(batch.rows, head.outputs) {
                for layer in (head.first..=head.last).rev() {
                    self.no_gradient(layer, &mut destination, needed, batch.rows, backward);
                }
                continue;
            }
            let a = self.output(last, forward.0, forward.1);
            let da = self.gradient_at_output(last, backward, batch.rows);
            total += loss::value_and_gradient(head.loss, head.weight * share, a, targets, head.outputs, da);
            for layer in (head.first..=head.last).rev() {
                self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
            }
        }
        for layer in (self.first..self.network.backbone).rev() {
            self.layer_gradient(layer, &mut destination, needed, batch, forward, backward, panel);
        }
        total
    }

    /// From the gradient at the output of one layer to that of its parameters and, where it is needed, of its sources.
    pub(super) fn layer_gradient(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        needed: LayerSet,
        batch: Batch<'_>,
        (forward, section): (&[f32], Section),
        backward: &mut [f32],
        panel: &mut [f32],
    ) {
        let layers = &self.network.layers;
        let Some(planned) = layers.get(layer) else { return };
        let (rows, path) = (batch.rows, self.network.path);
        let (mut x, mut at) = (&[][..], &[][..]);
        if needed.has(layer) {
            let len = planned.outputs() * rows;
            let known = self.known(planned, forward, section);
            let (lower, here) = cut(backward, self.place_back(planned, rows));
            let (dz, behind) = cut(here, len);
            if planned.curved() {
                activation::backward(path, planned.activation(), known, part(behind, 0, len), dz);
            } else if !planned.cut {
                activation::backward_in_place(path, planned.activation(), known, dz);
            }
            let (dz, params) = (&*dz, destination.params());
            let inputs = self.inputs(planned, batch.x, section, forward);
            let wanted = |source: usize| layers.get(source).filter(|_| needed.has(source));
            if let Some(source) = planned.source.and_then(wanted) {
                let gate = source.cut.then_some(inputs.x);
                let dx = (self.gradient_at_output(source, lower, rows), first(planned.first_at_source));
                let a = self.output(planned, forward, section);
                planned.input_gradient(path, rows, inputs.x, params, a, dz, gate, dx, panel);
            }
            #[cfg(feature = "layers")]
            if let Some(skip) = planned.skip.flatten().and_then(wanted) {
                let dx = self.gradient_at_output(skip, lower, rows);
                crate::kernel::arrange::put(path, dx, dz, first(planned.first_at_skip));
            }
            (x, at) = (inputs.x, dz);
        }
        self.layer_update(layer, destination, batch, x, at, panel);
    }

    /// As [`Tail::layer_gradient`] of a layer at whose output the gradient is 0.
    #[cfg(feature = "masks")]
    fn no_gradient(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        needed: LayerSet,
        rows: usize,
        backward: &mut [f32],
    ) {
        let layers = &self.network.layers;
        let Some(planned) = layers.get(layer) else { return };
        if needed.has(layer) {
            let len = planned.outputs() * rows;
            part_mut(backward, self.place_back(planned, rows), if planned.curved() { 2 * len } else { len }).fill(0.0);
            // The others add to what the first left.
            let mut begin = |source: Option<usize>, is_first: bool| {
                if let Some(source) =
                    source.filter(|source| is_first && needed.has(*source)).and_then(|it| layers.get(it))
                {
                    self.gradient_at_output(source, backward, rows).fill(0.0);
                }
            };
            begin(planned.source, planned.first_at_source);
            #[cfg(feature = "layers")]
            begin(planned.skip.flatten(), planned.first_at_skip);
        }
        let (range, wanted) = (self.params_of(layer), destination.wants(layer));
        match destination {
            Destination::Gradient { gradient, update: Update::Store, .. } if wanted => {
                gradient.get_mut(range).unwrap_or_default().fill(0.0);
            }
            Destination::Gradient { .. } => {}
            Destination::Step { params, stepped, .. } => copy(params, stepped, range),
        }
    }

    /// What becomes of one layer's parameters, given the gradient at its sum.
    fn layer_update(
        &self,
        layer: usize,
        destination: &mut Destination<'_>,
        batch: Batch<'_>,
        x: &[f32],
        dz: &[f32],
        panel: &mut [f32],
    ) {
        let Some(planned) = self.network.layers.get(layer) else { return };
        let path = self.network.path;
        if planned.param_len() == 0 {
            return;
        }
        let wanted = destination.wants(layer);
        let (old, to, update) = match destination {
            Destination::Gradient { gradient, update, .. } if wanted => (None, &mut **gradient, *update),
            Destination::Gradient { .. } => return,
            Destination::Step { params, stepped, rates } => match rates.get(layer) {
                Some(rate) if wanted => (Some(&**params), &mut **stepped, Update::Add(-rate)),
                _ => return copy(params, stepped, self.params_of(layer)),
            },
        };
        planned.weight_gradient(path, batch.rows, x, dz, (old, to), update, panel);
    }

    /// Where the gradient at the output of a layer is gathered: behind the gradient at the sum if curved, else in its place.
    pub(super) fn gradient_at_output<'t>(
        &self,
        planned: &Planned,
        backward: &'t mut [f32],
        rows: usize,
    ) -> &'t mut [f32] {
        let len = planned.outputs() * rows;
        let behind = if planned.curved() { len } else { 0 };
        part_mut(backward, self.place_back(planned, rows) + behind, len)
    }
}

/// Parameters that stay as they are.
fn copy(params: &[f32], stepped: &mut [f32], range: Range<usize>) {
    let (Some(to), Some(from)) = (stepped.get_mut(range.clone()), params.get(range)) else { return };
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// The first to put a gradient somewhere replaces what is there, the others add to it.
pub(super) fn first(is_first: bool) -> Update {
    if is_first { Update::Store } else { Update::Add(1.0) }
}
