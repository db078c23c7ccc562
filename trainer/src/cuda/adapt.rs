//! Launches of `adapt.cu`: the steps of the inner loop, and of the way back.

use bytemuck::{Pod, Zeroable};

use super::{Address, Kernel, Launch, PerTask, blocks};

const THREADS: usize = 256;

/// In a table of rates: this parameter is not adapted.
pub const NOT_ADAPTED: u32 = u32::MAX;

/// The inner rates at a step, and which parameter has which.
#[derive(Clone, Copy, Debug)]
pub struct RatesAt {
    /// The rates.
    pub rates: Address,
    /// For each parameter its rate from `first` on, or [`NOT_ADAPTED`].
    pub rate_of: Address,
    /// The first rate of the step.
    pub first: usize,
    /// Of each adapted layer the first parameter and the one behind its last; nowhere where each parameter has its own rate.
    pub layers: Address,
    /// How many adapted layers.
    pub layer_count: usize,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Step {
    from: Address,
    from_stride: u64,
    d: Address,
    d_stride: u64,
    to: Address,
    rates: Address,
    rate_of: Address,
    count: u32,
    first: u32,
}

/// `to = from − rate · d` for `count` parameters of each task; from 0 where `from` is nowhere. Results lie one behind another.
pub fn step(tasks: usize, count: usize, from: PerTask, d: PerTask, to: Address, at: &RatesAt) -> Launch {
    let [from_stride, d_stride] = [from.stride, d.stride].map(|stride| stride as u64);
    let (rates, rate_of, first) = (at.rates, at.rate_of, at.first as u32);
    let (from, d) = (from.at, d.at);
    let arguments = Step { from, from_stride, d, d_stride, to, rates, rate_of, count: count as u32, first };
    Launch::new(Kernel::Step, [blocks(count, THREADS), tasks as u32, 1], THREADS as u32, &arguments)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Rates {
    adjoint: Address,
    gradient: Address,
    to: Address,
    stride: u64,
    rate_of: Address,
    layers: Address,
    count: u32,
    first: u32,
    layer_count: u32,
    reserved: u32,
}

/// Takes the products of adjoint and gradient from the gradient by the rates, which lies `count` words behind each task's adjoint.
pub fn rates(tasks: usize, count: usize, adjoint: PerTask, gradient: Address, at: &RatesAt) -> Launch {
    let arguments = Rates {
        adjoint: adjoint.at,
        gradient,
        to: adjoint.at.plus(count),
        stride: adjoint.stride as u64,
        rate_of: at.rate_of,
        layers: at.layers,
        count: count as u32,
        first: at.first as u32,
        layer_count: at.layer_count as u32,
        reserved: 0,
    };
    let across = if at.layers == Address::NONE { blocks(count, THREADS) } else { 1 };
    Launch::new(Kernel::Rates, [across, tasks as u32, 1], THREADS as u32, &arguments)
}
