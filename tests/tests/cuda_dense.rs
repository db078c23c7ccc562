//! The fused kernel of dense networks against the engine on CPU, on the fibers of the shim: every kind of rate, scope, loss and activation,
//! tasks of all sizes, in shared and in global memory, in any order of its threads.

use proptest::prelude::*;
use sinew_models::rule::Rate;
use sinew_models::spec::{Layer, NetworkSpec};
use sinew_runtime::Path;
use sinew_runtime::network::{LayerSet, Network};
use sinew_tests::sample::{self, ACTIVATIONS, LOSSES, Numbers, single};
use sinew_tests::shim::{Memory, Order, Shim};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::cuda::dense::{Addresses, Archive, Geometry, Plan, SideAddresses, Work, launch};
use sinew_trainer::cuda::{Address, Device, Limits};
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, InnerLoop, Kept, Rows, TaskRows};

/// What the kernel may be off from the engine on CPU, of the norm of a whole vector; tasks differ in the order of their sums alone.
const TOLERANCE: f64 = 1e-4;

/// A batch and what is to be done with it.
struct Case {
    spec: NetworkSpec,
    inner: InnerLoop,
    params: Vec<f32>,
    rates: Vec<f32>,
    tasks: Vec<TaskRows>,
}

/// What comes of it: losses, gradients by parameters of each task, gradients by rates of each task.
#[derive(Debug, PartialEq)]
struct Results {
    losses: Vec<f32>,
    params: Vec<Vec<f32>>,
    rates: Vec<Vec<f32>>,
}

fn rate_len(spec: &NetworkSpec, inner: &InnerLoop) -> usize {
    match inner.rate {
        Rate::Constant => 1,
        Rate::PerLayerStep => inner.steps * spec.layer_count(),
        Rate::PerParameter => spec.param_len(),
    }
}

impl Case {
    fn new(spec: NetworkSpec, inner: InnerLoop, rows: &[[usize; 2]], seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let params = single(&numbers.values(spec.param_len(), 0.6));
        let rates = numbers.values(rate_len(&spec, &inner), 0.02).iter().map(|rate| (0.03 + rate) as f32).collect();
        let mut side = |rows: usize| {
            let x = single(&numbers.values(rows * spec.input.presented_len(), 1.5));
            let y = single(&sample::some_targets(&spec, rows, &mut numbers));
            Rows { x, y, rows }
        };
        let tasks =
            rows.iter().map(|&[support, query]| TaskRows { support: side(support), query: side(query) }).collect();
        Self { spec, inner, params, rates, tasks }
    }

    /// On CPU, task by task.
    fn expected(&self) -> Results {
        let (params, rates) = (Aligned::copy_of(&self.params), Aligned::copy_of(&self.rates));
        let mut results = Results { losses: vec![], params: vec![], rates: vec![] };
        for task in &self.tasks {
            // A new one for each: it leaves its memory as it was for a task without a query.
            let mut engine = Cpu::on(Path::SCALAR, &self.spec, 1).unwrap();
            let mut into = BatchGradient::default();
            engine.meta_gradient(&self.inner, &params, &rates, &vec![task.clone()], &mut into).unwrap();
            results.losses.extend(into.losses.iter());
            results.params.push(into.params.to_vec());
            results.rates.push(into.rates.map(|rates| rates.to_vec()).unwrap_or_default());
        }
        results
    }

    fn work(&self, gradient: bool) -> Work<'_> {
        let most = |side: fn(&TaskRows) -> usize| self.tasks.iter().map(side).max().unwrap_or(0);
        let rows = [most(|task| task.support.rows), most(|task| task.query.rows)];
        Work { inner: &self.inner, gradient, tasks: self.tasks.len(), rows }
    }

    fn geometry(&self, gradient: bool, limits: &Limits) -> Geometry {
        Geometry::new(&Plan::new(&self.spec).unwrap(), &self.work(gradient), limits).unwrap()
    }

    /// By the kernel.
    fn run(&self, gradient: bool, limits: &Limits, order: Order) -> Results {
        let device = Shim::new(limits.clone(), order);
        let plan = Plan::new(&self.spec).unwrap();
        let (work, geometry) = (self.work(gradient), self.geometry(gradient, limits));
        let mut held = Vec::new();
        let mut put = |words: &[u32]| {
            let mut memory = device.allocate(words.len()).unwrap();
            device.write(&mut memory, words).unwrap();
            held.push(memory);
            device.address(&held[held.len() - 1])
        };
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let side = |of: fn(&TaskRows) -> &Rows, put: &mut dyn FnMut(&[u32]) -> Address| {
            let (mut x, mut y, mut starts) = (vec![], vec![], vec![0]);
            for rows in self.tasks.iter().map(of) {
                x.extend(&rows.x);
                y.extend(&rows.y);
                starts.push(starts[starts.len() - 1] + rows.rows as u32);
            }
            SideAddresses { x: put(&bits(&x)), y: put(&bits(&y)), starts: put(&starts) }
        };
        let (support, query) = (side(|task| &task.support, &mut put), side(|task| &task.query, &mut put));
        let rates = if gradient && self.inner.learn_rates { self.rates.len() } else { 0 };
        let stride = self.params.len() + rates;
        let allocate = |words: usize| device.allocate(words).unwrap();
        let losses = allocate(self.tasks.len());
        let parts = allocate(if gradient { self.tasks.len() * stride } else { 0 });
        let scratch = allocate((geometry.blocks * geometry.scratch) as usize);
        let addresses = Addresses {
            table: put(&plan.table()),
            params: put(&bits(&self.params)),
            rates: put(&bits(&self.rates)),
            support,
            query,
            losses: device.address(&losses),
            parts: device.address(&parts),
            scratch: device.address(&scratch),
        };
        // SAFETY: everything has the lengths of the plan, and lives until it is read.
        unsafe { device.run(&[launch(&plan, &work, &geometry, &addresses)]) }.unwrap();
        let read = |memory: &Memory, count: usize| {
            let mut words = vec![0; count];
            device.read(memory, &mut words).unwrap();
            words.into_iter().map(f32::from_bits).collect::<Vec<_>>()
        };
        let losses = read(&losses, self.tasks.len());
        let parts = read(&parts, if gradient { self.tasks.len() * stride } else { 0 });
        let split = parts.chunks_exact(stride).map(|part| part.split_at(self.params.len()));
        let (params, rates) = split.map(|(params, rates)| (params.to_vec(), rates.to_vec())).unzip();
        Results { losses, params, rates }
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// The distance of two vectors, of the norm of what is expected, or of `size` if that is more.
fn error(got: &[f32], want: &[f32], size: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let distance = norm(got.iter().zip(want).map(|(got, want)| f64::from(*got) - f64::from(*want)));
    if distance == 0.0 { 0.0 } else { distance / norm(want.iter().map(|want| f64::from(*want))).max(size) }
}

fn assert_close(got: &Results, want: &Results, what: &str) {
    for (task, (got, want)) in got.losses.iter().zip(&want.losses).enumerate() {
        let off = error(&[*got], &[*want], 1e-3);
        assert!(off <= TOLERANCE, "loss of task {task}: {got} for {want}, {off}; {what}");
    }
    for task in 0..got.params.len() {
        let off = error(&got.params[task], &want.params[task], 1e-3);
        assert!(off <= TOLERANCE, "gradient by parameters of task {task}: {off}; {what}");
        // One number for the whole network may be what is left of large ones: it is measured by the whole gradient.
        let size = norm(want.params[task].iter().map(|value| f64::from(*value)));
        let off = error(&got.rates[task], &want.rates[task], size.max(1e-3));
        assert!(off <= TOLERANCE, "gradient by rates of task {task}: {off}; {what}");
    }
}

/// A card with so many bytes of shared memory for a block, and few multiprocessors.
fn card(shared: u32, multiprocessors: u32) -> Limits {
    Limits { shared_of_block: shared, shared_of_multiprocessor: 2 * shared + 2048, multiprocessors, ..Limits::h100() }
}

/// Cards on which a case lies in each of the three places.
fn cards(case: &Case, gradient: bool) -> [(Archive, Limits); 3] {
    let plenty = card(1 << 30, 2);
    let both = case.geometry(gradient, &plenty).shared;
    // What is a byte short of both holds the arena, unless there is no archive.
    [(Archive::Shared, plenty), (Archive::Global, card(both - 4, 2)), (Archive::AllGlobal, card(16 << 10, 2))]
}

fn check(case: &Case, order: Order, place: usize) {
    let want = case.expected();
    // An inner loop that blows up makes a difference of any two roundings.
    if !want.losses.iter().all(|loss| *loss <= 100.0) {
        return;
    }
    let what = format!("{:?} {:?}", case.spec, case.inner);
    for gradient in [true, false] {
        let (_, limits) = &cards(case, gradient)[place];
        let got = case.run(gradient, limits, order);
        if gradient {
            assert_close(&got, &want, &what);
        } else {
            assert_close(&got, &Results { losses: want.losses.clone(), params: vec![], rates: vec![] }, &what);
        }
    }
}

fn inner_loops() -> impl Strategy<Value = InnerLoop> {
    let rate = prop::sample::select(vec![Rate::Constant, Rate::PerLayerStep, Rate::PerParameter]);
    let kept = prop::sample::select(vec![Kept::Activations, Kept::Parameters, Kept::Checkpoints]);
    (0..5_usize, rate, kept, any::<bool>(), any::<bool>()).prop_map(|(steps, rate, kept, first_order, learn_rates)| {
        InnerLoop { steps, rate, adapted: LayerSet::ALL, learn_rates, first_order, kept }
    })
}

/// Any set of the layers of a network.
fn adapted(spec: &NetworkSpec, set: u32) -> LayerSet {
    use sinew_models::rule::Scope;
    let layers = (0..spec.layer_count()).filter(|layer| set >> layer & 1 == 1).map(|layer| layer as u8);
    Network::new(spec, Path::SCALAR).unwrap().adapted(&Scope::Layers(layers.collect()))
}

fn networks() -> impl Strategy<Value = NetworkSpec> {
    let activation = || prop::sample::select(ACTIVATIONS.to_vec());
    let hidden = || (1..20_usize, activation());
    let head = (1..7_usize, prop::option::of(hidden()), prop::sample::select(LOSSES.to_vec()), activation());
    let heads = prop::collection::vec(head, 1..4);
    (1..10_usize, prop::collection::vec(hidden(), 0..3), heads).prop_map(|(inputs, hidden, heads)| {
        let plain: Vec<_> = heads.iter().map(|&(outputs, hidden, loss, _)| (outputs, hidden, loss)).collect();
        let mut spec = sample::network(inputs, &hidden, &plain);
        for (head, (_, _, _, chosen)) in spec.heads.iter_mut().zip(&heads) {
            if let (false, Some(Layer::Dense { activation, .. })) =
                (head.loss.is_classification(), head.layers.last_mut())
            {
                *activation = *chosen;
            }
        }
        spec
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let rows = prop::collection::vec([0..11_usize, 0..40_usize], 1..5);
    // Often all layers.
    let set = prop_oneof![Just(u32::MAX), any::<u32>()];
    (networks(), inner_loops(), set, rows, any::<u64>()).prop_map(|(spec, inner, set, rows, seed)| {
        let inner = InnerLoop { adapted: adapted(&spec, set), ..inner };
        Case::new(spec, inner, &rows, seed)
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows: Vec<_> = self.tasks.iter().map(|task| [task.support.rows, task.query.rows]).collect();
        f.debug_struct("Case").field("spec", &self.spec).field("inner", &self.inner).field("rows", &rows).finish()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_network_agrees_with_the_engine_on_cpu(case in cases(), seed in 0..4_u64, place in 0..3_usize) {
        let order = [Order::Forward, Order::Reverse, Order::Shuffled(seed), Order::Shuffled(seed + 9)][seed as usize];
        check(&case, order, place);
    }
}

/// 16-64-64-4 and an inner loop of three steps.
fn whole(rate: Rate, activation: sinew_models::spec::Activation, rows: &[[usize; 2]]) -> Case {
    let spec = sample::network(16, &[(64, activation), (64, activation)], &[(4, None, LOSSES[0])]);
    let inner = InnerLoop {
        steps: 3,
        rate,
        adapted: LayerSet::ALL,
        learn_rates: true,
        first_order: false,
        kept: Kept::Checkpoints,
    };
    let mut case = Case::new(spec, inner, rows, 5);
    // As large as they are drawn for networks.
    case.params.iter_mut().for_each(|param| *param *= 0.3);
    case
}

#[test]
fn a_network_of_the_usual_size_agrees() {
    for (rate, activation) in [(Rate::Constant, ACTIVATIONS[2]), (Rate::PerParameter, ACTIVATIONS[3])] {
        let case = whole(rate, activation, &[[16, 16], [5, 70]]);
        check(&case, Order::Forward, 1);
    }
}

#[test]
fn bits_depend_on_neither_blocks_nor_places_nor_threads() {
    let rows = [[3, 9], [7, 2], [0, 5], [16, 33], [2, 2], [9, 1], [4, 0]];
    let spec = sample::network(
        5,
        &[(9, ACTIVATIONS[2]), (18, ACTIVATIONS[3])],
        &[(3, None, LOSSES[3]), (2, Some((6, ACTIVATIONS[4])), LOSSES[1])],
    );
    let inner = InnerLoop {
        steps: 4,
        rate: Rate::PerLayerStep,
        adapted: LayerSet::ALL,
        learn_rates: true,
        first_order: false,
        kept: Kept::Checkpoints,
    };
    let case = Case::new(spec, inner, &rows, 11);
    let first = case.run(true, &card(1 << 30, 2), Order::Forward);
    for (place, limits) in cards(&case, true) {
        for multiprocessors in [1, 3, 100] {
            let limits = Limits { multiprocessors, ..limits.clone() };
            let geometry = case.geometry(true, &limits);
            assert_eq!(geometry.archive, place);
            assert!(geometry.resident >= 2);
            assert_eq!(geometry.blocks, (rows.len() as u32).min(geometry.resident * multiprocessors));
            for order in [Order::Reverse, Order::Shuffled(3)] {
                assert!(case.run(true, &limits, order) == first, "{place:?} {multiprocessors} {order:?}");
            }
        }
    }
    for kept in [Kept::Activations, Kept::Parameters] {
        let inner = InnerLoop { kept, ..case.inner.clone() };
        let case = Case {
            inner,
            spec: case.spec.clone(),
            params: case.params.clone(),
            rates: case.rates.clone(),
            tasks: case.tasks.clone(),
        };
        assert!(case.run(true, &card(1 << 30, 2), Order::Forward) == first, "{kept:?}");
    }
}

/// Of several heads any one alone: the first that moves is the first to bring the backbone a gradient's change, whichever it is.
#[test]
fn heads_that_are_adapted_alone_agree() {
    let heads: Vec<_> =
        [(3, LOSSES[0]), (2, LOSSES[1]), (4, LOSSES[3])].into_iter().map(|(len, loss)| (len, None, loss)).collect();
    for hidden in [ACTIVATIONS[1], ACTIVATIONS[2], ACTIVATIONS[3]] {
        let spec = sample::network(5, &[(9, hidden), (6, hidden)], &heads);
        for set in 1..8_u32 {
            let rate = [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter][set as usize % 3];
            let adapted = adapted(&spec, set << 2);
            let inner =
                InnerLoop { steps: 2, rate, adapted, learn_rates: true, first_order: false, kept: Kept::Activations };
            check(&Case::new(spec.clone(), inner, &[[3, 5], [6, 2]], 21), Order::Reverse, set as usize % 3);
        }
    }
}

/// A block goes from a task that falls apart to the next one: nothing of it is left in what rows and units are padded with.
#[test]
fn a_task_that_is_not_finite_leaves_nothing_behind() {
    let spec = sample::network(
        5,
        &[(9, ACTIVATIONS[3]), (6, ACTIVATIONS[4])],
        &[(3, None, LOSSES[3]), (2, Some((7, ACTIVATIONS[2])), LOSSES[1])],
    );
    for (place, rate) in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter].into_iter().enumerate() {
        let (adapted, kept) = (LayerSet::ALL, Kept::Checkpoints);
        let inner = InnerLoop { steps: 3, rate, adapted, learn_rates: true, first_order: false, kept };
        let mut case = Case::new(spec.clone(), inner, &[[7, 9], [6, 6], [3, 2], [1, 5], [5, 40]], 8);
        let (_, limits) = &cards(&case, true)[place];
        let limits = Limits { multiprocessors: 1, ..limits.clone() };
        // The blocks of the first two tasks go on to others.
        assert!((2..=3).contains(&case.geometry(true, &limits).blocks));
        let sound = case.run(true, &limits, Order::Forward);
        for spoiled in [f32::NAN, f32::INFINITY] {
            case.tasks[0].support.x.fill(spoiled);
            case.tasks[1].query.x[0] = spoiled;
            let got = case.run(true, &limits, Order::Forward);
            assert!(!got.losses[0].is_finite() && !got.params[1].iter().all(|value| value.is_finite()));
            assert_eq!(got.losses[2..], sound.losses[2..]);
            assert_eq!(got.params[2..], sound.params[2..]);
            assert_eq!(got.rates[2..], sound.rates[2..]);
        }
    }
}
