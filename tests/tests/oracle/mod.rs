//! candle as an independent oracle: networks and losses in tensor operations, differentiated by its `backward()`.
//!
//! Its fused `softmax_last_dim` and `layer_norm` pass no gradient back, silently, and its `backward()` drops second-order terms,
//! silently: nothing here uses the former, and [`meta_gradient`] needs no second `backward()`.

// Each contract asks what it needs.
#![allow(dead_code)]

pub mod meta_gradient;

use candle_core::{DType, Device, Result, Tensor, Var};
use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec, Shape};

/// `values` as a tensor of `shape`.
pub fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(dtype)
}

/// The values of all tensors, one after the other.
pub fn flat<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    for tensor in tensors {
        values.extend(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
    }
    Ok(values)
}

/// A variable for each slot of `spec`, in their order.
pub fn variables(spec: &NetworkSpec, params: &[f64], dtype: DType) -> Result<Vec<Var>> {
    let slots = spec.slots();
    slots.map(|slot| Var::from_tensor(&tensor(&params[slot.offset()..][..slot.len()], &slot.shape(), dtype)?)).collect()
}

/// The outputs of each head for rows `x`: `[rows, outputs of the head]`.
pub fn outputs(spec: &NetworkSpec, params: &[Var], x: &Tensor) -> Result<Vec<Tensor>> {
    Ok(features_and_outputs(spec, params, x)?.1)
}

/// What the heads see of rows `x`, `[rows, features]`, and the outputs of each, `[rows, outputs of the head]`.
pub fn features_and_outputs(spec: &NetworkSpec, params: &[Var], x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
    let mut values = match spec.input.image {
        None => x.clone(),
        // candle has channels first.
        Some(Shape { height, width, channels }) => {
            x.reshape((x.dim(0)?, height, width, channels))?.permute((0, 3, 1, 2))?.contiguous()?
        }
    };
    let (mut features, mut heads, mut params) = (values.clone(), Vec::new(), params.iter());
    let layers: Vec<_> = spec.layers().collect();
    // What each layer of this backbone or head took in.
    let mut taken: Vec<Tensor> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        if layer.index == 0 {
            taken.clear();
        }
        if layer.place != Place::Backbone && layer.index == 0 {
            values = features.clone();
        }
        taken.push(values.clone());
        values = activate(layer.activation(), sums(layer, &values, &taken, &mut params)?)?;
        if layer.place == Place::Backbone {
            features = values.clone();
        } else if layers.get(number + 1).is_none_or(|next| next.place != layer.place) {
            heads.push(values.clone());
        }
    }
    if features.rank() == 4 {
        features = features.permute((0, 2, 3, 1))?.flatten_from(1)?;
    }
    Ok((features, heads))
}

/// What a layer makes of `x` before its activation; it takes its own variables from `params`. `taken` is what the layers up to this one
/// took in.
fn sums<'v>(
    layer: &PlacedLayer,
    x: &Tensor,
    taken: &[Tensor],
    params: &mut impl Iterator<Item = &'v Var>,
) -> Result<Tensor> {
    let mut next = || params.next().ok_or_else(|| candle_core::Error::Msg("too few variables".into()));
    match layer.layer {
        Layer::Dense { .. } => {
            let (weight, bias) = (next()?, next()?);
            x.matmul(&weight.t()?)?.broadcast_add(bias)
        }
        Layer::Convolution { outputs, window, .. } => {
            let (weight, bias) = (next()?, next()?);
            let [padding, stride] = [window.padding[0], window.stride[0]].map(usize::from);
            x.conv2d(weight, padding, stride, 1, 1)?.broadcast_add(&bias.reshape((1, outputs, 1, 1))?)
        }
        // candle's own max pooling gives a gradient that is divided by the window.
        Layer::MaxPool { .. } => {
            let (rows, channels, height, width) = x.dims4()?;
            let quarters = x.reshape(vec![rows, channels, height / 2, 2, width / 2, 2])?;
            let quarter = |v: usize, h: usize| -> Result<Tensor> {
                quarters.narrow(3, v, 1)?.narrow(5, h, 1)?.reshape((rows, channels, height / 2, width / 2))
            };
            let lines = [quarter(0, 0)?.maximum(&quarter(0, 1)?)?, quarter(1, 0)?.maximum(&quarter(1, 1)?)?];
            lines[0].maximum(&lines[1])
        }
        Layer::AveragePool { window } => x.avg_pool2d(usize::from(window.size[0])),
        Layer::GlobalAveragePool => x.mean((2, 3)),
        Layer::Flatten => x.flatten_from(1),
        Layer::LayerNorm { .. } => {
            let (weight, bias) = (next()?, next()?);
            let flat = x.flatten_from(1)?;
            let centred = flat.broadcast_sub(&flat.mean_keepdim(1)?)?;
            let deviation = (centred.sqr()?.mean_keepdim(1)? + 1e-5)?.sqrt()?;
            let normed = centred.broadcast_div(&deviation)?.reshape(x.shape())?;
            let channels = if x.rank() == 4 { vec![1, x.dim(1)?, 1, 1] } else { vec![1, x.dim(1)?] };
            normed.broadcast_mul(&weight.reshape(channels.clone())?)?.broadcast_add(&bias.reshape(channels)?)
        }
        Layer::Depthwise { window, .. } => {
            let (weight, bias) = (next()?, next()?);
            let [padding, stride] = [window.padding[0], window.stride[0]].map(usize::from);
            let channels = x.dim(1)?;
            x.conv2d(weight, padding, stride, 1, channels)?.broadcast_add(&bias.reshape((1, channels, 1, 1))?)
        }
        Layer::Residual { layers, .. } => x + &taken[layer.index - layers],
        Layer::Mixture { experts, gates, first, outputs, activation } => {
            let [experts, gates, first, outputs] = [experts, gates, first, outputs].map(usize::from);
            let (rows, units) = (x.dim(0)?, x.dim(1)? / experts - gates);
            let values = activate(activation, x.narrow(1, 0, experts * units)?)?.reshape((rows, experts, units))?;
            let mixtures = (first..first + outputs).map(|gate| {
                let logits = x.narrow(1, experts * (units + gate), experts)?;
                let shares = logits.broadcast_sub(&log_sum_exp(&logits)?)?.exp()?.reshape((rows, experts, 1))?;
                values.broadcast_mul(&shares)?.sum(1)
            });
            Tensor::cat(&mixtures.collect::<Result<Vec<_>>>()?, 1)
        }
        Layer::Context { len } => {
            let context = next()?.reshape((1, len))?.broadcast_as((x.dim(0)?, len))?;
            Tensor::cat(&[x, &context], 1)
        }
    }
}

fn activate(activation: Activation, z: Tensor) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(z),
        Activation::Relu => z.relu(),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z.silu(),
        Activation::Sigmoid => sigmoid(&z),
    }
}

fn sigmoid(z: &Tensor) -> Result<Tensor> {
    (z.neg()?.exp()? + 1.0)?.recip()
}

/// ln Σ exp z of each row, `[rows, 1]`.
pub fn log_sum_exp(z: &Tensor) -> Result<Tensor> {
    let largest = z.max_keepdim(1)?.detach();
    z.broadcast_sub(&largest)?.exp()?.sum_keepdim(1)?.log()? + largest
}

/// Σ λ L over heads for targets `y [rows, outputs]`, heads side by side.
pub fn loss(spec: &NetworkSpec, params: &[Var], x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (mut total, mut column) = (Tensor::zeros((), x.dtype(), &Device::Cpu)?, 0);
    for (head, z) in spec.heads.iter().zip(outputs(spec, params, x)?) {
        let y = y.narrow(1, column, head.outputs())?;
        column += head.outputs();
        let error = (&z - &y)?;
        let loss = match head.loss {
            Loss::MeanSquared => error.sqr()?.mean_all()?,
            Loss::Huber { delta } => {
                // With c = min(|e|, δ) both branches are c(|e| − c/2).
                let size = error.abs()?;
                let clipped = (&size - (&size - f64::from(delta))?.relu()?)?;
                (&clipped * (&size - (&clipped * 0.5)?)?)?.mean_all()?
            }
            // −y ln σ(z) − (1 − y) ln(1 − σ(z)) = max(z, 0) − z y + ln(1 + exp(−|z|))
            Loss::BinaryCrossEntropy => {
                let tail = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
                ((z.relu()? - (&z * &y)?)? + tail)?.mean_all()?
            }
            Loss::CrossEntropy => (log_sum_exp(&z)?.broadcast_sub(&z)? * y)?.sum(1)?.mean_all()?,
        };
        total = (total + (loss * f64::from(head.weight))?)?;
    }
    Ok(total)
}

/// The loss and its gradient, in the layout of the flat vector.
pub fn gradient(spec: &NetworkSpec, params: &[Var], x: &Tensor, y: &Tensor) -> Result<(f64, Vec<f64>)> {
    let loss = loss(spec, params, x, y)?;
    let store = loss.backward()?;
    let gradients: Vec<Tensor> = params.iter().map(|param| gradient_of(&store, param)).collect::<Result<_>>()?;
    Ok((scalar(&loss)?, flat(&gradients)?))
}

/// What an adapter answers: probabilities for classes, outputs as they are for the rest; heads side by side.
pub fn predictions(spec: &NetworkSpec, params: &[Var], x: &Tensor) -> Result<Tensor> {
    let heads = spec.heads.iter().zip(outputs(spec, params, x)?);
    let answers: Vec<Tensor> = heads
        .map(|(head, z)| match head.loss {
            Loss::MeanSquared | Loss::Huber { .. } => Ok(z),
            Loss::BinaryCrossEntropy => sigmoid(&z),
            Loss::CrossEntropy => z.broadcast_sub(&log_sum_exp(&z)?)?.exp(),
        })
        .collect::<Result<_>>()?;
    Tensor::cat(&answers, 1)
}

/// A number.
pub fn scalar(tensor: &Tensor) -> Result<f64> {
    tensor.to_dtype(DType::F64)?.to_scalar()
}

/// The gradient of one variable; an error where none came, for candle says nothing when it drops one.
fn gradient_of(store: &candle_core::backprop::GradStore, param: &Tensor) -> Result<Tensor> {
    store.get(param).cloned().ok_or_else(|| candle_core::Error::Msg("no gradient came back".into()))
}
