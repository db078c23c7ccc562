//! Gradient descent on the support loss from a meta-learned start: θ_{k+1} = θ_k − α ∘ ∇L(θ_k).
//!
//! MAML (Finn et al. 2017, eq. 1), with one rate; ANIL (Raghu et al. 2020), heads only; Meta-SGD (Li et al. 2017), a rate for each
//! parameter; MAML++ (Antoniou et al. 2019), a rate for each layer and step.

use sinew_models::rule::Rate;
use sinew_models::spec::MAX_LAYERS;

use super::{Fit, Trial, Until};
use crate::guard::Guard;
use crate::kernel::dense::Update;
use crate::kernel::scale::{add_scaled, step_from, subtract_product};
use crate::network::{Batch, Destination, LayerSet, Network, Section, Tail, Traces};

/// The inner rates α: what they are, and their numbers in the layout of the tensor `rule.rate`.
#[derive(Clone, Copy, Debug)]
pub struct Rates<'a> {
    /// What the numbers are for.
    pub kind: Rate,
    /// The numbers.
    pub values: &'a [f32],
    /// The layers that are adapted; the rates of all others count as 0.
    pub adapted: LayerSet,
    /// By what all are multiplied; see [`scale_of_rows`]. Without the feature `rules` it is 1.
    pub scale: f32,
}

/// By what rates that are for so many support rows are multiplied where there are `rows`; 1 where they are for any number.
pub fn scale_of_rows(reference: usize, rows: usize) -> f32 {
    if reference == 0 { 1.0 } else { rows as f32 / reference as f32 }
}

impl Rates<'_> {
    // A constant where no rates are for a number of rows, to save flash.
    fn scale(&self) -> f32 {
        if cfg!(feature = "rules") { self.scale } else { 1.0 }
    }

    /// α of each layer at `step`, where it is one number for the layer; `None` for a rate for each parameter.
    ///
    /// Steps past the last row of a rate for each layer and step use that last row.
    pub fn of_layers(&self, step: usize, layers: usize) -> Option<[f32; MAX_LAYERS]> {
        let mut rates = [0.0; MAX_LAYERS];
        self.write(step, layers, &mut rates).then_some(rates)
    }

    /// Writes what [`Rates::of_layers`] gives; false where that is `None`.
    fn write(&self, step: usize, layers: usize, into: &mut [f32; MAX_LAYERS]) -> bool {
        for (layer, to) in into.iter_mut().enumerate().take(layers) {
            let Some(rate) = self.of_layer(step, layer, layers) else { return false };
            *to = rate;
        }
        true
    }

    /// α of one of so many layers; `None` for a rate for each parameter.
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn of_layer(&self, step: usize, layer: usize, layers: usize) -> Option<f32> {
        let place = match self.kind {
            Rate::Constant => 0,
            Rate::PerLayerStep => {
                let last = (self.values.len() / layers.max(1)).checked_sub(1)?;
                step.min(last) * layers + layer
            }
            Rate::PerParameter => return None,
        };
        let rate = self.values.get(place)?;
        Some(if self.adapted.has(layer) { self.scale() * *rate } else { 0.0 })
    }

    /// One step from `params` to `stepped`, given the forward trace at `params`; returns the loss before the step.
    ///
    /// Every layer of `network` is written to `stepped`, adapted or not.
    pub fn step(
        &self,
        step: usize,
        network: Tail<'_>,
        (params, stepped): (&[f32], &mut [f32]),
        batch: Batch<'_>,
        traces: &mut Traces<'_>,
    ) -> f32 {
        match self.of_layers(step, network.layer_count()) {
            Some(rates) => {
                let destination = Destination::Step { params, stepped, rates: &rates };
                network.gradient(destination, batch, traces.forward, traces.backward, traces.panel)
            }
            None => {
                let loss = self.gradient(network, (params, stepped), batch, Update::Store, traces);
                self.leave(step, network, params, stepped);
                loss
            }
        }
    }

    /// The gradient at `params`, of the adapted layers, into `gradient`; returns the loss.
    fn gradient(
        &self,
        network: Tail<'_>,
        (params, gradient): (&[f32], &mut [f32]),
        batch: Batch<'_>,
        update: Update,
        traces: &mut Traces<'_>,
    ) -> f32 {
        let destination = Destination::Gradient { params, gradient, layers: self.adapted, update };
        network.gradient(destination, batch, traces.forward, traces.backward, traces.panel)
    }

    /// `stepped = params − α ∘ stepped`, where `stepped` holds a direction in the adapted layers.
    fn leave(&self, step: usize, network: Tail<'_>, params: &[f32], stepped: &mut [f32]) {
        let path = network.path();
        for layer in network.numbers() {
            let range = network.params_of(layer);
            let (Some(from), Some(to)) = (params.get(range.clone()), stepped.get_mut(range.clone())) else { continue };
            match self.of_layer(step, layer, network.layer_count()) {
                _ if !self.adapted.has(layer) => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
                Some(rate) => step_from(path, to, -rate, from),
                None => {
                    let Some(rates) = self.values.get(range) else { continue };
                    to.iter_mut().zip(rates).for_each(|(to, rate)| *to *= -(self.scale() * *rate));
                    add_scaled(path, to, 1.0, from);
                }
            }
        }
    }

    /// `params −= α ∘ gradient`, for the adapted layers.
    pub fn apply(&self, step: usize, network: &Network, gradient: &[f32], params: &mut [f32]) {
        let rates = self.of_layers(step, network.layer_count());
        for layer in (0..network.layer_count()).filter(|layer| self.adapted.has(*layer)) {
            let range = network.params_of(layer);
            let (Some(params), Some(gradient)) = (params.get_mut(range.clone()), gradient.get(range.clone())) else {
                continue;
            };
            match &rates {
                Some(rates) => add_scaled(network.path(), params, -rates.get(layer).copied().unwrap_or(0.0), gradient),
                None => {
                    let values = self.values.get(range).unwrap_or_default();
                    if self.scale() == 1.0 {
                        subtract_product(network.path(), params, values, gradient);
                    } else {
                        let each = params.iter_mut().zip(values).zip(gradient);
                        each.for_each(|((to, rate), gradient)| *to -= self.scale() * rate * gradient);
                    }
                }
            }
        }
    }
}

/// Momentum: μ, and v in the layout of the parameters.
#[derive(Debug)]
pub(crate) struct Momentum<'a> {
    pub factor: f32,
    pub velocity: &'a mut [f32],
}

/// What makes a step of a gradient.
pub(crate) enum Stepper<'a> {
    /// Gradient descent.
    Descent(Rates<'a>, Option<Momentum<'a>>),
    /// A learned optimiser.
    #[cfg(feature = "rules")]
    Learned(super::meta_lstm::Learned<'a>),
}

impl Stepper<'_> {
    fn begin(&mut self) {
        match self {
            Self::Descent(_, momentum) => {
                if let Some(momentum) = momentum {
                    momentum.velocity.fill(0.0);
                }
            }
            #[cfg(feature = "rules")]
            Self::Learned(learned) => learned.begin(),
        }
    }

    /// Writes α of each of `layers` layers; false where the gradient cannot become a step where it is made.
    fn rates_at_once(&self, step: usize, layers: usize, into: &mut [f32; MAX_LAYERS]) -> bool {
        let Self::Descent(rates, None) = self else { return false };
        rates.write(step, layers, into)
    }

    fn adapted(&self) -> LayerSet {
        match self {
            Self::Descent(rates, _) => rates.adapted,
            #[cfg(feature = "rules")]
            Self::Learned(learned) => learned.adapted,
        }
    }

    /// From the gradient of step `step`, in `stepped`, to the parameters that it leads to.
    fn finish(&mut self, step: usize, network: Tail<'_>, loss: f32, (params, stepped): (&[f32], &mut [f32])) {
        let _ = loss;
        match self {
            Self::Descent(rates, momentum) => {
                if let Some(Momentum { factor, velocity }) = momentum {
                    for layer in network.numbers().filter(|layer| rates.adapted.has(*layer)) {
                        let range = network.params_of(layer);
                        let (Some(velocity), Some(stepped)) = (velocity.get_mut(range.clone()), stepped.get_mut(range))
                        else {
                            continue;
                        };
                        step_from(network.path(), velocity, *factor, stepped);
                        stepped.iter_mut().zip(velocity).for_each(|(to, velocity)| *to = *velocity);
                    }
                }
                rates.leave(step, network, params, stepped);
            }
            #[cfg(feature = "rules")]
            Self::Learned(learned) => learned.finish(network, loss, params, stepped),
        }
    }
}

/// Takes `steps` steps from `work[0]` on, each from one of the buffers to another; the best of what they led to stays in its buffer.
///
/// A unit of work is a pass over at most `unit_rows` support rows: forward and back, or after the last step forward alone.
pub(crate) fn descend(
    fit: &mut Fit<'_>,
    stepper: &mut Stepper<'_>,
    steps: usize,
    work: &mut [&mut [f32]; 3],
    until: Until<'_>,
) -> Trial {
    let mut trial = Trial::new();
    let (mut here, mut next) = (0, 1);
    stepper.begin();
    for step in 0..=steps {
        let judges = fit.guard != Guard::Finite;
        let Some([params, stepped]) = super::two(work, [here, next]) else { return trial };
        let params = &*params;
        let loss = if step < steps {
            step_over_rows(fit, stepper, step, params, stepped, until)
        } else if judges_each_head(fit) {
            has_judged_each_head(fit, params, until).then_some(trial.last)
        } else if fit.guard == Guard::Improve {
            let learn = fit.learn;
            fit.loss(&learn, params, until)
        } else if steps > 0 {
            Some(trial.last)
        } else {
            // Without a step there is nothing that could be committed, or refused.
            None
        };
        // What led here is whole; without a judge it counts even if time is up.
        if !judges && step > 0 {
            trial.judged = true;
            (trial.best, trial.steps) = (Some(here), step);
        }
        let Some(loss) = loss else { return trial };
        let judged = match fit.guard {
            Guard::Finite | Guard::Improve => Some(loss),
            Guard::HeldBack(_) => {
                let judge = fit.judge;
                fit.loss(&judge, params, until)
            }
            #[cfg(feature = "masks")]
            Guard::EachHead(_) => Some(loss),
        };
        let Some(judged) = judged else { return trial };
        #[cfg(feature = "masks")]
        let (judged, allowed) = fit.judges.as_mut().map_or((judged, true), |judges| judges.verdict(step));
        #[cfg(not(feature = "masks"))]
        let allowed = true;
        match step {
            0 => trial.start(judged),
            _ if judges => trial.judge_if(allowed, here, step, judged),
            _ => {
                trial.last = judged;
                trial.not_finite |= !judged.is_finite();
            }
        }
        here = next;
        next = (0..work.len()).find(|which| *which != here && Some(*which) != trial.best).unwrap_or(0);
    }
    trial
}

/// Whether labels of each head judge.
fn judges_each_head(fit: &Fit<'_>) -> bool {
    #[cfg(feature = "masks")]
    return fit.judges.is_some();
    #[cfg(not(feature = "masks"))]
    {
        let _ = fit;
        false
    }
}

/// Has them look at `params`, after the last step; false if time is up.
fn has_judged_each_head(fit: &mut Fit<'_>, params: &[f32], until: Until<'_>) -> bool {
    #[cfg(feature = "masks")]
    return fit.have_judged(params, until).is_some();
    #[cfg(not(feature = "masks"))]
    {
        let _ = (fit, params, until);
        false
    }
}

/// One step; the loss before it, or `None` if time is up before it is whole.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
fn step_over_rows(
    fit: &mut Fit<'_>,
    stepper: &mut Stepper<'_>,
    step: usize,
    params: &[f32],
    stepped: &mut [f32],
    until: Until<'_>,
) -> Option<f32> {
    let (network, rows) = (fit.network, fit.learn.len());
    let (mut loss, mut update, mut rates, mut at_once) = (0.0, Update::Store, [0.0; MAX_LAYERS], false);
    let traces = &mut fit.traces;
    #[cfg(feature = "masks")]
    if let Some(judges) = &mut fit.judges {
        judges.begin();
    }
    for run in fit.learn.runs(fit.unit_rows) {
        if until() {
            return None;
        }
        let batch = super::batch(network, fit.x, fit.y, run.clone(), rows);
        network.forward(params, batch.x, batch.rows, traces.forward, traces.panel);
        #[cfg(not(feature = "masks"))]
        let (whole, section) = (run.len() == rows, Section::whole(batch.rows));
        #[cfg(feature = "masks")]
        let (whole, section, batch) = {
            if let Some(judges) = &mut fit.judges {
                judges.look(network, run.clone(), traces.forward);
            }
            // What only judges does not go back.
            let back = run.start.max(fit.teaching.start)..run.end.min(fit.teaching.end);
            if back.is_empty() {
                continue;
            }
            let section = Section::of(run.len(), back.start - run.start, back.len());
            let whole = run.len() == rows || back == fit.teaching;
            (whole, section, super::batch(network, fit.x, fit.y, back, rows))
        };
        at_once = whole && stepper.rates_at_once(step, network.layer_count(), &mut rates);
        let destination = if at_once {
            Destination::Step { params, stepped: &mut *stepped, rates: &rates }
        } else {
            Destination::Gradient { params, gradient: &mut *stepped, layers: stepper.adapted(), update }
        };
        loss += network.gradient_of(destination, batch, (traces.forward, section), traces.backward, traces.panel);
        update = Update::Add(1.0);
    }
    if !at_once {
        stepper.finish(step, network, loss, (params, stepped));
    }
    Some(loss)
}
