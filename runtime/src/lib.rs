//! The on-device half of sinew.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod reader;

pub use reader::{Bundle, BundleError, LengthError, View};
