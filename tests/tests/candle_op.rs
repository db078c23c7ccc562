//! Losses composed in candle over the network as one of its operations: values, and gradients with respect to parameters, inputs and
//! whatever else the loss has, against the same network in candle's own layers and against finite differences in f64.

mod oracle;

use std::sync::{Arc, Mutex};

use candle_core::{D, DType, Device, Error, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use sinew_models::spec::{Activation, Loss, NetworkSpec};
use sinew_runtime::Path;
use sinew_tests::networks;
use sinew_tests::reference::{self, Dual, differences, relative_error};
use sinew_tests::sample::{self, Numbers, single};
use sinew_trainer::engine::{CandleNetwork, Cpu, Depth};

const TASKS: usize = 2;
const ROWS: usize = 6;
const TOLERANCE: f64 = 1e-5;

/// A loss over the outputs or features of all tasks, `[tasks, rows, values]`, with variables of its own.
struct Composed {
    name: &'static str,
    depth: Depth,
    /// How many values its own variable has, by those of a row.
    own: fn(usize) -> usize,
    loss: fn(&Tensor, &Tensor) -> Result<Tensor>,
}

const LOSSES: [Composed; 4] = [
    Composed { name: "prototypes", depth: Depth::Features, own: |_| 1, loss: prototypes },
    Composed { name: "a ridge head", depth: Depth::Features, own: |_| 1, loss: ridge },
    Composed { name: "similarities", depth: Depth::Features, own: |width| width, loss: similarities },
    Composed { name: "uncertainties", depth: Depth::Outputs, own: |_| 2, loss: uncertainties },
];

/// Prototypical loss (Snell et al. 2017, eq. 2): two classes of two support rows and one query row each, and a temperature.
fn prototypes(features: &Tensor, temperature: &Tensor) -> Result<Tensor> {
    let (tasks, _, width) = features.dims3()?;
    let classes = features.reshape((tasks, 2, 3, width))?;
    let means = classes.narrow(2, 0, 2)?.mean(2)?;
    let query = classes.narrow(2, 2, 1)?;
    // Query of a class on the lines, class of a mean on the columns.
    let distances = query.broadcast_sub(&means.unsqueeze(1)?)?.sqr()?.sum(3)?;
    let logits = distances.neg()?.broadcast_mul(temperature)?.reshape((tasks * 2, 2))?;
    let own = Tensor::eye(2, features.dtype(), &Device::Cpu)?.repeat((tasks, 1))?;
    (oracle::log_sum_exp(&logits)? - (logits * own)?.sum_keepdim(1)?)?.mean_all()
}

/// A ridge head (Bertinetto et al. 2019, eq. 4) fitted to four support rows and judged on the other two; its λ is learned. The inverse is
/// Newton and Schulz's: X ← X(2 − AX).
fn ridge(features: &Tensor, strength: &Tensor) -> Result<Tensor> {
    let (tasks, rows, width) = features.dims3()?;
    let targets: Vec<f64> = (0..tasks * rows).map(|row| (1.7 * row as f64).sin()).collect();
    let targets = oracle::tensor(&targets, &[tasks, rows, 1], features.dtype())?;
    let (support, query) = (features.narrow(1, 0, 4)?.contiguous()?, features.narrow(1, 4, rows - 4)?.contiguous()?);
    let turned = support.t()?.contiguous()?;
    let eye = Tensor::eye(width, features.dtype(), &Device::Cpu)?.unsqueeze(0)?.repeat((tasks, 1, 1))?;
    let lambda = (strength.sqr()? + 0.2)?;
    let a = (turned.matmul(&support)? + eye.broadcast_mul(&lambda)?)?;
    let trace = (&a * &eye)?.sum_keepdim(D::Minus1)?.sum_keepdim(D::Minus2)?;
    let mut inverse = eye.broadcast_div(&trace)?;
    for _ in 0..16 {
        inverse = ((&inverse * 2.0)? - inverse.matmul(&a)?.matmul(&inverse)?)?;
    }
    let head = inverse.matmul(&turned)?.matmul(&targets.narrow(1, 0, 4)?.contiguous()?)?;
    (query.matmul(&head)? - targets.narrow(1, 4, rows - 4)?)?.sqr()?.mean_all()
}

/// Pairs of rows, alike or not, by a weighted L1 distance of their features (Koch et al. 2015).
fn similarities(features: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (tasks, rows, _) = features.dims3()?;
    let pairs = rows / 2;
    let distance = (features.narrow(1, 0, pairs)? - features.narrow(1, pairs, pairs)?)?.abs()?;
    let logits = (distance.broadcast_mul(weights)?.sum(2)? + 0.3)?;
    let alike: Vec<f64> = (0..tasks * pairs).map(|pair| (pair % 2) as f64).collect();
    let alike = oracle::tensor(&alike, &[tasks, pairs], features.dtype())?;
    let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    ((logits.relu()? - (&logits * alike)?)? + tail)?.mean_all()
}

/// Two tasks at once, weighted by learned uncertainties (Kendall et al. 2018, eq. 7): Σ exp(−s) L + s.
fn uncertainties(outputs: &Tensor, s: &Tensor) -> Result<Tensor> {
    let width = outputs.dim(2)?;
    let first = (outputs.narrow(2, 0, 1)? - 0.4)?.sqr()?.mean_all()?;
    let second = (outputs.narrow(2, 1, width - 1)? + 0.2)?.sqr()?.mean_all()?;
    let losses = Tensor::stack(&[first, second], 0)?;
    ((s.neg()?.exp()? * losses)? + s)?.sum_all()
}

/// A network with parameters, inputs and the own variable of a loss, `[tasks, …]` but for the last.
struct Case {
    spec: NetworkSpec,
    shared: bool,
    params: Vec<f64>,
    inputs: Vec<f64>,
    own: Vec<f64>,
}

/// A loss, and its gradients with respect to parameters, inputs and its own variable.
struct Gradients<T> {
    loss: f64,
    params: Vec<T>,
    inputs: Vec<T>,
    own: Vec<T>,
}

impl Case {
    fn new(spec: NetworkSpec, composed: &Composed, shared: bool, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let sets = if shared { 1 } else { TASKS };
        let params = numbers.values(sets * spec.param_len(), 0.6);
        let inputs = numbers.values(TASKS * ROWS * spec.input.presented_len(), 1.5);
        let width = if composed.depth == Depth::Outputs { spec.output_len() } else { spec.feature_len() };
        let own = numbers.values((composed.own)(width), 0.5).iter().map(|value| value + 0.7).collect();
        Self { spec, shared, params, inputs, own }
    }

    fn params_shape(&self) -> Vec<usize> {
        let len = self.spec.param_len();
        if self.shared { vec![len] } else { vec![TASKS, len] }
    }

    fn inputs_shape(&self) -> [usize; 3] {
        [TASKS, ROWS, self.spec.input.presented_len()]
    }

    /// By candle's own layers in f64.
    fn by_layers(&self, composed: &Composed) -> Result<Gradients<f64>> {
        let sets: Vec<Vec<Var>> = self
            .params
            .chunks_exact(self.spec.param_len())
            .map(|params| oracle::variables(&self.spec, params, DType::F64))
            .collect::<Result<_>>()?;
        let inputs = Var::from_tensor(&oracle::tensor(&self.inputs, &self.inputs_shape(), DType::F64)?)?;
        let own = Var::from_tensor(&oracle::tensor(&self.own, &[self.own.len()], DType::F64)?)?;
        let task = |number: usize| -> Result<Tensor> {
            let params = &sets[if self.shared { 0 } else { number }];
            let (features, heads) = oracle::features_and_outputs(&self.spec, params, &inputs.get(number)?)?;
            if composed.depth == Depth::Features { Ok(features) } else { Tensor::cat(&heads, 1) }
        };
        let values = Tensor::stack(&(0..TASKS).map(task).collect::<Result<Vec<_>>>()?, 0)?;
        let loss = (composed.loss)(&values, &own)?;
        let store = loss.backward()?;
        // Of heads that take no part there is none.
        let gradient = |of: &Tensor| store.get(of).map_or_else(|| of.zeros_like(), |gradient| Ok(gradient.clone()));
        let params: Vec<Tensor> = sets.iter().flatten().map(|var| gradient(var)).collect::<Result<_>>()?;
        Ok(Gradients {
            loss: oracle::scalar(&loss)?,
            params: oracle::flat(&params)?,
            inputs: oracle::flat([&gradient(&inputs)?])?,
            own: oracle::flat([&gradient(&own)?])?,
        })
    }

    /// By differences of the f64 model; candle computes the loss, but no gradient.
    fn by_differences(&self, composed: &Composed) -> Gradients<f64> {
        let loss = |params: &[f64], inputs: &[f64], own: &[f64]| -> f64 {
            let [_, _, presented] = self.inputs_shape();
            let sets = params.chunks_exact(self.spec.param_len()).cycle();
            let mut values = Vec::new();
            for (params, rows) in sets.zip(inputs.chunks_exact(ROWS * presented)) {
                let duals: Vec<Dual> = params.iter().map(|param| Dual::constant(*param)).collect();
                for x in rows.chunks_exact(presented) {
                    match composed.depth {
                        Depth::Features => values.extend(reference::features(&self.spec, params, x)),
                        Depth::Outputs => {
                            values.extend(reference::outputs(&self.spec, &duals, x).iter().map(|z| z.value));
                        }
                    }
                }
            }
            let values = oracle::tensor(&values, &[TASKS, ROWS, values.len() / (TASKS * ROWS)], DType::F64).unwrap();
            let own = oracle::tensor(own, &[own.len()], DType::F64).unwrap();
            (composed.loss)(&values, &own).and_then(|loss| oracle::scalar(&loss)).unwrap()
        };
        let Self { params, inputs, own, .. } = self;
        const STEP: f64 = 1e-5;
        Gradients {
            loss: loss(params, inputs, own),
            params: differences(params, STEP, |params| loss(params, inputs, own)),
            inputs: differences(inputs, STEP, |inputs| loss(params, inputs, own)),
            own: differences(own, STEP, |own| loss(params, inputs, own)),
        }
    }

    /// By the engine, in f32. The loss itself is in f64, so that what is seen is the rounding of the engine.
    fn by_engine(&self, composed: &Composed, path: Path, threads: usize) -> Result<Gradients<f32>> {
        let network = network(&self.spec, path, threads);
        let variable =
            |values: &[f64], shape: &[usize], dtype| Var::from_tensor(&oracle::tensor(values, shape, dtype)?);
        let params = variable(&self.params, &self.params_shape(), DType::F32)?;
        let inputs = variable(&self.inputs, &self.inputs_shape(), DType::F32)?;
        let own = variable(&self.own, &[self.own.len()], DType::F64)?;
        let loss = |params: &Tensor, inputs: &Tensor| {
            let values = match composed.depth {
                Depth::Features => network.features(params, inputs)?,
                Depth::Outputs => network.outputs(params, inputs)?,
            };
            (composed.loss)(&values.to_dtype(DType::F64)?, &own)
        };
        let all = loss(&params, &inputs)?;
        let store = all.backward()?;
        let gradient = |of: &Tensor| flat(store.get(of).unwrap_or_else(|| panic!("{}: none came back", composed.name)));
        let all = Gradients {
            loss: oracle::scalar(&all)?,
            params: gradient(&params)?,
            inputs: gradient(&inputs)?,
            own: gradient(&own)?,
        };

        // Inputs that nobody asks about get none, and change nothing; so it is with parameters.
        let (constant_params, constant_inputs) = (params.as_detached_tensor(), inputs.as_detached_tensor());
        let store = loss(&params, &constant_inputs)?.backward()?;
        assert!(store.get(&constant_inputs).is_none());
        assert_eq!(flat(store.get(&params).unwrap())?, all.params);
        let store = loss(&constant_params, &inputs)?.backward()?;
        assert!(store.get(&constant_params).is_none());
        assert_eq!(flat(store.get(&inputs).unwrap())?, all.inputs);
        Ok(all)
    }
}

fn network(spec: &NetworkSpec, path: Path, threads: usize) -> CandleNetwork<Cpu> {
    CandleNetwork::new(Arc::new(Mutex::new(Cpu::on(path, spec, threads).unwrap())))
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// The engine's loss and gradients are those of `want` on every path, and the same bits for any number of threads.
fn check(what: &str, case: &Case, composed: &Composed, want: &Gradients<f64>) {
    for path in Path::available() {
        let [got, two] = [1, 2].map(|threads| case.by_engine(composed, path, threads).unwrap());
        let what = format!("{what}, {} on {}", composed.name, path.name());
        let error = (got.loss - want.loss).abs() / (1.0 + want.loss.abs());
        assert!(error <= TOLERANCE, "loss of {what}: {error}");
        for (of, got, two, want) in
            [("parameters", &got.params, &two.params, &want.params), ("inputs", &got.inputs, &two.inputs, &want.inputs)]
        {
            let error = relative_error(got, want);
            assert!(error <= TOLERANCE, "{of} of {what}: {error}");
            assert_eq!(got, two, "threads change bits of {what}");
        }
        // Sums over all rows in which much cancels: the error is one beside the addends.
        for (got, want) in got.own.iter().zip(&want.own) {
            let error = (f64::from(*got) - want).abs() / (1.0 + want.abs());
            assert!(error <= TOLERANCE, "the variable of {what}: {error}");
        }
        assert_eq!(got.own, two.own, "threads change bits of {what}");
    }
}

#[test]
fn composed_losses_have_the_gradients_of_candles_own_layers() {
    for (number, (name, spec)) in networks::all().into_iter().enumerate() {
        for composed in &LOSSES {
            for shared in [true, false] {
                let case = Case::new(spec.clone(), composed, shared, number as u64 + 1);
                if case.spec.backbone.is_empty() && composed.depth == Depth::Features {
                    continue;
                }
                let want = case.by_layers(composed).unwrap();
                check(&format!("{name}, shared {shared}"), &case, composed, &want);
            }
        }
    }
}

#[test]
fn composed_losses_have_the_gradients_of_finite_differences() {
    let exact = ["curved, two heads", "convolutions and pools", "norms, a residual and a context"];
    for (name, spec) in networks::all().into_iter().filter(|(name, _)| exact.contains(name)) {
        for composed in &LOSSES {
            let case = Case::new(spec.clone(), composed, true, 21);
            check(name, &case, composed, &case.by_differences(composed));
        }
    }
}

/// A loss of `spec` itself, written in candle, over outputs: what the engine's own loss gives, which other tests hold against f64.
#[test]
fn rows_may_come_without_tasks_and_tensors_in_any_layout() -> Result<()> {
    let (_, spec) = networks::all().swap_remove(0);
    let composed = Composed { name: "squares", depth: Depth::Outputs, own: |_| 1, loss: |z, _| z.sqr()?.mean_all() };
    let case = Case::new(spec, &composed, true, 4);
    let network = network(&case.spec, Path::detect(), 1);
    let [_, _, presented] = case.inputs_shape();
    let params = Var::from_tensor(&oracle::tensor(&case.params, &case.params_shape(), DType::F32)?)?;
    let rows = oracle::tensor(&case.inputs, &[TASKS * ROWS, presented], DType::F32)?;
    let gradient = |params: &Tensor, inputs: &Tensor, of: &Tensor| -> Result<(Tensor, Vec<f32>)> {
        let outputs = network.outputs(params, inputs)?;
        let store = outputs.sqr()?.mean_all()?.backward()?;
        Ok((outputs, flat(store.get(of).expect("it is a variable"))?))
    };
    let (outputs, want) = gradient(&params, &rows, &params)?;
    assert_eq!(outputs.dims(), [TASKS * ROWS, case.spec.output_len()]);
    assert!(want.iter().any(|value| *value != 0.0));

    // Inputs that lie column by column, and then some that begin in the middle of a larger tensor.
    let turned = rows.t()?.contiguous()?.t()?;
    assert!(!turned.is_contiguous());
    assert_eq!(gradient(&params, &turned, &params)?.1, want);
    let middle = Tensor::cat(&[&rows, &rows], 0)?.narrow(0, TASKS * ROWS, TASKS * ROWS)?;
    assert_eq!(gradient(&params, &middle, &params)?.1, want);

    // Parameters that candle computed: every other value of a longer variable.
    let spread = Var::from_tensor(&Tensor::stack(&[params.as_tensor(), &params.zeros_like()?], 1)?)?;
    let every_other = spread.narrow(1, 0, 1)?.squeeze(1)?;
    assert!(!every_other.is_contiguous());
    let (_, got) = gradient(&every_other, &rows, &spread)?;
    let (own, others): (Vec<f32>, Vec<f32>) = got.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip();
    assert_eq!(own, want);
    assert!(others.iter().all(|value| *value == 0.0));

    // No rows, no outputs, and a gradient of 0.
    let none = network.outputs(&params, &Tensor::zeros((TASKS, 0, presented), DType::F32, &Device::Cpu)?)?;
    assert_eq!(none.dims(), [TASKS, 0, case.spec.output_len()]);
    Ok(())
}

#[test]
fn a_network_of_no_backbone_has_its_inputs_for_features() -> Result<()> {
    let (_, spec) = networks::all().into_iter().find(|(_, spec)| spec.backbone.is_empty()).expect("there is one");
    let network = network(&spec, Path::detect(), 1);
    let params = Var::zeros(spec.param_len(), DType::F32, &Device::Cpu)?;
    let inputs = Var::from_tensor(&oracle::tensor(&Numbers(3).values(20, 1.0), &[5, 4], DType::F32)?)?;
    let features = network.features(&params, &inputs)?;
    assert_eq!(flat(&features)?, flat(&inputs)?);
    let store = features.sqr()?.sum_all()?.backward()?;
    assert_eq!(flat(store.get(&inputs).expect("it is a variable"))?, flat(&(inputs.as_tensor() * 2.0)?)?);
    assert!(flat(store.get(&params).expect("it is a variable"))?.iter().all(|value| *value == 0.0));
    Ok(())
}

/// What an error says must name what is wrong and what would be right.
fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("it was accepted") };
    let said = error.to_string();
    assert!(words.iter().all(|word| said.contains(word)), "{said} does not say {words:?}");
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (_, spec) = networks::all().swap_remove(0);
    let (len, presented) = (spec.param_len(), spec.input.presented_len());
    let network = network(&spec, Path::detect(), 1);
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let (params, inputs) = (zeros(&[len])?, zeros(&[2, 3, presented])?);
    let own = len.to_string();
    for (params, inputs) in [
        (zeros(&[len + 1])?, inputs.clone()),
        (params.clone(), zeros(&[2, 3, presented + 1])?),
        (params.clone(), zeros(&[presented])?),
        (zeros(&[3, len])?, inputs.clone()),
        // One task's parameters or two? It must be said.
        (zeros(&[2, len])?, zeros(&[3, presented])?),
    ] {
        refused(network.outputs(&params, &inputs), &["expected", &own, &format!("{:?}", inputs.dims())]);
    }
    refused(network.outputs(&params.to_dtype(DType::F64)?, &inputs), &["parameters", "F64", "F32"]);
    refused(network.features(&params, &inputs.to_dtype(DType::F16)?), &["inputs", "F16", "F32"]);
    network.outputs(&params, &inputs)?;
    Ok(())
}

/// Where candle would go back through a gradient of the network, it is told that there is no way: nothing is dropped.
#[test]
fn there_is_no_second_order() -> Result<()> {
    let (_, spec) = networks::all().swap_remove(1);
    let network = network(&spec, Path::detect(), 1);
    let mut numbers = Numbers(8);
    let mut variable = |shape: &[usize]| {
        let values = numbers.values(shape.iter().product(), 0.8);
        Var::from_tensor(&oracle::tensor(&values, shape, DType::F32)?)
    };
    let (params, inputs) = (variable(&[spec.param_len()])?, variable(&[3, spec.input.presented_len()])?);
    let store = network.outputs(&params, &inputs)?.sqr()?.sum_all()?.backward()?;
    for variable in [&params, &inputs] {
        let gradient = store.get(variable).expect("it is a variable");
        let again = gradient.sqr()?.sum_all()?.backward();
        assert!(again.is_err_and(|error| matches!(error, Error::BackwardNotSupported { .. })));
    }
    Ok(())
}

/// Tasks of two classes that differ in two of eight inputs, the others are noise: two support rows and one query row of each.
fn episodes(tasks: usize, numbers: &mut Numbers) -> Result<Tensor> {
    let mut rows = Vec::new();
    for _ in 0..tasks {
        let centre = [numbers.next_value(), numbers.next_value()];
        for sign in [1.0, -1.0] {
            for _ in 0..3 {
                let told =
                    centre.map(|centre| sign * centre.signum() * (0.5 + centre.abs()) + 0.2 * numbers.next_value());
                rows.extend(told);
                rows.extend(numbers.values(6, 2.0));
            }
        }
    }
    oracle::tensor(&rows, &[tasks, 6, 8], DType::F32)
}

#[test]
fn prototypes_are_learned() -> Result<()> {
    let hidden = [(32, Activation::Relu), (16, Activation::Identity)];
    let spec = sample::network(8, &hidden, &[(1, None, Loss::MeanSquared)]);
    let network = network(&spec, Path::detect(), 2);
    let mut numbers = Numbers(5);
    let start = single(&numbers.values(spec.param_len(), 0.3));
    let params = Var::from_slice(&start, start.len(), &Device::Cpu)?;
    let temperature = Tensor::ones(1, DType::F32, &Device::Cpu)?;
    let held_back = episodes(200, &mut Numbers(6))?;
    let loss = |rows: &Tensor| prototypes(&network.features(&params, rows)?, &temperature);
    let before = oracle::scalar(&loss(&held_back)?)?;
    let mut adam = AdamW::new(vec![params.clone()], ParamsAdamW { lr: 0.01, ..ParamsAdamW::default() })?;
    for _ in 0..60 {
        adam.backward_step(&loss(&episodes(32, &mut numbers)?)?)?;
    }
    let after = oracle::scalar(&loss(&held_back)?)?;
    // Guessing costs ln 2.
    assert!(after <= 0.3 && after <= 0.4 * before, "{before} before, {after} after");
    Ok(())
}
