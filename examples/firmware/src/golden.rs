//! What the scalar path gives on every target; `tests/tests/golden.rs` holds the host to it.

use super::scenario::Bits;

/// Of `arm.safetensors`.
pub const ARM: Bits = Bits {
    losses: [0, 0],
    parameters: [0, 0, 0, 0],
    checksum: 0,
    prediction: [0, 0],
    start: [0, 0],
};

/// Of `all_kinds.safetensors`.
pub const ALL_KINDS: Bits = Bits {
    losses: [0, 0],
    parameters: [0, 0, 0, 0],
    checksum: 0,
    prediction: [0, 0],
    start: [0, 0],
};
