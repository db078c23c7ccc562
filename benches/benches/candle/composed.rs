//! A loss composed in candle, forward and backward: over the network as one operation on the engine's kernels, and over candle's own
//! layers. The loss is squared error for both, in candle's tensors.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::loss;
use sinew_benches::Workload;
use sinew_benches::problem::Problem;
use sinew_models::rule::Scope;
use sinew_models::spec::Layer;
use sinew_trainer::engine::{CandleNetwork, Cpu};

/// A problem for so many tasks.
struct Sizes {
    problem: Problem,
    tasks: usize,
    /// Whether each task has its own parameters.
    each: bool,
}

impl Sizes {
    fn mlp(tasks: usize, each: bool) -> Self {
        Self { problem: Problem::mlp(&[16, 64, 64, 4], tasks * Problem::standard().rows, 1), tasks, each }
    }

    fn images() -> Self {
        Self { problem: Problem::images(Scope::All), tasks: 1, each: false }
    }

    fn operations(&self) -> u64 {
        self.problem.count().gradient(self.problem.rows)
    }

    fn sets(&self) -> usize {
        if self.each { self.tasks } else { 1 }
    }

    /// The values of all tasks, `[tasks, rows, …]`.
    fn rows(&self, values: &[f32]) -> Result<Tensor> {
        let rows = self.problem.rows / self.tasks;
        Tensor::from_slice(values, (self.tasks, rows, values.len() / self.problem.rows), &Device::Cpu)
    }
}

/// Both for every size.
pub fn all() -> Vec<Workload> {
    let pair = |ids: [&'static str; 2], sizes: fn() -> Sizes| {
        [
            on_engine(ids[0], &sizes()).expect("the shapes fit").beside(ids[1]),
            on_layers(ids[1], &sizes()).expect("the shapes fit"),
        ]
    };
    let pairs = [
        pair(["composed/mlp", "composed/mlp_candle"], || Sizes::mlp(1, false)),
        pair(["composed/mlp_32_tasks", "composed/mlp_32_tasks_candle"], || Sizes::mlp(32, false)),
        pair(["composed/mlp_32_tasks_each", "composed/mlp_32_tasks_each_candle"], || Sizes::mlp(32, true)),
        pair(["composed/images", "composed/images_candle"], Sizes::images),
    ];
    pairs.into_iter().flatten().collect()
}

fn on_engine(id: &'static str, sizes: &Sizes) -> Result<Workload> {
    let mut run = engine(sizes)?;
    Ok(Workload::new(id, sizes.operations(), move || {
        black_box(run().expect("the shapes fit"));
    }))
}

fn on_layers(id: &'static str, sizes: &Sizes) -> Result<Workload> {
    let mut run = layers(sizes, Pooling::Own)?;
    Ok(Workload::new(id, sizes.operations(), move || {
        black_box(run().expect("the shapes fit"));
    }))
}

/// Each run gives the gradient, in the layout of the flat vector.
fn engine(sizes: &Sizes) -> Result<impl FnMut() -> Result<Tensor> + use<>> {
    let Sizes { problem, .. } = sizes;
    let engine = Cpu::new(&problem.network, 1).map_err(candle_core::Error::wrap)?;
    let network = CandleNetwork::new(Arc::new(Mutex::new(engine)));
    let start = Tensor::from_slice(&problem.parameters, problem.parameters.len(), &Device::Cpu)?;
    let start = if sizes.each { start.unsqueeze(0)?.repeat((sizes.sets(), 1))? } else { start };
    let (params, x, y) = (Var::from_tensor(&start)?, sizes.rows(&problem.x)?, sizes.rows(&problem.y)?);
    Ok(move || {
        let loss = loss::mse(&network.outputs(&params, &x)?, &y)?;
        loss.backward()?.remove(&params).ok_or_else(|| candle_core::Error::Msg("no gradient".into()))
    })
}

/// How candle pools.
#[derive(Clone, Copy)]
enum Pooling {
    /// By `max_pool2d`, which is the fastest; its gradient is divided by the window.
    Own,
    /// By the maximum of quarters, whose gradient is right.
    Quarters,
}

/// Each run gives the gradients of weights, `[inputs, outputs]` of dense layers, and of biases.
fn layers(sizes: &Sizes, pooling: Pooling) -> Result<impl FnMut() -> Result<Vec<Tensor>> + use<>> {
    let Sizes { problem, .. } = sizes;
    let mut variables = Vec::new();
    for layer in problem.network.layers().filter(|layer| layer.param_len() > 0) {
        let (weight, bias) = problem.parameters[layer.offset..][..layer.param_len()].split_at(layer.weight_len());
        let outputs = layer.output.channels;
        let (weight, bias) = match layer.layer {
            Layer::Convolution { window, .. } => {
                let [height, width] = window.size.map(usize::from);
                let weight = Tensor::from_slice(weight, (outputs, layer.input.channels, height, width), &Device::Cpu)?;
                (weight, Tensor::from_slice(bias, (1, outputs, 1, 1), &Device::Cpu)?)
            }
            _ => {
                let weight = Tensor::from_slice(weight, (outputs, layer.inputs()), &Device::Cpu)?.t()?.contiguous()?;
                (weight, Tensor::from_slice(bias, (1, outputs), &Device::Cpu)?)
            }
        };
        for tensor in [weight, bias] {
            let all = if sizes.each { tensor.unsqueeze(0)?.repeat((sizes.sets(), 1, 1))? } else { tensor };
            variables.push(Var::from_tensor(&all)?);
        }
    }
    let (mut x, mut y) = (sizes.rows(&problem.x)?, sizes.rows(&problem.y)?);
    if let Some(shape) = problem.network.input.image {
        // With one channel it is the same whether channels come first or last.
        x = x.reshape((problem.rows, shape.channels, shape.height, shape.width))?;
    }
    if !sizes.each {
        // One product for all tasks is the fastest.
        (x, y) = (if x.rank() == 3 { x.flatten_to(1)? } else { x }, y.flatten_to(1)?);
    }
    let network = problem.network.clone();
    Ok(move || {
        let (mut values, mut next) = (x.clone(), variables.iter());
        let mut next = || next.next().expect("each layer has its variables");
        for layer in network.layers() {
            values = match layer.layer {
                Layer::Convolution { window, .. } => {
                    let padding = usize::from(window.padding[0]);
                    values.conv2d(next(), padding, 1, 1, 1)?.broadcast_add(next())?.relu()?
                }
                Layer::MaxPool { .. } => match pooling {
                    Pooling::Own => values.max_pool2d(2)?,
                    Pooling::Quarters => maximum_of_quarters(&values)?,
                },
                Layer::Flatten => values.flatten_from(1)?,
                _ => {
                    let sum = values.matmul(next())?.broadcast_add(next())?;
                    if layer.activation() == sinew_models::spec::Activation::Relu { sum.relu()? } else { sum }
                }
            };
        }
        let store = loss::mse(&values, &y)?.backward()?;
        let gradient = |of: &Var| store.get(of).cloned().ok_or_else(|| candle_core::Error::Msg("no gradient".into()));
        variables.iter().map(gradient).collect()
    })
}

fn maximum_of_quarters(x: &Tensor) -> Result<Tensor> {
    let (rows, channels, height, width) = x.dims4()?;
    let quarters = x.reshape(vec![rows, channels, height / 2, 2, width / 2, 2])?;
    let quarter = |v: usize, h: usize| -> Result<Tensor> {
        quarters.narrow(3, v, 1)?.narrow(5, h, 1)?.reshape((rows, channels, height / 2, width / 2))
    };
    quarter(0, 0)?.maximum(&quarter(0, 1)?)?.maximum(&quarter(1, 0)?.maximum(&quarter(1, 1)?)?)
}

/// Both give the same gradients.
///
/// # Panics
/// If there is a NaN, or a difference that rounding does not explain.
pub fn assert_same_gradients() {
    for sizes in [Sizes::mlp(1, false), Sizes::mlp(32, false), Sizes::mlp(32, true), Sizes::images()] {
        let compared = compare(&sizes).expect("the shapes fit");
        assert!(compared <= 1e-5, "{} tasks, own parameters {}: {compared}", sizes.tasks, sizes.each);
    }
}

/// The largest difference beside the largest gradient.
fn compare(sizes: &Sizes) -> Result<f32> {
    let got = engine(sizes)?()?.reshape((sizes.sets(), sizes.problem.parameters.len()))?.to_vec2::<f32>()?;
    let by_layers = layers(sizes, Pooling::Quarters)?()?;
    let (mut largest, mut worst) = (0.0_f32, 0.0_f32);
    for (set, got) in got.iter().enumerate() {
        let mut got = got.iter();
        for gradient in &by_layers {
            let gradient = if sizes.each { gradient.get(set)? } else { gradient.clone() };
            // Dense weights lie the other way round.
            let gradient = if gradient.rank() == 2 { gradient.t()? } else { gradient };
            for want in gradient.flatten_all()?.to_vec1::<f32>()? {
                let error = (got.next().expect("as many as there are parameters") - want).abs();
                largest = largest.max(want.abs());
                worst = if error <= worst || worst.is_nan() { worst } else { error };
            }
        }
        assert_eq!(got.next(), None);
    }
    Ok(worst / largest)
}
