//! What the plan and the geometry say, without any device. What the kernel makes of them is in `tests/tests/cuda_dense.rs`.

use sinew_models::rule::Rate;
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec};
use sinew_runtime::network::LayerSet;

use super::{Addresses, Archive, Geometry, Plan, REGISTERS, THREADS, Work, launch};
use crate::cuda::{Address, Kernel, Limits};
use crate::engine::{InnerLoop, Kept};

fn network(inputs: usize, hidden: &[usize], outputs: usize) -> NetworkSpec {
    let dense = |outputs, activation| Layer::Dense { outputs, activation };
    NetworkSpec {
        input: Input::vector(inputs, InputForm::Plain),
        backbone: hidden.iter().map(|units| dense(*units, Activation::Tanh)).collect(),
        heads: [Head {
            name: Name::try_from("out").unwrap(),
            layers: [dense(outputs, Activation::Identity)].into_iter().collect(),
            loss: Loss::MeanSquared,
            weight: 1.0,
        }]
        .into_iter()
        .collect(),
    }
}

fn inner(steps: usize) -> InnerLoop {
    let (rate, adapted, kept) = (Rate::Constant, LayerSet::ALL, Kept::Activations);
    InnerLoop { steps, rate, adapted, learn_rates: false, first_order: false, kept }
}

fn geometry(spec: &NetworkSpec, inner: &InnerLoop, tasks: usize, gradient: bool, limits: &Limits) -> Geometry {
    let plan = Plan::new(spec).unwrap();
    Geometry::new(&plan, &Work { inner, gradient, tasks, rows: [16, 16] }, limits).unwrap()
}

#[test]
fn layers_that_are_not_dense_have_no_plan() {
    let mut spec = network(16, &[64], 4);
    assert!(Plan::new(&spec).is_some());
    spec.backbone.push(Layer::LayerNorm { activation: Activation::Tanh }).unwrap();
    assert!(Plan::new(&spec).is_none());
}

#[test]
fn the_usual_size_has_two_blocks_on_a_data_centre_card() {
    let (spec, limits) = (network(16, &[64, 64], 4), Limits::h100());
    let all = geometry(&spec, &inner(5), 1000, true, &limits);
    // Table, maps and sums; θ and λ; the traces of four panels.
    assert_eq!(all.shared, 4 * (436 + 2 * 6036 + 4 * 2576));
    assert_eq!((all.archive, all.resident, all.blocks), (Archive::Global, 2, 264));
    // θ at four starts, outputs and gradients at five.
    assert_eq!(all.scratch, (4 * 6036 + 5 * 2 * 624 * 4_u32).next_multiple_of(32));
    // Fewer rows than threads have registers for do not make more blocks than registers allow.
    let small = geometry(&network(1, &[8], 1), &inner(1), 10_000, true, &limits);
    assert_eq!((small.archive, small.resident), (Archive::Shared, 65_536 / (REGISTERS * THREADS)));
}

#[test]
fn the_archive_is_in_shared_memory_where_no_block_is_lost() {
    let spec = network(16, &[64, 64], 4);
    let place = |tasks, limits: &Limits| geometry(&spec, &inner(3), tasks, true, limits).archive;
    // A block for each multiprocessor is all there is to be had of so few tasks.
    assert_eq!(place(132, &Limits::h100()), Archive::Shared);
    assert_eq!(place(133, &Limits::h100()), Archive::Global);
    // One block at most, with or without.
    let one = geometry(&spec, &InnerLoop { kept: Kept::Parameters, ..inner(2) }, 1000, true, &Limits::orin());
    assert_eq!((one.archive, one.resident, one.blocks), (Archive::Shared, 1, 16));
    assert_eq!(place(1000, &Limits::orin()), Archive::Global);
    assert_eq!(place(1000, &Limits::xavier()), Archive::Global);
}

#[test]
fn what_is_not_needed_takes_no_room() {
    let (spec, limits) = (network(16, &[64, 64], 4), Limits::h100());
    let of = |inner: &InnerLoop, gradient| {
        let all = geometry(&spec, inner, 1000, gradient, &limits);
        (all.shared, all.scratch)
    };
    let losses = of(&inner(5), false);
    assert_eq!(losses, (4 * (436 + 6036 + 4 * (80 + 2 * 624)), 0));
    let first_order = of(&InnerLoop { first_order: true, ..inner(5) }, true);
    assert_eq!(first_order, (losses.0 + 4 * 6036, 0));
    let each = InnerLoop { rate: Rate::PerParameter, ..inner(5) };
    assert_eq!(of(&each, true).0, of(&inner(5), true).0 + 4 * 6036);
    // Without steps there is the query alone.
    assert_eq!(of(&inner(0), true).0, 4 * (436 + 2 * 6036 + 4 * (80 + 2 * 624)));
}

#[test]
fn a_large_network_lies_in_global_memory() {
    let spec = network(64, &[512, 512], 8);
    let limits = Limits::h100();
    let all = geometry(&spec, &inner(5), 50, true, &limits);
    assert_eq!((all.archive, all.blocks), (Archive::AllGlobal, 50));
    assert!(all.shared < 48 << 10 && all.scratch > 2 * 512 * 512);
    let plan = Plan::new(&spec).unwrap();
    let inner = inner(5);
    let work = Work { inner: &inner, gradient: true, tasks: 50, rows: [16, 16] };
    let made = launch(&plan, &work, &all, &Addresses { table: Address(256), ..Addresses::default() });
    assert_eq!(
        (made.kernel, made.grid, made.threads, made.shared),
        (Kernel::DenseGlobal, [50, 1, 1], THREADS, all.shared)
    );
    assert_eq!((made.arguments.len(), made.arguments[0]), (216 / 8, 256));
    // More than 32 bits count.
    let many = InnerLoop { steps: 100_000, ..inner.clone() };
    assert!(Geometry::new(&plan, &Work { inner: &many, ..work }, &limits).is_none());
}

#[test]
fn rows_of_a_long_query_go_by_parts() {
    let (spec, inner) = (network(16, &[64, 64], 4), inner(1));
    let plan = Plan::new(&spec).unwrap();
    let rows_of = |query| {
        let work = Work { inner: &inner, gradient: true, tasks: 8, rows: [16, query] };
        let all = Geometry::new(&plan, &work, &Limits::h100()).unwrap();
        (all.query_rows, all.shared)
    };
    assert_eq!(rows_of(5).0, 8);
    assert_eq!(rows_of(0).0, 4);
    assert_eq!(rows_of(1000).0, 32);
    assert_eq!(rows_of(1000).1, rows_of(64).1);
}
