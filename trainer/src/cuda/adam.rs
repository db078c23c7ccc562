//! Launches of `adam.cu`.

use bytemuck::{Pod, Zeroable};

use super::{Address, Kernel, Launch, blocks};
use crate::optimiser::Factors;

const THREADS: usize = 256;

/// Up to so many values every block adds up all squares by itself, which saves a launch.
const ALONE: usize = 1 << 16;

/// One vector that is learned.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    /// Its values.
    pub values: Address,
    /// The mean of gradients.
    pub first: Address,
    /// The mean of squares.
    pub second: Address,
    /// The gradient.
    pub gradient: Address,
    /// How many values; 0 for a vector that is not learned.
    pub count: usize,
    /// How the step is made.
    pub factors: Factors,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Learned {
    values: Address,
    first: Address,
    second: Address,
    gradient: Address,
    count: u64,
    rate: f32,
    keep: f32,
    scale_first: f32,
    scale_second: f32,
}

impl From<&Vector> for Learned {
    fn from(of: &Vector) -> Self {
        let Vector { values, first, second, gradient, count, factors } = *of;
        let Factors { rate, keep, scale_first, scale_second, .. } = factors;
        Self { values, first, second, gradient, count: count as u64, rate, keep, scale_first, scale_second }
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Squares {
    of: [Learned; 2],
    to: Address,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Adam {
    of: [Learned; 2],
    squares: Address,
    square_count: u64,
    norm: Address,
    most: f64,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    epsilon: f32,
    reserved: u32,
}

fn across(of: &[Vector; 2]) -> u32 {
    blocks(of[0].count + of[1].count, THREADS).max(1)
}

/// Words of scratch that a step needs.
pub fn scratch(counts: [usize; 2]) -> usize {
    let count = counts[0] + counts[1];
    if count > ALONE { 2 * count.div_ceil(THREADS) } else { 0 }
}

/// One step of both vectors against their gradients, which together are clipped to a norm; nothing where it is not finite. The norm before, an
/// f64, goes to `norm`.
pub fn step(of: &[Vector; 2], most: Option<f64>, norm: Address, scratch: Address, launches: &mut Vec<Launch>) {
    let learned = [0, 1].map(|place| Learned::from(&of[place]));
    let grid = [across(of), 1, 1];
    let alone = of[0].count + of[1].count <= ALONE;
    if !alone {
        launches.push(Launch::new(Kernel::Squares, grid, THREADS as u32, &Squares { of: learned, to: scratch }));
    }
    let Factors { beta1, rest1, beta2, rest2, epsilon, .. } = of[0].factors;
    let arguments = Adam {
        of: learned,
        squares: if alone { Address::NONE } else { scratch },
        square_count: grid[0].into(),
        norm,
        most: most.unwrap_or(-1.0),
        beta1,
        rest1,
        beta2,
        rest2,
        epsilon,
        reserved: 0,
    };
    launches.push(Launch::new(Kernel::AdamStep, grid, THREADS as u32, &arguments));
}
