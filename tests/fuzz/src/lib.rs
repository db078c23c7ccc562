//! What the fuzz targets share: numbers and networks drawn from the fuzzer's bytes, the bundles that they make, and which of them are kept.

pub mod bundle;
pub mod draw;
pub mod kept;

pub use draw::{Draw, Parts};
pub use kept::{Kept, change_mostly_behind};
