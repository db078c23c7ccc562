//! A network with data, the same for everything that is compared.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss, NetworkSpec};
use sinew_runtime::{Adapter, Bundle, Path};
use sinew_trainer::export::{self, About, Export};

use crate::count::Count;

/// A multilayer perceptron with ReLU and squared error, a start, and support rows.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its sizes, the input first.
    pub sizes: Vec<usize>,
    /// The network.
    pub network: NetworkSpec,
    /// The start: `[param_len]`.
    pub parameters: Vec<f32>,
    /// Support rows.
    pub rows: usize,
    /// Support inputs: `[rows, inputs]`.
    pub x: Vec<f32>,
    /// Support targets: `[rows, outputs]`.
    pub y: Vec<f32>,
}

impl Problem {
    /// Inner steps of every adaptation here.
    pub const STEPS: usize = 5;
    /// The inner rate of every adaptation here.
    pub const RATE: f32 = 0.01;

    /// The one that speed is claimed for: 16-64-64-4 and 16 support rows.
    pub fn standard() -> Self {
        Self::mlp(&[16, 64, 64, 4], 16, 1)
    }

    /// A network with these sizes and `rows` support rows; uniform in ±1/√inputs, as PyTorch starts a layer.
    ///
    /// # Panics
    /// If there is no such network.
    pub fn mlp(sizes: &[usize], rows: usize, seed: u64) -> Self {
        let [inputs, hidden @ .., outputs] = sizes else { panic!("a network has an input and an output") };
        let network =
            networks::mlp(*inputs, InputForm::Plain, hidden, Activation::Relu, "y", *outputs, Loss::MeanSquared)
                .expect("the sizes are within the limits");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform =
            |count: usize, limit: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(-limit..limit)).collect() };
        let mut parameters = Vec::new();
        for layer in network.layers() {
            parameters.extend(uniform(layer.param_len(), 1.0 / (layer.inputs as f32).sqrt()));
        }
        let (x, y) = (uniform(rows * inputs, 1.7), uniform(rows * outputs, 1.7));
        Self { sizes: sizes.to_vec(), network, parameters, rows, x, y }
    }

    /// What it costs.
    pub fn count(&self) -> Count {
        Count::mlp(&self.sizes)
    }

    /// The first support input.
    pub fn first_input(&self) -> &[f32] {
        &self.x[..self.network.input.len]
    }

    /// The bundle that a robot would get.
    ///
    /// # Panics
    /// If the exporter refuses it.
    pub fn bundle(&self) -> Vec<u8> {
        let (inputs, outputs) = (self.network.input.len, self.network.output_len());
        export::to_bytes(&Export {
            network: &self.network,
            rule: &Rule::Gradient { steps: Self::STEPS, rate: Rate::Constant, scope: Scope::All, momentum: false },
            parameters: &self.parameters,
            numbers: &[Self::RATE],
            input_mean: &vec![0.0; inputs],
            input_scale: &vec![1.0; inputs],
            input_relative_scale: &vec![1.0; inputs],
            output_mean: &vec![0.0; outputs],
            output_scale: &vec![1.0; outputs],
            novelty: None,
            about: &About::default(),
        })
        .expect("the lengths are right")
    }

    /// An adapter that has seen all support rows. What it borrows is leaked, for it lives as long as the process.
    ///
    /// # Panics
    /// Never: the bundle fits.
    pub fn adapter(&self, path: Path) -> Adapter<'static> {
        let bundle = Bundle::parse(self.bundle().leak()).expect("it was just written");
        let len = Adapter::memory_len_on(path, &bundle, self.rows).expect("it fits");
        let mut adapter =
            Adapter::new_on(path, &bundle, self.rows, vec![0.0; len].leak()).expect("the memory is long enough");
        let rows = self.x.chunks_exact(adapter.input_len()).zip(self.y.chunks_exact(adapter.output_len()));
        rows.for_each(|(x, y)| adapter.observe(x, y).expect("the rows fit"));
        adapter
    }
}
