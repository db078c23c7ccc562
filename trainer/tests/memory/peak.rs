//! The most that is live while an engine is made and takes its first meta-step.

use sinew_runtime::Path;
use sinew_runtime::kernel::lanes::lanes;
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{BatchGradient, Cpu, Engine, Kept};

use crate::counting::taken;
use crate::problem::{HOW, How, KEPT, Problem, lasting};

/// What the formula leaves out, in bytes: the plan of the network, and for several threads those themselves, rayon's queues and what a
/// thread needs to start.
const FIXED: [usize; 2] = [1 << 10, 32 << 10];

/// Peak and formula, in bytes, and the engine.
fn measure(problem: &Problem, steps: usize, kept: Kept, how: How, threads: usize) -> (usize, usize, Cpu) {
    let (inner, rates) = problem.inner(steps, kept, how);
    // The caller's.
    let rate_gradient = inner.learn_rates.then(|| rates.clone());
    let losses = Aligned::zeros(problem.tasks.len());
    let mut gradient = BatchGradient { params: problem.params.clone(), rates: rate_gradient, losses, tasks: 0 };
    let mut made = None;
    let taken = taken(|| {
        let engine = made.insert(Cpu::new(&problem.spec, threads).unwrap());
        engine.meta_gradient(&inner, &problem.params, &rates, &problem.tasks, &mut gradient).unwrap();
    });
    let engine = made.unwrap();
    assert!(gradient.params.iter().all(|value| value.is_finite()) && gradient.losses.len() == problem.tasks.len());
    (taken.peak, engine.memory(&inner, rates.len(), &problem.tasks), engine)
}

pub fn the_formula_is_the_peak(threads: usize) {
    for problem in Problem::all() {
        for (kept, steps) in KEPT.into_iter().flat_map(|kept| [0, 1, 5, 16, 40].map(|steps| (kept, steps))) {
            for how in if threads == 1 { &HOW[..] } else { &[How::Exact] } {
                let (peak, formula, engine) = measure(&problem, steps, kept, *how, threads);
                if threads > 1 {
                    lasting(engine);
                }
                let what = format!("{}, {how:?}, {kept:?}, {steps} steps, {threads} threads", problem.name);
                println!("{what}: {peak} bytes, {formula} by the formula");
                let (peak, formula, fixed) = (peak as f64, formula as f64, FIXED[threads - 1] as f64);
                assert!(peak <= 1.05 * formula + fixed && peak >= 0.9 * formula, "{what}: {peak} of {formula}");
            }
        }
    }
}

pub fn an_inner_step_adds_what_is_kept_of_it(threads: usize) {
    for problem in Problem::all().into_iter().filter(|problem| problem.name != "in lanes and alone") {
        let wide = if problem.name == "in lanes" { lanes(Path::detect()) } else { 1 };
        // Values that begin at a cache line, and what says where.
        let vector = Aligned::bytes(wide * problem.params.len()) + size_of::<Aligned>();
        let engine = lasting(Cpu::new(&problem.spec, threads).unwrap());
        // Of one thread as measured. The threads of a pool take something when they start, sooner or later, so of two threads it is the
        // formula, which is held against the peak.
        let bytes = |steps, kept| {
            if threads == 1 {
                return measure(&problem, steps, kept, How::Exact, 1).0;
            }
            let (inner, rates) = problem.inner(steps, kept, How::Exact);
            engine.memory(&inner, rates.len(), &problem.tasks)
        };
        for steps in [1, 2, 7, 30] {
            let more = bytes(steps + 1, Kept::Parameters) - bytes(steps, Kept::Parameters);
            assert_eq!(more, threads * vector, "{}: one vector for each step", problem.name);
        }
        let step = bytes(2, Kept::Activations) - bytes(1, Kept::Activations);
        assert!(step > threads * vector, "activations as well");
        for steps in [3, 16, 33] {
            assert_eq!(bytes(steps, Kept::Activations) - bytes(1, Kept::Activations), (steps - 1) * step);
            // Of 2 √S vectors one is there for a single step, too, as are the activations of one step.
            let root = (steps as f64).sqrt();
            let most = (2.0 * root - 1.0) * (threads * vector) as f64 + root * (step - threads * vector) as f64;
            let more = bytes(steps, Kept::Checkpoints) - bytes(1, Kept::Checkpoints);
            assert!(more as f64 <= most, "{}, {steps} steps: {more} > {most}", problem.name);
        }
    }
}

pub fn losses_and_first_order_keep_nothing() {
    for problem in Problem::all() {
        let first_order = |steps, kept| measure(&problem, steps, kept, How::FirstOrder, 1).0;
        let losses = |steps| {
            let (inner, rates) = problem.inner(steps, Kept::Activations, How::Exact);
            let mut losses = Vec::with_capacity(problem.tasks.len());
            let mut engine = Cpu::new(&problem.spec, 1).unwrap();
            taken(|| engine.meta_losses(&inner, &problem.params, &rates, &problem.tasks, &mut losses).unwrap()).peak
        };
        for kept in KEPT {
            assert_eq!(first_order(40, kept), first_order(2, Kept::Activations), "{}", problem.name);
        }
        assert_eq!(losses(40), losses(2), "{}", problem.name);
        assert!(losses(40) <= measure(&problem, 2, Kept::Checkpoints, How::Exact, 1).0, "{}", problem.name);
    }
}
