//! Launches of `mixture.cu`.

use bytemuck::{Pod, Zeroable};
use sinew_models::spec::Activation;

use super::norm::Known;
use super::{Address, Kernel, Launch, activation};

const THREADS: usize = 128;

/// A mixture of experts.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// Experts.
    pub experts: u8,
    /// Gates whose logits come in.
    pub gates: u8,
    /// The first gate that is used.
    pub first: u8,
    /// Gates that are used.
    pub outputs: u8,
    /// Values of an expert.
    pub units: usize,
    /// What follows them.
    pub activation: Activation,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Arguments {
    x: Address,
    rx: Address,
    dz: Address,
    rdz: Address,
    to: Address,
    experts: u32,
    gates: u32,
    first: u32,
    outputs: u32,
    units: u32,
    activation: u32,
    add: u32,
    reserved: u32,
}

impl Mixture {
    fn launch(&self, kernel: Kernel, rows: usize, known: &Known, to: Address, add: bool) -> Launch {
        let [experts, gates, first, outputs] = [self.experts, self.gates, self.first, self.outputs].map(u32::from);
        let Known { x, rx, dz, rdz, .. } = *known;
        let (units, activation, add) = (self.units as u32, activation::code(self.activation), add.into());
        let arguments =
            Arguments { x, rx, dz, rdz, to, experts, gates, first, outputs, units, activation, add, reserved: 0 };
        Launch::new(kernel, [rows as u32, 1, 1], THREADS as u32, &arguments)
    }

    /// The mixtures z of so many rows, or where inputs have derivatives theirs.
    pub fn forward(&self, rows: usize, known: &Known, z: Address) -> Launch {
        self.launch(Kernel::MixtureForward, rows, known, z, false)
    }

    /// `dx (+)=` the gradient at the inputs, or with derivatives of the gradient at the mixtures its derivative.
    pub fn inputs(&self, rows: usize, known: &Known, dx: Address, add: bool) -> Launch {
        self.launch(Kernel::MixtureInputs, rows, known, dx, add)
    }
}
