//! The products of a layer for several tasks at once, one by one: where the time of a meta-step goes.

use std::hint::black_box;

use sinew_runtime::Path;
use sinew_runtime::kernel::dense::{Size, Update};
use sinew_runtime::kernel::lanes::{self, Numbers};
use sinew_trainer::aligned::Aligned;

use crate::workload::Workload;

/// Weights of so many layers, so that those of one have left the first cache when their turn comes again, as they have in a meta-step.
const LAYERS: usize = 3;

/// Everything that the products of one layer read and write.
struct Layer {
    size: Size,
    path: Path,
    turn: usize,
    weights: Vec<Aligned>,
    bias: Aligned,
    x: Aligned,
    z: Aligned,
    dx: Aligned,
    gradient: Aligned,
    bias_gradient: Aligned,
}

impl Layer {
    fn new(path: Path, size: Size) -> Self {
        let values = |count: usize| {
            let mut values = Aligned::zeros(count);
            values.iter_mut().enumerate().for_each(|(index, value)| *value = (index % 13) as f32 * 0.01 - 0.05);
            values
        };
        let wide = size.rows.div_ceil(lanes::rows(path)) * lanes::width(path);
        let weight = size.inputs * size.outputs * lanes::lanes(path);
        Self {
            size,
            path,
            turn: 0,
            weights: (0..LAYERS).map(|_| values(weight)).collect(),
            bias: values(size.outputs * lanes::lanes(path)),
            x: values(size.inputs * wide),
            z: values(size.outputs * wide),
            dx: values(size.inputs * wide),
            gradient: values(weight),
            bias_gradient: values(size.outputs * lanes::lanes(path)),
        }
    }

    fn next(&mut self) {
        self.turn = (self.turn + 1) % LAYERS;
    }

    fn forward(&mut self) {
        self.next();
        let parameters = (Numbers::Each(&self.weights[self.turn]), Numbers::Each(&self.bias));
        lanes::forward(self.path, self.size, black_box(&self.x), parameters, true, &mut self.z);
    }

    fn input_gradient(&mut self) {
        self.next();
        let from = (black_box(&self.z[..]), Numbers::Each(&self.weights[self.turn]));
        lanes::input_gradient(self.path, self.size, from, Some(&self.x), &mut self.dx, Update::Store);
    }

    fn step(&mut self) {
        self.next();
        let old = (Numbers::Each(&self.weights[self.turn]), Numbers::Each(&self.bias));
        let new = (&mut self.gradient[..], &mut self.bias_gradient[..]);
        lanes::weight_gradient_step(self.path, self.size, black_box(&self.z), &self.x, old, -0.1, new);
    }

    fn forward_tangent(&mut self) {
        let weights = (Numbers::Each(&self.weights[0]), &self.weights[1][..]);
        let x = (black_box(&self.x[..]), Some(&self.dx[..]));
        lanes::forward_tangent(self.path, self.size, x, weights, &self.bias, None, &mut self.z);
    }

    fn input_gradient_tangent(&mut self) {
        let weights = (Numbers::Each(&self.weights[0]), &self.weights[1][..]);
        let dz = (black_box(&self.z[..]), &self.z[..]);
        lanes::input_gradient_tangent(self.path, self.size, dz, weights, Some(&self.x), &mut self.dx, Update::Store);
    }

    fn weight_gradient_tangent(&mut self) {
        let (dz, x) = ((black_box(&self.z[..]), &self.z[..]), (&self.x[..], Some(&self.dx[..])));
        let (weight, bias) = (&mut self.gradient[..], &mut self.bias_gradient[..]);
        // A factor of 0 keeps every run the same work.
        lanes::weight_gradient_tangent(self.path, self.size, dz, x, weight, bias, Update::Add(0.0));
    }
}

/// Id, products of the layer's size, and what runs.
type Kernel = (&'static str, u64, fn(&mut Layer));

const SINUSOID: [Kernel; 6] = [
    ("lanes/40_forward", 1, Layer::forward),
    ("lanes/40_input_gradient", 1, Layer::input_gradient),
    ("lanes/40_step", 1, Layer::step),
    ("lanes/40_forward_tangent", 2, Layer::forward_tangent),
    ("lanes/40_input_gradient_tangent", 2, Layer::input_gradient_tangent),
    ("lanes/40_weight_gradient_tangent", 2, Layer::weight_gradient_tangent),
];

const MLP: [Kernel; 6] = [
    ("lanes/64_forward", 1, Layer::forward),
    ("lanes/64_input_gradient", 1, Layer::input_gradient),
    ("lanes/64_step", 1, Layer::step),
    ("lanes/64_forward_tangent", 2, Layer::forward_tangent),
    ("lanes/64_input_gradient_tangent", 2, Layer::input_gradient_tangent),
    ("lanes/64_weight_gradient_tangent", 2, Layer::weight_gradient_tangent),
];

/// Layers of 40 units with 10 rows, as of the sine waves, and of 64 with 16.
pub fn all() -> Vec<Workload> {
    let path = Path::detect();
    let sizes = [(40, 10, SINUSOID), (64, 16, MLP)];
    let workloads = sizes.into_iter().flat_map(|(units, rows, kernels)| {
        kernels.map(|(id, products, kernel)| {
            let size = Size { rows, inputs: units, outputs: units };
            let mut layer = Layer::new(path, size);
            let operations = 2 * products * (rows * units * units * lanes::lanes(path)) as u64;
            Workload::new(id, operations, move || kernel(&mut layer))
        })
    });
    workloads.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_run() {
        super::all().iter_mut().for_each(|workload| (workload.run)());
    }
}
