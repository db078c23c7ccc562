//! Single passes: one for each task of a batch, in parallel.

use sinew_runtime::Path;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::kernel::scale::add_scaled;
use sinew_runtime::network::{Batch, Cotangent, Destination, LayerSet, Network};

use super::Cpu;
use super::arena::{Arena, Lengths};
use crate::aligned::Aligned;
use crate::engine::kept::Held;
use crate::engine::{Depth, EngineError, Parameters, Rows, Side, TaskRows};

/// What each pass of one task is: `params`, where the task is in the batch, its rows, and where its result goes; returns its loss, 0 if
/// it has none.
trait Pass: Fn(&Network, &[f32], Place, &Rows, &mut Arena, &mut [f32]) -> f32 + Sync {}
impl<F: Fn(&Network, &[f32], Place, &Rows, &mut Arena, &mut [f32]) -> f32 + Sync> Pass for F {}

/// How many tasks, and how many rows of theirs, come before a task.
#[derive(Clone, Copy, Default)]
struct Place {
    tasks: usize,
    rows: usize,
}

/// Runs `pass` for each task; `width(rows)` values of `into` are its. `losses`, where they are wanted, has one for each task;
/// `targets` says whether a loss is computed.
fn over_tasks(
    cpu: &mut Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    (side, targets): (Side, bool),
    into: &mut Aligned,
    losses: &mut [f32],
    width: impl Fn(&Rows) -> usize + Sync,
    pass: impl Pass,
) -> Result<(), EngineError> {
    let len = cpu.network.param_len();
    tasks.iter().try_for_each(|task| cpu.expect_rows(task.side(side), targets))?;
    match params {
        Parameters::Shared(params) => Cpu::expect("parameters", params, len)?,
        Parameters::Each(params) => Cpu::expect("parameters of all tasks", params, len * tasks.len())?,
    }
    into.resize(tasks.iter().map(|task| width(task.side(side))).sum());
    let at_once = cpu.arenas.len().min(tasks.len());
    let most = tasks.iter().map(|task| task.side(side).rows).max().unwrap_or(0);
    cpu.make_room(at_once, Held::default(), &lengths(&cpu.network, most));
    let cpu = &*cpu;
    let one = |place: Place, rows: &Rows, into: &mut [f32]| {
        let params = match params {
            Parameters::Shared(params) => params,
            Parameters::Each(params) => &params[place.tasks * len..][..len],
        };
        cpu.with_arena(at_once, |arena| {
            arena.make_room(Held::default(), &lengths(&cpu.network, rows.rows));
            pass(&cpu.network, params, place, rows, arena, into)
        })
    };
    let halves = Halves { side, width: &width, one: &one, parallel: cpu.pool.is_some() };
    match &cpu.pool {
        None => halves.run(Place::default(), tasks, into, losses),
        Some(pool) => pool.install(|| halves.run(Place::default(), tasks, into, losses)),
    }
    Ok(())
}

/// Tasks halved until each is alone: what they write to differs in length, and a list of it would have to be made for every batch.
#[derive(Clone, Copy)]
struct Halves<'a, W, F> {
    side: Side,
    width: &'a W,
    one: &'a F,
    parallel: bool,
}

impl<W: Fn(&Rows) -> usize + Sync, F: Fn(Place, &Rows, &mut [f32]) -> f32 + Sync> Halves<'_, W, F> {
    fn run(&self, place: Place, tasks: &[TaskRows], into: &mut [f32], losses: &mut [f32]) {
        let rows = |task: &TaskRows| task.side(self.side).rows;
        match tasks {
            [] => {}
            [task] => {
                let value = (self.one)(place, task.side(self.side), into);
                losses.iter_mut().for_each(|loss| *loss = value);
            }
            _ => {
                let (here, there) = tasks.split_at(tasks.len() / 2);
                let values = here.iter().map(|task| (self.width)(task.side(self.side))).sum();
                let behind =
                    Place { tasks: place.tasks + here.len(), rows: place.rows + here.iter().map(rows).sum::<usize>() };
                let (into, into_there) = into.split_at_mut(values);
                let (losses, losses_there) = losses.split_at_mut(here.len().min(losses.len()));
                let mut first = || self.run(place, here, into, losses);
                let mut second = || self.run(behind, there, into_there, losses_there);
                if self.parallel {
                    rayon::join(first, second);
                } else {
                    first();
                    second();
                }
            }
        }
    }
}

/// What a pass over so many rows needs.
pub(super) fn lengths(network: &Network, rows: usize) -> Lengths {
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
    cpu: &mut Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    depth: Depth,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let values = values(&cpu.network, depth);
    let width = |rows: &Rows| rows.rows * values;
    over_tasks(cpu, params, tasks, (side, false), into, &mut [], width, |network, params, _, rows, arena, into| {
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
        0.0
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
    let all: usize = tasks.iter().map(|task| task.side(side).rows).sum();
    Cpu::expect("the gradient behind the network", cotangent, all * width)?;
    let shared = matches!(params, Parameters::Shared(_));
    let to_inputs = inputs.is_some();
    // What a task leaves behind: its gradient, and that with respect to its inputs.
    let left = |rows: &Rows| len + if to_inputs { rows.rows * presented } else { 0 };
    let gathers = shared || to_inputs;
    let mut gathered = Gathered::new(cpu, tasks, side, shared, into, inputs);
    // One thread leaves one gradient at a time, which stays in the cache until it is added to the sum.
    let at_once = if shared && cpu.pool.is_none() { 1 } else { tasks.len().max(1) };
    let mut parts = std::mem::take(&mut cpu.parts);
    let (mut done, mut before) = (Ok(()), 0);
    for group in tasks.chunks(at_once) {
        let to = if gathers { &mut parts } else { &mut *gathered.params };
        done = over_tasks(
            cpu,
            params,
            group,
            (side, false),
            to,
            &mut [],
            left,
            |network, params, place, rows, arena, into| {
                let (x, count) = (&rows.x[..], rows.rows);
                let (forward, backward) = (&mut arena.query.forward[..], &mut arena.query.backward[..]);
                let panel = &mut arena.scratch.panel[..];
                let cotangent = &cotangent[(before + place.rows) * width..][..count * width];
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
                0.0
            },
        );
        before += group.iter().map(|task| task.side(side).rows).sum::<usize>();
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
    cpu: &mut Cpu,
    params: Parameters<'_, Aligned>,
    tasks: &[TaskRows],
    side: Side,
    losses: &mut Vec<f32>,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let len = cpu.network.param_len();
    losses.clear();
    losses.resize(tasks.len(), 0.0);
    let width = |_: &Rows| len;
    over_tasks(cpu, params, tasks, (side, true), into, losses, width, |network, params, _, rows, arena, into| {
        gradient_at(network, params, rows.batch(), arena, (into, Update::Store))
    })
}

pub(super) fn hessian_vector(
    cpu: &mut Cpu,
    params: Parameters<'_, Aligned>,
    directions: &Aligned,
    tasks: &[TaskRows],
    side: Side,
    into: &mut Aligned,
) -> Result<(), EngineError> {
    let len = cpu.network.param_len();
    Cpu::expect("directions of all tasks", directions, len * tasks.len())?;
    let width = |_: &Rows| len;
    over_tasks(cpu, params, tasks, (side, true), into, &mut [], width, |network, params, place, rows, arena, into| {
        // The gradient itself is written over by the product.
        let loss = gradient_at(network, params, rows.batch(), arena, (into, Update::Store));
        let traces = (&arena.query.forward[..], &arena.query.backward[..]);
        let (tangent, panel) = (&mut arena.scratch.tangent[..], &mut arena.scratch.panel[..]);
        let v = &directions[place.tasks * len..][..len];
        network.hessian_vector((params, v), rows.batch(), traces, tangent, panel, (into, Update::Store));
        loss
    })
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
