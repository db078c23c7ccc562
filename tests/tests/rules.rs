//! Every rule, through an adapter and on every path, against a model of it in f64.

use nalgebra::{DMatrix, DVector};
use sinew_models::bundle::{RULE_FORGETTING, RULE_LOGIT};
use sinew_models::layout::Place;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Input, InputForm, Layer, Loss, NetworkSpec};
use sinew_runtime::{Adapter, Bundle, Guard, Outcome, Path, VarianceError};
use sinew_tests::bundle::{Parts, several_heads};
use sinew_tests::reference::{self, relative_error};
use sinew_tests::rules::{camera, classes, contexts, dense, head, linear_heads, network, similarity};
use sinew_tests::sample::{self, Numbers};

const TANH: Activation = Activation::Tanh;
const IDENTITY: Activation = Activation::Identity;

/// Runs `check` with an adapter of `parts`, on every path.
fn on_every_path(parts: &Parts, capacity: usize, mut check: impl FnMut(Path, &mut Adapter<'_>)) {
    let bytes = parts.bytes();
    let bundle = Bundle::parse(&bytes).unwrap_or_else(|error| panic!("{error}"));
    for path in Path::available() {
        let mut memory = vec![f32::NAN; Adapter::memory_len_on(path, &bundle, capacity).unwrap()];
        check(path, &mut Adapter::new_on(path, &bundle, capacity, &mut memory).unwrap());
    }
}

fn observe(adapter: &mut Adapter<'_>, (x, y): (&[f32], &[f32])) {
    for (x, y) in x.chunks(adapter.input_len()).zip(y.chunks(adapter.output_len())) {
        adapter.observe(x, y).unwrap();
    }
}

fn predict(adapter: &mut Adapter<'_>, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / adapter.input_len() * adapter.output_len()];
    adapter.predict(x, &mut y).unwrap();
    y
}

#[track_caller]
fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    let error = relative_error(got, want);
    assert!(error <= tolerance, "{what}: {error}");
}

/// Adapts on `rows` samples and compares parameters and predictions with descent in f64.
fn check_descent(parts: &Parts, capacity: usize, rows: usize, steps: usize) {
    let (x, y) = parts.samples(rows, 2);
    let newest = rows.min(capacity);
    let (inputs, outputs) = (parts.network.input.len, parts.network.output_len());
    let (new_x, new_y) = (&x[(rows - newest) * inputs..], &y[(rows - newest) * outputs..]);
    let want = parts.adapted(steps, new_x, new_y);
    let answers = parts.predictions(&want, new_x, new_x);
    assert!(relative_error(&parts.parameters, &want) >= 1e-3, "a test that moves nothing shows nothing");
    on_every_path(parts, capacity, |path, adapter| {
        let case = format!("{:?} on {}", parts.rule, path.name());
        adapter.set_guard(Guard::Finite);
        adapter.set_steps(steps);
        observe(adapter, (&x, &y));
        let report = adapter.adapt(|| false).unwrap();
        assert_eq!((report.outcome, report.steps), (Outcome::Committed, steps), "{case}");
        close(adapter.parameters(), &want, 5e-6, &case);
        close(&predict(adapter, new_x), &answers, 1e-5, &case);
        // One after the other, as they came, is as good as all at once.
        adapter.reset();
        for row in 0..rows {
            observe(adapter, (&x[row * inputs..][..inputs], &y[row * outputs..][..outputs]));
            if row % 3 == 0 {
                adapter.adapt(|| false).unwrap();
            }
        }
        adapter.adapt(|| false).unwrap();
        close(adapter.parameters(), &want, 5e-6, &case);
    });
}

#[test]
fn momentum_is_polyaks() {
    for rate in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
        for scope in [Scope::All, Scope::Heads, Scope::Layers([1, 3].into_iter().collect())] {
            let rule = Rule::Gradient { steps: 3, rate, scope, momentum: true };
            let parts = Parts::new(several_heads(InputForm::Both), rule, 0.1, 1);
            check_descent(&parts, 6, 6, 3);
            // Past the last row of the rates, and with a ring that has gone round.
            check_descent(&parts, 5, 8, 5);
        }
    }
}

#[test]
fn contexts_alone_adapt() {
    for (rate, form) in [(Rate::Constant, InputForm::Plain), (Rate::PerLayerStep, InputForm::Relative)] {
        for momentum in [false, true] {
            let rule = Rule::Gradient { steps: 3, rate, scope: Scope::Contexts, momentum };
            let parts = Parts::new(contexts(form), rule, 0.4, 3);
            check_descent(&parts, 8, 6, 3);
            let (x, y) = parts.samples(6, 2);
            on_every_path(&parts, 8, |path, adapter| {
                observe(adapter, (&x, &y));
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed);
                for layer in parts.network.layers() {
                    let range = layer.offset..layer.offset + layer.param_len();
                    let stays = adapter.parameters()[range.clone()] == parts.parameters[range];
                    let context = matches!(layer.layer, Layer::Context { .. });
                    assert_eq!(stays, !context, "{layer:?} on {}", path.name());
                }
            });
        }
    }
}

#[test]
fn many_units_of_work_are_one_step() {
    for (scope, momentum) in [
        (Scope::All, false),
        (Scope::All, true),
        (Scope::Heads, false),
        (Scope::Layers([1, 5].into_iter().collect()), false),
        (Scope::Layers([2].into_iter().collect()), true),
    ] {
        let rule = Rule::Gradient { steps: 2, rate: Rate::PerLayerStep, scope: scope.clone(), momentum };
        let parts = Parts::new(camera(), rule, 0.2, 1);
        on_every_path(&parts, 7, |_, adapter| {
            let budget = adapter.budget();
            assert!(budget.unit_rows < 7, "{budget:?}");
            assert!(scope != Scope::All || budget.unit_rows_behind < 7, "{budget:?}");
        });
        check_descent(&parts, 7, 7, 2);
    }
    let rule = Rule::Gradient { steps: 2, rate: Rate::PerParameter, scope: Scope::All, momentum: false };
    check_descent(&Parts::new(camera(), rule, 0.2, 2), 6, 8, 2);
}

/// One output that a linear function of the features fits well.
fn one_head() -> NetworkSpec {
    network(
        Input::vector(3, InputForm::Plain),
        &[dense(5, TANH)],
        vec![head("pull", &[dense(2, IDENTITY)], Loss::MeanSquared)],
    )
}

/// Least squares in f64: heads as W `[F̃, outputs]`, rows as `[rows, F̃]`.
struct Regression<'a> {
    parts: &'a Parts,
    /// Of each output, factor and addend.
    logit: Vec<[f64; 2]>,
    start: DMatrix<f64>,
}

impl<'a> Regression<'a> {
    fn new(parts: &'a Parts) -> Self {
        let outputs = parts.network.output_len();
        let mut with_names = parts.clone();
        let logit = match parts.rule {
            Rule::Ridge { .. } => {
                with_names.tensor(RULE_LOGIT).chunks(2).map(|pair| [f64::from(pair[0]), f64::from(pair[1])]).collect()
            }
            _ => vec![[1.0, 0.0]; outputs],
        };
        let mut regression = Self { parts, logit, start: DMatrix::zeros(parts.network.feature_len() + 1, outputs) };
        let start = parts.start();
        for (column, places) in regression.places().into_iter().enumerate() {
            let [factor, addend] = regression.logit[column];
            for (row, place) in places.iter().enumerate() {
                let addend = if row + 1 == places.len() { addend } else { 0.0 };
                regression.start[(row, column)] = (start[*place] - addend) / factor;
            }
        }
        regression
    }

    /// Of each output, where its weights and then its bias are among all parameters.
    fn places(&self) -> Vec<Vec<usize>> {
        let heads = self.parts.network.layers().filter(|layer| layer.place != Place::Backbone);
        heads
            .flat_map(|layer| {
                (0..layer.outputs()).map(move |o| {
                    let weights = layer.offset + o * layer.inputs()..layer.offset + (o + 1) * layer.inputs();
                    weights.chain([layer.offset + layer.weight_len() + o]).collect()
                })
            })
            .collect()
    }

    /// Features with a 1 behind them, and targets.
    fn rows(&self, (x, y): (&[f32], &[f32]), support: &[f32]) -> (DMatrix<f64>, DMatrix<f64>) {
        let features = self.parts.features(x, support);
        let (rows, len) = (features.len(), self.parts.network.feature_len());
        let phi = DMatrix::from_fn(rows, len + 1, |r, i| if i < len { features[r][i] } else { 1.0 });
        let y = self.parts.scaled(y);
        (phi, DMatrix::from_row_slice(rows, y.len() / rows, &y))
    }

    /// All parameters with these heads.
    fn parameters(&self, w: &DMatrix<f64>) -> Vec<f64> {
        let mut parameters = self.parts.start();
        for (column, places) in self.places().into_iter().enumerate() {
            let [factor, addend] = self.logit[column];
            for (row, place) in places.iter().enumerate() {
                let addend = if row + 1 == places.len() { addend } else { 0.0 };
                parameters[*place] = factor * w[(row, column)] + addend;
            }
        }
        parameters
    }

    /// Λ₀.
    fn prior(&self) -> DMatrix<f64> {
        let unknowns = self.start.nrows();
        match self.parts.rule {
            Rule::Ridge { .. } => DMatrix::identity(unknowns, unknowns) * f64::from(self.parts.numbers[0]),
            _ => self.factor().transpose() * self.factor(),
        }
    }

    /// R₀.
    fn factor(&self) -> DMatrix<f64> {
        let unknowns = self.start.nrows();
        match self.parts.rule {
            Rule::Ridge { .. } => DMatrix::identity(unknowns, unknowns) * f64::from(self.parts.numbers[0]).sqrt(),
            _ => DMatrix::from_fn(unknowns, unknowns, |r, c| {
                if r <= c { f64::from(self.parts.numbers[r * unknowns + c]) } else { 0.0 }
            }),
        }
    }

    /// Posterior precision and mean after rows that each count γ^age.
    fn batch(&self, phi: &DMatrix<f64>, y: &DMatrix<f64>, forgetting: f64) -> (DMatrix<f64>, DMatrix<f64>) {
        let rows = phi.nrows();
        let counts = DMatrix::from_diagonal(&DVector::from_fn(rows, |r, _| forgetting.powi((rows - 1 - r) as i32)));
        let precision = self.prior() + phi.transpose() * &counts * phi;
        let error = y - phi * &self.start;
        let change = precision.clone().cholesky().unwrap().solve(&(phi.transpose() * counts * error));
        (precision, &self.start + change)
    }
}

#[test]
fn ridge_regression_is_least_squares_toward_the_prior() {
    for form in [InputForm::Plain, InputForm::Both] {
        let mut parts = Parts::new(linear_heads(form), Rule::Ridge { recursive: false }, 0.0, 1);
        parts.network.heads[1].weight = 0.5;
        let regression = Regression::new(&parts);
        // The dual and the primal problem: up to 6 rows, and more.
        for (capacity, rows) in [(12, 1), (12, 4), (12, 6), (12, 7), (12, 12), (5, 9)] {
            let ((x, y), (new, _)) = (parts.samples(rows, 2), parts.samples(5, 3));
            let kept = rows.min(capacity);
            let (x_kept, y_kept) = (&x[(rows - kept) * 3..], &y[(rows - kept) * 6..]);
            let (phi, targets) = regression.rows((x_kept, y_kept), x_kept);
            let want = regression.parameters(&regression.batch(&phi, &targets, 1.0).1);
            let answers = parts.predictions(&want, &new, x_kept);
            on_every_path(&parts, capacity, |path, adapter| {
                let case = format!("{form:?}, {rows} rows on {}", path.name());
                adapter.set_guard(Guard::Finite);
                observe(adapter, (&x, &y));
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, kept), "{case}");
                close(adapter.parameters(), &want, 2e-5, &case);
                close(&predict(adapter, &new), &answers, 2e-5, &case);
            });
        }
    }
}

#[test]
fn ridge_regression_does_not_learn_what_is_held_back() {
    let parts = Parts::new(one_head(), Rule::Ridge { recursive: false }, 0.0, 5);
    let regression = Regression::new(&parts);
    // Full and not full, the held-back rows at the end of the ring, around it, and at its beginning.
    for (capacity, rows) in [(12, 8), (9, 9), (9, 10), (9, 13), (5, 5), (5, 6)] {
        let (x, y) = parts.samples(rows, 2);
        let kept = rows.min(capacity);
        let (x, y) = (&x[(rows - kept) * 3..], &y[(rows - kept) * 2..]);
        let learn = kept - 2;
        let (phi, targets) = regression.rows((&x[..learn * 3], &y[..learn * 2]), x);
        let want = regression.parameters(&regression.batch(&phi, &targets, 1.0).1);
        let held_back = (&x[learn * 3..], &y[learn * 2..]);
        let (before, after) = (parts.loss(&parts.start(), held_back, x), parts.loss(&want, held_back, x));
        let (all_x, all_y) = parts.samples(rows, 2);
        on_every_path(&parts, capacity, |path, adapter| {
            let case = format!("{rows} rows of {capacity} on {}", path.name());
            adapter.set_guard(Guard::HeldBack(2));
            observe(adapter, (&all_x, &all_y));
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!(report.steps, learn, "{case}");
            assert!((f64::from(report.loss_before) - before).abs() <= 1e-5 * (1.0 + before), "{case}: {report:?}");
            assert!(
                (f64::from(report.loss_after) - after).abs() <= 1e-4 * (1.0 + after),
                "{case}: {report:?}, {after}"
            );
            if after <= before {
                assert_eq!(report.outcome, Outcome::Committed, "{case}");
                close(adapter.parameters(), &want, 2e-5, &case);
            } else {
                assert_eq!(report.outcome, Outcome::Worse, "{case}");
                assert_eq!(adapter.parameters(), parts.parameters, "{case}");
            }
        });
    }
}

#[test]
fn ridge_regression_does_not_learn_from_a_huge_row_that_is_held_back() {
    // Without a backbone the features are the inputs, however large.
    let spec =
        network(Input::vector(3, InputForm::Plain), &[], vec![head("pull", &[dense(2, IDENTITY)], Loss::MeanSquared)]);
    let parts = Parts::new(spec, Rule::Ridge { recursive: false }, 0.0, 5);
    let regression = Regression::new(&parts);
    for rows in [3, 9] {
        let (mut x, mut y) = parts.samples(rows, 2);
        x[(rows - 1) * 3..].fill(1e12);
        y[(rows - 1) * 2..].fill(-1e12);
        let (phi, targets) = regression.rows((&x[..(rows - 1) * 3], &y[..(rows - 1) * 2]), &[]);
        let want = regression.parameters(&regression.batch(&phi, &targets, 1.0).1);
        let judge = (&x[(rows - 1) * 3..], &y[(rows - 1) * 2..]);
        let losses = [&parts.start(), &want].map(|at| parts.loss(at, judge, &[]));
        on_every_path(&parts, 12, |path, adapter| {
            adapter.set_guard(Guard::HeldBack(1));
            observe(adapter, (&x, &y));
            let report = adapter.adapt(|| false).unwrap();
            let after = f64::from(report.loss_after);
            assert!((after - losses[1]).abs() <= 1e-3 * losses[1], "{report:?} {losses:?} on {}", path.name());
        });
    }
}

#[test]
fn sample_by_sample_is_all_at_once() {
    for rule in [Rule::Ridge { recursive: true }, Rule::Bayes] {
        let parts = Parts::new(linear_heads(InputForm::Plain), rule, 0.0, 1);
        let regression = Regression::new(&parts);
        let ((x, y), (new, _)) = (parts.samples(20, 2), parts.samples(5, 3));
        on_every_path(&parts, 4, |path, adapter| {
            adapter.set_guard(Guard::Finite);
            let mut from = 0;
            for rows in [1, 3, 4, 8, 9, 12, 16, 20] {
                let case = format!("{:?}, {rows} rows on {}", parts.rule, path.name());
                observe(adapter, (&x[from * 3..rows * 3], &y[from * 6..rows * 6]));
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, rows - from), "{case}");
                // The ring has long forgotten what the regression has not.
                let (phi, targets) = regression.rows((&x[..rows * 3], &y[..rows * 6]), &[]);
                let want = regression.parameters(&regression.batch(&phi, &targets, 1.0).1);
                close(adapter.parameters(), &want, 3e-5, &case);
                close(&predict(adapter, &new), &parts.predictions(&want, &new, &[]), 3e-5, &case);
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::NothingNew, "{case}");
                from = rows;
            }
        });
    }
}

#[test]
fn what_is_forgotten_is_what_is_documented() {
    for rule in [Rule::Ridge { recursive: true }, Rule::Bayes] {
        for forgetting in [0.9_f32, 0.99] {
            let mut parts = Parts::new(linear_heads(InputForm::Plain), rule.clone(), 0.0, 1);
            parts.tensor(RULE_FORGETTING)[0] = forgetting;
            let regression = Regression::new(&parts);
            let rows = 60;
            let (x, y) = parts.samples(rows, 2);
            let (phi, targets) = regression.rows((&x, &y), &[]);
            // Row by row of the prior's factor gets back what it lost since its last turn, one at each sample.
            let (gamma, unknowns, factor) = (f64::from(forgetting), phi.ncols(), regression.factor());
            let (mut precision, mut sums) = (regression.prior(), DMatrix::zeros(unknowns, targets.ncols()));
            let error = &targets - &phi * &regression.start;
            for t in 0..rows {
                let row = phi.row(t).transpose();
                precision = precision * gamma + &row * row.transpose();
                sums = sums * gamma + &row * error.row(t);
                let turn = factor.row(t % unknowns).transpose();
                precision += &turn * turn.transpose() * (1.0 - gamma.powi((t + 1).min(unknowns) as i32));
            }
            let exact = &regression.start + precision.clone().cholesky().unwrap().solve(&sums);
            let want = regression.parameters(&exact);
            // The weighted batch solution, whose prior counts fully, is as near as the prior's turns allow.
            let (_, ideal) = regression.batch(&phi, &targets, gamma);
            let least = gamma.powi(unknowns as i32);
            let apart = (&exact - &ideal).amax();
            assert!(apart <= (1.0 - least) * (&ideal - &regression.start).amax(), "{apart}");
            assert!((&exact - &regression.batch(&phi, &targets, 1.0).1).amax() >= 0.02, "nothing was forgotten");
            on_every_path(&parts, 7, |path, adapter| {
                adapter.set_guard(Guard::Finite);
                for row in 0..rows {
                    observe(adapter, (&x[row * 3..][..3], &y[row * 6..][..6]));
                    if row % 5 == 4 {
                        assert_eq!(adapter.adapt(|| false).unwrap().steps, 5);
                    }
                }
                let case = format!("{:?} {forgetting} on {}", parts.rule, path.name());
                close(adapter.parameters(), &want, 1e-4, &case);
            });
        }
    }
}

#[test]
fn bayes_knows_the_variance_of_every_prediction() {
    let parts = Parts::new(linear_heads(InputForm::Plain), Rule::Bayes, 0.0, 4);
    let regression = Regression::new(&parts);
    let ((x, y), (new, _)) = (parts.samples(9, 2), parts.samples(300, 3));
    let unknowns = regression.start.nrows();
    let noise: Vec<f64> = parts.numbers[unknowns * unknowns..][..6].iter().map(|noise| f64::from(*noise)).collect();
    let (queries, _) = regression.rows((&new, &vec![0.0; 300 * 6]), &[]);
    on_every_path(&parts, 16, |path, adapter| {
        adapter.set_guard(Guard::Finite);
        // Before any sample, and after some.
        for rows in [0, 9] {
            observe(adapter, (&x[..rows * 3], &y[..rows * 6]));
            let precision = if rows > 0 {
                assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::Committed);
                let (phi, targets) = regression.rows((&x, &y), &[]);
                regression.batch(&phi, &targets, 1.0).0
            } else {
                regression.prior()
            };
            let inverse = precision.try_inverse().unwrap();
            let mut want = Vec::new();
            for query in queries.row_iter() {
                let factor = (query * &inverse * query.transpose())[0];
                // Squares of the bundle's units.
                let scaled = noise.iter().zip(&parts.outputs[1]).map(|(noise, scale)| noise * f64::from(scale * scale));
                want.extend(scaled.map(|noise| noise * (1.0 + factor)));
            }
            let (mut means, mut variances) = (vec![f32::NAN; 1800], vec![f32::NAN; 1800]);
            adapter.predict_with_variance(&new, &mut means, &mut variances).unwrap();
            for (got, want) in variances.iter().zip(&want) {
                assert!((f64::from(*got) / want - 1.0).abs() <= 2e-4, "{rows} on {}: {got}, {want}", path.name());
            }
            assert_eq!(means, predict(adapter, &new));
        }
        let short = adapter.predict_with_variance(&new[..3], &mut [0.0; 6], &mut [0.0; 5]);
        assert!(matches!(short, Err(VarianceError::Length(_))), "{short:?}");
    });
    let parts = Parts::new(linear_heads(InputForm::Plain), Rule::Ridge { recursive: true }, 0.0, 4);
    on_every_path(&parts, 4, |_, adapter| {
        let answer = adapter.predict_with_variance(&[0.0; 3], &mut [0.0; 6], &mut [0.0; 6]);
        assert_eq!(answer, Err(VarianceError::NoVariance));
    });
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[test]
fn prototypes_are_running_means_and_classes_may_come_late() {
    let parts = Parts::new(classes(4), Rule::Prototype, 0.0, 1);
    let (x, _) = parts.samples(24, 2);
    let (new, _) = parts.samples(5, 3);
    // The classes 2 and 3 come late, and class 1 never.
    let class = |row: usize| if row < 8 { 0 } else { [0, 2, 3][row % 3] };
    let y: Vec<f32> = (0..24).flat_map(|row| (0..4).map(move |c| f32::from(u8::from(c == class(row))))).collect();
    let (known, queries) = (parts.features(&x, &[]), parts.features(&new, &[]));
    let scale = f64::from(parts.numbers[0]);
    on_every_path(&parts, 6, |path, adapter| {
        adapter.set_guard(Guard::Finite);
        for row in 0..24 {
            observe(adapter, (&x[row * 3..][..3], &y[row * 4..][..4]));
            if row % 4 != 3 {
                continue;
            }
            let report = adapter.adapt(|| false).unwrap();
            assert_eq!((report.outcome, report.steps), (Outcome::Committed, 4));
            let mut want = Vec::new();
            for query in &queries {
                let likelihood = |kind: usize| {
                    let of: Vec<_> = known[..=row].iter().enumerate().filter(|(row, _)| class(*row) == kind).collect();
                    let mean: Vec<f64> =
                        (0..6).map(|i| of.iter().map(|(_, z)| z[i]).sum::<f64>() / of.len() as f64).collect();
                    if of.is_empty() { 0.0 } else { (-scale * distance(query, &mean)).exp() }
                };
                let mass: f64 = (0..4).map(likelihood).sum();
                want.extend((0..4).map(|kind| likelihood(kind) / mass));
            }
            let got = predict(adapter, &new);
            close(&got, &want, 1e-5, &format!("{row} on {}", path.name()));
            // A class without a sample is impossible, to the bit.
            assert!(got.chunks(4).all(|y| y[1] == 0.0 && (row >= 8 || y[0] == 1.0)));
            assert_eq!(adapter.adapt(|| false).unwrap().outcome, Outcome::NothingNew);
        }
    });
}

#[test]
fn the_most_similar_support_row_speaks_for_its_class() {
    for form in [InputForm::Plain, InputForm::Both] {
        let parts = Parts::new(similarity(form), Rule::Siamese { classes: 5 }, 0.0, 1);
        let (x, _) = parts.samples(11, 2);
        let (new, _) = parts.samples(7, 3);
        // Class 4 has no row.
        let class = |row: usize| [0, 1, 2, 3, 1][row % 5];
        let y: Vec<f32> = (0..11).flat_map(|row| (0..5).map(move |c| f32::from(u8::from(c == class(row))))).collect();
        let last = parts.network.layers().last().unwrap();
        let alpha = &parts.parameters[last.offset..][..6];
        let bias = f64::from(parts.parameters[last.offset + 6]);
        on_every_path(&parts, 4, |path, adapter| {
            assert_eq!(predict(adapter, &new), [0.0; 35], "nothing is known");
            for row in 0..11 {
                observe(adapter, (&x[row * 3..][..3], &y[row * 5..][..5]));
                let report = adapter.adapt(|| false).unwrap();
                let rows = (row + 1).min(4);
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, rows));
                let kept = row + 1 - rows..row + 1;
                let support = &x[kept.start * 3..kept.end * 3];
                let (known, queries) = (parts.features(support, support), parts.features(&new, support));
                let mut want = Vec::new();
                for query in &queries {
                    let score = |stored: &[f64]| {
                        let terms = alpha.iter().zip(query.iter().zip(stored));
                        let sum: f64 = terms.map(|(alpha, (a, b))| f64::from(*alpha) * (a - b).abs()).sum();
                        1.0 / (1.0 + (-bias - sum).exp())
                    };
                    let best = |kind: usize| {
                        let of = known.iter().zip(kept.clone()).filter(|(_, row)| class(*row) == kind);
                        of.map(|(stored, _)| score(stored)).fold(0.0, f64::max)
                    };
                    want.extend((0..5).map(best));
                }
                close(&predict(adapter, &new), &want, 5e-6, &format!("{form:?} {row} on {}", path.name()));
            }
            adapter.rollback();
            assert_eq!(predict(adapter, &new), [0.0; 35], "nothing is known");
            adapter.adapt(|| false).unwrap();
            assert_ne!(predict(adapter, &new), [0.0; 35]);
        });
    }
}

/// One parameter and what the gates remember of it (Ravi and Larochelle 2017, eqs. 2–3).
#[derive(Clone)]
struct Coordinate {
    h: Vec<f64>,
    c: Vec<f64>,
    gates: [f64; 2],
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Coordinate {
    /// The next θ; `numbers` are the tensors of the rule.
    fn step(&mut self, numbers: &[f64], loss: f64, gradient: f64, theta: f64) -> f64 {
        let units = self.h.len();
        let (weight_ih, rest) = numbers.split_at(16 * units);
        let (weight_hh, rest) = rest.split_at(4 * units * units);
        let (bias, rest) = rest.split_at(4 * units);
        let (gate_weight, gate_bias) = rest.split_at(rest.len() - 2);
        let seen = |x: f64| {
            if x.abs() >= (-10.0_f64).exp() { [x.abs().ln() / 10.0, x.signum()] } else { [-1.0, 10.0_f64.exp() * x] }
        };
        let x = [seen(loss), seen(gradient)].concat();
        let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        let sums: Vec<f64> = (0..4 * units)
            .map(|row| {
                bias[row] + dot(&weight_ih[4 * row..][..4], &x) + dot(&weight_hh[units * row..][..units], &self.h)
            })
            .collect();
        for unit in 0..units {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| sums[gate * units + unit]);
            self.c[unit] = sigmoid(f) * self.c[unit] + sigmoid(i) * g.tanh();
            self.h[unit] = sigmoid(o) * self.c[unit].tanh();
        }
        let shown = if units > 0 { self.h.clone() } else { x };
        for gate in 0..2 {
            let joined = [&shown[..], &[theta, self.gates[gate]]].concat();
            self.gates[gate] = sigmoid(dot(&gate_weight[gate * joined.len()..], &joined) + gate_bias[gate]);
        }
        self.gates[0] * theta - self.gates[1] * gradient
    }
}

#[test]
fn learned_gates_follow_their_equations() {
    for (hidden, scope, spec) in [
        (0, Scope::All, several_heads(InputForm::Both)),
        (5, Scope::All, sample::network(3, &[(6, TANH)], &[(2, None, Loss::MeanSquared)])),
        (3, Scope::Heads, several_heads(InputForm::Plain)),
        (2, Scope::Contexts, contexts(InputForm::Plain)),
    ] {
        let parts = Parts::new(spec, Rule::MetaLstm { steps: 3, hidden, scope: scope.clone() }, 0.0, 1);
        let numbers: Vec<f64> = parts.numbers.iter().map(|v| f64::from(*v)).collect();
        let (x, y) = parts.samples(6, 2);
        let (presented, scaled) = (parts.presented(&x, &x), parts.scaled(&y));
        let mut theta = parts.start();
        let mut gates = vec![Coordinate { h: vec![0.0; hidden], c: vec![0.0; hidden], gates: [0.0; 2] }; theta.len()];
        for _ in 0..3 {
            let (loss, gradient) = reference::gradient(&parts.network, &theta, &presented, &scaled, 6);
            for (_, layer) in parts.network.layers().enumerate().filter(|(index, layer)| scope.includes(*index, layer))
            {
                for p in layer.offset..layer.offset + layer.param_len() {
                    theta[p] = gates[p].step(&numbers, loss, gradient[p], theta[p]);
                }
            }
        }
        assert!(relative_error(&parts.parameters, &theta) >= 1e-2);
        on_every_path(&parts, 8, |path, adapter| {
            let case = format!("{hidden} {scope:?} on {}", path.name());
            adapter.set_guard(Guard::Finite);
            observe(adapter, (&x, &y));
            for _ in 0..2 {
                // The gates remember nothing from one adaptation to the next.
                let report = adapter.adapt(|| false).unwrap();
                assert_eq!((report.outcome, report.steps), (Outcome::Committed, 3), "{case}");
                close(adapter.parameters(), &theta, 1e-4, &case);
            }
        });
    }
}

#[test]
fn the_numbers_of_a_seed_are_the_numbers_of_a_bundle() {
    let rules = [
        Rule::Gradient { steps: 2, rate: Rate::PerLayerStep, scope: Scope::All, momentum: true },
        Rule::Ridge { recursive: true },
        Rule::Bayes,
        Rule::MetaLstm { steps: 1, hidden: 2, scope: Scope::All },
    ];
    for rule in rules {
        let mut parts = Parts::new(linear_heads(InputForm::Plain), rule, 0.1, Numbers(7).next_bits());
        parts.novelty = Some([1.0, 2.5]);
        let bytes = parts.bytes();
        let bundle = Bundle::parse(&bytes).unwrap();
        assert_eq!((bundle.network(), bundle.rule()), (&parts.network, &parts.rule));
        let numbers: Vec<f32> =
            bundle.numbers().flat_map(|view| (0..view.len()).filter_map(move |i| view.get(i))).collect();
        assert_eq!(numbers, parts.numbers);
        let novelty = bundle.novelty().unwrap();
        assert_eq!((novelty.get(0), novelty.get(1), novelty.get(2)), (Some(1.0), Some(2.5), None));
    }
}
