//! Launches of `convolve.cu` and `depthwise.cu`: what slides with weights, dense layers among it.

use bytemuck::{Pod, Zeroable};

use super::window::Geometry;
use super::{Address, Kernel, Launch, PerTask, Ragged, reduce};

/// Pixels and outputs of a tile, and the chunk of its depth.
const TILE: [usize; 2] = [64, 32];
const CHUNK: usize = 16;
const THREADS: usize = 128;
/// The least chunks of a part of the pixels, so that a part is longer than what it costs to sum it up.
const CHUNKS: usize = 8;

/// A layer that slides with weights.
#[derive(Clone, Copy, Debug)]
pub struct Convolve {
    /// Its shapes.
    pub geometry: Geometry,
    /// Whether each channel is alone.
    pub depthwise: bool,
}

/// Up to two pairs of values and weights, or of gradients and values, whose products are added up.
pub type Pairs<L, R> = [Option<(L, R)>; 2];

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Forward {
    x: [Address; 2],
    w: [Address; 2],
    bias: Address,
    a: Address,
    sum: Address,
    starts: Address,
    w_stride: [u64; 2],
    bias_stride: u64,
    geometry: Geometry,
    activation: u32,
    reserved: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Inputs {
    dz: [Address; 2],
    w: [Address; 2],
    dx: Address,
    starts: Address,
    w_stride: [u64; 2],
    geometry: Geometry,
    add: u32,
    reserved: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Weights {
    dz: [Address; 2],
    x: [Address; 2],
    to: Address,
    starts: Address,
    stride: u64,
    part_stride: u64,
    geometry: Geometry,
    part: u32,
    add: u32,
}

fn first<L: Copy, R: Copy>(pairs: Pairs<L, R>, none: L) -> [L; 2] {
    pairs.map(|pair| pair.map_or(none, |(left, _)| left))
}

fn second<L: Copy, R: Copy>(pairs: Pairs<L, R>, none: R) -> [R; 2] {
    pairs.map(|pair| pair.map_or(none, |(_, right)| right))
}

impl Convolve {
    fn weight_len(&self) -> usize {
        let geometry = &self.geometry;
        let outputs = if self.depthwise { 1 } else { geometry.outputs() };
        outputs * geometry.channels() * geometry.window()
    }

    /// Values of its weights and biases.
    pub fn param_len(&self) -> usize {
        self.weight_len() + self.geometry.outputs()
    }

    /// Blocks for `pixels` of `channels` values of each row.
    fn grid(&self, rows: &Ragged, pixels: usize, channels: usize) -> [u32; 3] {
        let across = if self.depthwise {
            (rows.most * pixels * channels).div_ceil(THREADS)
        } else {
            (rows.most * pixels).div_ceil(TILE[0]) * channels.div_ceil(TILE[1])
        };
        [u32::try_from(across).unwrap_or(u32::MAX), rows.tasks as u32, 1]
    }

    /// `a = activation(Σ w * x + b)` over pairs of values x and parameters, of which the first values are the weights; b lies behind the
    /// weights of `bias`. `sum` keeps the sum, where it is somewhere.
    pub fn forward(
        &self,
        rows: &Ragged,
        pairs: Pairs<Address, PerTask>,
        bias: PerTask,
        activation: u32,
        a: Address,
        sum: Address,
    ) -> Launch {
        let Self { geometry, depthwise } = *self;
        let w = second(pairs, PerTask::default());
        let arguments = Forward {
            x: first(pairs, Address::NONE),
            w: w.map(|w| w.at),
            bias: bias.at.plus(self.weight_len()),
            a,
            sum,
            starts: rows.starts,
            w_stride: w.map(|w| w.stride as u64),
            bias_stride: bias.stride as u64,
            geometry,
            activation,
            reserved: 0,
        };
        let kernel = if depthwise { Kernel::DepthwiseForward } else { Kernel::ConvolveForward };
        Launch::new(kernel, self.grid(rows, geometry.out_pixels(), geometry.outputs()), THREADS as u32, &arguments)
    }

    /// `dx (+)= Σ` of gradients dz at the sum, back through weights.
    pub fn inputs(&self, rows: &Ragged, pairs: Pairs<Address, PerTask>, dx: Address, add: bool) -> Launch {
        let Self { geometry, depthwise } = *self;
        let w = second(pairs, PerTask::default());
        let arguments = Inputs {
            dz: first(pairs, Address::NONE),
            w: w.map(|w| w.at),
            dx,
            starts: rows.starts,
            w_stride: w.map(|w| w.stride as u64),
            geometry,
            add: add.into(),
            reserved: 0,
        };
        let kernel = if depthwise { Kernel::DepthwiseInputs } else { Kernel::ConvolveInputs };
        Launch::new(kernel, self.grid(rows, geometry.in_pixels(), geometry.channels()), THREADS as u32, &arguments)
    }

    /// Into how many parts the pixels of a task fall, and how long they are: there are blocks for every multiprocessor, twice.
    fn parts(&self, rows: &Ragged, multiprocessors: u32) -> (usize, usize) {
        let pixels = rows.most * self.geometry.out_pixels();
        let wanted = (2 * multiprocessors as usize).div_ceil((self.tiles() * rows.tasks).max(1));
        let parts = wanted.min(pixels.div_ceil(CHUNK * CHUNKS)).max(1);
        let part = pixels.div_ceil(parts).next_multiple_of(CHUNK).max(CHUNK);
        (pixels.div_ceil(part).max(1), part)
    }

    fn tiles(&self) -> usize {
        let geometry = &self.geometry;
        if self.depthwise {
            geometry.channels() * (geometry.window() + 1)
        } else {
            (geometry.channels() * geometry.window() + 1).div_ceil(TILE[0]) * geometry.outputs().div_ceil(TILE[1])
        }
    }

    /// Words of scratch that [`Convolve::weights`] needs.
    pub fn scratch(&self, rows: &Ragged, multiprocessors: u32) -> usize {
        match self.parts(rows, multiprocessors) {
            (1, _) => 0,
            (parts, _) => parts * rows.tasks * self.param_len(),
        }
    }

    /// `to (+)= Σ` over pairs of gradients dz at the sum and values x of the gradient at weights and biases; the biases have that of the
    /// first pair.
    pub fn weights(
        &self,
        rows: &Ragged,
        pairs: Pairs<Address, Address>,
        to: PerTask,
        add: bool,
        multiprocessors: u32,
        scratch: Address,
        launches: &mut Vec<Launch>,
    ) {
        let (parts, part) = self.parts(rows, multiprocessors);
        let len = self.param_len();
        let whole = parts == 1;
        let arguments = Weights {
            dz: first(pairs, Address::NONE),
            x: second(pairs, Address::NONE),
            to: if whole { to.at } else { scratch },
            starts: rows.starts,
            stride: if whole { to.stride } else { len } as u64,
            part_stride: (len * rows.tasks) as u64,
            geometry: self.geometry,
            part: part as u32,
            add: (whole && add).into(),
        };
        let kernel = if self.depthwise { Kernel::DepthwiseWeights } else { Kernel::ConvolveWeights };
        let grid = [self.tiles() as u32, rows.tasks as u32, parts as u32];
        launches.push(Launch::new(kernel, grid, THREADS as u32, &arguments));
        if !whole {
            launches.push(reduce::parts(scratch, parts, rows.tasks, len, to, add));
        }
    }
}
