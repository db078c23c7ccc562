//! What the contracts share: an independent model of a network in f64, and networks to try.
//!
//! [`mod@reference`] is written from the definitions in `sinew-models` alone and shares no arithmetic with the runtime; [`bundle`] writes
//! bundles without the trainer, so that what needs only the runtime builds with it alone.

pub mod bundle;
pub mod reference;
pub mod rules;
pub mod sample;
#[cfg(feature = "shim")]
pub mod shim;
