//! What the two halves of sinew agree on.
//!
//! A network is data ([`spec::NetworkSpec`]), its parameters are one flat vector ([`layout`]), the way in which a device
//! adapts it is data too ([`rule::Rule`]), and all of it travels in one file ([`bundle::Metadata`]). Nothing here computes:
//! `sinew-runtime` does, on the robot, and `sinew-trainer` differentiates through it.
//!
//! ```
//! use sinew_models::{networks, spec::{Activation, InputForm, Loss}};
//!
//! let network = networks::mlp(16, InputForm::Plain, &[64, 64], Activation::Relu, "energy", 4, Loss::MeanSquared)?;
//! assert_eq!(network.param_len(), 16 * 64 + 64 + 64 * 64 + 64 + 64 * 4 + 4);
//! assert_eq!(network.slots().next().unwrap().name().as_str(), "backbone.0.weight");
//! # Ok::<(), sinew_models::spec::SpecError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod bundle;
pub mod layout;
pub mod networks;
pub mod rule;
pub mod spec;
