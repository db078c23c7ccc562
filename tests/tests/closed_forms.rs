//! Regressions in closed form, at once and sample by sample, through an adapter and on every path, against least squares in f64.

mod adapters;

use adapters::{close, observe, on_every_path, predict};
use nalgebra::{DMatrix, DVector};
use sinew_models::bundle::{RULE_FORGETTING, RULE_LOGIT};
use sinew_models::layout::Place;
use sinew_models::rule::Rule;
use sinew_models::spec::{Activation, Input, InputForm, Loss, NetworkSpec};
use sinew_runtime::{Guard, Outcome, VarianceError};
use sinew_tests::bundle::Parts;
use sinew_tests::rules::{dense, head, linear_heads, network};

const TANH: Activation = Activation::Tanh;
const IDENTITY: Activation = Activation::Identity;

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
