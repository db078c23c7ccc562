//! Operations of a workload: 2 for each multiply-add of matrix work, nothing for the rest (under 3 %).
//!
//! They are the fewest that do the work, so that a rate in operations per second says how far from the core's peak it is.

use sinew_models::spec::{Layer, NetworkSpec};

/// The dense layers and convolutions of a network, as what one row costs in each.
#[derive(Clone, Debug)]
pub struct Count {
    layers: Vec<u64>,
}

impl Count {
    /// A multilayer perceptron with these sizes, the input first.
    pub fn mlp(sizes: &[usize]) -> Self {
        Self { layers: sizes.windows(2).map(|pair| 2 * (pair[0] * pair[1]) as u64).collect() }
    }

    /// Any network.
    pub fn of(network: &NetworkSpec) -> Self {
        let cost = |layer: sinew_models::layout::PlacedLayer| match layer.layer {
            Layer::Dense { .. } => Some(layer.weight_len()),
            Layer::Convolution { .. } | Layer::Depthwise { .. } => {
                Some(layer.weight_len() * layer.output.height * layer.output.width)
            }
            _ => None,
        };
        Self { layers: network.layers().filter_map(cost).map(|multiply_adds| 2 * multiply_adds as u64).collect() }
    }

    /// F: the network forward.
    pub fn forward(&self, rows: usize) -> u64 {
        rows as u64 * self.layers.iter().sum::<u64>()
    }

    fn first(&self, rows: usize) -> u64 {
        rows as u64 * self.layers.first().copied().unwrap_or_default()
    }

    /// The gradient of a loss: 3F − F₁, for the first layer passes nothing back.
    pub fn gradient(&self, rows: usize) -> u64 {
        3 * self.forward(rows) - self.first(rows)
    }

    /// A Hessian-vector product after the gradient: 6F − 4F₁.
    pub fn hessian_vector(&self, rows: usize) -> u64 {
        6 * self.forward(rows) - 4 * self.first(rows)
    }

    /// Adaptation to `rows` support rows.
    pub fn adapt(&self, rows: usize, steps: u64) -> u64 {
        steps * self.gradient(rows)
    }

    /// Adaptation to `rows` support rows, and a look at so many that only judge before it and after each step.
    pub fn adapt_judged(&self, rows: usize, judging: usize, steps: u64) -> u64 {
        self.adapt(rows, steps) + (steps + 1) * self.forward(judging)
    }

    /// Adaptation of the last layer alone: features of each row once, then steps on them.
    pub fn adapt_last(&self, rows: usize, steps: u64) -> u64 {
        let (last, features) = self.layers.split_last().map_or((0, &[][..]), |(last, features)| (*last, features));
        let (last, features) = (Self { layers: vec![last] }, Self { layers: features.to_vec() });
        features.forward(rows) + last.adapt(rows, steps)
    }

    /// One exact second-order meta-gradient over `tasks`.
    pub fn meta_step(&self, tasks: u64, support: usize, query: usize, steps: u64) -> u64 {
        tasks * (self.adapt(support, steps) + self.gradient(query) + steps * self.hessian_vector(support))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_was_counted_by_hand() {
        let (mlp, sinusoid) = (Count::mlp(&[16, 64, 64, 4]), Count::mlp(&[1, 40, 40, 1]));
        let is = |operations: u64, million: f64| {
            let error = (operations as f64 / 1e6 - million).abs() / million;
            assert!(error <= 5e-3, "{operations}, not {million} million");
        };
        is(mlp.forward(1), 0.0108);
        is(mlp.adapt(16, 5), 2.417);
        is(sinusoid.meta_step(25, 10, 10, 1), 9.96);
        is(sinusoid.meta_step(25, 10, 10, 5), 39.8);
        is(mlp.meta_step(32, 16, 16, 5), 237.0);
    }

    #[test]
    fn counts_convolutions() {
        let images = Count::of(&crate::problem::Problem::images(sinew_models::rule::Scope::All).network);
        assert_eq!(images.layers, [147_456, 589_824, 589_824, 5_120]);
        assert_eq!(images.adapt(25, 5), 481_152_000);
        assert_eq!(images.adapt_last(25, 5), 34_457_600);
        let mlp = crate::problem::Problem::standard();
        assert_eq!(Count::of(&mlp.network).layers, mlp.count().layers);
    }

    #[test]
    fn a_linear_model_passes_nothing_back() {
        let linear = Count::mlp(&[3, 2]);
        assert_eq!((linear.forward(5), linear.gradient(5), linear.hessian_vector(5)), (60, 120, 120));
    }
}
