//! What a meta-step on a GPU should take, on paper: operations and bytes against what a card can do, before one is at hand.
//!
//! ```sh
//! cargo run -p sinew-benches --bin roofline
//! ```
//!
//! Launches are those that the engine makes: it runs on a device that only writes them down. Nothing here was measured on a GPU.

use std::cell::{Cell, RefCell};

use sinew_benches::count::Count;
use sinew_benches::meta_step::{MetaStep, conv_4, images, mlp, sinusoid};
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Layer, NetworkSpec};
use sinew_trainer::cuda::dense::{Geometry, Plan, Work};
use sinew_trainer::cuda::{Address, Device, DeviceError, Launch, Limits};
use sinew_trainer::engine::{BatchGradient, Cuda, Engine, InnerLoop, Kept, Learned, OuterStep, Rows, TaskRows};
use sinew_trainer::optimiser::{AdamW, Moments};

/// From the start of one small launch to the start of the next in a graph, in microseconds: an assumption.
const LAUNCH: f64 = 2.0;

/// The part of the multiply-add rate that the fused kernel has where a multiprocessor is full, by its count of issue slots
/// (`trainer/src/cuda/dense.rs`).
const FUSED: f64 = 0.38;

/// Accesses of four bytes to each value of a layer's output, layer by layer: of a gradient and a Hessian-vector product, and of a gradient
/// alone. A gradient writes and reads the output, reads it again for slope and weights, writes the gradient behind it, and reads and writes
/// that for the slope, the input and the weights; a product does the same for the derivatives of both, and reads them.
const ACCESSES: [f64; 2] = [24.0, 9.0];

/// A card, and what it can do: FP32 TFLOP/s at boost, TB/s of memory, MB of second cache; from NVIDIA's data sheets.
struct Card {
    limits: Limits,
    peak: f64,
    memory: f64,
    cache: f64,
}

fn cards() -> [Card; 3] {
    [
        Card { limits: Limits::h100(), peak: 66.9, memory: 3.35, cache: 50.0 },
        Card { limits: Limits::rtx_4090(), peak: 82.6, memory: 1.008, cache: 72.0 },
        Card { limits: Limits::orin(), peak: 5.3, memory: 0.205, cache: 4.0 },
    ]
}

/// A device that writes launches down.
#[derive(Debug)]
struct Paper {
    limits: Limits,
    next: Cell<u64>,
    launches: RefCell<Vec<Launch>>,
}

impl Device for Paper {
    type Memory = Address;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn allocate(&self, words: usize) -> Result<Address, DeviceError> {
        let at = self.next.get();
        self.next.set(at + (4 * words as u64).next_multiple_of(256));
        Ok(Address(at))
    }

    fn address(&self, memory: &Address) -> Address {
        *memory
    }

    fn write(&self, _: &mut Address, _: &[u32]) -> Result<(), DeviceError> {
        Ok(())
    }

    fn read(&self, _: &Address, words: &mut [u32]) -> Result<(), DeviceError> {
        words.fill(0);
        Ok(())
    }

    unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError> {
        self.launches.borrow_mut().extend_from_slice(launches);
        Ok(())
    }
}

/// The launches of a whole step, and the inner loop.
fn launches(step: &MetaStep, network: &NetworkSpec, limits: &Limits) -> (usize, InnerLoop) {
    let device = Paper { limits: limits.clone(), next: Cell::new(256), launches: RefCell::default() };
    let mut engine = Cuda::new(device, network).expect("the network is within the limits");
    let (adapted, kept, rate) = (engine.adapted(&Scope::All), Kept::Activations, Rate::Constant);
    let inner = InnerLoop { steps: step.steps, rate, adapted, learn_rates: false, first_order: false, kept };
    let rows = |rows: usize| Rows {
        x: vec![0.0; rows * network.input.presented_len()],
        y: vec![0.0; rows * network.output_len()],
        rows,
    };
    let task = TaskRows { support: rows(step.support), query: rows(step.query) };
    let tasks = engine.take(vec![task; step.tasks as usize]).expect("tasks of this network");
    let lens = [network.param_len(), 1];
    let mut values = |len: usize| engine.upload(&vec![0.0; len]).expect("paper is patient");
    let [mut params, mut rates] = lens.map(&mut values);
    let mut moments = lens.map(|len| Moments { first: values(len), second: values(len), steps: 0 });
    let mut gradient = BatchGradient::default();
    engine.meta_gradient(&inner, &params, &rates, &tasks, &mut gradient).expect("the lengths are right");
    let outer = OuterStep { adam: AdamW::default(), clip: Some(1.0), rate: 1e-3, rate_of_rates: 1e-3 };
    let learned = Learned { params: &mut params, rates: &mut rates, moments: moments.each_mut() };
    engine.update(&outer, learned, &mut gradient).expect("the lengths are right");
    (engine.device().launches.borrow().len(), inner)
}

/// Microseconds, and what they are bound by.
fn expected(
    step: &MetaStep,
    network: &NetworkSpec,
    card: &Card,
    launched: usize,
    inner: &InnerLoop,
) -> (f64, &'static str) {
    let operations = Count::of(network).meta_step(step.tasks, step.support, step.query, step.steps as u64) as f64;
    let tasks = step.tasks as f64;
    let all_dense = network.layers().all(|placed| matches!(placed.layer, Layer::Dense { .. }));
    let work = Work { inner, gradient: true, tasks: step.tasks as usize, rows: [step.support, step.query] };
    let fused = if all_dense { Plan::new(network) } else { None };
    let Some(geometry) = fused.and_then(|plan| Geometry::new(&plan, &work, &card.limits)) else {
        let values: usize = network.layers().map(|placed| placed.outputs()).sum();
        let [both, alone] = ACCESSES;
        let accesses = step.steps as f64 * step.support as f64 * both + step.query as f64 * alone;
        let bytes = 4.0 * values as f64 * tasks * accesses;
        // Traces of a step that fit the second cache come from it, at some four times the rate of memory.
        let rate =
            if 4e-6 * values as f64 * tasks * (step.support + step.query) as f64 <= card.cache { 4.0 } else { 1.0 };
        let [compute, memory, start] =
            [operations / card.peak * 1e-6, bytes / (rate * card.memory) * 1e-6, launched as f64 * LAUNCH];
        let most = compute.max(memory);
        return (
            most + start,
            if start > most {
                "launches"
            } else if memory > compute {
                "bytes"
            } else {
                "operations"
            },
        );
    };
    let at_once = f64::from(card.limits.multiprocessors * geometry.resident);
    // A multiprocessor that has fewer blocks than fit has a part of the rate alone.
    let waves = (tasks / at_once).ceil();
    let rate = card.peak * FUSED / at_once;
    let compute = waves * operations / tasks / rate * 1e-6;
    // The archive goes to memory and back where the second cache does not hold that of all blocks.
    let archive = 4.0 * f64::from(geometry.scratch);
    let held = 1e-6 * archive * at_once.min(tasks) <= card.cache;
    let params = 4.0 * network.param_len() as f64;
    let bytes = tasks * (if held { 0.0 } else { 2.0 * archive } + 2.0 * params);
    let memory = bytes / card.memory * 1e-6;
    let start = launched as f64 * LAUNCH;
    let bound = if start > compute.max(memory) {
        "launches"
    } else if memory > compute {
        "bytes"
    } else {
        "issue slots"
    };
    (compute.max(memory) + start, bound)
}

fn main() {
    let many = |tasks: u64| MetaStep { tasks, ..mlp() };
    let workloads = [
        ("sinusoid_1", sinusoid(1)),
        ("sinusoid_5", sinusoid(5)),
        ("mlp_5", mlp()),
        ("mlp_5, 4,096 tasks", many(4096)),
        ("conv_5", images()),
        ("conv_5, 64 tasks", MetaStep { tasks: 64, ..images() }),
        ("conv_4", conv_4()),
    ];
    println!("| workload | GFLOP | launches | H100 | RTX 4090 | AGX Orin |");
    println!("|---|--:|--:|--:|--:|--:|");
    for (name, step) in workloads {
        let network = (step.problem)(1, 0).network;
        let operations = Count::of(&network).meta_step(step.tasks, step.support, step.query, step.steps as u64) as f64;
        let mut line = format!("| {name} | {:.3} |", operations * 1e-9);
        for (place, card) in cards().iter().enumerate() {
            let (launched, inner) = launches(&step, &network, &card.limits);
            if place == 0 {
                line += &format!(" {launched} |");
            }
            let (time, bound) = expected(&step, &network, card, launched, &inner);
            let share = 100.0 * operations / (time * 1e-6) / (card.peak * 1e12);
            line += &format!(" {time:.0} µs, {share:.0} % of peak: {bound} |");
        }
        println!("{line}");
    }
}
