//! Placeholder for the package's shared code.
