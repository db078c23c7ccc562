//! Single passes: one for each task of a batch, in parallel.

use rayon::prelude::*;
use sinew_runtime::Path;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::kernel::scale::add_scaled;
use sinew_runtime::network::{Batch, Cotangent, Destination, LayerSet, Network};

use super::Cpu;
use super::arena::{Arena, Lengths};
use crate::aligned::Aligned;
use crate::engine::{Depth, EngineError, InnerLoop, Parameters, Rows, Side, TaskRows};

/// What each pass of one task is: `params`, its rows, where its result goes, and its loss if it has one.
trait Pass: Fn(&Network, &[f32], usize, &Rows, &mut Arena, &mut [f32], &mut f32) + Sync {}
impl<F: Fn(&Network, &[f32], usize, &Rows, &mut Arena, &mut [f32], &mut f32) + Sync> Pass for F {}

/// Runs `pass` for each task; `width(rows)` values of `into` are its.
fn over_tasks(
    cpu: &Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    into: &mut Aligned,
    losses: &mut Vec<f32>,
    width: impl Fn(&Rows) -> usize,
    pass: impl Pass,
) -> Result<(), EngineError> {
    let network = &cpu.network;
    let len = network.param_len();
    match params {
        Parameters::Shared(params) => Cpu::expect("parameters", params, len)?,
        Parameters::Each(params) => Cpu::expect("parameters of all tasks", params, len * tasks.len())?,
    }
    into.resize(tasks.iter().map(|task| width(task.side(side))).sum());
    losses.clear();
    losses.resize(tasks.len(), 0.0);
    let mut rest = &mut into[..];
    let mut items: Vec<_> = Vec::with_capacity(tasks.len());
    for (number, (task, loss)) in tasks.iter().zip(losses).enumerate() {
        let rows = task.side(side);
        let (here, behind) = rest.split_at_mut(width(rows));
        rest = behind;
        items.push((number, rows, here, loss));
    }
    let one = |(number, rows, into, loss): (usize, &Rows, &mut [f32], &mut f32)| {
        let params = match params {
            Parameters::Shared(params) => params,
            Parameters::Each(params) => &params[number * len..][..len],
        };
        cpu.with_arena(|arena| {
            let (lengths, inner) = (lengths(network, rows.rows), still());
            arena.make_room(&inner, &lengths);
            pass(network, params, number, rows, arena, into, loss);
        });
    };
    match &cpu.pool {
        None => items.into_iter().for_each(one),
        Some(pool) => pool.install(|| items.into_par_iter().with_max_len(1).for_each(one)),
    }
    Ok(())
}

/// No inner step.
fn still() -> InnerLoop {
    InnerLoop {
        steps: 0,
        rate: sinew_models::rule::Rate::Constant,
        adapted: LayerSet::ALL,
        learn_rates: false,
        first_order: true,
        kept: crate::engine::Kept::Parameters,
    }
}

fn lengths(network: &Network, rows: usize) -> Lengths {
    Lengths {
        params: network.param_len(),
        forward: [0, network.forward_len(rows)],
        backward: [0, network.backward_len(rows)],
        tangent: network.tangent_len(rows),
        panel: network.panel_len(),
        ..Lengths::default()
    }
}

pub(super) fn forward(
    cpu: &Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    depth: Depth,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let width = |rows: &Rows| rows.rows * values(&cpu.network, depth);
    over_tasks(cpu, params, tasks, side, into, &mut Vec::new(), width, |network, params, _, rows, arena, into, _| {
        let (forward, panel) = (&mut arena.query.forward[..], &mut arena.scratch.panel[..]);
        match depth {
            Depth::Outputs => {
                network.forward(params, &rows.x, rows.rows, forward, panel);
                network.outputs(forward, rows.rows, into);
            }
            Depth::Features => {
                let layers = network.backbone_len();
                network.forward_layers(0..layers, params, &rows.x, rows.rows, forward, panel);
                into.copy_from_slice(network.features(layers, &rows.x, rows.rows, forward));
            }
        }
    })
}

/// Values of one row at `depth`.
fn values(network: &Network, depth: Depth) -> usize {
    match depth {
        Depth::Outputs => network.output_len(),
        Depth::Features => network.feature_len(),
    }
}

pub(super) fn backward(
    cpu: &mut Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    depth: Depth,
    cotangent: &Aligned,
    into: &mut Aligned,
    inputs: Option<&mut Aligned>,
) -> Result<(), EngineError> {
    let (len, presented) = (cpu.network.param_len(), cpu.network.input_len());
    let width = values(&cpu.network, depth);
    let mut starts = Vec::with_capacity(tasks.len());
    let mut total = 0;
    for task in tasks {
        starts.push(total);
        total += task.side(side).rows * width;
    }
    Cpu::expect("the gradient behind the network", cotangent, total)?;
    let shared = matches!(params, Parameters::Shared(_));
    let to_inputs = inputs.is_some();
    // What a task leaves behind: its gradient, and that with respect to its inputs.
    let left = |rows: &Rows| len + if to_inputs { rows.rows * presented } else { 0 };
    let gathers = shared || to_inputs;
    let mut gathered = Gathered::new(cpu, tasks, side, shared, into, inputs);
    // One thread leaves one gradient at a time, which stays in the cache until it is added to the sum.
    let at_once = if shared && cpu.pool.is_none() { 1 } else { tasks.len().max(1) };
    let mut parts = std::mem::take(&mut cpu.parts);
    let mut done = Ok(());
    for (group, first) in tasks.chunks(at_once).zip((0..).step_by(at_once)) {
        let to = if gathers { &mut parts } else { &mut *gathered.params };
        done = over_tasks(
            cpu,
            params,
            group,
            side,
            to,
            &mut Vec::new(),
            left,
            |network, params, number, rows, arena, into, _| {
                let (x, count) = (&rows.x[..], rows.rows);
                let (forward, backward) = (&mut arena.query.forward[..], &mut arena.query.backward[..]);
                let panel = &mut arena.scratch.panel[..];
                let cotangent = &cotangent[starts[first + number]..][..count * width];
                let (into, inputs) = into.split_at_mut(len);
                let cotangent = match depth {
                    Depth::Outputs => {
                        network.forward(params, x, count, forward, panel);
                        Cotangent::Outputs(cotangent)
                    }
                    Depth::Features => {
                        // The heads take no part, so nothing is written there.
                        into.fill(0.0);
                        network.forward_layers(0..network.backbone_len(), params, x, count, forward, panel);
                        Cotangent::Features(cotangent)
                    }
                };
                let (layers, update) = (LayerSet::ALL, Update::Store);
                let destination = Destination::Gradient { params, gradient: into, layers, update };
                let inputs = to_inputs.then_some(inputs);
                network.pull_back(destination, (x, count), cotangent, forward, backward, panel, inputs);
            },
        );
        if done.is_err() {
            break;
        }
        if gathers {
            gathered.take(cpu.network.path(), group, side, &parts);
        }
    }
    cpu.parts = parts;
    done
}

/// Where what tasks leave behind is gathered, in their order, whoever computed it.
struct Gathered<'a> {
    params: &'a mut Aligned,
    inputs: Option<&'a mut Aligned>,
    /// Whether all tasks have the same parameters: then their gradients are added.
    shared: bool,
    param_len: usize,
    presented: usize,
    /// How many tasks and values of inputs are there already.
    tasks: usize,
    values: usize,
}

impl<'a> Gathered<'a> {
    fn new(
        cpu: &Cpu,
        tasks: &[TaskRows],
        side: Side,
        shared: bool,
        params: &'a mut Aligned,
        mut inputs: Option<&'a mut Aligned>,
    ) -> Self {
        let (param_len, presented) = (cpu.network.param_len(), cpu.network.input_len());
        params.resize(if shared { param_len } else { param_len * tasks.len() });
        if shared {
            params.fill(0.0);
        }
        if let Some(inputs) = &mut inputs {
            inputs.resize(tasks.iter().map(|task| task.side(side).rows * presented).sum());
        }
        Self { params, inputs, shared, param_len, presented, tasks: 0, values: 0 }
    }

    fn take(&mut self, path: Path, tasks: &[TaskRows], side: Side, mut parts: &[f32]) {
        for task in tasks {
            let (gradient, behind) = parts.split_at(self.param_len);
            if self.shared {
                add_scaled(path, self.params, 1.0, gradient);
            } else {
                self.params[self.tasks * self.param_len..][..self.param_len].copy_from_slice(gradient);
            }
            self.tasks += 1;
            parts = behind;
            if let Some(inputs) = &mut self.inputs {
                let (gradient, behind) = parts.split_at(task.side(side).rows * self.presented);
                inputs[self.values..][..gradient.len()].copy_from_slice(gradient);
                self.values += gradient.len();
                parts = behind;
            }
        }
    }
}

pub(super) fn gradient(
    cpu: &Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    losses: &mut Vec<f32>,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let len = cpu.network.param_len();
    over_tasks(
        cpu,
        params,
        tasks,
        side,
        into,
        losses,
        |_| len,
        |network, params, _, rows, arena, into, loss| {
            *loss = gradient_at(network, params, rows.batch(), arena, (into, Update::Store));
        },
    )
}

pub(super) fn hessian_vector(
    cpu: &Cpu,
    params: Parameters<'_, Aligned>,
    directions: &Aligned,
    tasks: &[TaskRows],
    side: Side,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let len = cpu.network.param_len();
    Cpu::expect("directions of all tasks", directions, len * tasks.len())?;
    over_tasks(
        cpu,
        params,
        tasks,
        side,
        into,
        &mut Vec::new(),
        |_| len,
        |network, params, number, rows, arena, into, _| {
            // The gradient itself is written over by the product.
            gradient_at(network, params, rows.batch(), arena, (into, Update::Store));
            let traces = (&arena.query.forward[..], &arena.query.backward[..]);
            let (tangent, panel) = (&mut arena.scratch.tangent[..], &mut arena.scratch.panel[..]);
            let v = &directions[number * len..][..len];
            network.hessian_vector((params, v), rows.batch(), traces, tangent, panel, (into, Update::Store));
        },
    )
}

/// The loss on all rows of a task, and its gradient.
pub(super) fn pooled(
    network: &Network,
    params: &[f32],
    task: &TaskRows,
    arena: &mut Arena,
    gradient: &mut [f32],
) -> f32 {
    let sides = [&task.support, &task.query];
    arena.make_room(&still(), &lengths(network, sides[0].rows.max(sides[1].rows)));
    let of = sides[0].rows + sides[1].rows;
    gradient.fill(0.0);
    let mut loss = 0.0;
    for side in sides.into_iter().filter(|side| side.rows > 0) {
        let batch = Batch { of, ..side.batch() };
        loss += gradient_at(network, params, batch, arena, (gradient, Update::Add(1.0)));
    }
    loss
}

fn gradient_at(
    network: &Network,
    params: &[f32],
    batch: Batch<'_>,
    arena: &mut Arena,
    (gradient, update): (&mut [f32], Update),
) -> f32 {
    let (pass, panel) = (&mut arena.query, &mut arena.scratch.panel[..]);
    network.forward(params, batch.x, batch.rows, &mut pass.forward, panel);
    let destination = Destination::Gradient { params, gradient, layers: LayerSet::ALL, update };
    network.gradient(destination, batch, &pass.forward, &mut pass.backward, panel)
}
