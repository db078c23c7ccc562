//! What the fuzz targets share: numbers and networks drawn from the fuzzer's bytes, and the bundles that they make.
//!
//! Nothing here allocates, so that a core runs some ten thousand inputs a second.

pub mod bundle;
pub mod draw;

pub use bundle::Bytes;
pub use draw::{Draw, Parts};
