//! Everything that an adapted model predicts from, as one flat slice that can be handed to somebody else.

use super::memory::padded;
use super::plan::Plan;
use super::predict::Fitted;
#[cfg(feature = "rules")]
use super::predict::Knowledge;
use crate::kernel::Path;
use crate::part::part_mut;
use crate::reader::LengthError;

/// Parts of a snapshot: parameters, support mean and whether there is one, what the rule keeps, features of the support rows.
const PARTS: usize = 4;

/// What lies where in a snapshot. On a fast path each part is padded, so that all are aligned where the first is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    path: Path,
    parts: [usize; PARTS],
}

impl Layout {
    /// `state` and `features` are what the rule adds, 0 for most.
    pub(super) fn of(plan: &Plan, input_len: usize, state: usize, features: usize) -> Self {
        Self { path: plan.network.path(), parts: [plan.network.param_len(), input_len + 1, state, features] }
    }

    /// Values of a snapshot. What is in it lies in the caller's memory already, so their sum is far from overflowing.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().fold(0, |sum: usize, part| sum.saturating_add(padded(self.path, *part).unwrap_or(usize::MAX)))
    }

    pub(super) fn write(&self, fitted: &Fitted<'_>, snapshot: &mut [f32]) -> Result<(), LengthError> {
        LengthError::check(self.len(), snapshot.len())?;
        #[cfg(feature = "rules")]
        let (state, features) = match fitted.knowledge {
            Knowledge::Parameters => (&[][..], &[][..]),
            Knowledge::Posterior { state, .. } => (state, &[][..]),
            Knowledge::Rows { features, classes } => (classes, features),
        };
        #[cfg(not(feature = "rules"))]
        let (state, features) = (&[][..], &[][..]);
        let mut rest = &mut *snapshot;
        let mean = fitted.support_mean.unwrap_or_default();
        for (len, from) in self.parts.into_iter().zip([fitted.params, mean, state, features]) {
            let (here, behind) = crate::part::cut(rest, padded(self.path, len).unwrap_or(usize::MAX));
            let (there, padding) = crate::part::cut(here, from.len().min(len));
            there.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            padding.fill(0.0);
            rest = behind;
        }
        let [params, mean, ..] = self.parts;
        let known = f32::from(u8::from(fitted.support_mean.is_some()));
        part_mut(snapshot, padded(self.path, params).unwrap_or(usize::MAX) + mean.saturating_sub(1), 1).fill(known);
        Ok(())
    }

    /// What is in a snapshot; the two slices are what the rule adds.
    pub(super) fn read<'s>(&self, snapshot: &'s [f32]) -> Result<(Fitted<'s>, &'s [f32], &'s [f32]), LengthError> {
        LengthError::check(self.len(), snapshot.len())?;
        let mut rest = snapshot;
        let mut parts = [&[][..]; PARTS];
        for (part, len) in parts.iter_mut().zip(self.parts) {
            let padded = padded(self.path, len).unwrap_or(usize::MAX);
            *part = crate::part::part(rest, 0, len);
            rest = rest.get(padded..).unwrap_or_default();
        }
        let [params, mean, state, features] = parts;
        let support_mean = mean.split_last().and_then(|(known, mean)| (*known != 0.0).then_some(mean));
        let fitted = Fitted {
            params,
            support_mean,
            #[cfg(feature = "rules")]
            knowledge: Knowledge::Parameters,
        };
        Ok((fitted, state, features))
    }
}
