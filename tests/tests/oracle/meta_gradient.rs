//! The exact second-order MAML meta-gradient of a small network, by one `backward()`.
//!
//! candle's `backward()` detaches what it returns, so a second one would lose the second-order terms. Here the inner gradient is
//! written out in tensor operations; what `backward()` sees is a plain, if long, computation.

use candle_core::{DType, Result, Tensor, Var};
use sinew_models::spec::{Activation, Loss, NetworkSpec};

use super::{flat, gradient_of, scalar, tensor, variables};

/// One task's rows, in f64: `x [rows, inputs]`, `y [rows, outputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Inputs.
    pub x: &'a [f64],
    /// Targets.
    pub y: &'a [f64],
}

/// What an outer step needs.
#[derive(Clone, Debug)]
pub struct MetaGradient {
    /// L_Q(θ_S), the query loss after the last inner step.
    pub loss: f64,
    /// Its gradient at θ₀, in the layout of the flat vector.
    pub parameters: Vec<f64>,
    /// Its gradient at the inner rates: `[steps, param_len]`. A rate that is shared has the sum over those that share it.
    pub rates: Vec<f64>,
}

/// θ_{k+1} = θ_k − α_k ∘ ∇L_S(θ_k) for each row α_k of `rates [steps, param_len]`, then L_Q(θ_S) and its exact gradient at θ₀ and α.
///
/// `spec` has one hidden layer with tanh and one linear head with squared error.
pub fn candle_meta_gradient(
    spec: &NetworkSpec,
    params: &[f64],
    rates: &[f64],
    support: Rows<'_>,
    query: Rows<'_>,
    dtype: DType,
) -> Result<MetaGradient> {
    let layers: Vec<_> = spec.layers().collect();
    let activations: Vec<_> = layers.iter().map(|layer| layer.activation()).collect();
    assert_eq!(activations, [Activation::Tanh, Activation::Identity]);
    assert!(spec.heads.len() == 1 && spec.heads[0].loss == Loss::MeanSquared && spec.heads[0].weight == 1.0);
    let batch = |rows: Rows<'_>| -> Result<[Tensor; 2]> {
        let count = rows.x.len() / layers[0].inputs();
        Ok([
            tensor(rows.x, &[count, layers[0].inputs()], dtype)?,
            tensor(rows.y, &[count, layers[1].outputs()], dtype)?,
        ])
    };
    let (support, query) = (batch(support)?, batch(query)?);
    let start = variables(spec, params, dtype)?;
    let rates: Vec<Vec<Var>> =
        rates.chunks_exact(params.len()).map(|rates| variables(spec, rates, dtype)).collect::<Result<_>>()?;

    let mut adapted: Vec<Tensor> = start.iter().map(|param| param.as_tensor().clone()).collect();
    for rates in &rates {
        let gradient = inner_gradient(&adapted, &support)?;
        let moved = adapted.iter().zip(rates).zip(&gradient);
        adapted =
            moved.map(|((param, rate), gradient)| param - (rate.as_tensor() * gradient)?).collect::<Result<_>>()?;
    }
    let [x, y] = &query;
    let loss = (forward(&adapted, x)?.1 - y)?.sqr()?.mean_all()?;
    let store = loss.backward()?;
    let all = |variables: &[Var]| -> Result<Vec<f64>> {
        let gradients = variables.iter().map(|variable| gradient_of(&store, variable)).collect::<Result<Vec<_>>>()?;
        flat(&gradients)
    };
    let parameters = all(&start)?;
    let rates = rates.iter().map(|rates| all(rates)).collect::<Result<Vec<_>>>()?.concat();
    Ok(MetaGradient { loss: scalar(&loss)?, parameters, rates })
}

/// The hidden layer h = tanh(x W₁ᵀ + b₁) and the output h W₂ᵀ + b₂.
fn forward(params: &[Tensor], x: &Tensor) -> Result<(Tensor, Tensor)> {
    let h = x.matmul(&params[0].t()?)?.broadcast_add(&params[1])?.tanh()?;
    let z = h.matmul(&params[2].t()?)?.broadcast_add(&params[3])?;
    Ok((h, z))
}

/// The gradient of the mean squared error at W₁, b₁, W₂ and b₂, every operation of it on record.
fn inner_gradient(params: &[Tensor], [x, y]: &[Tensor; 2]) -> Result<[Tensor; 4]> {
    let (h, z) = forward(params, x)?;
    let dz = ((&z - y)? * (2.0 / z.elem_count() as f64))?;
    let slope = (1.0 - h.sqr()?)?;
    let dh = (dz.matmul(&params[2])? * slope)?;
    Ok([dh.t()?.matmul(x)?, dh.sum(0)?, dz.t()?.matmul(&h)?, dz.sum(0)?])
}
