//! What may be committed: an update that cannot be trusted leaves everything as it was.

/// What an update is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// Its parameters and losses are finite.
    Finite,
    /// And it has a lower loss on the support rows than the meta-learned start: of all steps the one with the lowest loss is committed.
    #[default]
    Improve,
    /// As [`Guard::Improve`], on the newest so many support rows, which are held back from learning; with 0 it is [`Guard::Improve`].
    HeldBack(usize),
    /// As [`Guard::Improve`], but labels are held back, not rows, and every head keeps what it can: of each head the newest so many labels
    /// judge and are not learned from, or with 0 all of its labels judge and are learned from; and nothing is committed that makes the loss
    /// of one head on the labels that judge it worse than the start's. A head that no label judges is not judged. For rules that take
    /// gradient steps.
    #[cfg(feature = "masks")]
    EachHead(usize),
}

/// What bounds an update, and what happens when updates keep being refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The longest way from the meta-learned start, √Σ(θ − θ₀)², that is committed; infinite for no limit, and 0, a negative number or NaN for no way at all.
    pub trust_radius: f32,
    /// So many refused updates in a row bring the meta-learned start back; 0 for never.
    pub patience: u32,
    /// After a return to the start, the support rows are forgotten and so many new ones are waited for before adapting again, so that
    /// one transient neither poisons what follows nor ends adaptation for good; 0 keeps the rows and goes on at once.
    pub recovery: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { trust_radius: f32::INFINITY, patience: 0, recovery: 0 }
    }
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The adapted parameters predict from now on.
    Committed,
    /// The deadline came before there was anything to judge; parameters are as they were.
    OutOfTime,
    /// A loss or a parameter was not finite; parameters are as they were.
    NotFinite,
    /// The loss did not get better; parameters are as they were.
    Worse,
    /// It went farther than the trust radius; parameters are as they were.
    OutsideTrust,
    /// There was no sample that the rule has not worked in before; nothing was tried.
    NothingNew,
    /// It is being waited for samples after a return to the start; nothing was tried.
    Recovering,
}

impl Outcome {
    /// Whether an update was tried and refused.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::NotFinite | Self::Worse | Self::OutsideTrust)
    }
}

/// What an adaptation did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// Inner steps that led to the parameters that were committed, or that were tried if none were; for the rules that take no steps,
    /// samples that were worked in.
    pub steps: usize,
    /// Loss of the meta-learned start on the rows that judge; NaN if it was not reached.
    pub loss_before: f32,
    /// Loss of what was committed, or of what was tried last; with [`Guard::Finite`], that before the last step.
    pub loss_after: f32,
    /// Whether refusals used up the patience, so that the meta-learned start is back.
    pub rolled_back: bool,
}

impl Report {
    pub(crate) const fn nothing(outcome: Outcome) -> Self {
        Self { outcome, steps: 0, loss_before: f32::NAN, loss_after: f32::NAN, rolled_back: false }
    }
}
