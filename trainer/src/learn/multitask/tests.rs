//! Its gradient against the engine's own, and what labels that are missing do.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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
    let settings = Settings { weighting, steps: 1, inner_rate: 0.01, adapt: Scope::Heads };
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

#[test]
fn what_is_told_of_a_step_is_of_that_step() {
    let network = network(&LOSSES);
    let shared = network.layers().find(|layer| matches!(layer.place, Place::Head(_))).unwrap().offset;
    // The third head has no label in this batch.
    let lacks = |_: usize, head: usize| head == 2;
    let of_one = |head: usize| {
        let mut weights = [0.0; 3];
        weights[head] = 1.0;
        gradient(&network, learner(&network, fixed(&weights)), tasks(3, lacks)).0[..shared].to_vec()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (a, b) = (of_one(0), of_one(1));
    let want = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    let mgda = weighting::Settings::Mgda(weighting::mgda::Settings::default());
    for (weighting, weights) in [(fixed(&[2.0, 0.5, 3.0]), Some([2.0, 0.5])), (mgda, None)] {
        let mut engine = Cpu::new(&network, 1).unwrap();
        let (state, mut into) = (state(&network), BatchGradient::default());
        let mut learner = learner(&network, weighting);
        let batch = learner.prepare(&mut engine, tasks(3, lacks), Use::Training).unwrap();
        learner.gradient(&mut engine, &state, &batch, 0, &mut into).unwrap();
        let before = learner.weighting.memory();
        let pull = Learner::<Cpu>::pull(&learner, &mut engine, &state, &batch).unwrap().unwrap();
        assert_eq!(learner.weighting.memory(), before);
        assert!((pull.cosines[0] - want).abs() <= 1e-6 && want.abs() > 1e-3, "{pull:?}, {want}");
        assert!(pull.cosines[1].is_nan() && pull.cosines[2].is_nan() && pull.shared[2].is_nan());
        // The shared parameters took the step that the weights tell of.
        for ((got, a), b) in into.params.iter().zip(&a).zip(&b) {
            let want = pull.shared[0] * f64::from(*a) + pull.shared[1] * f64::from(*b);
            assert!((f64::from(*got) - want).abs() <= 1e-5 * (1.0 + want.abs()), "{got} for {want}");
        }
        assert!(weights.is_none_or(|weights| pull.shared[..2] == weights));
    }
}

#[test]
fn classes_of_several_sizes_are_heads_like_others() {
    let plan = Plan {
        input: Input::vector(3, InputForm::Plain),
        convolutions: None,
        context: 0,
        hidden: &[6],
        of_each_head: &[],
        activation: Activation::Tanh,
        features: Activation::Tanh,
    };
    let head = |name, outputs| HeadPlan { name, outputs, loss: Loss::CrossEntropy };
    let network = plan.network(&[head("a", 4), head("b", 2)]).unwrap();
    // One-hot labels for both; without those of `lacking` heads.
    let labelled = |lacking: &dyn Fn(usize) -> Option<usize>| {
        let mut tasks = tasks(6, |_, _| false);
        let rows = tasks.iter_mut().flat_map(|task| [&mut task.support, &mut task.query]);
        for (number, label) in rows.flat_map(|rows| rows.y.chunks_exact_mut(6)).enumerate() {
            label.fill(0.0);
            label[number % 4] = 1.0;
            label[4 + number / 2 % 2] = 1.0;
            match lacking(number) {
                Some(0) => label[..4].fill(f32::NAN),
                Some(_) => label[4..].fill(f32::NAN),
                None => {}
            }
        }
        tasks
    };
    let both = || learner(&network, fixed(&[1.0, 1.0]));
    let (got, loss) = gradient(&network, both(), labelled(&|_| None));
    let mut engine = Cpu::new(&network, 1).unwrap();
    let (state, mut want) = (state(&network), BatchGradient::default());
    let all = engine.take(labelled(&|_| None)).unwrap();
    engine.pooled_gradient(&state.params, &all, &mut want).unwrap();
    close(&got, &want.params);
    assert!(loss.is_finite() && got.iter().any(|value| value.abs() > 1e-3));
    // The first task has labels for the first head alone, the second for the other: a sum of two gradients of one task each.
    let (apart, _) = gradient(&network, both(), labelled(&|number| Some(usize::from(number < 5))));
    let of_one = |task: usize, weights: &[f64]| {
        let tasks = vec![labelled(&|_| None)[task].clone()];
        gradient(&network, learner(&network, fixed(weights)), tasks).0
    };
    let (first, second) = (of_one(0, &[1.0, 0.0]), of_one(1, &[0.0, 1.0]));
    let sum: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
    close(&apart, &sum);
}
