//! The network as one operation of candle, so that losses written in its tensors train on an engine's kernels.

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Storage, Tensor};

use super::{Depth, Engine, EngineError, Parameters, Rows, Side, TaskRows};

/// A network in candle's graph: its pass is the engine's [`Engine::forward`], its gradient the engine's [`Engine::backward`].
///
/// | | shape |
/// |---|---|
/// | parameters | `[params]` for all tasks, or `[tasks, params]` |
/// | inputs | `[tasks, rows, presented]`, or `[rows, presented]` of one task with parameters `[params]` |
/// | result | `[tasks, rows, values]` or `[rows, values]`: outputs of all heads side by side, or the features that they see |
///
/// Parameters are in the layout of [`NetworkSpec`](sinew_models::spec::NetworkSpec), inputs as the network is presented with them: images
/// row by row, channels last. candle's `backward()` gives exact first-order gradients with respect to both, each only where a variable
/// asks for it. Any engine will do, but what it is given are candle's `F32` tensors in host memory; others are refused, not converted.
/// Tensors that are not contiguous are copied first.
///
/// The engine's threads share the tasks among them; rows of one task stay together.
///
/// Between the passes an application keeps a copy of parameters and inputs where the engine computes, and no activations: those are
/// computed again on the way back, for a third more arithmetic.
///
/// **There is no second order through it.** candle detaches the gradients that `backward()` hands on; where it is told not to, and for
/// whatever is made of the gradients of leaves, going back through one of these is an error (`BackwardNotSupported`). For curvature ask
/// the engine: [`Engine::hessian_vector`], [`Engine::meta_gradient`].
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use candle_core::{Device, Tensor, Var};
/// use sinew_models::networks;
/// use sinew_models::spec::{Activation, InputForm, Loss};
/// use sinew_trainer::engine::{CandleNetwork, Cpu};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec = networks::mlp(2, InputForm::Plain, &[8], Activation::Tanh, "y", 3, Loss::MeanSquared)?;
/// let network = CandleNetwork::new(Arc::new(Mutex::new(Cpu::new(&spec, 1)?)));
/// let params = Var::randn(0.0_f32, 0.5, spec.param_len(), &Device::Cpu)?;
/// let rows = Tensor::randn(0.0_f32, 1.0, (4, 6, 2), &Device::Cpu)?; // 4 tasks of 2 classes, 3 rows of each
///
/// // How far rows are from the mean of their class.
/// let features = network.features(&params, &rows)?.reshape((4, 2, 3, 8))?;
/// let loss = features.broadcast_sub(&features.mean_keepdim(2)?)?.sqr()?.mean_all()?;
/// let gradient = loss.backward()?.remove(&params).ok_or("the loss does not depend on the parameters")?;
/// assert_eq!(gradient.dims(), [spec.param_len()]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CandleNetwork<E> {
    engine: Arc<Mutex<E>>,
}

impl<E> Clone for CandleNetwork<E> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone() }
    }
}

/// Why the network cannot be applied to tensors. It arrives wrapped in candle's own error.
#[derive(Debug, thiserror::Error)]
pub enum CandleError {
    /// The engine computes in `F32`.
    #[error("{what}: expected F32, got {got:?}; `to_dtype` converts and passes gradients on")]
    Type {
        /// What has the other type.
        what: &'static str,
        /// That type.
        got: DType,
    },
    /// The engine is handed candle's CPU tensors alone.
    #[error(
        "{what}: expected a tensor on candle's CPU, got one on {got:?}; `to_device` copies and passes gradients on"
    )]
    Device {
        /// What lies elsewhere.
        what: &'static str,
        /// Where.
        got: candle_core::DeviceLocation,
    },
    /// The shapes do not go together.
    #[error(
        "parameters {params:?} and inputs {inputs:?}: expected [{param_len}] with [rows, {presented}] or [tasks, rows, {presented}], or \
         [tasks, {param_len}] with [tasks, rows, {presented}]"
    )]
    Shapes {
        /// Of the parameters.
        params: Vec<usize>,
        /// Of the inputs.
        inputs: Vec<usize>,
        /// Parameters of the network.
        param_len: usize,
        /// Values of one presented input row.
        presented: usize,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Another thread panicked inside of the engine, so what it holds cannot be relied upon.
    #[error("the engine was left by a panic")]
    Poisoned,
}

impl From<CandleError> for candle_core::Error {
    fn from(error: CandleError) -> Self {
        Self::wrap(error)
    }
}

impl<E> CandleNetwork<E>
where
    E: Engine + Send + 'static,
    E::Values: Send + Sync,
    E::Tasks: Send + Sync,
{
    /// For the network of this engine, which others may use in between.
    pub fn new(engine: Arc<Mutex<E>>) -> Self {
        Self { engine }
    }

    /// The outputs of all heads side by side.
    ///
    /// # Errors
    /// A [`CandleError`] in candle's error.
    pub fn outputs(&self, params: &Tensor, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.apply(params, inputs, Depth::Outputs)
    }

    /// The features that the heads see. The gradient with respect to the parameters of heads is 0.
    ///
    /// # Errors
    /// As [`CandleNetwork::outputs`].
    pub fn features(&self, params: &Tensor, inputs: &Tensor) -> candle_core::Result<Tensor> {
        self.apply(params, inputs, Depth::Features)
    }

    fn apply(&self, params: &Tensor, inputs: &Tensor, depth: Depth) -> candle_core::Result<Tensor> {
        let mut engine = lock(&self.engine)?;
        let spec = engine.network();
        let (param_len, presented) = (spec.param_len(), spec.input.presented_len());
        let width = match depth {
            Depth::Outputs => spec.output_len(),
            Depth::Features => spec.feature_len(),
        };
        for (what, tensor) in [("parameters", params), ("inputs", inputs)] {
            require_host_floats(what, tensor)?;
        }
        let (shared, tasks, rows) = match (params.dims(), inputs.dims()) {
            (&[len], &[rows, wide]) if (len, wide) == (param_len, presented) => (true, 1, rows),
            (&[len], &[tasks, rows, wide]) if (len, wide) == (param_len, presented) => (true, tasks, rows),
            (&[of, len], &[tasks, rows, wide]) if (of, len, wide) == (tasks, param_len, presented) => {
                (false, tasks, rows)
            }
            (of_params, of_inputs) => {
                let (params, inputs) = (of_params.to_vec(), of_inputs.to_vec());
                return Err(CandleError::Shapes { params, inputs, param_len, presented }.into());
            }
        };
        let (params, inputs) = (params.contiguous()?, inputs.contiguous()?);
        let task = |x: &[f32]| TaskRows { query: Rows { x: x.to_vec(), y: Vec::new(), rows }, ..TaskRows::default() };
        let batch = with_values(&inputs, |x| match rows * presented {
            0 => vec![task(&[]); tasks],
            len => x.chunks_exact(len).map(task).collect(),
        })?;
        let applied = Applied {
            tasks: engine.take(batch).map_err(CandleError::from)?,
            params: with_values(&params, |values| engine.upload(values))?.map_err(CandleError::from)?,
            engine: self.engine.clone(),
            shared,
            depth,
            result: inputs.dims()[..inputs.rank() - 1].iter().copied().chain([width]).collect(),
        };
        drop(engine);
        params.apply_op2(&inputs, Forward(Arc::new(applied)))
    }
}

fn lock<E>(engine: &Mutex<E>) -> Result<MutexGuard<'_, E>, CandleError> {
    engine.lock().map_err(|_| CandleError::Poisoned)
}

fn require_host_floats(what: &'static str, tensor: &Tensor) -> Result<(), CandleError> {
    if !tensor.device().is_cpu() {
        return Err(CandleError::Device { what, got: tensor.device().location() });
    }
    match tensor.dtype() {
        DType::F32 => Ok(()),
        got => Err(CandleError::Type { what, got }),
    }
}

/// Hands the values of a contiguous tensor to `take`, as they lie.
fn with_values<T>(tensor: &Tensor, take: impl FnOnce(&[f32]) -> T) -> candle_core::Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(take(contiguous(storage, layout)?)),
        Storage::Cuda(_) | Storage::Metal(_) => {
            Err(CandleError::Device { what: "a tensor", got: tensor.device().location() }.into())
        }
    }
}

fn contiguous<'s>(storage: &'s CpuStorage, layout: &Layout) -> candle_core::Result<&'s [f32]> {
    let values = storage.as_slice::<f32>()?;
    let range = layout.contiguous_offsets().and_then(|(from, to)| values.get(from..to));
    range.ok_or_else(|| candle_core::Error::RequiresContiguous { op: NAME }.bt())
}

const NAME: &str = "sinew-network";

/// One application of the network to tensors.
struct Applied<E: Engine> {
    engine: Arc<Mutex<E>>,
    params: E::Values,
    tasks: E::Tasks,
    /// Whether all tasks have the same parameters.
    shared: bool,
    depth: Depth,
    /// The shape of the result.
    result: Vec<usize>,
}

impl<E: Engine> Applied<E> {
    fn params(&self) -> Parameters<'_, E::Values> {
        if self.shared { Parameters::Shared(&self.params) } else { Parameters::Each(&self.params) }
    }

    fn forward(&self) -> Result<Vec<f32>, CandleError> {
        let (mut engine, mut into) = (lock(&self.engine)?, E::Values::default());
        engine.forward(self.params(), &self.tasks, Side::Query, self.depth, &mut into)?;
        Ok(engine.download(&into)?)
    }

    /// The gradient with respect to the parameters and, behind it, that with respect to the inputs if it is wanted.
    fn backward(&self, cotangent: &[f32], to_inputs: bool) -> Result<Vec<f32>, CandleError> {
        let mut engine = lock(&self.engine)?;
        let cotangent = engine.upload(cotangent)?;
        let (mut into, mut inputs) = (E::Values::default(), to_inputs.then(E::Values::default));
        let (params, side) = (self.params(), Side::Query);
        engine.backward(params, &self.tasks, side, self.depth, &cotangent, &mut into, inputs.as_mut())?;
        let mut gradients = engine.download(&into)?;
        if let Some(inputs) = &inputs {
            gradients.extend(engine.download(inputs)?);
        }
        Ok(gradients)
    }
}

/// From parameters and inputs to outputs or features.
struct Forward<E: Engine>(Arc<Applied<E>>);

impl<E> CustomOp2 for Forward<E>
where
    E: Engine + Send + 'static,
    E::Values: Send + Sync,
    E::Tasks: Send + Sync,
{
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        _params: &CpuStorage,
        _: &Layout,
        _inputs: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        Ok((CpuStorage::F32(self.0.forward()?), self.0.result.clone().into()))
    }

    fn bwd(
        &self,
        params: &Tensor,
        inputs: &Tensor,
        _result: &Tensor,
        cotangent: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let to_inputs = inputs.track_op();
        let pull = Backward { applied: self.0.clone(), to_inputs };
        let both = params.apply_op3(inputs, &cotangent.contiguous()?, pull)?;
        let behind = params.elem_count();
        let to_params = params.track_op().then(|| both.narrow(0, 0, behind)?.reshape(params.shape())).transpose()?;
        let to_inputs =
            to_inputs.then(|| both.narrow(0, behind, inputs.elem_count())?.reshape(inputs.shape())).transpose()?;
        Ok((to_params, to_inputs))
    }
}

/// From the gradient at the result to those at the parameters and at the inputs, one behind the other. It is an operation itself, and
/// one without a way back, so that candle refuses to go there, where plain values would pass for constants.
struct Backward<E: Engine> {
    applied: Arc<Applied<E>>,
    to_inputs: bool,
}

impl<E> CustomOp3 for Backward<E>
where
    E: Engine + Send + 'static,
    E::Values: Send + Sync,
    E::Tasks: Send + Sync,
{
    fn name(&self) -> &'static str {
        "sinew-network-gradient"
    }

    fn cpu_fwd(
        &self,
        _params: &CpuStorage,
        _: &Layout,
        _inputs: &CpuStorage,
        _: &Layout,
        cotangent: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, candle_core::Shape)> {
        let gradients = self.applied.backward(contiguous(cotangent, layout)?, self.to_inputs)?;
        let len = gradients.len();
        Ok((CpuStorage::F32(gradients), len.into()))
    }
}
