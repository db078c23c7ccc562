//! The caller's memory, cut into the parts that an adapter needs.

use sinew_models::rule::Rule;

use super::plan::Plan;
use super::scales::Scales;
use crate::kernel::Path;
use crate::reader::{Bundle, LengthError, View};

/// A fast path begins every part at a multiple of so many values: 64 bytes, a cache line.
const ALIGNMENT: usize = 16;

/// Parts in all.
const PARTS: usize = 18 + if cfg!(feature = "rules") { 5 } else { 0 } + if cfg!(feature = "masks") { 2 } else { 0 };

/// Values of each part, and of all together.
pub(super) struct Sizes {
    parts: [usize; PARTS],
    pub total: usize,
}

/// The parts, but for the support ring.
#[derive(Debug, Default)]
pub(super) struct Memory<'m> {
    /// The parameters that predict.
    pub live: &'m mut [f32],
    /// The parameters that are being tried.
    pub work: [&'m mut [f32]; 3],
    pub forward: &'m mut [f32],
    pub backward: &'m mut [f32],
    pub panel: &'m mut [f32],
    /// Presented inputs of one unit of work.
    pub presented: &'m mut [f32],
    /// What the adapted part of the network takes, by place in the support ring.
    pub features: &'m mut [f32],
    /// The numbers of the rule, one tensor after another.
    pub numbers: &'m mut [f32],
    pub rule: RuleMemory<'m>,
    /// Targets that teach and targets that judge, by place in the support ring.
    #[cfg(feature = "masks")]
    pub labels: [&'m mut [f32]; 2],
    pub scales: Scales<'m>,
}

/// What the rule itself needs.
#[derive(Debug, Default)]
pub(super) struct RuleMemory<'m> {
    /// What it keeps from adaptation to adaptation.
    pub state: &'m mut [f32],
    /// The state that is being tried.
    #[cfg(feature = "rules")]
    pub trial: &'m mut [f32],
    #[cfg(feature = "rules")]
    pub scratch: &'m mut [f32],
    #[cfg(feature = "rules")]
    /// The heads of the start, and those that are tried, as regressions have them.
    pub prior: &'m mut [f32],
    #[cfg(feature = "rules")]
    pub stacked: &'m mut [f32],
    /// How much each place of the ring counts.
    #[cfg(feature = "rules")]
    pub counts: &'m mut [f32],
}

/// The parts of the support ring.
#[derive(Default)]
pub(super) struct Ring<'m> {
    pub inputs: &'m mut [f32],
    pub targets: &'m mut [f32],
    pub mean: &'m mut [f32],
}

/// Values of the parts that the rule itself needs.
#[derive(Clone, Copy, Default)]
struct RuleSizes {
    /// Buffers of parameters besides those that predict.
    buffers: usize,
    state: usize,
    #[cfg(feature = "rules")]
    trial: usize,
    #[cfg(feature = "rules")]
    scratch: usize,
    #[cfg(feature = "rules")]
    stacked: usize,
    #[cfg(feature = "rules")]
    counts: usize,
}

impl Sizes {
    /// `None` if there is no capacity, or a size passes `usize`.
    pub(super) fn of(bundle: &Bundle<'_>, plan: &Plan, capacity: usize) -> Option<Self> {
        let (spec, network, behind) = (bundle.network(), &plan.network, plan.behind());
        let rows = |per_row: usize| capacity.checked_mul(per_row).filter(|_| capacity > 0);
        let outputs = bundle.rule().output_len(spec);
        let (ring_inputs, ring_targets) = (rows(spec.input.len)?, rows(outputs)?);
        let features = rows(behind.input_len())?;
        let (params, unit, unit_behind) = (network.param_len(), plan.unit_rows, plan.unit_rows_behind);
        let forward = network.forward_len(unit).max(behind.forward_len(unit_behind));
        let numbers = bundle.tensors().numbers().iter().map(View::len).sum();
        let rule = RuleSizes::of(bundle, plan, capacity)?;
        let buffer = |index: usize| if index < rule.buffers { params } else { 0 };
        let (input, output) = (spec.input.len, outputs);
        #[cfg(feature = "masks")]
        let labels = if rule.buffers == 3 { ring_targets } else { 0 };
        let parts = [
            params,
            buffer(0),
            buffer(1),
            buffer(2),
            forward,
            behind.backward_len(unit_behind),
            network.panel_len(),
            network.input_len() * unit,
            features,
            numbers,
            rule.state,
            #[cfg(feature = "rules")]
            rule.trial,
            #[cfg(feature = "rules")]
            rule.scratch,
            #[cfg(feature = "rules")]
            rule.stacked,
            #[cfg(feature = "rules")]
            rule.stacked,
            #[cfg(feature = "rules")]
            rule.counts,
            input,
            input,
            input,
            input,
            2 * output,
            ring_inputs,
            ring_targets,
            #[cfg(feature = "masks")]
            labels,
            #[cfg(feature = "masks")]
            labels,
        ];
        Some(Self { total: total(network.path(), parts.iter().copied())?, parts })
    }

    /// Cuts `memory`, which must not be shorter than `total`.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn carve<'m>(&self, path: Path, memory: &'m mut [f32]) -> Option<(Memory<'m>, Ring<'m>)> {
        let (mut carved, mut ring) = (Memory::default(), Ring::default());
        let mut output: &mut [f32] = &mut [];
        let Memory {
            live,
            work,
            forward,
            backward,
            panel,
            presented,
            features,
            numbers,
            rule,
            #[cfg(feature = "masks")]
                labels: [learn, judge],
            scales,
        } = &mut carved;
        let [first, second, third] = work;
        // In the order of the sizes.
        let parts: [&mut &'m mut [f32]; PARTS] = [
            live,
            first,
            second,
            third,
            forward,
            backward,
            panel,
            presented,
            features,
            numbers,
            &mut rule.state,
            #[cfg(feature = "rules")]
            &mut rule.trial,
            #[cfg(feature = "rules")]
            &mut rule.scratch,
            #[cfg(feature = "rules")]
            &mut rule.prior,
            #[cfg(feature = "rules")]
            &mut rule.stacked,
            #[cfg(feature = "rules")]
            &mut rule.counts,
            &mut scales.input_mean,
            &mut scales.input_factor,
            &mut scales.relative_factor,
            &mut ring.mean,
            &mut output,
            &mut ring.inputs,
            &mut ring.targets,
            #[cfg(feature = "masks")]
            learn,
            #[cfg(feature = "masks")]
            judge,
        ];
        let mut rest = aligned(path, memory);
        for (part, len) in parts.into_iter().zip(&self.parts) {
            *part = carve_one(path, *len, &mut rest)?;
        }
        let outputs = output.len() / 2;
        (scales.output_mean, scales.output_scale) = crate::part::cut(output, outputs);
        Some((carved, ring))
    }
}

impl Memory<'_> {
    /// Writes to each part what the bundle has for it.
    pub(super) fn load(&mut self, bundle: &Bundle<'_>) -> Result<(), LengthError> {
        let start = bundle.tensors();
        start.load(self.live)?;
        for buffer in &mut self.work {
            if !buffer.is_empty() {
                start.load(buffer)?;
            }
        }
        let mut rest = &mut *self.numbers;
        for view in bundle.tensors().numbers() {
            let (here, behind) = crate::part::cut(rest, view.len());
            view.copy_to(here)?;
            rest = behind;
        }
        self.scales.load(bundle)
    }
}

impl RuleSizes {
    fn of(bundle: &Bundle<'_>, plan: &Plan, capacity: usize) -> Option<Self> {
        let params = plan.network.param_len();
        let descent = |state| {
            let mut sizes = Self::default();
            (sizes.buffers, sizes.state) = (3, state);
            sizes
        };
        #[cfg(feature = "rules")]
        {
            use crate::kernel::dense::Size;
            use crate::rule::{linear::Heads, meta_lstm, recursive::Recursive, ridge};

            let (path, features, outputs) = (plan.network.path(), plan.behind().input_len(), plan.network.output_len());
            let closed = Self { buffers: 2, stacked: Heads::len(features, outputs), ..Self::default() };
            let recursive = || {
                let state = Recursive::state_len(path, features, outputs);
                Self { state, trial: state, scratch: Recursive::scratch_len(path, features, outputs), ..closed }
            };
            Some(match bundle.rule() {
                Rule::Gradient { momentum, .. } => descent(if *momentum { params } else { 0 }),
                Rule::Ridge { recursive: true } | Rule::Bayes => recursive(),
                Rule::Ridge { recursive: false } => {
                    // The scratch grows with the rows up to where the primal problem is the smaller one, and then again.
                    let scratch = |rows| ridge::scratch_len(path, Size { rows, inputs: features, outputs });
                    let scratch = scratch(capacity).max(scratch(capacity.min(features + 1)));
                    Self { scratch, counts: capacity, ..closed }
                }
                Rule::Prototype => {
                    let state = outputs.checked_mul(features + 1)?;
                    Self { buffers: 2, state, trial: state, ..Self::default() }
                }
                Rule::Siamese { classes } => Self { state: capacity, scratch: capacity + classes, ..Self::default() },
                Rule::MetaLstm { hidden, .. } => {
                    let state = meta_lstm::Memory::len(*hidden, params);
                    Self { trial: params, scratch: meta_lstm::scratch_len(path, *hidden), ..descent(state) }
                }
            })
        }
        #[cfg(not(feature = "rules"))]
        {
            let _ = capacity;
            match bundle.rule() {
                Rule::Gradient { momentum, .. } => Some(descent(if *momentum { params } else { 0 })),
                #[allow(unreachable_patterns, reason = "unless another crate asks for more of `sinew-models`")]
                _ => None,
            }
        }
    }
}

/// Values of parts that are cut out of one slice, wherever it begins; `None` where that passes `usize`.
pub(crate) fn total(path: Path, parts: impl IntoIterator<Item = usize>) -> Option<usize> {
    let start = if path == Path::SCALAR { 0 } else { ALIGNMENT - 1 };
    parts.into_iter().try_fold(start, |sum, part| sum.checked_add(padded(path, part)?))
}

/// Cuts parts out of `memory`, from its first aligned value on, and sets them to 0; `None` if it is shorter than [`total`].
pub(crate) fn carve<const N: usize>(path: Path, lens: [usize; N], memory: &mut [f32]) -> Option<[&mut [f32]; N]> {
    let mut rest = aligned(path, memory);
    let mut parts: [&mut [f32]; N] = core::array::from_fn(|_| &mut [][..]);
    for (part, len) in parts.iter_mut().zip(lens) {
        *part = carve_one(path, len, &mut rest)?;
    }
    Some(parts)
}

/// Cuts the next part off an aligned `rest` and sets it to 0.
pub(crate) fn carve_one<'m>(path: Path, len: usize, rest: &mut &'m mut [f32]) -> Option<&'m mut [f32]> {
    let (here, behind) = core::mem::take(rest).split_at_mut_checked(padded(path, len)?)?;
    here.fill(0.0);
    *rest = behind;
    here.get_mut(..len)
}

/// What of `memory` comes from its first aligned value on.
pub(crate) fn aligned(path: Path, memory: &mut [f32]) -> &mut [f32] {
    let skip = if path == Path::SCALAR { 0 } else { memory.as_ptr().align_offset(ALIGNMENT * size_of::<f32>()) };
    memory.get_mut(skip..).unwrap_or_default()
}

/// `len`, rounded up on a fast path so that the next part is aligned too.
pub(crate) fn padded(path: Path, len: usize) -> Option<usize> {
    if path == Path::SCALAR { Some(len) } else { len.checked_next_multiple_of(ALIGNMENT) }
}
