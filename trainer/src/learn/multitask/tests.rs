//! Its gradient against the engine's own, and what labels that are missing do.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::layout::Place;
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Input, InputForm, Loss, NetworkSpec};

use super::architecture::tests::{HEADS, all, dot, drawn, plan};
use super::*;
use crate::aligned::Aligned;
use crate::engine::{Cpu, Learned as Stepped, OuterStep};
use crate::optimiser::{AdamW, Moments};
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
    of_architecture(network, architecture::Settings::default(), weighting)
}

fn of_architecture(
    network: &NetworkSpec,
    architecture: architecture::Settings,
    weighting: weighting::Settings,
) -> MultiTask {
    let rule = Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::Heads, momentum: false, rows: 0 };
    let settings = Settings { architecture, weighting, steps: 1, inner_rate: 0.01, adapt: Scope::Heads };
    MultiTask::new(network, rule, &settings, 0)
}

/// What a run of the learner begins with.
fn beginning(network: &NetworkSpec, learner: &MultiTask) -> State {
    let mut params = initial_parameters(network, 5, crate::streams::Purpose::Initial, 0);
    let learner: &dyn Learner<Cpu> = learner;
    learner.initialise(&mut params);
    State { params, rates: learner.initial_rates(network) }
}

fn uploaded(state: &State) -> State<Aligned> {
    State { params: Aligned::copy_of(&state.params), rates: Aligned::copy_of(&state.rates) }
}

fn fixed(weights: &[f64]) -> weighting::Settings {
    weighting::Settings::Fixed(weighting::fixed::Settings { weights: weights.to_vec() })
}

fn state(network: &NetworkSpec) -> State<Aligned> {
    let params = initial_parameters(network, 5, crate::streams::Purpose::Initial, 0);
    State { params: Aligned::copy_of(&params), rates: Aligned::copy_of(&[0.01]) }
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

#[test]
fn gradients_of_heads_join_as_the_weighting_says() {
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
fn by_every_architecture_it_is_the_gradient_of_the_loss_by_what_is_learned() {
    for (name, settings, plan) in all() {
        let network = settings.network(&plan, &HEADS).unwrap();
        let mut engine = Cpu::new(&network, 1).unwrap();
        for by_gradients in [false, true] {
            let mut learner = of_architecture(&network, settings, fixed(&[1.0; 3]));
            if by_gradients {
                learner.weighting = Box::new(Sum);
            }
            let at = beginning(&network, &learner);
            let batch = learner.prepare(&mut engine, tasks(4, |_, _| false), Use::Training).unwrap();
            let mut of = |state: &State| {
                let mut into = BatchGradient::default();
                learner.gradient(&mut engine, &uploaded(state), &batch, 0, &mut into).unwrap();
                into
            };
            let gradient = of(&at);
            let by_rates = gradient.rates.as_deref().unwrap_or_default();
            // Those of the rule are not learned.
            assert!(by_rates.is_empty() || by_rates.len() == at.rates.len() && by_rates[0] == 0.0, "{name}");
            assert_eq!(!by_rates.is_empty(), name.starts_with("cross"), "{name}");
            let all: Vec<f32> = gradient.params.iter().chain(by_rates).copied().collect();
            let other = drawn(all.len(), 21);
            let [length, other_length] = [&all, &other].map(|values| dot(values, values).sqrt() as f32);
            let along: Vec<f32> =
                all.iter().zip(&other).map(|(by, other)| by / length + other / other_length).collect();
            let step = 0.02;
            let shifted = |step: f32| {
                let (params, rates) = along.split_at(at.params.len());
                let add = |at: &[f32], by: &[f32]| at.iter().zip(by).map(|(at, by)| at + step * by).collect::<Vec<_>>();
                let mixed = if rates.is_empty() { at.rates.clone() } else { add(&at.rates, rates) };
                State { params: add(&at.params, params), rates: mixed }
            };
            let [above, below] = [step, -step].map(|step| f64::from(of(&shifted(step)).losses[0]));
            let (want, got) = ((above - below) / (2.0 * f64::from(step)), dot(&all, &along));
            assert!((want - got).abs() <= 3e-3 * want.abs() && want > 0.1, "{name}: {got} for {want}");
        }
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

#[test]
fn towers_without_a_tie_train_alone() {
    let heads = ["a", "b", "c"].map(|name| HeadPlan { name, outputs: 1, loss: Loss::MeanSquared });
    let plan = plan(&[], &[5, 4]);
    let soft = architecture::Settings::Soft(architecture::soft::Settings { tie: 0.0 });
    let network = soft.network(&plan, &heads).unwrap();
    let together = of_architecture(&network, soft, fixed(&[1.0; 3]));
    let (got, _) = gradient(&network, together, tasks(3, |_, _| false));
    let all = state(&network).params;
    for (head, plan_of_head) in heads.iter().enumerate() {
        let one = plan.network(&[*plan_of_head]).unwrap();
        let mut tasks = tasks(3, |_, _| false);
        for rows in tasks.iter_mut().flat_map(|task| [&mut task.support, &mut task.query]) {
            rows.y = rows.y.chunks_exact(3).map(|row| row[head]).collect();
        }
        let own = head * one.param_len()..(head + 1) * one.param_len();
        let mut engine = Cpu::new(&one, 1).unwrap();
        let mut alone = learner(&one, fixed(&[1.0]));
        let state = State { params: Aligned::copy_of(&all[own.clone()]), rates: Aligned::default() };
        let batch = alone.prepare(&mut engine, tasks, Use::Training).unwrap();
        let mut want = BatchGradient::default();
        alone.gradient(&mut engine, &state, &batch, 0, &mut want).unwrap();
        close(&got[own], &want.params);
    }
}

#[test]
fn a_strong_tie_keeps_towers_together() {
    let plan = plan(&[], &[5, 4]);
    let soft = |tie| architecture::Settings::Soft(architecture::soft::Settings { tie });
    let network = soft(1.0).network(&plan, &HEADS).unwrap();
    let apart = |params: &[f32]| soft(1.0).open(&network).penalty(params, &mut vec![0.0; params.len()]);
    let trained = |tie| {
        let mut engine = Cpu::new(&network, 1).unwrap();
        let mut learner = of_architecture(&network, soft(tie), fixed(&[1.0; 3]));
        let mut state = uploaded(&beginning(&network, &learner));
        let batch = learner.prepare(&mut engine, tasks(4, |_, _| false), Use::Training).unwrap();
        let zeros = || Aligned::zeros(network.param_len());
        let mut moments = Moments { first: zeros(), second: zeros(), steps: 0 };
        let (mut of_rates, mut into) = (Moments::default(), BatchGradient::default());
        let step = OuterStep { adam: AdamW::default(), clip: None, rate: 1e-2, rate_of_rates: 0.0 };
        for iteration in 0..200 {
            learner.gradient(&mut engine, &state, &batch, iteration, &mut into).unwrap();
            let stepped =
                Stepped { params: &mut state.params, rates: &mut state.rates, moments: [&mut moments, &mut of_rates] };
            engine.update(&step, stepped, &mut into).unwrap();
            moments.steps += 1;
        }
        apart(&state.params)
    };
    let start = apart(&beginning(&network, &of_architecture(&network, soft(0.0), fixed(&[1.0; 3]))).params);
    let (free, tied) = (trained(0.0), trained(1e3));
    assert!(free >= 0.5 * start && tied <= 0.02 * start, "{start} at the beginning, {free} free, {tied} tied");
}

/// What is exported is θ, with the numbers of the rule alone.
#[test]
fn what_is_deployed_is_a_plain_network() {
    for (name, settings, plan) in all() {
        let network = settings.network(&plan, &HEADS).unwrap();
        let learner = of_architecture(&network, settings, fixed(&[1.0; 3]));
        let at = beginning(&network, &learner);
        let deployed = Learner::<Cpu>::deploy(&learner, &network, &at);
        assert_eq!([deployed.params.len(), deployed.rates.len()], [network.param_len(), 1], "{name}");
        let mut engine = Cpu::new(&network, 1).unwrap();
        let batch = learner.prepare(&mut engine, tasks(4, |_, _| false), Use::Validation).unwrap();
        let mut losses = Vec::new();
        learner.losses(&mut engine, &uploaded(&at), &batch, &mut losses).unwrap();
        // By the network alone.
        let plain = MultiTask { architecture: architecture::Settings::default().open(&network), ..learner };
        let mut want = Vec::new();
        plain.losses(&mut engine, &uploaded(&deployed), &batch, &mut want).unwrap();
        assert!(losses == want && losses.iter().all(|loss| *loss > 0.0), "{name}: {losses:?} {want:?}");
    }
}
