//! Its gradient against the engine's own, and what labels that are missing do.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::layout::Place;
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Input, InputForm, Loss, NetworkSpec};

use super::*;
use crate::engine::Cpu;
use crate::train::initial_parameters;

const LOSSES: [Loss; 3] = [Loss::MeanSquared, Loss::BinaryCrossEntropy, Loss::Huber { delta: 0.3 }];

fn network(heads: &[Loss]) -> NetworkSpec {
    let names = ["a", "b", "c"];
    let heads: Vec<_> =
        heads.iter().zip(names).map(|(loss, name)| HeadPlan { name, outputs: 1, loss: *loss }).collect();
    let plan = Plan {
        input: Input::vector(3, InputForm::Plain),
        convolutions: None,
        context: 0,
        hidden: &[6],
        of_each_head: &[4],
        activation: Activation::Tanh,
        features: Activation::Tanh,
    };
    plan.network(&heads).unwrap()
}

/// Tasks of 5 and 4 rows; a label is missing where `lacks` says so of a row of all and a head.
fn tasks(heads: usize, lacks: impl Fn(usize, usize) -> bool) -> Vec<TaskRows> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut number = 0;
    let mut rows = |rows: usize| {
        let x = (0..3 * rows).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut y = Vec::new();
        for _ in 0..rows {
            for head in 0..heads {
                let label = f32::from(u8::from(rng.random_bool(0.5)));
                y.push(if lacks(number, head) { f32::NAN } else { label });
            }
            number += 1;
        }
        Rows { x, y, rows }
    };
    (0..2).map(|_| TaskRows { support: rows(2), query: rows(3) }).collect()
}

fn learner(network: &NetworkSpec, weighting: weighting::Settings) -> MultiTask {
    let rule = Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::Heads, momentum: false, rows: 0 };
    let settings =
        Settings { architecture: Default::default(), weighting, steps: 1, inner_rate: 0.01, adapt: Scope::Heads };
    MultiTask::new(network, rule, &settings, 0)
}

fn fixed(weights: &[f64]) -> weighting::Settings {
    weighting::Settings::Fixed(weighting::fixed::Settings { weights: weights.to_vec() })
}

fn state(network: &NetworkSpec) -> State<crate::aligned::Aligned> {
    let params = initial_parameters(network, 5, crate::streams::Purpose::Initial, 0);
    State { params: crate::aligned::Aligned::copy_of(&params), rates: Default::default() }
}

fn gradient(network: &NetworkSpec, mut learner: MultiTask, tasks: Vec<TaskRows>) -> (Vec<f32>, f32) {
    let mut engine = Cpu::new(network, 1).unwrap();
    let (state, mut into) = (state(network), BatchGradient::default());
    let batch = learner.prepare(&mut engine, tasks, Use::Training).unwrap();
    learner.gradient(&mut engine, &state, &batch, 0, &mut into).unwrap();
    (into.params.to_vec(), into.losses[0])
}

fn close(got: &[f32], want: &[f32]) {
    for (number, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs()), "parameter {number}: {got} for {want}");
    }
}

#[test]
fn with_fixed_weights_it_is_the_gradient_of_the_weighted_sum() {
    let mut network = network(&LOSSES);
    let (got, loss) = gradient(&network, learner(&network, fixed(&[1.0, 0.5, 2.0])), tasks(3, |_, _| false));
    // The engine has the same weights in the network, and the mean over tasks of the same size.
    network.heads.iter_mut().zip([1.0, 0.5, 2.0]).for_each(|(head, weight)| head.weight = weight);
    let mut engine = Cpu::new(&network, 1).unwrap();
    let (state, mut want) = (state(&network), BatchGradient::default());
    let all = engine.take(tasks(3, |_, _| false)).unwrap();
    engine.pooled_gradient(&state.params, &all, &mut want).unwrap();
    close(&got, &want.params);
    assert!(loss.is_finite() && got.iter().any(|value| value.abs() > 1e-3));
}

#[test]
fn rows_without_a_label_are_left_out() {
    let network = network(&LOSSES);
    // The second head has labels in the first task alone, the third in none.
    let weights = || learner(&network, fixed(&[0.0, 1.0, 1.0]));
    let (got, loss) = gradient(&network, weights(), tasks(3, |row, head| head == 1 && row >= 5 || head == 2));
    let first = vec![tasks(3, |_, _| false)[0].clone()];
    let (want, alone) = gradient(&network, learner(&network, fixed(&[0.0, 1.0, 0.0])), first);
    close(&got, &want);
    assert!(loss.is_finite() && alone.is_finite());
    let last = network.layers().filter(|layer| matches!(layer.place, Place::Head(2))).map(|layer| layer.offset).min();
    assert!(got[last.unwrap()..].iter().all(|value| *value == 0.0), "a head without labels stays as it is");
}

#[test]
fn gradients_of_heads_join_as_the_weighting_says() {
    /// The sum, by gradients.
    #[derive(Debug)]
    struct Sum;
    impl Weighting for Sum {
        fn name(&self) -> &'static str {
            "sum"
        }
        fn needs(&self) -> Needs {
            Needs::Gradients
        }
        fn weigh(&mut self, seen: &Seen<'_>, into: &mut Weights) {
            let gram = seen.gram.expect("gradients are asked for");
            assert!((0..3).all(|i| gram[(i, i)] > 0.0 && (0..3).all(|j| gram[(i, j)] == gram[(j, i)])));
            *into = Weights { shared: vec![1.0; 3], heads: vec![1.0; 3] };
        }
        fn memory(&self) -> Vec<f64> {
            Vec::new()
        }
        fn restore(&mut self, memory: &[f64]) -> bool {
            memory.is_empty()
        }
    }
    let network = network(&LOSSES);
    let by_gradients = MultiTask { weighting: Box::new(Sum), ..learner(&network, fixed(&[1.0; 3])) };
    let (got, _) = gradient(&network, by_gradients, tasks(3, |_, _| false));
    let (want, _) = gradient(&network, learner(&network, fixed(&[1.0; 3])), tasks(3, |_, _| false));
    close(&got, &want);
}
