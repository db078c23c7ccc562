//! The grasping world's simulator, and a decision of the robot in it.

use std::hint::black_box;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_models::networks::{Convolutions, HeadPlan, Plan};
use sinew_models::rule::{Rule, Scope};
use sinew_models::spec::{Activation, Input, Loss, Shape};
use sinew_runtime::grasp::{Grasps, Policy, Retry};
use sinew_runtime::{Guard, Path};
use sinew_trainer::world::grasp::execute::{EXECUTIONS, Noise, execute, success_probability};
use sinew_trainer::world::grasp::features::FEATURES;
use sinew_trainer::world::grasp::{CANDIDATES, GraspConfig, GraspWorld};
use sinew_trainer::world::{Split, Task};

use crate::Workload;
use crate::problem::Problem;

/// Tries that a robot has seen before it decides.
const TRIES: usize = 20;

/// All of them. Elements a second are executions, labels (each the mean of 64 executions), and operations of the decision.
pub fn all() -> Vec<Workload> {
    vec![
        simulate("grasp/execution", false),
        simulate("grasp/label", true),
        decide("grasp/decide_64", &[FEATURES, 64, 64, 1]),
        decide("grasp/decide_128", &[FEATURES, 128, 128, 1]),
        decide_by_depth("grasp/decide_depth"),
    ]
}

/// One execution, or one label, of grasps of held-out objects in turn.
///
/// # Panics
/// Never: the world needs no files.
pub fn simulate(id: &'static str, label: bool) -> Workload {
    let world = GraspWorld::open(&GraspConfig::default()).expect("it needs no meshes");
    let tasks = (0..16).map(|seed| Task { split: Split::Test, seed });
    let tasks: Vec<_> =
        tasks.map(|task| (world.situation(&task).scene.into_owned(), world.situation(&task).hidden)).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut number = 0;
    Workload::new(id, 1, move || {
        let (scene, hidden) = &tasks[number / CANDIDATES % tasks.len()];
        let grasp = &scene.grasps[number % CANDIDATES];
        number += 1;
        if label {
            black_box(success_probability(&scene.object, hidden, grasp, EXECUTIONS, &mut rng));
        } else {
            black_box(execute(&scene.object, hidden, grasp, &Noise::draw(&mut rng)));
        }
    })
}

/// What a robot does between a try and the next: adapt to the tries so far by five gradient steps, predict 64 candidates, choose.
///
/// # Panics
/// If the adapter or the choice refuses anything.
pub fn decide(id: &'static str, sizes: &[usize]) -> Workload {
    let problem = Problem::mlp(sizes, TRIES, 0);
    let candidates = Problem::mlp(sizes, CANDIDATES, 1);
    let mut adapter = problem.adapter(Path::detect());
    adapter.set_guard(Guard::Finite);
    let x = candidates.inputs().to_vec();
    let (mut mean, variance) = (vec![0.0; CANDIDATES], vec![0.0; CANDIDATES]);
    let operations = problem.operations() + problem.count().forward(CANDIDATES);
    Workload::new(id, operations, move || {
        black_box(&mut adapter).adapt(|| false).expect("there is support");
        adapter.predict(black_box(&x), &mut mean).expect("whole rows");
        choose(&mean, &variance);
    })
}

/// The same from depth patches, by the network of `grasp-depth-bayes.toml`: learn from one more try by its Bayesian last layer, predict 64
/// candidates with their variances, choose.
///
/// # Panics
/// If the adapter or the choice refuses anything.
pub fn decide_by_depth(id: &'static str) -> Workload {
    let image = Shape { height: 32, width: 32, channels: 4 };
    let convolutions =
        Convolutions { channels: [8, 16, 32, 64].into_iter().collect(), kernel: 3, pool: 2, normalised: true };
    let plan = Plan {
        input: Input::image(image),
        convolutions: Some(&convolutions),
        context: 0,
        hidden: &[128],
        of_each_head: &[],
        activation: Activation::Silu,
        features: Activation::Silu,
    };
    let head = HeadPlan { name: "success", outputs: 1, loss: Loss::MeanSquared };
    let network = plan.network(&[head]).expect("windows fit");
    let unknowns = network.feature_len() + 1;
    let problem = Problem::new(network.clone(), Scope::All, TRIES, 0);
    let candidates = Problem::new(network, Scope::All, CANDIDATES, 1);
    // The prior's factor, the identity; the noise; nothing is forgotten.
    let mut numbers: Vec<f32> =
        (0..unknowns * unknowns).map(|place| f32::from(u8::from(place % (unknowns + 1) == 0))).collect();
    numbers.extend([0.1, 1.0]);
    let mut adapter = problem.adapter_of(problem.bundle_by(&Rule::Bayes, &numbers), Path::detect());
    let x = candidates.inputs().to_vec();
    let (mut mean, mut variance) = (vec![0.0; CANDIDATES], vec![0.0; CANDIDATES]);
    let operations = problem.count().forward(CANDIDATES + 1);
    Workload::new(id, operations, move || {
        adapter.observe(black_box(problem.first_input()), &problem.y[..1]).expect("the row fits");
        adapter.adapt(|| false).expect("there is support");
        adapter.predict_with_variance(black_box(&x), &mut mean, &mut variance).expect("whole rows");
        choose(&mean, &variance);
    })
}

fn choose(mean: &[f32], variance: &[f32]) {
    let mut tried = [0; Grasps::words(CANDIDATES)];
    let mut grasps = Grasps::new(CANDIDATES, Retry::Never, &mut tried).expect("there are candidates");
    black_box(grasps.choose(Policy::Mean, mean, variance, || 0.0).expect("scores are finite"));
}
