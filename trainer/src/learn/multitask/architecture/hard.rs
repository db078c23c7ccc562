//! Hard sharing: one backbone, and a head for each job (Caruana, *Multitask learning*, 1997). What is learned are the parameters of the
//! network as they stand.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sinew_models::spec::NetworkSpec;

use super::{Architecture, backbone};

/// `kind = "hard"`, which has no settings of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// One backbone for all heads.
#[derive(Clone, Debug)]
pub struct Hard {
    shared: [Range<usize>; 1],
}

impl Hard {
    /// Of `network`.
    #[must_use]
    pub fn new(network: &NetworkSpec) -> Self {
        Self { shared: [backbone(network)] }
    }
}

impl Architecture for Hard {
    fn is_plain(&self) -> bool {
        true
    }

    fn shared(&self) -> &[Range<usize>] {
        &self.shared
    }
}
