//! The side of adaptation: reads samples, adapts, hands snapshots over.

use core::fmt;

use super::{Content, Drain, Filler, In, Message, Out, Snapshot, Version};
use crate::adapter::{Adapter, Corrupted};
use crate::guard::{Outcome, Report};

/// The side of adaptation, which takes all the time that [`AdapterSide::work`] is given and no more.
pub struct AdapterSide<'q, 'm> {
    adapter: Adapter<'m>,
    messages: Drain<Out<'q, Message<'m>>, In<'q, Message<'m>>>,
    snapshots: Filler<In<'q, Snapshot<'m>>, Out<'q, Snapshot<'m>>>,
    /// Most messages that are read at a time.
    most: usize,
    version: Version,
    /// Whether the adapter knows something that no snapshot says.
    news: bool,
    /// Whether time was up before the last adaptation ended.
    unfinished: bool,
}

/// What a call of [`AdapterSide::work`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Messages that were read.
    pub read: usize,
    /// What the adaptation did; `None` if there was nothing to adapt to.
    pub report: Option<Report>,
    /// Whether a snapshot was handed over.
    pub published: bool,
}

impl<'q, 'm> AdapterSide<'q, 'm> {
    pub(super) const fn new(
        adapter: Adapter<'m>,
        messages: Drain<Out<'q, Message<'m>>, In<'q, Message<'m>>>,
        most: usize,
        snapshots: Filler<In<'q, Snapshot<'m>>, Out<'q, Snapshot<'m>>>,
    ) -> Self {
        let version = Version { number: 0, read: 0 };
        Self { adapter, messages, snapshots, most, version, news: false, unfinished: false }
    }

    /// Reads what the control side sent, adapts if there is anything new ([`Adapter::adapt`], with the same `until`), and hands over what
    /// came of it. Without anything to do it returns at once, so that a thread can call it again after a short sleep.
    ///
    /// While the control side has all buffers, nothing can be handed over; the newest state follows in a later call.
    pub fn work(&mut self, until: impl FnMut() -> bool) -> Work {
        let mut read = 0;
        let adapter = &mut self.adapter;
        let inputs = adapter.input_len();
        while read < self.most
            && self.messages.next(|message: &mut Message<'m>| {
                let (x, y) = message.row.split_at_checked(inputs).unwrap_or_default();
                // The control side has checked samples.
                let observed = match message.content {
                    Content::Reset => {
                        adapter.reset();
                        Ok(())
                    }
                    Content::Sample => adapter.observe(x, y),
                    #[cfg(feature = "masks")]
                    Content::Heads(labelled) => adapter.observe_heads(x, y, labelled),
                };
                debug_assert!(observed.is_ok());
            })
        {
            read += 1;
        }
        self.version.read += read as u64;
        self.news |= read > 0;
        let mut report = None;
        if read > 0 || self.unfinished {
            report = self.adapter.adapt(until).ok();
            self.unfinished = report.is_some_and(|report| report.outcome == Outcome::OutOfTime);
            self.news |= report.is_some_and(|report| report.outcome == Outcome::Committed || report.rolled_back);
        }
        Work { read, report, published: self.publish() }
    }

    /// Back to the meta-learned start, as [`Adapter::rollback`]; it is handed over with the next [`AdapterSide::work`].
    pub fn rollback(&mut self) {
        self.adapter.rollback();
        self.news = true;
    }

    /// As [`Adapter::verify`]; if the start had to be brought back, it is handed over with the next [`AdapterSide::work`].
    ///
    /// # Errors
    /// As [`Adapter::verify`].
    pub fn verify(&mut self) -> Result<(), Corrupted> {
        let verified = self.adapter.verify();
        self.news |= verified.is_err();
        verified
    }

    /// The adapter.
    pub const fn adapter(&self) -> &Adapter<'m> {
        &self.adapter
    }

    /// What was handed over last.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether there is something to hand over for which there was no buffer.
    pub const fn is_waiting(&self) -> bool {
        self.news
    }

    fn publish(&mut self) -> bool {
        if !self.news {
            return false;
        }
        let version = Version { number: self.version.number + 1, ..self.version };
        let adapter = &self.adapter;
        let published = self.snapshots.send(|snapshot: &mut Snapshot<'m>| snapshot.write(adapter, version));
        if published {
            (self.version, self.news) = (version, false);
        }
        published
    }
}

impl fmt::Debug for AdapterSide<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdapterSide")
            .field("adapter", &self.adapter)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
