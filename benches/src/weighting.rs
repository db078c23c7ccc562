//! What it costs to weigh tasks: a step of multi-task training by each weighting.

use std::hint::black_box;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::networks::{HeadPlan, Plan};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Input, InputForm, Loss, NetworkSpec};
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, Learned, OuterStep, Rows, TaskRows};
use sinew_trainer::learn::multitask::{MultiTask, Settings};
use sinew_trainer::learn::{Learner, State, Use};
use sinew_trainer::optimiser::{AdamW, Moments};
use sinew_trainer::streams::Purpose;
use sinew_trainer::train::initial_parameters;
use sinew_trainer::weighting::{self, fixed};

use crate::Workload;
use crate::count::Count;

const INPUTS: usize = 16;
const HEADS: [&str; 3] = ["a", "b", "c"];
/// Tasks of a batch, and rows of each.
const TASKS: usize = 16;
const ROWS: [usize; 2] = [16, 64];

/// A step by each of them, the plain sum first.
///
/// # Panics
/// Never: their settings are their own defaults.
pub fn all() -> Vec<Workload> {
    let sum = weighting::Settings::Fixed(fixed::Settings { weights: vec![1.0; HEADS.len()] });
    let by_default = |kind: &str| toml::from_str(&format!("kind = \"{kind}\"")).expect("all have defaults");
    let next = toml::from_str("kind = \"famo\"\nagain = false").expect("it is a setting");
    vec![
        step("weighting/sum", sum),
        step("weighting/uncertainty", by_default("uncertainty")),
        step("weighting/dynamic_average", by_default("dynamic_average")),
        step("weighting/random", by_default("random")),
        step("weighting/famo", by_default("famo")),
        step("weighting/famo_next", next),
        step("weighting/gradnorm", by_default("gradnorm")),
        step("weighting/pcgrad", by_default("pcgrad")),
        step("weighting/cagrad", by_default("cagrad")),
        step("weighting/mgda", by_default("mgda")),
        step("weighting/nash", by_default("nash")),
    ]
}

fn network() -> NetworkSpec {
    let heads = HEADS.map(|name| HeadPlan { name, outputs: 1, loss: Loss::MeanSquared });
    let plan = Plan {
        input: Input::vector(INPUTS, InputForm::Plain),
        convolutions: None,
        context: 0,
        hidden: &[64, 64],
        of_each_head: &[],
        activation: Activation::Silu,
        features: Activation::Silu,
    };
    plan.network(&heads).expect("it is small")
}

/// The gradient over a batch, and the optimiser's step, on one thread; operations are those of one gradient.
fn step(id: &'static str, weighting: weighting::Settings) -> Workload {
    let network = network();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut values = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
    let mut rows = |rows: usize| Rows { x: values(rows * INPUTS), y: values(rows * HEADS.len()), rows };
    let tasks = (0..TASKS).map(|_| TaskRows { support: rows(ROWS[0]), query: rows(ROWS[1]) }).collect();
    let mut engine = Cpu::new(&network, 1).expect("it fits");
    let rule = Rule::Gradient { steps: 1, rate: Rate::Constant, scope: Scope::Heads, momentum: false, rows: 0 };
    let settings =
        Settings { architecture: Default::default(), weighting, steps: 1, inner_rate: 0.01, adapt: Scope::Heads };
    let mut learner = MultiTask::new(&network, rule, &settings, 0);
    let batch = learner.prepare(&mut engine, tasks, Use::Training).expect("rows fit the network");
    let params = initial_parameters(&network, 0, Purpose::Initial, 0);
    let zeros = Moments::zeros(params.len());
    let mut moments = Moments {
        first: engine.upload(&zeros.first).expect("there is room"),
        second: engine.upload(&zeros.second).expect("there is room"),
        steps: 0,
    };
    let mut state = State { params: engine.upload(&params).expect("there is room"), rates: Default::default() };
    let (mut of_rates, mut gradient) = (Moments::default(), BatchGradient::default());
    let outer = OuterStep { adam: AdamW::default(), clip: None, rate: 1e-4, rate_of_rates: 0.0 };
    let operations = Count::of(&network).gradient(TASKS * (ROWS[0] + ROWS[1]));
    let (mut iteration, mut losses) = (0, Vec::new());
    Workload::new(id, operations, move || {
        learner.gradient(&mut engine, &state, &batch, iteration, &mut gradient).expect("the batch fits");
        let learned =
            Learned { params: &mut state.params, rates: &mut state.rates, moments: [&mut moments, &mut of_rates] };
        engine.update(&outer, learned, &mut gradient).expect("the gradient fits");
        engine.outcome(&gradient, &mut losses).expect("the engine is well");
        moments.steps += 1;
        learner.stepped(&mut engine, &state, &batch).expect("the batch fits");
        iteration += 1;
        black_box(&losses);
    })
}
