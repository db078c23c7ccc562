//! Single passes: over one side of a batch, or both pooled.

use super::passes::{Gradient, Passes};
use super::plan::Trace;
use super::store::{Held, Pieces};
use super::tangent::Along;
use super::tasks::SideRows;
use super::{Cuda, Tasks, Values, expect};
use crate::cuda::arrange::{self, Columns};
use crate::cuda::{Address, Device, Launch, PerTask, reduce};
use crate::engine::{BatchGradient, Depth, EngineError, Parameters, Side};

/// What a pass works in.
struct Room<D: Device> {
    trace: Trace,
    scratch: Address,
    /// As many words as were asked for besides.
    more: Address,
    _held: Held<D>,
}

/// Memory for a pass over a side, with gradients where they are `wanted`, and so many words more.
fn room<D: Device>(cuda: &Cuda<D>, side: &SideRows, wanted: bool, more: usize) -> Result<Room<D>, EngineError> {
    let lay_out = |base: Address| {
        let mut pieces = Pieces::default();
        let trace = cuda.plan.trace(side.rows.rows, wanted, base, &mut pieces);
        let scratch = Passes::scratch(&cuda.plan, &side.rows, cuda.multiprocessors());
        let (scratch, more) = (base.plus(pieces.next(scratch)), base.plus(pieces.next(more)));
        (trace, scratch, more, pieces.words())
    };
    let held = cuda.store.take(lay_out(Address::NONE).3)?;
    let (trace, scratch, more, _) = lay_out(held.address());
    Ok(Room { trace, scratch, more, _held: held })
}

fn passes<'a, D: Device>(
    cuda: &'a Cuda<D>,
    side: SideRows,
    scratch: Address,
    launches: &'a mut Vec<Launch>,
) -> Passes<'a> {
    Passes { plan: &cuda.plan, side, multiprocessors: cuda.multiprocessors(), scratch, launches }
}

pub(super) fn forward<D: Device>(
    cuda: &mut Cuda<D>,
    params: Parameters<'_, Values<D>>,
    tasks: &Tasks<D>,
    side: Side,
    depth: Depth,
    into: &mut Values<D>,
) -> Result<(), EngineError> {
    let (params, side) = (cuda.params(params, tasks.count())?, *tasks.side(&cuda.store, side)?);
    let plan = &cuda.plan;
    let (width, layers) = match depth {
        Depth::Outputs => (plan.output_len, plan.layers.len()),
        Depth::Features => (plan.feature_len(), plan.backbone),
    };
    let to = into.resize(&cuda.store, side.rows.rows * width)?;
    let room = room(cuda, &side, false, 0)?;
    cuda.run(|cuda, launches| {
        let mut passes = passes(cuda, side, room.scratch, launches);
        passes.forward(0..layers, params, &room.trace);
        match depth {
            Depth::Outputs => passes.outputs(&room.trace, to),
            Depth::Features => {
                let features = passes.output(layers.checked_sub(1), &room.trace);
                launches.push(arrange::put(features, to, side.rows.rows, width, false));
            }
        }
    })
}

pub(super) fn backward<D: Device>(
    cuda: &mut Cuda<D>,
    params: Parameters<'_, Values<D>>,
    tasks: &Tasks<D>,
    side_of: Side,
    depth: Depth,
    cotangent: &Values<D>,
    into: &mut Values<D>,
    inputs: Option<&mut Values<D>>,
) -> Result<(), EngineError> {
    let shared = matches!(params, Parameters::Shared(_));
    let (params, side, count) =
        (cuda.params(params, tasks.count())?, *tasks.side(&cuda.store, side_of)?, tasks.count());
    let (len, rows) = (cuda.plan.param_len, side.rows.rows);
    let width = if depth == Depth::Outputs { cuda.plan.output_len } else { cuda.plan.feature_len() };
    expect("the gradient behind the network", cotangent.len(), rows * width)?;
    let cotangent = cotangent.on(&cuda.store, "the gradient behind the network")?;
    let to = into.resize(&cuda.store, if shared { len } else { len * count })?;
    let presented = cuda.plan.input_len;
    let to_inputs = inputs.map(|inputs| inputs.resize(&cuda.store, rows * presented)).transpose()?;
    let room = room(cuda, &side, true, if shared { len * count } else { 0 })?;
    let parts = PerTask { at: if shared { room.more } else { to }, stride: len };
    cuda.run(|cuda, launches| {
        let plan = &cuda.plan;
        let needed = plan.needed(|_| true).iter().map(|needed| *needed || to_inputs.is_some()).collect::<Vec<_>>();
        let gradient = Gradient { to: parts, add: false };
        let mut passes = passes(cuda, side, room.scratch, launches);
        let taking_part = match depth {
            Depth::Outputs => {
                passes.forward(0..plan.layers.len(), params, &room.trace);
                passes.cotangent(cotangent, &room.trace);
                passes.back(plan.way_back(), params, &room.trace, &needed, |_| true, gradient);
                plan.layers.len()
            }
            Depth::Features => {
                // The heads take no part, so nothing would be written there.
                let of = PerTask { at: parts.at, stride: 1 };
                let zeros = Columns::whole(Address::NONE, 0);
                passes.launches.push(arrange::place(zeros, Columns::whole(of.at, len), count, len, false));
                if let Some(last) = plan.backbone.checked_sub(1) {
                    passes.forward(0..plan.backbone, params, &room.trace);
                    let at = room.trace.0[last].da;
                    passes.launches.push(arrange::put(cotangent, at, rows, width, false));
                    let way = (0..plan.backbone).rev();
                    passes.back(way, params, &room.trace, &needed, |_| true, gradient);
                }
                plan.backbone
            }
        };
        if let Some(to) = to_inputs {
            if taking_part > 0 {
                passes.at_inputs(0..taking_part, params, &room.trace, to);
            } else {
                // The features are the inputs.
                passes.launches.push(arrange::put(cotangent, to, rows, width, false));
            }
        }
        if shared {
            launches.push(reduce::mean(parts, count, [len, 0], 1.0, [to, Address::NONE]));
        }
    })
}

pub(super) fn gradient<D: Device>(
    cuda: &mut Cuda<D>,
    params: Parameters<'_, Values<D>>,
    tasks: &Tasks<D>,
    side: Side,
    losses: &mut Vec<f32>,
    into: &mut Values<D>,
) -> Result<(), EngineError> {
    let (params, side) = (cuda.params(params, tasks.count())?, *tasks.with_targets(&cuda.store, side)?);
    let len = cuda.plan.param_len;
    let to = into.resize(&cuda.store, len * tasks.count())?;
    let mut left = Values::default();
    let losses_at = left.resize(&cuda.store, tasks.count())?;
    let room = room(cuda, &side, true, 0)?;
    cuda.run(|cuda, launches| {
        let to = Gradient { to: PerTask { at: to, stride: len }, add: false };
        gradient_of(&mut passes(cuda, side, room.scratch, launches), params, &room.trace, losses_at, to);
    })?;
    cuda.bring_losses(&left, losses)
}

/// Losses, where they go somewhere, and gradients of all tasks.
fn gradient_of(passes: &mut Passes<'_>, params: PerTask, trace: &Trace, losses: Address, to: Gradient) {
    let plan = passes.plan;
    passes.forward(0..plan.layers.len(), params, trace);
    passes.losses(trace, Address::NONE, true, losses, false);
    passes.back(plan.way_back(), params, trace, &plan.needed(|_| true), |_| true, to);
}

pub(super) fn hessian_vector<D: Device>(
    cuda: &mut Cuda<D>,
    params: Parameters<'_, Values<D>>,
    directions: &Values<D>,
    tasks: &Tasks<D>,
    side: Side,
    into: &mut Values<D>,
) -> Result<(), EngineError> {
    let (params, side) = (cuda.params(params, tasks.count())?, *tasks.with_targets(&cuda.store, side)?);
    let len = cuda.plan.param_len;
    expect("directions of all tasks", directions.len(), len * tasks.count())?;
    let to = into.resize(&cuda.store, len * tasks.count())?;
    let mut tangent_words = Pieces::default();
    cuda.plan.tangents(side.rows.rows, Address::NONE, &mut tangent_words);
    let room = room(cuda, &side, true, tangent_words.words())?;
    let tangents = cuda.plan.tangents(side.rows.rows, room.more, &mut Pieces::default());
    let direction = PerTask { at: directions.on(&cuda.store, "directions of all tasks")?, stride: len };
    cuda.run(|cuda, launches| {
        let to = Gradient { to: PerTask { at: to, stride: len }, add: false };
        let mut passes = passes(cuda, side, room.scratch, launches);
        // The gradient itself is written over by the product.
        gradient_of(&mut passes, params, &room.trace, Address::NONE, to);
        passes.hessian_vector(Along { params, direction, trace: &room.trace, tangents: &tangents }, to);
    })
}

pub(super) fn pooled_gradient<D: Device>(
    cuda: &mut Cuda<D>,
    params: &Values<D>,
    tasks: &Tasks<D>,
    into: &mut BatchGradient<Values<D>>,
) -> Result<(), EngineError> {
    let at = cuda.params(Parameters::Shared(params), tasks.count())?;
    let (len, count) = (cuda.plan.param_len, tasks.count());
    let sides = tasks.both_with_targets(&cuda.store)?;
    let BatchGradient { params: to, rates, losses, tasks: of } = into;
    (*rates, *of) = (None, count);
    let (to, losses) = (to.resize(&cuda.store, len)?, losses.resize(&cuda.store, count)?);
    let rooms = [room(cuda, &sides[0], true, len * count)?, room(cuda, &sides[1], true, 0)?];
    let parts = PerTask { at: rooms[0].more, stride: len };
    cuda.run(|cuda, launches| {
        let plan = &cuda.plan;
        let needed = plan.needed(|_| true);
        for (place, room) in rooms.iter().enumerate() {
            let (side, others, add) = (sides[place], sides[1 - place].rows.starts, place > 0);
            let mut passes = passes(cuda, side, room.scratch, launches);
            passes.forward(0..plan.layers.len(), at, &room.trace);
            passes.losses(&room.trace, others, true, losses, add);
            passes.back(plan.way_back(), at, &room.trace, &needed, |_| true, Gradient { to: parts, add });
        }
        let share = 1.0 / count.max(1) as f32;
        launches.push(reduce::mean(parts, count, [len, 0], share, [to, Address::NONE]));
    })
}
