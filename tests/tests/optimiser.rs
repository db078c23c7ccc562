//! The trainer's AdamW against candle's, over many steps with weight decay.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW as CandleAdamW, Optimizer, ParamsAdamW};
use sinew_tests::reference::relative_error;
use sinew_tests::sample::{Numbers, single};
use sinew_trainer::optimiser::{AdamW, Moments};

/// The parameters after each of `gradients`, by candle in `dtype`; step k at `rates[k]`.
fn candle(start: &[f64], gradients: &[Vec<f64>], rates: &[f64], ours: &AdamW, dtype: DType) -> Vec<Vec<f64>> {
    let tensor = |values: &[f64]| Tensor::new(values, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
    let variable = Var::from_tensor(&tensor(start)).unwrap();
    let settings = ParamsAdamW {
        lr: rates[0],
        beta1: ours.beta1,
        beta2: ours.beta2,
        eps: ours.epsilon,
        weight_decay: ours.weight_decay,
    };
    let mut optimiser = CandleAdamW::new(vec![variable.clone()], settings).unwrap();
    let step = |(gradient, rate): (&Vec<f64>, &f64)| {
        // The gradient of θ · g is g.
        let loss = (variable.as_tensor() * tensor(gradient)).unwrap().sum_all().unwrap();
        optimiser.set_learning_rate(*rate);
        optimiser.backward_step(&loss).unwrap();
        variable.as_tensor().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    gradients.iter().zip(rates).map(step).collect()
}

#[test]
fn fifty_steps_are_fifty_steps_of_candle() {
    const STEPS: usize = 50;
    for (seed, weight_decay, epsilon, most) in [(1, 0.1, 1e-8, 1.0), (2, 0.0, 1e-8, 1e-3), (3, 1.0, 1e-3, 100.0)] {
        let mut numbers = Numbers(seed);
        let start = numbers.values(101, 1.0);
        let gradients: Vec<Vec<f64>> = (0..STEPS)
            .map(|step| {
                let mut gradient = numbers.values(101, most);
                // A parameter that never has a gradient still decays, and one has a gradient only at first.
                gradient[0] = 0.0;
                gradient[1] *= f64::from(u8::from(step == 0));
                gradient
            })
            .collect();
        // A rate that moves, as with a schedule.
        let rates: Vec<f64> = (0..STEPS).map(|step| 1e-2 * (1.0 - step as f64 / 60.0)).collect();
        let ours = AdamW { weight_decay, epsilon, ..AdamW::default() };
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-5)] {
            let want = candle(&start, &gradients, &rates, &ours, dtype);
            let (mut params, mut moments) = (single(&start), Moments::zeros(start.len()));
            for (step, gradient) in gradients.iter().enumerate() {
                ours.step(rates[step], &mut moments, &mut params, &single(gradient));
                let error = relative_error(&params, &want[step]);
                assert!(error <= tolerance, "step {step} against {dtype:?}: {error}");
            }
            assert_eq!(moments.steps, STEPS as u64);
            // The first parameter has nothing but its decay.
            let decayed = rates.iter().fold(start[0], |value, rate| value * (1.0 - rate * weight_decay));
            assert!((f64::from(params[0]) - decayed).abs() <= 1e-5 * decayed.abs());
            assert!(
                relative_error(&single(&start), &want[STEPS - 1]) >= 1e-2,
                "a test that moves nothing shows nothing"
            );
        }
    }
}
