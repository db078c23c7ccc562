//! The engine on a CUDA device: every pass is a list of launches over all tasks of a batch.
//!
//! A network of dense layers whose inner loop fits goes through it in one launch ([`crate::cuda::dense`]), a block for each task. Every
//! other network, and every single pass, goes layer by layer, each launch over all tasks (`passes.rs`, `tangent.rs`, `inner.rs`).

mod fused;
mod inner;
mod passes;
mod plan;
mod single;
mod store;
mod tables;
mod tangent;
mod tasks;

use std::sync::Arc;

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::network::LayerSet;
use sinew_runtime::{Network, Path};

use super::{BatchGradient, Depth, Engine, EngineError, InnerLoop, Learned, OuterStep, Parameters, Side, TaskRows};
use crate::cuda::adam::{self, Vector};
use crate::cuda::{Address, Device, Launch, PerTask, reduce};
use fused::Fused;
use inner::Inner;
use plan::Plan;
use store::{Held, Store};
use tables::Tables;

pub use store::Values;
pub use tasks::Tasks;

/// Gradients of one network over batches of tasks, on a device.
#[derive(Debug)]
pub struct Cuda<D: Device> {
    spec: NetworkSpec,
    /// To say what is adapted, and where parameters lie.
    network: Network,
    plan: Plan,
    /// `None` where the network has layers that are not dense, or is to go layer by layer.
    fused: Option<Fused<D>>,
    store: Arc<Store<D>>,
    tables: Tables<D>,
    /// The norm of the last update, an f64.
    norm: Held<D>,
}

impl<D: Device> Cuda<D> {
    /// An engine for `spec` on `device`.
    ///
    /// # Errors
    /// If the network cannot be, or the device has no memory.
    pub fn new(device: D, spec: &NetworkSpec) -> Result<Self, EngineError> {
        let network = Network::new(spec, Path::SCALAR)?;
        let store = Store::new(device);
        let mut norm = store.take(2)?;
        norm.write(&[0, 0])?;
        let (plan, tables, fused) = (Plan::new(spec), Tables::default(), Fused::new(&store, spec)?);
        Ok(Self { spec: spec.clone(), network, plan, fused, store, tables, norm })
    }

    /// As [`Cuda::new`], layer by layer also where the inner loop would go in one launch.
    ///
    /// # Errors
    /// As [`Cuda::new`].
    pub fn layered(device: D, spec: &NetworkSpec) -> Result<Self, EngineError> {
        Ok(Self { fused: None, ..Self::new(device, spec)? })
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.store.device
    }

    fn multiprocessors(&self) -> u32 {
        self.device().limits().multiprocessors
    }

    /// Runs what `fill` lists.
    fn run(&self, fill: impl FnOnce(&Self, &mut Vec<Launch>)) -> Result<(), EngineError> {
        let mut launches = Vec::new();
        fill(self, &mut launches);
        // Where there is no task, no row or no parameter there is no block.
        launches.retain(|launch| launch.grid.iter().all(|blocks| *blocks > 0));
        // SAFETY: every address is of memory that this engine took from its store for as many words as the launch reads or writes there:
        // values and tasks have the lengths that were asked for above, traces and scratch those of the plans that the launches follow. What
        // is given back while a launch is under way is not given out to be written before the device was waited for. Values and tasks of
        // another engine were refused (`Values::on`, `Tasks::side`).
        unsafe { self.device().run(&launches) }?;
        Ok(())
    }

    /// The parameters of a pass, of which there are as many as there must be.
    fn params(&self, params: Parameters<'_, Values<D>>, tasks: usize) -> Result<PerTask, EngineError> {
        let len = self.plan.param_len;
        match params {
            Parameters::Shared(params) => {
                expect("parameters", params.len(), len)?;
                Ok(PerTask { at: params.on(&self.store, "parameters")?, stride: 0 })
            }
            Parameters::Each(params) => {
                expect("parameters of all tasks", params.len(), len * tasks)?;
                Ok(PerTask { at: params.on(&self.store, "parameters of all tasks")?, stride: len })
            }
        }
    }

    /// Where parameters and rates of an inner loop are, of which there are as many as there must be.
    fn starts(
        &self,
        inner: &InnerLoop,
        params: &Values<D>,
        rates: &Values<D>,
    ) -> Result<(Address, Address), EngineError> {
        expect("parameters", params.len(), self.plan.param_len)?;
        let expected = match inner.rate {
            _ if inner.steps == 0 && !inner.learn_rates => rates.len(),
            Rate::Constant => 1,
            Rate::PerLayerStep => inner.steps * self.plan.layers.len(),
            Rate::PerParameter => self.plan.param_len,
        };
        expect("inner rates", rates.len(), expected)?;
        Ok((params.on(&self.store, "parameters")?, rates.on(&self.store, "inner rates")?))
    }

    /// The losses of tasks, brought home.
    fn bring_losses(&self, from: &Values<D>, losses: &mut Vec<f32>) -> Result<(), EngineError> {
        losses.clear();
        losses.resize(from.len(), f32::NAN);
        self.read(from, losses)
    }

    fn read(&self, from: &Values<D>, to: &mut [f32]) -> Result<(), EngineError> {
        match from.held_by(&self.store, "values")? {
            Some(held) if !to.is_empty() => Ok(self.store.read(held, bytemuck::cast_slice_mut(to))?),
            _ => Ok(()),
        }
    }

    /// Runs the inner loop of every task; leaves the query losses, and the mean gradients where they are wanted.
    fn over_inner_loops(
        &mut self,
        inner: &InnerLoop,
        (params, rates): (Address, Address),
        tasks: &Tasks<D>,
        losses: Address,
        gradients: Option<[(Address, usize); 2]>,
    ) -> Result<(), EngineError> {
        let sides = tasks.both_with_targets(&self.store)?;
        let wanted = gradients.is_some();
        let lens = gradients.map_or([0; 2], |gradients| gradients.map(|(_, len)| len));
        let at_rates = self.tables.rates(&self.store, &self.network, inner, rates)?;
        let limits = self.device().limits();
        // A gradient costs about three forward passes, a step there and back nine.
        let [support, query] = sides.map(|side| side.rows.rows as u64);
        let forward = self.network.multiply_adds(0..self.network.layer_count());
        let work = (9 * inner.steps as u64 * support + 3 * query) * forward;
        // Without a task there is nothing to launch.
        let fused = self.fused.as_ref().filter(|_| tasks.count() > 0);
        let fused = fused.and_then(|fused| fused.plan(inner, &sides, wanted, lens, work, limits));
        let layered = Inner {
            plan: &self.plan,
            inner,
            sides,
            multiprocessors: limits.multiprocessors,
            params,
            rates: at_rates,
            rate_len: lens[1],
            losses,
        };
        let words = fused.as_ref().map_or_else(|| layered.words(wanted), fused::Planned::words);
        let memory = self.store.take(words)?;
        let at = memory.address();
        let fill = |launches: &mut Vec<Launch>| {
            let parts = match &fused {
                Some(fused) => {
                    let (launch, parts) = fused.launch(&sides, (params, rates), losses, at);
                    launches.push(launch);
                    parts
                }
                None => layered.run(wanted, at, launches),
            };
            if let Some([(by_params, params), (by_rates, rates)]) = gradients {
                let share = 1.0 / tasks.count().max(1) as f32;
                launches.push(reduce::mean(parts, tasks.count(), [params, rates], share, [by_params, by_rates]));
            }
        };
        self.run(|_, launches| fill(launches))
    }
}

fn expect(what: &'static str, got: usize, expected: usize) -> Result<(), EngineError> {
    if got == expected { Ok(()) } else { Err(EngineError::Length { what, expected, got }) }
}

impl<D: Device> Engine for Cuda<D> {
    type Values = Values<D>;
    type Tasks = Tasks<D>;

    fn network(&self) -> &NetworkSpec {
        &self.spec
    }

    fn computes_elsewhere(&self) -> bool {
        true
    }

    fn adapted(&self, scope: &Scope) -> LayerSet {
        self.network.adapted(scope)
    }

    fn upload(&mut self, values: &[f32]) -> Result<Values<D>, EngineError> {
        Ok(Values::of(self.store.take(values.len())?, values)?)
    }

    fn download(&self, values: &Values<D>) -> Result<Vec<f32>, EngineError> {
        let mut home = vec![f32::NAN; values.len()];
        self.read(values, &mut home)?;
        Ok(home)
    }

    fn take(&mut self, tasks: Vec<TaskRows>) -> Result<Tasks<D>, EngineError> {
        Tasks::take(&self.store, &tasks, [self.plan.input_len, self.plan.output_len], self.plan.widest())
    }

    fn forward(
        &mut self,
        params: Parameters<'_, Values<D>>,
        tasks: &Tasks<D>,
        side: Side,
        depth: Depth,
        into: &mut Values<D>,
    ) -> Result<(), EngineError> {
        single::forward(self, params, tasks, side, depth, into)
    }

    fn backward(
        &mut self,
        params: Parameters<'_, Values<D>>,
        tasks: &Tasks<D>,
        side: Side,
        depth: Depth,
        cotangent: &Values<D>,
        into: &mut Values<D>,
        inputs: Option<&mut Values<D>>,
    ) -> Result<(), EngineError> {
        single::backward(self, params, tasks, side, depth, cotangent, into, inputs)
    }

    fn gradient(
        &mut self,
        params: Parameters<'_, Values<D>>,
        tasks: &Tasks<D>,
        side: Side,
        losses: &mut Vec<f32>,
        into: &mut Values<D>,
    ) -> Result<(), EngineError> {
        single::gradient(self, params, tasks, side, losses, into)
    }

    fn hessian_vector(
        &mut self,
        params: Parameters<'_, Values<D>>,
        directions: &Values<D>,
        tasks: &Tasks<D>,
        side: Side,
        into: &mut Values<D>,
    ) -> Result<(), EngineError> {
        single::hessian_vector(self, params, directions, tasks, side, into)
    }

    fn meta_gradient(
        &mut self,
        inner: &InnerLoop,
        params: &Values<D>,
        rates: &Values<D>,
        tasks: &Tasks<D>,
        into: &mut BatchGradient<Values<D>>,
    ) -> Result<(), EngineError> {
        let starts = self.starts(inner, params, rates)?;
        let BatchGradient { params: to, rates: rates_to, losses, tasks: count } = into;
        let by_params = (to.resize(&self.store, params.len())?, params.len());
        let by_rates = if inner.learn_rates {
            (rates_to.get_or_insert_default().resize(&self.store, rates.len())?, rates.len())
        } else {
            *rates_to = None;
            (Address::NONE, 0)
        };
        *count = tasks.count();
        let losses = losses.resize(&self.store, tasks.count())?;
        self.over_inner_loops(inner, starts, tasks, losses, Some([by_params, by_rates]))
    }

    fn meta_losses(
        &mut self,
        inner: &InnerLoop,
        params: &Values<D>,
        rates: &Values<D>,
        tasks: &Tasks<D>,
        losses: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let starts = self.starts(inner, params, rates)?;
        let inner = InnerLoop { learn_rates: false, first_order: true, ..inner.clone() };
        let mut left = Values::default();
        let at = left.resize(&self.store, tasks.count())?;
        self.over_inner_loops(&inner, starts, tasks, at, None)?;
        self.bring_losses(&left, losses)
    }

    fn pooled_gradient(
        &mut self,
        params: &Values<D>,
        tasks: &Tasks<D>,
        into: &mut BatchGradient<Values<D>>,
    ) -> Result<(), EngineError> {
        single::pooled_gradient(self, params, tasks, into)
    }

    fn update(
        &mut self,
        step: &OuterStep,
        learned: Learned<'_, Values<D>>,
        gradient: &mut BatchGradient<Values<D>>,
    ) -> Result<(), EngineError> {
        let Learned { params, rates, moments } = learned;
        expect("a gradient by the parameters", gradient.params.len(), params.len())?;
        if let Some(by_rates) = &gradient.rates {
            expect("a gradient by the rates", by_rates.len(), rates.len())?;
        }
        let factors = step.factors([moments[0].steps, moments[1].steps]);
        let learned = [(Some(&gradient.params), &*params), (gradient.rates.as_ref(), &*rates)];
        let mut vectors = Vec::with_capacity(2);
        for (((gradient, values), moments), factors) in learned.into_iter().zip(&moments).zip(factors) {
            let count = gradient.map_or(0, Values::len);
            if count > 0 {
                expect("moments", moments.first.len(), count)?;
                expect("moments", moments.second.len(), count)?;
            }
            let [values, first, second] =
                [(values, "what is learned"), (&moments.first, "moments"), (&moments.second, "moments")]
                    .map(|(values, what)| values.on(&self.store, what));
            let (values, first, second) = (values?, first?, second?);
            let gradient = gradient.map_or(Ok(Address::NONE), |gradient| gradient.on(&self.store, "a gradient"))?;
            vectors.push(Vector { values, first, second, gradient, count, factors });
        }
        let of = [vectors[0], vectors[1]];
        let scratch = self.store.take(adam::scratch(of.map(|vector| vector.count)))?;
        let norm = self.norm.address();
        self.run(|_, launches| adam::step(&of, step.clip, norm, scratch.address(), launches))
    }

    fn outcome(&mut self, gradient: &BatchGradient<Values<D>>, losses: &mut Vec<f32>) -> Result<f64, EngineError> {
        let mut words = [0_u32; 2];
        self.store.read(&self.norm, &mut words)?;
        self.bring_losses(&gradient.losses, losses)?;
        Ok(f64::from_bits(u64::from(words[0]) | u64::from(words[1]) << 32))
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::Cuda;
    use crate::cuda::Driver;
    use crate::engine::{CandleNetwork, Engine};

    /// Losses composed in candle train on a GPU's kernels, too.
    #[test]
    fn a_gpu_may_stand_behind_candle() {
        fn candle<E: Engine>(_: fn(std::sync::Arc<std::sync::Mutex<E>>) -> CandleNetwork<E>) {}
        candle::<Cuda<Driver>>(CandleNetwork::new);
    }
}
