//! Every layer, activation and loss: outputs, gradients and Hessian-vector products against an f64 model and finite differences, on
//! every path of this machine.

use proptest::prelude::*;
use sinew_models::spec::{Activation, Loss, NetworkSpec};
use sinew_runtime::Path;
use sinew_runtime::kernel::dense::Update;
use sinew_runtime::network::{Destination, LayerSet, Network};
use sinew_tests::reference::{self, Dual, differences, relative_error};
use sinew_tests::sample::{self, ACTIVATIONS, LOSSES, Numbers, single};

/// Checks outputs, loss, gradient and one Hessian-vector product of `spec`, on every path.
fn check(spec: &NetworkSpec, rows: usize, seed: u64) {
    let mut numbers = Numbers(seed);
    let params = numbers.values(spec.param_len(), 0.6);
    let x = numbers.values(rows * spec.input.presented_len(), 1.5);
    let y = sample::targets(spec, rows, &mut numbers);
    let v = numbers.values(params.len(), 1.0);
    let (want_loss, want) = reference::gradient(spec, &params, &x, &y, rows);
    let h = 1e-5;
    let shifted = |t: f64| -> Vec<f64> { params.iter().zip(&v).map(|(p, v)| p + t * v).collect() };
    let above = reference::gradient(spec, &shifted(h), &x, &y, rows).1;
    let below = reference::gradient(spec, &shifted(-h), &x, &y, rows).1;
    let want_product: Vec<f64> = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * h)).collect();

    for path in Path::available() {
        let network = Network::new(spec, path).unwrap();
        let (params, x, y, v) = (single(&params), single(&x), single(&y), single(&v));
        let mut forward = vec![f32::NAN; network.forward_len(rows)];
        let mut backward = vec![f32::NAN; network.backward_len(rows)];
        let mut tangent = vec![f32::NAN; network.tangent_len(rows)];
        let mut panel = vec![f32::NAN; network.panel_len()];
        network.forward(&params, &x, rows, &mut forward, &mut panel);
        let name = path.name();

        let mut outputs = vec![f32::NAN; rows * network.output_len()];
        network.outputs(&forward, rows, &mut outputs);
        let duals: Vec<Dual> = params.iter().map(|p| Dual::constant(f64::from(*p))).collect();
        let want_outputs: Vec<f64> = (0..rows)
            .flat_map(|row| {
                let x: Vec<f64> =
                    x[row * network.input_len()..][..network.input_len()].iter().map(|x| f64::from(*x)).collect();
                reference::outputs(spec, &duals, &x).into_iter().map(|z| z.value)
            })
            .collect();
        let error = relative_error(&outputs, &want_outputs);
        assert!(error <= 5e-6, "outputs on {name}: {error}");

        let mut gradient = vec![f32::NAN; params.len()];
        let destination = Destination::Store { params: &params, gradient: &mut gradient, layers: LayerSet::ALL };
        let loss = network.gradient(destination, &x, rows, &y, &forward, &mut backward);
        assert!(
            (f64::from(loss) - want_loss).abs() <= 1e-5 * (1.0 + want_loss),
            "loss on {name}: {loss}, not {want_loss}"
        );
        assert!((loss - network.loss(&forward, rows, &y)).abs() <= 1e-6 * (1.0 + loss));
        let error = relative_error(&gradient, &want);
        assert!(error <= 1e-5, "gradient on {name}: {error}");

        let mut product = vec![f32::NAN; params.len()];
        let traces = (&forward[..], &backward[..]);
        let mut panel = vec![f32::NAN; network.panel_len()];
        network.hessian_vector(
            &params,
            &v,
            &x,
            rows,
            &y,
            traces,
            &mut tangent,
            &mut panel,
            &mut product,
            Update::Store,
        );
        let error = relative_error(&product, &want_product);
        assert!(error <= 1e-4, "Hessian-vector product on {name}: {error}");

        let mut twice = product.clone();
        network.hessian_vector(
            &params,
            &v,
            &x,
            rows,
            &y,
            traces,
            &mut tangent,
            &mut panel,
            &mut twice,
            Update::Add(1.0),
        );
        let doubled: Vec<f64> = product.iter().map(|p| 2.0 * f64::from(*p)).collect();
        assert!(relative_error(&twice, &doubled) <= 1e-6);

        let mut stepped = params.clone();
        let rates = vec![0.5; network.layer_count()];
        let step = Destination::Step { params: &mut stepped, rates: &rates };
        network.gradient(step, &x, rows, &y, &forward, &mut backward);
        let want_step: Vec<f64> =
            params.iter().zip(&gradient).map(|(p, g)| f64::from(*p) - 0.5 * f64::from(*g)).collect();
        let error = relative_error(&stepped, &want_step);
        assert!(error <= 1e-6, "step on {name}: {error}");
    }
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
fn the_reference_agrees_with_finite_differences() {
    for loss in LOSSES {
        let spec = sample::network(3, &[(4, Activation::Silu), (3, Activation::Tanh)], &[(2, None, loss)]);
        let mut numbers = Numbers(9);
        let params = numbers.values(spec.param_len(), 0.6);
        let x = numbers.values(9, 1.5);
        let y = sample::targets(&spec, 3, &mut numbers);
        let analytic = reference::gradient(&spec, &params, &x, &y, 3).1;
        let numeric = differences(&params, 1e-5, |p| {
            let duals: Vec<Dual> = p.iter().map(|p| Dual::constant(*p)).collect();
            reference::loss(&spec, &duals, &x, &y, 3).value
        });
        for (a, n) in analytic.iter().zip(&numeric) {
            assert!((a - n).abs() <= 1e-8, "{a} {n}");
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
        prop_assume!(spec.param_len() <= 1200);
        check(&spec, rows, seed);
    }
}
