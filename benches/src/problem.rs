//! A network with data, the same for everything that is compared.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, Shape, Window};
use sinew_runtime::{Adapter, Bundle, HeadSet, Path};
use sinew_trainer::export::{self, About, Export};

use crate::count::Count;

/// A network, a start, and support rows.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The network.
    pub network: NetworkSpec,
    /// What of it is adapted.
    pub scope: Scope,
    /// The start: `[param_len]`.
    pub parameters: Vec<f32>,
    /// Support rows.
    pub rows: usize,
    /// Support inputs: `[rows, inputs]`.
    pub x: Vec<f32>,
    /// Support targets: `[rows, outputs]`.
    pub y: Vec<f32>,
    /// Whose labels each row carries.
    pub labelled: Vec<HeadSet>,
}

impl Problem {
    /// Inner steps of every adaptation here.
    pub const STEPS: usize = 5;
    /// Labels of each head that judge in [`Problem::heads`].
    pub const JUDGING: usize = 4;
    /// The inner rate of every adaptation here.
    pub const RATE: f32 = 0.01;

    /// The one that speed is claimed for: 16-64-64-4 and 16 support rows.
    pub fn standard() -> Self {
        Self::mlp(&[16, 64, 64, 4], 16, 1)
    }

    /// Several heads, one of which learns: 16-64-64-(1, 1, 1); 16 rows carry the labels of the first head, and 4 older ones those of the
    /// others. [`Problem::JUDGING`] labels of each head judge.
    ///
    /// # Panics
    /// Never: there is such a network.
    pub fn heads() -> Self {
        let dense = |outputs, activation| Layer::Dense { outputs, activation };
        let head = |name: &str| Head {
            name: Name::try_from(name).expect("it is short"),
            layers: [dense(1, Activation::Identity)].into_iter().collect(),
            loss: Loss::MeanSquared,
            weight: 1.0,
        };
        let network = NetworkSpec {
            input: Input::vector(16, InputForm::Plain),
            backbone: [dense(64, Activation::Relu); 2].into_iter().collect(),
            heads: ["success", "slip", "width"].map(head).into_iter().collect(),
        };
        let labelled = [vec![HeadSet::NONE.with(1).with(2); Self::JUDGING], vec![HeadSet::NONE.with(0); 16]].concat();
        Self { labelled, ..Self::new(network, Scope::All, 16 + Self::JUDGING, 1) }
    }

    /// The one with images that speed is claimed for: 1 × 32 × 32, three convolutions 3 × 3 of 8, 16 and 32, each rectified and pooled by
    /// 2, and 5 classes; 25 support rows.
    ///
    /// # Panics
    /// Never: there is such a network.
    pub fn images(scope: Scope) -> Self {
        let convolution =
            |outputs| Layer::Convolution { outputs, window: Window::square(3, 1, 1), activation: Activation::Relu };
        let pool = Layer::MaxPool { window: Window::square(2, 2, 0) };
        let backbone = [8, 16, 32].into_iter().flat_map(|outputs| [convolution(outputs), pool]).chain([Layer::Flatten]);
        Self { scope, ..Self::classes(32, &backbone.collect::<Vec<_>>(), 25, 1) }
    }

    /// Images of one channel and 5 classes: this backbone, and one dense layer.
    ///
    /// # Panics
    /// If there is no such network.
    pub fn classes(side: usize, backbone: &[Layer], rows: usize, seed: u64) -> Self {
        const CLASSES: usize = 5;
        let last = Layer::Dense { outputs: CLASSES, activation: Activation::Identity };
        let name = Name::try_from("class").expect("it is short");
        let head = Head { name, layers: [last].into_iter().collect(), loss: Loss::CrossEntropy, weight: 1.0 };
        let network = NetworkSpec {
            input: Input::image(Shape { height: side, width: side, channels: 1 }),
            backbone: backbone.iter().copied().collect(),
            heads: [head].into_iter().collect(),
        };
        let mut problem = Self::new(network, Scope::All, rows, seed);
        for (row, y) in problem.y.chunks_exact_mut(CLASSES).enumerate() {
            y.fill(0.0);
            y[row % CLASSES] = 1.0;
        }
        problem
    }

    /// A multilayer perceptron with ReLU, squared error, these sizes, and `rows` support rows.
    ///
    /// # Panics
    /// If there is no such network.
    pub fn mlp(sizes: &[usize], rows: usize, seed: u64) -> Self {
        let [inputs, hidden @ .., outputs] = sizes else { panic!("a network has an input and an output") };
        let network =
            networks::mlp(*inputs, InputForm::Plain, hidden, Activation::Relu, "y", *outputs, Loss::MeanSquared)
                .expect("the sizes are within the limits");
        Self::new(network, Scope::All, rows, seed)
    }

    /// A start uniform in ±1/√inputs of a sum, as PyTorch starts a layer, and data uniform in ±1.7.
    pub fn new(network: NetworkSpec, scope: Scope, rows: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform =
            |count: usize, limit: f32| -> Vec<f32> { (0..count).map(|_| rng.random_range(-limit..limit)).collect() };
        let mut parameters = Vec::new();
        for layer in network.layers().filter(|layer| layer.param_len() > 0) {
            let addends = layer.weight_len() / layer.output.channels;
            parameters.extend(uniform(layer.param_len(), 1.0 / (addends as f32).sqrt()));
        }
        let (x, y) = (uniform(rows * network.input.len, 1.7), uniform(rows * network.output_len(), 1.7));
        Self { network, scope, parameters, rows, x, y, labelled: vec![HeadSet::ALL; rows] }
    }

    /// What it costs.
    pub fn count(&self) -> Count {
        Count::of(&self.network)
    }

    /// Operations of one adaptation.
    pub fn operations(&self) -> u64 {
        let steps = Self::STEPS as u64;
        // Those without labels of the first head are there to judge.
        let others = self.labelled.iter().filter(|heads| !heads.has(0)).count();
        match self.scope {
            _ if others > 0 => {
                let judging = others + Self::JUDGING;
                self.count().adapt_judged(self.rows - judging, judging, steps)
            }
            Scope::Heads => self.count().adapt_last(self.rows, steps),
            _ => self.count().adapt(self.rows, steps),
        }
    }

    /// The first support input.
    pub fn first_input(&self) -> &[f32] {
        &self.x[..self.network.input.len]
    }

    /// All support inputs, row by row.
    pub fn inputs(&self) -> &[f32] {
        &self.x
    }

    /// The bundle that a robot would get.
    ///
    /// # Panics
    /// If the exporter refuses it.
    pub fn bundle(&self) -> Vec<u8> {
        let rule = Rule::Gradient {
            steps: Self::STEPS,
            rate: Rate::Constant,
            scope: self.scope.clone(),
            momentum: false,
            rows: 0,
        };
        self.bundle_by(&rule, &[Self::RATE])
    }

    /// The bundle that a robot would get if it adapted by `rule`, of these numbers.
    ///
    /// # Panics
    /// If the exporter refuses it.
    pub fn bundle_by(&self, rule: &Rule, numbers: &[f32]) -> Vec<u8> {
        let (inputs, outputs) = (self.network.input.len, self.network.output_len());
        export::to_bytes(&Export {
            network: &self.network,
            rule,
            parameters: &self.parameters,
            numbers,
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
        self.adapter_of(self.bundle(), path)
    }

    /// An adapter of `bundle`, one of this problem's, that has seen all support rows.
    ///
    /// # Panics
    /// If the bundle is another problem's.
    pub fn adapter_of(&self, bundle: Vec<u8>, path: Path) -> Adapter<'static> {
        let bundle = Bundle::parse(bundle.leak()).expect("it was just written");
        let len = Adapter::memory_len_on(path, &bundle, self.rows).expect("it fits");
        let mut adapter =
            Adapter::new_on(path, &bundle, self.rows, vec![0.0; len].leak()).expect("the memory is long enough");
        self.observe(&mut adapter);
        adapter
    }

    /// Shows all support rows to an adapter.
    ///
    /// # Panics
    /// If it refuses one.
    pub fn observe(&self, adapter: &mut Adapter<'_>) {
        let rows = self.x.chunks_exact(adapter.input_len()).zip(self.y.chunks_exact(adapter.output_len()));
        rows.zip(&self.labelled).for_each(|((x, y), labelled)| {
            adapter.observe_heads(x, y, *labelled).expect("the rows fit");
        });
    }
}
