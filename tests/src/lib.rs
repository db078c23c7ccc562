//! What the contracts share: an independent model of a network in f64, and networks to try.
//!
//! [`mod@reference`] is written from the definitions in `sinew-models` alone and shares no arithmetic with the runtime; [`bundle`] writes
//! bundles without the trainer, so that what needs only the runtime builds with it alone. `comparison` holds two engines of the trainer side by
//! side, for the tests here and for `cuda-check`, which does so where there is a GPU.

pub mod bundle;
#[cfg(feature = "comparison")]
pub mod comparison;
pub mod networks;
pub mod reference;
pub mod rules;
pub mod sample;
#[cfg(feature = "shim")]
pub mod shim;
