//! Every layer, activation and loss: outputs, gradients and Hessian-vector products against an f64 model, on every path of this machine;
//! and that model against finite differences.

use proptest::prelude::*;
use sinew_models::spec::{Activation, Head, Input, Layer, Loss, Name, NetworkSpec, Shape, Window};
use sinew_runtime::Path;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Batch, Destination, LayerSet, Network};
use sinew_tests::reference::{self, Derivatives, Dual, differences, relative_error};
use sinew_tests::sample::{self, ACTIVATIONS, LOSSES, Numbers, single};

/// Most that outputs may be off, in parts of the largest; f32 is mostly off by 1e-7.
const OUTPUTS: f64 = 5e-6;
/// Most that gradients and Hessian-vector products may be off, likewise.
const DERIVATIVES: f64 = 1e-5;
/// Most that they may be off where mixtures and a layer norm follow each other, whose own sums cancel now and then: what f32 can be held
/// to is found from without ([`Case::suits_single`]), which does not see that. Of the first hundred networks one was off by 1.1e-5, of
/// 8,000 none by as much as this.
const OF_MIXTURES: f64 = 4e-5;

/// What a network is checked with; every number is an f32.
struct Case {
    rows: usize,
    params: Vec<f64>,
    x: Vec<f64>,
    y: Vec<f64>,
    /// The direction of the Hessian-vector product.
    v: Vec<f64>,
}

impl Case {
    fn draw(spec: &NetworkSpec, rows: usize, numbers: &mut Numbers) -> Self {
        let params = numbers.values(spec.param_len(), 0.6);
        let x = numbers.values(rows * spec.input.presented_len(), 1.5);
        let y = sample::some_targets(spec, rows, numbers);
        let v = numbers.values(params.len(), 1.0);
        Self { rows, params, x, y, v }
    }

    /// The first draw whose derivatives are `suitable`.
    fn find(spec: &NetworkSpec, rows: usize, seed: u64, suitable: impl Fn(&Self, &Derivatives) -> bool) -> Self {
        let mut numbers = Numbers(seed);
        let mut draws = (0..1000).map(|_| Self::draw(spec, rows, &mut numbers));
        draws.find(|case| suitable(case, &case.derivatives(spec))).expect("one draw of 1000 is suitable")
    }

    fn outputs(&self, spec: &NetworkSpec) -> Vec<f64> {
        let params: Vec<Dual> = self.params.iter().map(|p| Dual::constant(*p)).collect();
        let rows = self.x.chunks_exact(spec.input.presented_len());
        rows.flat_map(|x| reference::outputs(spec, &params, x)).map(|z| z.value).collect()
    }

    fn derivatives(&self, spec: &NetworkSpec) -> Derivatives {
        reference::derivatives(spec, &self.params, &self.v, &self.x, &self.y, self.rows)
    }

    /// The same with every number larger or smaller by 16 roundings to f32.
    fn disturbed(&self, numbers: &mut Numbers) -> Self {
        let mut off = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| value * (1.0 + numbers.next_value().signum() * 2_f64.powi(-20))).collect()
        };
        Self { rows: self.rows, params: off(&self.params), x: off(&self.x), y: off(&self.y), v: off(&self.v) }
    }

    /// Whether f32 can be held to [`OUTPUTS`] and [`DERIVATIVES`] here.
    ///
    /// At a kink f32 and f64 may take different sides, and both are right; in 100,000 cases of any shape no output was off by as much as
    /// 1e-5. And where all that is compared cancels, what is left is rounding: then it changes by more than is tolerated if the case is
    /// disturbed.
    fn suits_single(&self, spec: &NetworkSpec, derivatives: &Derivatives, seed: u64) -> bool {
        let mut numbers = Numbers(!seed);
        let near = |a: &[f64], b: &[f64], tolerance| relative_error(&single(a), b) <= tolerance;
        let outputs = self.outputs(spec);
        derivatives.margin >= 1e-5
            && (0..4).all(|_| {
                let other = self.disturbed(&mut numbers);
                let of_other = other.derivatives(spec);
                near(&other.outputs(spec), &outputs, OUTPUTS)
                    && near(&of_other.gradient, &derivatives.gradient, DERIVATIVES)
                    && near(&of_other.product, &derivatives.product, DERIVATIVES)
            })
    }
}

/// Checks a network on numbers that suit f32.
fn check(spec: &NetworkSpec, rows: usize, seed: u64) {
    check_within(spec, rows, seed, DERIVATIVES);
}

fn check_within(spec: &NetworkSpec, rows: usize, seed: u64, tolerance: f64) {
    let case = Case::find(spec, rows, seed, |case, derivatives| case.suits_single(spec, derivatives, seed));
    check_case(spec, &case, tolerance);
}

/// Checks outputs, loss, gradient and one Hessian-vector product of `spec`, on every path.
fn check_case(spec: &NetworkSpec, case: &Case, tolerance: f64) {
    let (want_outputs, want) = (case.outputs(spec), case.derivatives(spec));
    let Case { rows, params, x, y, v } = case;
    let rows = *rows;
    for path in Path::available() {
        let network = Network::new(spec, path).unwrap();
        let (params, x, y, v) = (single(params), single(x), single(y), single(v));
        let mut forward = vec![f32::NAN; network.forward_len(rows)];
        let mut backward = vec![f32::NAN; network.backward_len(rows)];
        let mut tangent = vec![f32::NAN; network.tangent_len(rows)];
        let mut panel = vec![f32::NAN; network.panel_len()];
        network.forward(&params, &x, rows, &mut forward, &mut panel);
        let name = path.name();

        let mut outputs = vec![f32::NAN; rows * network.output_len()];
        network.outputs(&forward, rows, &mut outputs);
        let error = relative_error(&outputs, &want_outputs);
        assert!(error <= OUTPUTS, "outputs on {name}: {error}");

        let mut gradient = vec![f32::NAN; params.len()];
        let batch = Batch::whole(&x, &y, rows);
        let layers = LayerSet::ALL;
        let destination =
            Destination::Gradient { params: &params, gradient: &mut gradient, layers, update: Update::Store };
        let loss = network.gradient(destination, batch, &forward, &mut backward, &mut panel);
        assert!(
            (f64::from(loss) - want.loss).abs() <= 1e-5 * (1.0 + want.loss),
            "loss on {name}: {loss}, not {}",
            want.loss
        );
        assert!((loss - network.loss(batch, &forward)).abs() <= 1e-6 * (1.0 + loss));
        let error = relative_error(&gradient, &want.gradient);
        assert!(error <= tolerance, "gradient on {name}: {error}");

        let mut product = vec![f32::NAN; params.len()];
        let traces = (&forward[..], &backward[..]);
        let mut panel = vec![f32::NAN; network.panel_len()];
        let to = (&mut product[..], Update::Store);
        network.hessian_vector((&params, &v), batch, traces, &mut tangent, &mut panel, to);
        let error = relative_error(&product, &want.product);
        assert!(error <= tolerance, "Hessian-vector product on {name}: {error}");

        let mut twice = product.clone();
        let to = (&mut twice[..], Update::Add(1.0));
        network.hessian_vector((&params, &v), batch, traces, &mut tangent, &mut panel, to);
        let doubled: Vec<f64> = product.iter().map(|p| 2.0 * f64::from(*p)).collect();
        assert!(relative_error(&twice, &doubled) <= 1e-6);

        let mut stepped = vec![f32::NAN; params.len()];
        let rates = vec![0.5; network.layer_count()];
        let step = Destination::Step { params: &params, stepped: &mut stepped, rates: &rates };
        network.gradient(step, batch, &forward, &mut backward, &mut panel);
        let want_step: Vec<f64> =
            params.iter().zip(&gradient).map(|(p, g)| f64::from(*p) - 0.5 * f64::from(*g)).collect();
        let error = relative_error(&stepped, &want_step);
        assert!(error <= 1e-6, "step on {name}: {error}");

        check_parts(&network, &params, (&x, &y, rows), (loss, &gradient));
    }
}

/// The gradient of two parts of the rows, one added to the other, is that of the whole.
fn check_parts(network: &Network, params: &[f32], (x, y, rows): (&[f32], &[f32], usize), whole: (f32, &[f32])) {
    let mut panel = vec![f32::NAN; network.panel_len()];
    let (mut sum, mut gradient) = (0.0, vec![f32::NAN; params.len()]);
    let mut update = Update::Store;
    for (from, rows_here) in [(0, rows / 2), (rows / 2, rows - rows / 2)] {
        if rows_here == 0 {
            continue;
        }
        let x = &x[from * network.input_len()..][..rows_here * network.input_len()];
        let y = &y[from * network.output_len()..][..rows_here * network.output_len()];
        let batch = Batch { x, y, rows: rows_here, of: rows };
        let mut forward = vec![f32::NAN; network.forward_len(rows_here)];
        let mut backward = vec![f32::NAN; network.backward_len(rows_here)];
        network.forward(params, x, rows_here, &mut forward, &mut panel);
        let destination = Destination::Gradient { params, gradient: &mut gradient, layers: LayerSet::ALL, update };
        sum += network.gradient(destination, batch, &forward, &mut backward, &mut panel);
        update = Update::Add(1.0);
    }
    let close: Vec<f64> = whole.1.iter().map(|g| f64::from(*g)).collect();
    let error = relative_error(&gradient, &close);
    assert!(error <= 1e-5, "parts on {}: {error}", network.path().name());
    assert!((sum - whole.0).abs() <= 1e-5 * (1.0 + whole.0.abs()));
}

#[test]
fn every_activation_with_every_loss() {
    for (number, activation) in ACTIVATIONS.into_iter().enumerate() {
        for loss in LOSSES {
            let spec = sample::network(3, &[(7, activation), (5, activation)], &[(3, None, loss)]);
            check(&spec, 4, number as u64 + 1);
        }
    }
}

#[test]
fn several_heads_share_a_backbone() {
    let heads = [
        (1, Some((6, Activation::Silu)), Loss::MeanSquared),
        (4, None, Loss::CrossEntropy),
        (2, Some((3, Activation::Relu)), Loss::BinaryCrossEntropy),
    ];
    check(&sample::network(5, &[(9, Activation::Tanh), (17, Activation::Relu)], &heads), 6, 3);
    check(&sample::network(5, &[], &heads), 6, 4);
}

#[test]
fn heads_without_a_label_take_no_part() {
    let heads = [
        (1, Some((6, Activation::Silu)), Loss::MeanSquared),
        (2, Some((3, Activation::Relu)), Loss::BinaryCrossEntropy),
        (3, None, Loss::Huber { delta: 0.5 }),
    ];
    let columns = [0..1, 1..3, 3..6];
    for (backbone, seed) in [(&[(9, Activation::Tanh), (17, Activation::Relu)][..], 5), (&[], 6)] {
        let spec = sample::network(5, backbone, &heads);
        // The first of them on the way back and the last, some and all of them.
        for silent in [&[0][..], &[2], &[0, 1], &[1, 2], &[0, 1, 2]] {
            let suits = |case: &Case, derivatives: &Derivatives| case.suits_single(&spec, derivatives, seed);
            let mut case = Case::find(&spec, 6, seed, suits);
            for row in case.y.chunks_mut(spec.output_len()) {
                silent.iter().for_each(|head| row[columns[*head].clone()].fill(f64::NAN));
            }
            check_case(&spec, &case, DERIVATIVES);
        }
    }
}

/// Checks the reference: against differences where no kink is near, and one way of differentiating against the other.
fn check_reference(spec: &NetworkSpec, rows: usize, seed: u64) {
    let step = 1e-5;
    let case = Case::find(spec, rows, seed, |_, derivatives| derivatives.margin >= 100.0 * step);
    let Case { rows, params, x, y, v } = &case;
    let close = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() <= 1e-8 * (1.0 + b.abs()), "{a} {b}"));
    };
    let got = case.derivatives(spec);
    let loss = |params: &[f64], v: &[f64]| {
        let duals: Vec<Dual> = params.iter().zip(v).map(|(p, v)| Dual { value: *p, slope: *v }).collect();
        reference::loss(spec, &duals, x, y, *rows)
    };
    close(&got.gradient, &differences(params, step, |params| loss(params, v).value));

    let gradient = |t: f64| {
        let shifted: Vec<f64> = params.iter().zip(v).map(|(p, v)| p + t * v).collect();
        reference::gradient(spec, &shifted, x, y, *rows).1
    };
    let (above, below) = (gradient(step), gradient(-step));
    let product: Vec<f64> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step)).collect();
    close(&got.product, &product);

    let forward = loss(params, v);
    assert!((got.loss - forward.value).abs() <= 1e-12);
    let along: f64 = got.gradient.iter().zip(v).map(|(g, v)| g * v).sum();
    assert!((along - forward.slope).abs() <= 1e-12 * (1.0 + along.abs()), "{along} {}", forward.slope);
}

#[test]
fn the_reference_agrees_with_finite_differences() {
    let window = Window { size: [2, 3], stride: [1, 2], padding: [1, 0] };
    let (shape, small) = (Shape { height: 3, width: 5, channels: 2 }, Window::square(2, 1, 1));
    for (number, loss) in LOSSES.into_iter().enumerate() {
        let seed = number as u64 + 1;
        let hidden = ACTIVATIONS.map(|activation| (3, activation));
        check_reference(&sample::network(3, &hidden, &[(2, None, loss), (1, Some((3, SILU)), loss)]), 3, seed);
        let layers = [
            Layer::Convolution { outputs: 2, window, activation: RELU },
            Layer::LayerNorm { activation: SILU },
            Layer::MaxPool { window: Window::square(3, 1, 1) },
            Layer::Residual { layers: 2, activation: RELU },
            Layer::AveragePool { window: small },
            Layer::Flatten,
            Layer::Context { len: 2 },
        ];
        check_reference(&images(shape, &layers, &[dense(2, IDENTITY)], loss), 2, seed);
        let mut spec = mixtures(2, 3, [Activation::Tanh, SILU, RELU], loss);
        // Of values that are nearly the same a norm bends more than differences can follow.
        spec.heads[1].layers.remove(1);
        check_reference(&spec, 2, seed);
        let layers = [
            Layer::Depthwise { window, activation: Activation::Tanh },
            Layer::GlobalAveragePool,
            dense(2, Activation::Sigmoid),
            Layer::Residual { layers: 1, activation: IDENTITY },
        ];
        check_reference(&images(shape, &layers, &[dense(2, IDENTITY)], loss), 2, seed);
    }
}

/// Between the two points of a difference there was a kink, so that only an exact product is right.
#[test]
fn a_rectifier_near_its_kink() {
    let spec = sample::network(8, &[(39, RELU)], &[(17, None, Loss::MeanSquared)]);
    let case = Case::draw(&spec, 33, &mut Numbers(16_583_312_548_997_046_535));
    // Near enough for a difference to cross it, but not for f32 to.
    assert!((2e-6..3e-6).contains(&case.derivatives(&spec).margin));
    check_case(&spec, &case, DERIVATIVES);
}

/// Of multiples of 1/4 sums are exact in f32, so that many are on a kink itself, or as far from it as the bias says.
#[test]
fn on_kinks_and_either_side() {
    let huber = Loss::Huber { delta: 0.5 };
    let rectified = sample::network(4, &[(11, RELU)], &[(3, None, Loss::MeanSquared)]);
    let straight = sample::network(4, &[], &[(5, None, huber)]);
    let distance = 2_f64.powi(-20);
    for (number, nudge) in [0.0, distance, -distance].into_iter().enumerate() {
        for spec in [&rectified, &straight] {
            let mut case = Case::draw(spec, 13, &mut Numbers(number as u64));
            case.y = sample::targets(spec, 13, &mut Numbers(number as u64));
            for values in [&mut case.params, &mut case.x, &mut case.y] {
                values.iter_mut().for_each(|value| *value = (4.0 * *value).round() / 4.0);
            }
            let first = spec.layers().next().unwrap();
            let biases = &mut case.params[first.offset + first.weight_len()..][..first.bias_len()];
            biases.iter_mut().for_each(|bias| *bias += nudge);
            assert_eq!(case.derivatives(spec).margin, nudge.abs());
            check_case(spec, &case, DERIVATIVES);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        rows in 1_usize..36,
        inputs in 1_usize..20,
        hidden in prop::collection::vec((1_usize..45, 0_usize..5), 0..3),
        outputs in 1_usize..20,
        loss in 0_usize..4,
        seed: u64,
    ) {
        let hidden: Vec<_> = hidden.into_iter().map(|(units, a)| (units, ACTIVATIONS[a])).collect();
        let spec = sample::network(inputs, &hidden, &[(outputs, None, LOSSES[loss])]);
        check(&spec, rows, seed);
    }

    #[test]
    fn any_mixture(rows in 1_usize..9, experts in 1_u8..5, units in 1_usize..20, a in 0_usize..5, loss in 0_usize..4, seed: u64) {
        let activations = [IDENTITY, ACTIVATIONS[a], ACTIVATIONS[(a + 2) % 5]];
        check_within(&mixtures(experts, units, activations, LOSSES[loss]), rows, seed, OF_MIXTURES);
    }
}

/// Small images through every kind of layer.
fn images(shape: Shape, backbone: &[Layer], heads: &[Layer], loss: Loss) -> NetworkSpec {
    let head =
        Head { name: Name::try_from("class").unwrap(), layers: heads.iter().copied().collect(), loss, weight: 1.0 };
    let spec = NetworkSpec {
        input: Input::image(shape),
        backbone: backbone.iter().copied().collect(),
        heads: [head].into_iter().collect(),
    };
    assert_eq!(spec.check(), Ok(()));
    spec
}

const SILU: Activation = Activation::Silu;
const RELU: Activation = Activation::Relu;
const IDENTITY: Activation = Activation::Identity;

fn dense(outputs: usize, activation: Activation) -> Layer {
    Layer::Dense { outputs, activation }
}

#[test]
fn convolutions_and_pools() {
    let convolution = |outputs, window, activation| Layer::Convolution { outputs, window, activation };
    let shape = Shape { height: 7, width: 6, channels: 2 };
    let pools =
        [Layer::MaxPool { window: Window::square(2, 2, 0) }, Layer::AveragePool { window: Window::square(3, 2, 1) }];
    for (number, pool) in pools.into_iter().enumerate() {
        for activation in [SILU, RELU] {
            let layers = [
                convolution(3, Window::square(3, 1, 1), activation),
                pool,
                convolution(4, Window { size: [3, 2], stride: [2, 1], padding: [1, 0] }, activation),
                Layer::Flatten,
            ];
            check(&images(shape, &layers, &[dense(3, IDENTITY)], Loss::CrossEntropy), 3, number as u64 + 1);
        }
    }
    let layers = [
        Layer::Depthwise { window: Window::square(3, 2, 1), activation: RELU },
        convolution(5, Window::square(1, 1, 0), SILU),
        Layer::GlobalAveragePool,
    ];
    check(&images(shape, &layers, &[dense(4, RELU), dense(2, IDENTITY)], Loss::MeanSquared), 4, 9);
}

#[test]
fn norms_residuals_and_contexts() {
    let convolution = |outputs, activation| Layer::Convolution { outputs, window: Window::square(3, 1, 1), activation };
    let shape = Shape { height: 4, width: 5, channels: 3 };
    for activation in [RELU, SILU] {
        let layers = [
            convolution(3, activation),
            Layer::LayerNorm { activation },
            convolution(3, IDENTITY),
            Layer::Residual { layers: 3, activation },
            Layer::LayerNorm { activation: IDENTITY },
            Layer::Residual { layers: 1, activation: IDENTITY },
            Layer::MaxPool { window: Window::square(3, 1, 1) },
            Layer::Flatten,
            Layer::Context { len: 4 },
        ];
        let head = [dense(5, activation), dense(5, activation), Layer::Residual { layers: 1, activation: IDENTITY }];
        let mut spec = images(shape, &layers, &[dense(3, IDENTITY)], Loss::CrossEntropy);
        check(&spec, 3, 4);
        // The first layer of a head may be gone around, and then so are the features that all heads share.
        spec.backbone.push(dense(5, activation)).unwrap();
        let around = [Layer::LayerNorm { activation }, Layer::Residual { layers: 1, activation }, dense(2, IDENTITY)];
        for (name, layers) in [("around", around), ("deep", [head[0], head[2], dense(2, IDENTITY)])] {
            let name = Name::try_from(name).unwrap();
            spec.heads
                .push(Head { name, layers: layers.into_iter().collect(), loss: Loss::MeanSquared, weight: 0.5 })
                .unwrap();
        }
        assert_eq!(spec.check(), Ok(()));
        check(&spec, 3, 5);
    }
}

/// Experts of a number of values, gates that are used by heads, and one that none uses.
fn mixtures(experts: u8, units: usize, activations: [Activation; 3], loss: Loss) -> NetworkSpec {
    let [below, first, last] = activations;
    let mixture = |gates, first, outputs, activation| Layer::Mixture { experts, gates, first, outputs, activation };
    let of_experts = |gates: usize| usize::from(experts) * (units + gates);
    let layers = [dense(of_experts(2), below), mixture(2, 0, 2, first), dense(of_experts(3), IDENTITY)];
    let mut spec = images(Shape::vector(3), &layers, &[mixture(3, 2, 1, last), dense(2, IDENTITY)], loss);
    // Of two values nothing is left by a layer norm but which is larger, and rounding.
    let norm = (units > 1).then_some(Layer::LayerNorm { activation: first });
    let both = [mixture(3, 0, 2, last)].into_iter().chain(norm).chain([dense(1, IDENTITY)]);
    let name = Name::try_from("both").unwrap();
    let other = Head { name, layers: both.collect(), loss: Loss::MeanSquared, weight: 0.5 };
    spec.heads.push(other).unwrap();
    assert_eq!(spec.check(), Ok(()));
    spec
}

#[test]
fn mixtures_of_experts() {
    for (number, activation) in ACTIVATIONS.into_iter().enumerate() {
        let seed = number as u64 + 1;
        check(&mixtures(1 + number as u8, 19 - 3 * number, [IDENTITY, activation, SILU], LOSSES[number % 4]), 5, seed);
    }
    // What comes in may be rectified itself, or be the input.
    check(&mixtures(3, 4, [RELU, RELU, RELU], Loss::CrossEntropy), 4, 6);
    let mixture = Layer::Mixture { experts: 2, gates: 1, first: 0, outputs: 1, activation: RELU };
    check(&images(Shape::vector(8), &[mixture], &[dense(2, IDENTITY)], Loss::MeanSquared), 3, 7);
}

#[test]
fn vectors_take_all_layers_that_are_not_for_images() {
    let layers = [
        dense(6, RELU),
        Layer::LayerNorm { activation: Activation::Tanh },
        Layer::Context { len: 3 },
        dense(6, SILU),
        Layer::Residual { layers: 1, activation: RELU },
        dense(6, RELU),
        Layer::Residual { layers: 2, activation: IDENTITY },
    ];
    let mut spec = images(Shape::vector(5), &layers[..4], &[dense(2, IDENTITY)], Loss::MeanSquared);
    check(&spec, 5, 1);
    spec.backbone = [dense(6, RELU), Layer::Residual { layers: 1, activation: RELU }, layers[0], layers[5], layers[6]]
        .into_iter()
        .collect();
    spec.input = Input::vector(6, sinew_models::spec::InputForm::Plain);
    assert_eq!(spec.check(), Ok(()));
    check(&spec, 5, 2);
}
