//! Samples that carry the labels of some heads only, and labels of each head that judge what others teach.

use core::ops::Range;

use sinew_models::spec::{MAX_HEADS, NetworkSpec};

use super::{Adapter, ObserveError};
use crate::kernel::finite::all_finite;
use crate::network::Network;
use crate::part::part;
use crate::reader::LengthError;
use crate::rule::judges::Judging;
use crate::support::Support;

/// Some of the heads of a network, by their numbers in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadSet(u32);

impl HeadSet {
    /// No head.
    pub const NONE: Self = Self(0);
    /// All heads.
    pub const ALL: Self = Self(u32::MAX);

    /// The heads whose bits are set, the first head's the lowest.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// With this head, too; one past the 32nd there is in no network.
    pub const fn with(self, head: usize) -> Self {
        if head < 32 { Self(self.0 | 1 << head) } else { self }
    }

    /// Whether it has this head.
    pub const fn has(self, head: usize) -> bool {
        head < 32 && self.0 >> head & 1 == 1
    }

    /// The heads of `network` with these names; `None` if one is not there.
    ///
    /// ```
    /// # use sinew_runtime::{Bundle, HeadSet};
    /// # fn run(bundle: &Bundle<'_>) {
    /// let slip = HeadSet::named(bundle.network(), &["slip"]).expect("a bundle with a head for slip");
    /// # }
    /// ```
    pub fn named(network: &NetworkSpec, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(Self::NONE, |set, name| {
            Some(set.with(network.heads.iter().position(|head| head.name.as_str() == *name)?))
        })
    }
}

impl Adapter<'_> {
    /// Whether the rule takes gradient steps, so that samples may carry the labels of some heads only.
    pub(crate) fn takes_steps(&self) -> bool {
        self.learner.takes_steps()
    }

    /// As [`Adapter::observe`], of a sample that carries the labels of the heads in `labelled` only: what `y` has in the columns of
    /// others is not looked at. A head learns from its own labels, and gains from those of others through layers that they share. Losses
    /// are means over all support rows, so that each label weighs as much as any other.
    ///
    /// # Errors
    /// As [`Adapter::observe`]; if no head of the network is labelled; or if the rule takes no gradient steps and not all are, because
    /// it fits all heads to the same rows.
    pub fn observe_heads(&mut self, x: &[f32], y: &[f32], labelled: HeadSet) -> Result<(), ObserveError> {
        LengthError::check(self.input_len(), x.len())?;
        LengthError::check(self.output_len(), y.len())?;
        if is_whole(&self.plan.network, self.takes_steps(), x, y, labelled)? {
            return self.observe(x, y);
        }
        let columns = self.plan.network.head_columns().enumerate();
        let has = columns.flat_map(|(head, (_, outputs))| core::iter::repeat_n(labelled.has(head), outputs));
        let scaled = self.memory.scales.scaled(y).zip(has);
        self.support.push(x, scaled.map(|(y, has)| if has { y } else { f32::NAN }));
        self.observed();
        Ok(())
    }
}

/// Whether a sample, whose lengths are as they must be, has the labels of all heads.
///
/// # Errors
/// As [`Adapter::observe_heads`].
pub(crate) fn is_whole(
    network: &Network,
    takes_steps: bool,
    x: &[f32],
    y: &[f32],
    labelled: HeadSet,
) -> Result<bool, ObserveError> {
    let path = network.path();
    let (mut some, mut all, mut finite) = (false, true, all_finite(path, x));
    for (head, (column, outputs)) in network.head_columns().enumerate() {
        let has = labelled.has(head);
        (some, all) = (some | has, all & has);
        finite &= !has || all_finite(path, part(y, column, outputs));
    }
    if !all && !takes_steps {
        return Err(ObserveError::AllHeads);
    }
    if !some {
        return Err(ObserveError::NoHead);
    }
    if finite { Ok(all) } else { Err(ObserveError::NotFinite) }
}

/// How many labels teach and how many judge.
#[derive(Clone, Debug)]
pub(super) struct Split {
    /// Labels that teach, of all heads.
    pub taught: usize,
    /// Most labels of a head.
    pub most: usize,
    /// From the first place to behind the last one with a label that teaches.
    pub teaching: Range<usize>,
    /// Labels of each head that judge.
    pub judging: [Judging; MAX_HEADS],
}

/// Has `places`, from the first to behind the last one, reach this one, too.
fn reach(places: &mut Range<usize>, place: usize) {
    let all = places.start.min(place)..places.end.max(place + 1);
    *places = if places.start >= places.end { place..place + 1 } else { all };
}

/// Copies the targets of `support` to `learn` and `judge`, both `[rows, outputs]`, by place: of each head the newest `count` labels to
/// `judge` and the others to `learn`, or with a `count` of 0 all to both. What is not copied is NaN there.
pub(super) fn split(
    network: &Network,
    support: &Support<'_>,
    count: usize,
    learn: &mut [f32],
    judge: &mut [f32],
) -> Split {
    let (outputs, rows) = (network.output_len(), support.rows());
    let mut of = Split { taught: 0, most: 0, teaching: 0..0, judging: Default::default() };
    for ((column, len), judging) in network.head_columns().zip(&mut of.judging) {
        let label = |place: usize| part(support.targets(), place * outputs + column, len);
        let is_there = |place: usize| label(place).iter().all(|y| !y.is_nan());
        let places = support.newest(rows, 0);
        let labels = places.runs(rows).flatten().filter(|place| is_there(*place)).count();
        let teaching = if count == 0 { labels } else { labels.saturating_sub(count) };
        let mut older = 0;
        for place in places.runs(rows).flatten() {
            let there = is_there(place);
            let (teaches, judges) = (there && older < teaching, there && (count == 0 || older >= teaching));
            older += usize::from(there);
            if judges {
                judging.labels += 1;
                reach(&mut judging.places, place);
            }
            if teaches {
                reach(&mut of.teaching, place);
            }
            for (to, goes) in [(&mut *learn, teaches), (&mut *judge, judges)] {
                let to = crate::part::part_mut(to, place * outputs + column, len);
                to.iter_mut().zip(label(place)).for_each(|(to, y)| *to = if goes { *y } else { f32::NAN });
            }
        }
        of.taught += teaching;
        of.most = of.most.max(labels);
    }
    of
}
