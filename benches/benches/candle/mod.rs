//! The same work in candle, in its best form: weights `[inputs, outputs]` that `matmul` takes as they lie, data turned into tensors
//! beforehand, one thread, and its own SGD.
#![allow(dead_code, reason = "each bench takes what it asks about")]

pub mod composed;

use std::hint::black_box;

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{Optimizer, SGD, loss};
use sinew_benches::Workload;
use sinew_benches::problem::Problem;

/// Keeps candle on one thread, where it is fastest on work this small: above one it asks its thread pool for every product.
///
/// Call it first in `main`.
pub fn single_thread() {
    // SAFETY: `main` calls this before there is a second thread that could read the environment.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
}

/// One prediction for one row that is a tensor already.
pub fn predict() -> Workload {
    let problem = Problem::standard();
    let parameters = parameters(&problem).expect("the shapes fit");
    let x = rows(problem.first_input(), 1).expect("the shapes fit");
    Workload::new("predict/candle", problem.count().forward(1), move || {
        black_box(forward(&parameters, black_box(&x)).expect("the shapes fit"));
    })
}

/// One adaptation from a fresh copy of the start.
pub fn adapt() -> Workload {
    let problem = Problem::standard();
    let operations = problem.count().adapt(problem.rows, Problem::STEPS as u64);
    let mut adapt = adaptation(&problem).expect("the shapes fit");
    Workload::new("adapt/candle", operations, move || {
        black_box(adapt().expect("the shapes fit"));
    })
}

/// Adapts a fresh copy whenever it is called, and returns weight and bias of each layer.
fn adaptation(problem: &Problem) -> Result<impl FnMut() -> Result<Vec<Tensor>> + use<>> {
    let start = parameters(problem)?;
    let (x, y) = (rows(&problem.x, problem.rows)?, rows(&problem.y, problem.rows)?);
    Ok(move || {
        let variables = start.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let parameters: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let mut sgd = SGD::new(variables, f64::from(Problem::RATE))?;
        for _ in 0..Problem::STEPS {
            sgd.backward_step(&loss::mse(&forward(&parameters, &x)?, &y)?)?;
        }
        Ok(parameters)
    })
}

/// Dense layers with ReLU between them; `parameters` are weight and bias of each.
fn forward(parameters: &[Tensor], x: &Tensor) -> Result<Tensor> {
    let (last, hidden) = parameters.as_chunks::<2>().0.split_last().expect("a network has a layer");
    let dense = |x: &Tensor, [weight, bias]: &[Tensor; 2]| x.matmul(weight)?.broadcast_add(bias);
    let mut features = None;
    for layer in hidden {
        features = Some(dense(features.as_ref().unwrap_or(x), layer)?.relu()?);
    }
    dense(features.as_ref().unwrap_or(x), last)
}

fn parameters(problem: &Problem) -> Result<Vec<Tensor>> {
    let mut tensors = Vec::new();
    for layer in problem.network.layers() {
        let (weight, bias) = problem.parameters[layer.offset..][..layer.param_len()].split_at(layer.weight_len());
        let weight = Tensor::from_slice(weight, (layer.outputs(), layer.inputs()), &Device::Cpu)?;
        tensors.push(weight.t()?.contiguous()?);
        tensors.push(Tensor::from_slice(bias, (1, layer.outputs()), &Device::Cpu)?);
    }
    Ok(tensors)
}

fn rows(values: &[f32], rows: usize) -> Result<Tensor> {
    Tensor::from_slice(values, (rows, values.len() / rows), &Device::Cpu)
}

/// Sinew and candle end in the same place after one adaptation.
///
/// # Panics
/// If there is a NaN, or a difference that rounding does not explain: then they did not do the same work.
pub fn assert_same_work() {
    let problem = Problem::standard();
    let mut adapter = problem.adapter(sinew_runtime::Path::detect());
    adapter.adapt(|| false).expect("there is support");
    let tensors = adaptation(&problem).and_then(|mut adapt| adapt()).expect("the shapes fit");
    let mut flat = Vec::new();
    for [weight, bias] in tensors.as_chunks::<2>().0 {
        for tensor in [&weight.t().expect("a matrix"), bias] {
            flat.extend(tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("a tensor of f32"));
        }
    }
    let largest = flat.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(adapter.parameters().len(), flat.len());
    for (sinew, candle) in adapter.parameters().iter().zip(&flat) {
        assert!((sinew - candle).abs() <= 1e-5 * largest, "{sinew} and {candle}");
    }
    let moved = flat.iter().zip(&problem.parameters).any(|(now, start)| (now - start).abs() > 1e-3);
    assert!(moved, "nothing was adapted");
}
