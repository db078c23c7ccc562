//! Launches of `pool.cu`.

use bytemuck::{Pod, Zeroable};

use super::window::Geometry;
use super::{Address, Kernel, Launch, blocks};

const THREADS: usize = 128;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Arguments {
    x: Address,
    z: Address,
    d: Address,
    to: Address,
    rows: u64,
    geometry: Geometry,
    add: u32,
    reserved: u32,
}

/// A pooling layer over so many rows.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Its shapes.
    pub geometry: Geometry,
    /// Whether it takes the maximum, rather than the mean.
    pub max: bool,
    /// Rows of all tasks.
    pub rows: usize,
}

impl Pool {
    fn launch(&self, kernel: Kernel, pixels: usize, [x, z, d, to]: [Address; 4], add: bool) -> Launch {
        let Self { geometry, rows, .. } = *self;
        let count = rows * pixels * geometry.channels();
        let arguments = Arguments { x, z, d, to, rows: rows as u64, geometry, add: add.into(), reserved: 0 };
        Launch::new(kernel, [blocks(count, THREADS), 1, 1], THREADS as u32, &arguments)
    }

    /// The maximum or the mean of each window of `x`.
    pub fn forward(&self, x: Address, z: Address) -> Launch {
        let kernel = if self.max { Kernel::MaxForward } else { Kernel::AverageForward };
        self.launch(kernel, self.geometry.out_pixels(), [x, Address::NONE, Address::NONE, z], false)
    }

    /// The derivative of the output `z` along that of the input `x`.
    pub fn tangent(&self, x: Address, z: Address, rx: Address, rz: Address) -> Launch {
        if self.max {
            self.launch(Kernel::MaxTangent, self.geometry.out_pixels(), [x, z, rx, rz], false)
        } else {
            self.forward(rx, rz)
        }
    }

    /// `dx (+)=` the gradient at the input.
    pub fn backward(&self, x: Address, z: Address, dz: Address, dx: Address, add: bool) -> Launch {
        let kernel = if self.max { Kernel::MaxBackward } else { Kernel::AverageBackward };
        self.launch(kernel, self.geometry.in_pixels(), [x, z, dz, dx], add)
    }
}
