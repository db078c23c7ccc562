//! How the network is divided: what stays as it is, what is adapted, and how many rows make one unit of work.

use sinew_models::rule::Rule;

use crate::kernel::Path;
use crate::network::{LayerSet, Network, NetworkError, Tail};
use crate::reader::Bundle;

/// Values of both traces of one unit of work: what the second-level cache of a small processor holds.
const UNIT_VALUES: usize = 1 << 15;
/// The same on a fast path, which packs the weights of a convolution anew for each unit: half of the second-level cache of a processor
/// with long vectors, so that it packs for some rows together.
const FAST_UNIT_VALUES: usize = 1 << 17;

/// The network, and the part of it that is adapted.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The whole, which predicts.
    pub network: Network,
    /// How many layers stay as they are.
    pub frozen: usize,
    pub adapted: LayerSet,
    /// Most rows of one unit of the whole.
    pub unit_rows: usize,
    /// Most rows of one unit of what is adapted.
    pub unit_rows_behind: usize,
}

impl Plan {
    /// What lies behind the layers that stay as they are: it adapts, on features that are computed once for each support row.
    pub(super) fn behind(&self) -> Tail<'_> {
        self.network.behind(self.frozen)
    }

    /// A plan to be filled, in its place, because a network is large.
    pub(super) fn empty() -> Self {
        Self { network: Network::empty(), frozen: 0, adapted: LayerSet::ALL, unit_rows: 0, unit_rows_behind: 0 }
    }

    pub(super) fn fill(&mut self, bundle: &Bundle<'_>, path: Path, capacity: usize) -> Result<(), NetworkError> {
        self.network.fill(bundle.network(), path)?;
        let network = &self.network;
        let adapted = network.adapted(bundle.rule().scope());
        let frozen = match bundle.rule() {
            Rule::Gradient { .. } => network.frozen(adapted),
            #[cfg(feature = "rules")]
            Rule::MetaLstm { .. } => network.frozen(adapted),
            // These work on the features, whatever the heads are made of.
            #[allow(unreachable_patterns, reason = "unless another crate asks for more of `sinew-models`")]
            _ => bundle.network().backbone.len(),
        };
        let behind = network.behind(frozen);
        let most = if path == Path::SCALAR { UNIT_VALUES } else { FAST_UNIT_VALUES };
        let rows = |values: usize| (most / values.max(1)).clamp(1, capacity.max(1));
        let unit_rows = rows(network.forward_len(1) + network.backward_len(1));
        let unit_rows_behind = rows(behind.forward_len(1) + behind.backward_len(1));
        (self.frozen, self.adapted) = (frozen, adapted);
        (self.unit_rows, self.unit_rows_behind) = (unit_rows, unit_rows_behind);
        Ok(())
    }
}
