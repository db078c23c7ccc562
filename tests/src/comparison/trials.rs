//! The trials: every kind of layer and of inner loop, and some networks that are drawn.

use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Loss, NetworkSpec};
use sinew_runtime::{Network, Path};
use sinew_trainer::engine::{InnerLoop, Kept, OuterStep};
use sinew_trainer::optimiser::AdamW;

use super::{Case, TOLERANCE, Trial, Update, Work, drawn};
use crate::networks;
use crate::sample::{self, Numbers};

/// The mean inner rate of small networks.
const RATE: f32 = 0.1;

/// An exact inner loop that adapts what `scope` says and whose rates are learned.
///
/// # Panics
/// If there is no such network.
pub fn inner(spec: &NetworkSpec, scope: &Scope, rate: Rate, steps: usize) -> InnerLoop {
    let adapted = Network::new(spec, Path::SCALAR).expect("it is within the limits").adapted(scope);
    InnerLoop { steps, rate, adapted, learn_rates: true, first_order: false, kept: Kept::Activations }
}

/// All single passes of every network.
pub fn passes() -> Vec<Trial> {
    let trial = |(number, (name, spec)): (usize, (&str, NetworkSpec))| {
        let case = Case::new(spec, &[[2, 3], [4, 1], [1, 2]], 40 + number as u64);
        Trial { name: name.into(), case, work: Work::Passes, tolerance: TOLERANCE }
    };
    networks::all().into_iter().enumerate().map(trial).collect()
}

/// Inner loops of every network, with every kind of rate: exact, of first order, without a gradient by rates, and of the heads alone.
pub fn inner_loops() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (number, (name, spec)) in networks::all().into_iter().enumerate() {
        let case = Case::new(spec, &[[3, 2], [2, 4]], 90 + number as u64);
        for rate in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
            let exact = inner(&case.spec, &Scope::All, rate, 2);
            let heads = inner(&case.spec, &Scope::Heads, rate, 2);
            let first = InnerLoop { first_order: true, ..exact.clone() };
            let plain = InnerLoop { learn_rates: false, first_order: true, ..exact.clone() };
            for (kind, inner) in
                [("exact", exact), ("first order", first), ("first order, rates given", plain), ("heads", heads)]
            {
                trials.push(Trial {
                    name: format!("{name}, {rate:?}, {kind}"),
                    case: case.clone(),
                    work: Work::Inner { inner, rate: RATE },
                    tolerance: TOLERANCE,
                });
            }
        }
    }
    trials
}

/// Steps of the optimiser: clipped and not, with rates and without, and not at all where the gradient is not finite.
pub fn updates() -> Vec<Trial> {
    let mut trials = Vec::new();
    // The larger one has more values than a block adds up alone.
    for hidden in [3, 260] {
        let layer = (hidden, Activation::Relu);
        let spec = sample::network(4, &[layer, layer], &[(2, None, Loss::MeanSquared)]);
        for (kind, clip, spoiled, with_rates) in [
            ("as it is", None, false, true),
            ("clipped", Some(0.5), false, true),
            ("short, rates given", Some(1e9), false, false),
            ("not finite", Some(1.0), true, true),
        ] {
            let adam = AdamW { weight_decay: 0.01, ..AdamW::default() };
            let step = OuterStep { adam, clip, rate: 0.01, rate_of_rates: 0.003 };
            trials.push(Trial {
                name: format!("{} parameters, {kind}", spec.param_len()),
                case: Case::new(spec.clone(), &[], 0),
                work: Work::Update(Update { step, spoiled, with_rates }),
                tolerance: TOLERANCE,
            });
        }
    }
    trials
}

/// All single passes, and an inner step, of so many convolutional networks that are drawn.
pub fn convolutions(count: usize) -> Vec<Trial> {
    let drawn = (0..).filter_map(|seed| drawn::convolutional(seed).map(|case| (seed, case)));
    let trials = drawn.take(count).flat_map(|(seed, case)| {
        let inner = InnerLoop { learn_rates: false, ..inner(&case.spec, &Scope::All, Rate::Constant, 1) };
        [("passes", Work::Passes), ("one step", Work::Inner { inner, rate: RATE })].map(|(kind, work)| Trial {
            name: format!("convolutions {seed}, {kind}"),
            case: case.clone(),
            work,
            tolerance: TOLERANCE,
        })
    });
    trials.collect()
}

/// Inner loops of so many dense networks that are drawn: any widths, losses and activations, any layers adapted, tasks of all sizes.
pub fn dense_networks(count: usize) -> Vec<Trial> {
    (0..)
        .filter_map(|seed| {
            let (case, inner) = drawn::dense(&mut Numbers(seed));
            let name = format!("dense {seed}, {} steps, {:?}", inner.steps, inner.rate);
            let trial = Trial { name, case, work: Work::Inner { inner, rate: 0.03 }, tolerance: drawn::TOLERANCE };
            // An inner loop that blows up makes a difference of any two roundings.
            let tame = |values: &[f32]| values.iter().all(|value| value.abs() <= 100.0);
            trial.wanted().is_ok_and(|results| results.iter().all(|(_, values)| tame(values))).then_some(trial)
        })
        .take(count)
        .collect()
}
