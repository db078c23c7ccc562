//! What every agent promises.

use sinew_models::networks;
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, InputForm, Loss};
use sinew_runtime::{Bundle, Network, Path};

use super::*;
use crate::baseline::fine_tune::Setting;
use crate::baseline::gaussian_process::Kernel;
use crate::baseline::process::{Pooled, Prior};
use crate::export::About;
use crate::learn::State;
use crate::model::Model;
use crate::scaling::Scaling;
use crate::streams::Purpose;
use crate::train::initial_parameters;

const CAPACITY: usize = 6;

fn model(hidden: &[usize]) -> Model {
    let network = networks::mlp(2, InputForm::Plain, hidden, Activation::Silu, "y", 1, Loss::MeanSquared).unwrap();
    Model {
        rule: Rule::Gradient { steps: 2, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 },
        state: State { params: initial_parameters(&network, 3, Purpose::Initial, 0), rates: vec![0.05] },
        scaling: Scaling { output_mean: vec![1.0], output_scale: vec![2.0], ..Scaling::none(&network) },
        about: About::default(),
        network,
    }
}

fn row(number: usize) -> ([f32; 2], [f32; 1]) {
    let x = [(number % 5) as f32 / 2.0 - 1.0, (number * number % 7) as f32 / 3.0 - 1.0];
    (x, [2.0 + x[0] - 0.5 * x[1]])
}

/// Shows one agent of each kind, fresh, to `work`.
fn each(mut work: impl FnMut(&str, &mut dyn Agent)) {
    let (model, line) = (model(&[8]), model(&[]));
    let [network, of_line] = [&model, &line].map(|model| Network::new(&model.network, Path::detect()).unwrap());
    let (pooled, line) = (Pooled { network: &network, model: &model }, Pooled { network: &of_line, model: &line });
    let prior = Prior::of_residual(1, Kernel::isotropic(2, 1.0, 1.0, 0.2));
    let bytes = model.to_bytes().unwrap();
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut memory = memory(&bundle, CAPACITY).unwrap();
    work("adapted", &mut Adapted::new(&bundle, CAPACITY, &mut memory).unwrap());
    work("unadapted", &mut Unadapted::agent(pooled, CAPACITY));
    work("intercept", &mut Intercept::agent(pooled, 1.0, CAPACITY));
    work("finetuned", &mut FineTuned::agent(pooled, Setting { rate: 0.01, steps: 20 }, CAPACITY));
    work("classical", &mut Linear::agent(line, 1.0, CAPACITY));
    work("process", &mut Process::agent(&prior, pooled, CAPACITY));
}

fn said(agent: &mut dyn Agent) -> (Vec<f32>, Option<Vec<f32>>) {
    let inputs: Vec<f32> = (10..14).flat_map(|number| row(number).0).collect();
    let (mut mean, mut variance) = (vec![0.0; 4], vec![0.0; 4]);
    let known = agent.predict(&inputs, &mut mean, Some(&mut variance)).unwrap();
    let mut alone = vec![0.0; 4];
    assert!(!agent.predict(&inputs, &mut alone, None).unwrap() && alone == mean);
    (mean, known.then_some(variance))
}

fn teach(agent: &mut dyn Agent, rows: std::ops::Range<usize>) {
    for number in rows {
        let (x, y) = row(number);
        agent.observe(&x, &y).unwrap();
    }
}

#[test]
fn the_same_rows_in_the_same_order_give_the_same_predictions() {
    let mut first = Vec::new();
    each(|name, agent| {
        let before = said(agent);
        teach(agent, 0..4);
        let after = said(agent);
        assert_eq!(before.0 != after.0, name != "unadapted", "{name}");
        assert!(after.0.iter().all(|value| value.is_finite()));
        assert_eq!(after.1.is_some(), name == "process", "{name}");
        first.push(after);
    });
    let mut again = first.into_iter();
    each(|name, agent| {
        // When somebody looks changes nothing.
        teach(agent, 0..2);
        said(agent);
        teach(agent, 2..4);
        assert_eq!(Some(said(agent)), again.next(), "{name}");
    });
}

#[test]
fn rows_that_left_are_forgotten() {
    let mut first = Vec::new();
    each(|_, agent| {
        teach(agent, 20..20 + CAPACITY);
        first.push(said(agent));
    });
    let mut again = first.into_iter();
    each(|name, agent| {
        teach(agent, 0..9);
        teach(agent, 20..20 + CAPACITY);
        assert_eq!(Some(said(agent)), again.next(), "{name}");
    });
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    each(|name, agent| {
        let before = said(agent);
        assert!(agent.observe(&[1.0], &[1.0]).is_err(), "{name}");
        assert!(agent.observe(&[1.0, 2.0], &[]).is_err(), "{name}");
        assert!(agent.observe(&[1.0, f32::NAN], &[1.0]).is_err(), "{name}");
        assert!(agent.predict(&[1.0, 2.0, 3.0], &mut [0.0], None).is_err(), "{name}");
        assert!(agent.predict(&[1.0, 2.0], &mut [0.0; 2], None).is_err(), "{name}");
        assert_eq!(said(agent), before, "{name}");
    });
}
