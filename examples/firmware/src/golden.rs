//! What the scalar path gives on every target; `tests/tests/golden.rs` holds the host to it.

use super::scenario::Bits;

/// Of `arm.safetensors`.
pub const ARM: Bits = Bits {
    losses: [0x3f48_31ff, 0x3c58_43ed],
    parameters: [0x3d81_ccc8, 0x3e5f_a4d2, 0x3eec_259c, 0xbda6_9750],
    checksum: 0x849e_259d,
    prediction: [0x3e5c_e2e0, 0x0000_0000],
    start: [0x3ffd_04f5, 0x0000_0000],
};

/// Of `all_kinds.safetensors`.
pub const ALL_KINDS: Bits = Bits {
    losses: [0x4001_553b, 0x3fec_f482],
    parameters: [0x3dc0_0da7, 0x3e7d_9d03, 0x3dba_613b, 0x3e8c_530d],
    checksum: 0x2ee2_35c5,
    prediction: [0x3c87_d380, 0x3f14_b970],
    start: [0x3e0f_7088, 0x3f17_07d5],
};
