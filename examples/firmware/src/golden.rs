//! What the scalar path gives on every target; `tests/tests/golden.rs` holds the host to it.

use super::scenario::Bits;

/// Of `arm.safetensors`.
pub const ARM: Bits = Bits {
    losses: [0x40ce_2de4, 0x3f07_c4bd],
    parameters: [0x3e28_82f9, 0x3e79_2a71, 0x3e82_b2db, 0x3e32_092a],
    checksum: 0x918d_09d1,
    prediction: [0x3eb7_8522, 0x0000_0000],
    start: [0x3e5d_c554, 0x0000_0000],
};

/// Of `all_kinds.safetensors`.
pub const ALL_KINDS: Bits = Bits {
    losses: [0x40bc_af27, 0x408a_aeee],
    parameters: [0xbeb8_1c53, 0xbeb5_e4b0, 0x3e9c_7165, 0xbe38_2854],
    checksum: 0xd3a9_5ebe,
    prediction: [0x3ee3_124f, 0x3e28_703e],
    start: [0x3ee8_aed0, 0x3e2a_d364],
};
