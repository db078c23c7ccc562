//! Networks and batches to take meta-steps with.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinew_models::rule::{Rate, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, Name, NetworkSpec, Shape, Window};
use sinew_runtime::{Network, Path};
use sinew_trainer::aligned::Aligned;
use sinew_trainer::engine::{Cpu, InnerLoop, Kept, Rows, TaskRows};

/// A network, and batches of tasks.
pub struct Problem {
    pub name: &'static str,
    pub spec: NetworkSpec,
    pub tasks: Vec<TaskRows>,
    pub params: Aligned,
}

const fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::Dense { outputs, activation }
}

fn network(input: Input, backbone: &[Layer], outputs: usize) -> NetworkSpec {
    let head = Head {
        name: Name::try_from("y").unwrap(),
        layers: [dense(outputs, Activation::Identity)].into_iter().collect(),
        loss: Loss::MeanSquared,
        weight: 1.0,
    };
    NetworkSpec { input, backbone: backbone.iter().copied().collect(), heads: [head].into_iter().collect() }
}

impl Problem {
    /// Tasks with so many support and query rows.
    fn new(name: &'static str, spec: NetworkSpec, sizes: impl Iterator<Item = [usize; 2]>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut values = |count: usize| (0..count).map(|_| random.random_range(-0.3..0.3)).collect::<Vec<f32>>();
        let params = Aligned::copy_of(&values(spec.param_len()));
        let mut rows = |rows: usize| Rows {
            x: values(rows * spec.input.presented_len()),
            y: values(rows * spec.output_len()),
            rows,
        };
        let tasks = sizes.map(|[support, query]| TaskRows { support: rows(support), query: rows(query) }).collect();
        Self { name, spec, tasks, params }
    }

    /// Dense networks of tasks that fill lanes, that go alone, and of both; and a convolutional one.
    pub fn all() -> Vec<Self> {
        let perceptron = || {
            let backbone = [dense(40, Activation::Relu), dense(40, Activation::Tanh)];
            network(Input::vector(3, InputForm::Plain), &backbone, 2)
        };
        let same = |count| (0..count).map(|_| [10, 12]);
        let image = Input::image(Shape { height: 12, width: 12, channels: 1 });
        let convolution =
            Layer::Convolution { outputs: 6, window: Window::square(3, 1, 1), activation: Activation::Relu };
        let pool = Layer::MaxPool { window: Window::square(2, 2, 0) };
        let images = network(image, &[convolution, pool, convolution, Layer::Flatten], 5);
        vec![
            Self::new("in lanes", perceptron(), same(64)),
            Self::new("alone", perceptron(), (1..7).map(|rows| [rows, 2 * rows])),
            Self::new("in lanes and alone", perceptron(), same(35).chain([[20, 3], [2, 40], [7, 7]])),
            Self::new("convolutional", images, (0..5).map(|task| [5 + task % 2, 15])),
        ]
    }

    /// An inner loop over it, and its rates.
    pub fn inner(&self, steps: usize, kept: Kept, how: How) -> (InnerLoop, Aligned) {
        let network = Network::new(&self.spec, Path::detect()).unwrap();
        let (rate, count) = match how {
            How::Exact | How::FirstOrder => (Rate::Constant, 1),
            How::LearnedRates => (Rate::PerLayerStep, steps * self.spec.layer_count()),
            How::LearnedRate => (Rate::PerParameter, self.spec.param_len()),
        };
        let learn_rates = matches!(how, How::LearnedRates | How::LearnedRate);
        let (adapted, first_order) = (network.adapted(&Scope::All), how == How::FirstOrder);
        let inner = InnerLoop { steps, rate, adapted, learn_rates, first_order, kept };
        (inner, Aligned::copy_of(&vec![0.01; count]))
    }
}

/// What is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// At one rate for all.
    Exact,
    /// A rate for each layer and step, which are learned.
    LearnedRates,
    /// A rate for each parameter, which are learned.
    LearnedRate,
    /// The Hessian left out.
    FirstOrder,
}

pub const KEPT: [Kept; 3] = [Kept::Activations, Kept::Parameters, Kept::Checkpoints];

pub const HOW: [How; 4] = [How::Exact, How::LearnedRates, How::LearnedRate, How::FirstOrder];

/// An engine that stays to the end of the process: the threads of a pool end some time after it, and would free while others are
/// measured.
pub fn lasting(engine: Cpu) -> &'static mut Cpu {
    Box::leak(Box::new(engine))
}
