//! What the contracts share: an independent model of a network in f64, and networks to try.
//!
//! [`mod@reference`] is written from the definitions in `sinew-models` alone and shares no arithmetic with the runtime.

pub mod reference;
pub mod sample;
