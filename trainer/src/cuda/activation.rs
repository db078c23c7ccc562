//! Launches of `activation.cu`.

use bytemuck::{Pod, Zeroable};
use sinew_models::spec::Activation;

use super::{Address, Kernel, Launch, blocks};

const THREADS: usize = 256;

/// What the kernels call an activation.
pub const fn code(activation: Activation) -> u32 {
    match activation {
        Activation::Identity => 0,
        Activation::Relu => 1,
        Activation::Tanh => 2,
        Activation::Silu => 3,
        Activation::Sigmoid => 4,
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Values {
    z: Address,
    a: Address,
    sum: Address,
    count: u64,
    activation: u32,
    reserved: u32,
}

/// `a = activation(z)` of `count` values, which may be in the same place; `sum` keeps z, where it is somewhere.
pub fn forward(activation: Activation, z: Address, a: Address, sum: Address, count: usize) -> Launch {
    let arguments = Values { z, a, sum, count: count as u64, activation: code(activation), reserved: 0 };
    Launch::new(Kernel::ActivationForward, [blocks(count, THREADS), 1, 1], THREADS as u32, &arguments)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Slopes {
    known: Address,
    d: Address,
    to: Address,
    da: Address,
    rz: Address,
    count: u64,
    activation: u32,
    reserved: u32,
}

/// `to = d · slope`, told from the output, or from the sum for SILU; with a gradient at the output and a derivative of the sum, also
/// `+ da · bend · rz`.
pub fn backward(
    activation: Activation,
    known: Address,
    d: Address,
    to: Address,
    bent: Option<(Address, Address)>,
    count: usize,
) -> Launch {
    let (da, rz) = bent.unwrap_or_default();
    let (code, count_of) = (code(activation), count as u64);
    let arguments = Slopes { known, d, to, da, rz, count: count_of, activation: code, reserved: 0 };
    Launch::new(Kernel::ActivationBackward, [blocks(count, THREADS), 1, 1], THREADS as u32, &arguments)
}
