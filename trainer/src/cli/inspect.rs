//! `sinew inspect`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::NetworkSpec;
use sinew_runtime::{Adapter, Bundle, Path};

use super::Answer;
use crate::export::About;
use crate::model::Model;
use crate::table;

/// Show what is in a bundle: network, rule, rates, units, provenance
#[derive(Debug, Args)]
pub struct Arguments {
    /// The bundle
    bundle: PathBuf,
    /// Print JSON instead
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Json<'a> {
    network: &'a NetworkSpec,
    loss_weights: Vec<f32>,
    rule: &'a Rule,
    rates: Rates,
    parameters: usize,
    bytes: usize,
    /// Memory of an adapter with room for 16 support rows, on the scalar path, in bytes.
    memory_16_rows: usize,
    about: &'a About,
}

/// A summary of the inner rates.
#[derive(Debug, Serialize)]
struct Rates {
    count: usize,
    least: f32,
    mean: f64,
    most: f32,
}

pub fn run(arguments: &Arguments) -> Answer {
    let (model, bytes) = Model::open(&arguments.bundle)?;
    let bundle = Bundle::parse(&bytes)?;
    let rates = &model.state.rates;
    let json = Json {
        network: &model.network,
        loss_weights: model.network.heads.iter().map(|head| head.weight).collect(),
        rule: &model.rule,
        rates: Rates {
            count: rates.len(),
            least: rates.iter().copied().fold(f32::INFINITY, f32::min),
            mean: rates.iter().map(|rate| f64::from(*rate)).sum::<f64>() / rates.len() as f64,
            most: rates.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        },
        parameters: model.network.param_len(),
        bytes: bytes.len(),
        memory_16_rows: size_of::<f32>() * Adapter::memory_len_on(Path::SCALAR, &bundle, 16)?,
        about: &model.about,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(());
    }
    let Model { network, about, scaling, .. } = &model;
    println!("{}: {} parameters, {} bytes", arguments.bundle.display(), json.parameters, json.bytes);
    println!("memory on a device, with room for 16 support rows: {} bytes", json.memory_16_rows);
    let layers = network.slots().map(|slot| {
        let activation = format!("{:?}", slot.placed.activation()).to_lowercase();
        vec![slot.name().to_string(), format!("{:?}", slot.shape()), activation]
    });
    println!("\n{}", table::plain(&["tensor", "shape", "activation"], layers));
    for head in &network.heads {
        println!("head `{}`: loss {:?}, weight {}", head.name, head.loss, head.weight);
    }
    println!("inputs presented: {:?}", network.input.form);
    println!("rule: {}", describe(&model.rule, &json.rates));
    if let Some([median, limit]) = scaling.novelty {
        println!("novelty of training tasks: median {median:.3}, 99th percentile {limit:.3}");
    }
    let columns = |columns: &[crate::export::Column], means: &[f32], scales: &[f32]| {
        let lines = columns.iter().zip(means).zip(scales).map(|((column, mean), scale)| {
            let numbers = [*mean, *scale].map(|value| table::number(f64::from(value)));
            vec![column.name.clone(), column.unit.clone(), numbers[0].clone(), numbers[1].clone()]
        });
        table::plain(&["column", "unit", "mean", "scale"], lines)
    };
    if !about.inputs.is_empty() {
        println!("\ninputs\n{}", columns(&about.inputs, &scaling.input_mean, &scaling.input_scale));
    }
    if !about.outputs.is_empty() {
        println!("\noutputs\n{}", columns(&about.outputs, &scaling.output_mean, &scaling.output_scale));
    }
    println!(
        "trained on `{}` by {} for {} iterations, seed {}, sinew {}",
        about.world, about.learner, about.iterations, about.seed, about.version
    );
    Ok(())
}

fn describe(rule: &Rule, rates: &Rates) -> String {
    match rule {
        Rule::Gradient { steps, rate, scope, momentum, rows } => {
            let kind = match rate {
                Rate::Constant => "one rate",
                Rate::PerLayerStep => "a rate for each layer and step",
                Rate::PerParameter => "a rate for each parameter",
            };
            let Rates { least, mean, most, .. } = rates;
            let momentum = if *momentum { " with momentum" } else { "" };
            let rows = if *rows > 0 { format!(", for {rows} support rows") } else { String::new() };
            format!(
                "{steps} gradient steps{momentum} on {scope:?}, {kind}: {least:.4} to {most:.4}, mean {mean:.4}{rows}"
            )
        }
        Rule::Ridge { recursive: false } => "ridge regression on the features, toward the heads of the bundle".into(),
        Rule::Ridge { recursive: true } => {
            "recursive ridge regression on the features, toward the heads of the bundle".into()
        }
        Rule::Bayes => "Bayesian linear regression on the features, with a learned prior".into(),
        Rule::Prototype => "class means of the features".into(),
        Rule::Siamese { classes } => format!("the most similar support row, of up to {classes} classes"),
        Rule::MetaLstm { steps, hidden, scope } => {
            format!("{steps} steps of a learned optimiser of {hidden} hidden units on {scope:?}")
        }
    }
}
