//! The side of the control loop: sends samples, takes snapshots, predicts.

use core::fmt;

use super::{Content, Filler, In, Message, Newest, Out, Snapshot, Version};
#[cfg(feature = "masks")]
use crate::adapter::{HeadSet, labels::is_whole};
use crate::adapter::{ObserveError, Predictor, VarianceError};
use crate::kernel::finite::{all_finite, checksum};
use crate::network::Network;
use crate::reader::LengthError;

/// The side of the control loop. None of its functions waits, whatever the adapter side does.
pub struct ControlSide<'q, 'm> {
    predictor: Predictor<'m>,
    messages: Filler<In<'q, Message<'m>>, Out<'q, Message<'m>>>,
    snapshots: Newest<Snapshot<'m>, Out<'q, Snapshot<'m>>, In<'q, Snapshot<'m>>>,
    /// Whether the rule may be given the labels of some heads only.
    #[cfg(feature = "masks")]
    takes_steps: bool,
    sent: u64,
    dropped: u64,
}

impl<'q, 'm> ControlSide<'q, 'm> {
    pub(super) const fn new(
        predictor: Predictor<'m>,
        #[cfg(feature = "masks")] takes_steps: bool,
        messages: Filler<In<'q, Message<'m>>, Out<'q, Message<'m>>>,
        snapshots: Newest<Snapshot<'m>, Out<'q, Snapshot<'m>>, In<'q, Snapshot<'m>>>,
    ) -> Self {
        Self {
            predictor,
            messages,
            snapshots,
            #[cfg(feature = "masks")]
            takes_steps,
            sent: 0,
            dropped: 0,
        }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.predictor.network()
    }

    /// Values in one input row.
    pub fn input_len(&self) -> usize {
        self.predictor.input_len()
    }

    /// Values in one output row.
    pub fn output_len(&self) -> usize {
        self.predictor.output_len()
    }

    /// Sends one labelled sample to the adapter side, as [`Adapter::observe`](crate::Adapter::observe) takes it. False if there is no
    /// room for it: then it is dropped, and [`ControlSide::dropped`] counts it.
    ///
    /// # Errors
    /// If a length is wrong or a value is not finite; nothing is sent then.
    pub fn observe(&mut self, x: &[f32], y: &[f32]) -> Result<bool, ObserveError> {
        LengthError::check(self.input_len(), x.len())?;
        LengthError::check(self.output_len(), y.len())?;
        let path = self.network().path();
        if !(all_finite(path, x) && all_finite(path, y)) {
            return Err(ObserveError::NotFinite);
        }
        Ok(self.send_sample(x, y, Content::Sample))
    }

    /// As [`ControlSide::observe`], of a sample that carries the labels of some heads, as
    /// [`Adapter::observe_heads`](crate::Adapter::observe_heads) takes it.
    ///
    /// # Errors
    /// As `Adapter::observe_heads`; nothing is sent then.
    #[cfg(feature = "masks")]
    pub fn observe_heads(&mut self, x: &[f32], y: &[f32], labelled: HeadSet) -> Result<bool, ObserveError> {
        LengthError::check(self.input_len(), x.len())?;
        LengthError::check(self.output_len(), y.len())?;
        is_whole(self.network(), self.takes_steps, x, y, labelled)?;
        Ok(self.send_sample(x, y, Content::Heads(labelled)))
    }

    fn send_sample(&mut self, x: &[f32], y: &[f32], content: Content) -> bool {
        let sent = self.send(|message| {
            message.content = content;
            message.row.iter_mut().zip(x.iter().chain(y)).for_each(|(to, from)| *to = *from);
        });
        self.dropped += u64::from(!sent);
        sent
    }

    /// Tells the adapter side that a new task begins: samples sent before count no more, and the meta-learned start comes back, in a
    /// snapshot of which [`Version::read`] is at least what [`ControlSide::sent`] says after this. False if there is no room for the
    /// word, which then has to be said again in a later cycle.
    pub fn reset(&mut self) -> bool {
        self.send(|message| message.content = Content::Reset)
    }

    fn send(&mut self, fill: impl FnOnce(&mut Message<'m>)) -> bool {
        let sent = self.messages.send(fill);
        self.sent += u64::from(sent);
        sent
    }

    /// Goes on to the newest snapshot; false if there is none that is newer. At most four queue operations.
    pub fn poll(&mut self) -> bool {
        self.snapshots.poll()
    }

    /// As [`Adapter::predict`](crate::Adapter::predict), from the snapshot that [`ControlSide::poll`] took last.
    ///
    /// # Errors
    /// If `x` is not a whole number of rows, or `y` has not as many.
    pub fn predict(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), LengthError> {
        self.predictor.predict(self.snapshots.held().values, x, y)
    }

    /// As [`Adapter::predict_with_variance`](crate::Adapter::predict_with_variance), from the snapshot that [`ControlSide::poll`] took last.
    ///
    /// # Errors
    /// As [`ControlSide::predict`], or if the rule knows no variance.
    pub fn predict_with_variance(
        &mut self,
        x: &[f32],
        y: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), VarianceError> {
        self.predictor.predict_with_variance(self.snapshots.held().values, x, y, variance)
    }

    /// Which snapshot predicts.
    pub fn version(&self) -> Version {
        self.snapshots.held().version
    }

    /// Whether the snapshot that predicts is, to the bit, what the adapter side wrote. Call it now and then where memory can be
    /// disturbed: it reads every value once. If not, a [`ControlSide::reset`] brings a new one.
    pub fn is_whole(&self) -> bool {
        let held = self.snapshots.held();
        checksum(self.network().path(), held.values) == held.checksum
    }

    /// Messages that were sent, samples and resets.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Samples that were dropped because there was no room for them.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl fmt::Debug for ControlSide<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSide")
            .field("version", &self.version())
            .field("sent", &self.sent)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}
