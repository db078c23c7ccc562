//! `sinew adapt`

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use sinew_runtime::{Adapter, Bundle, Outcome};

use super::{Answer, tensors};
use crate::aligned::Aligned;
use crate::model::Model;
use crate::table;

/// Adaptations that are timed, for the fastest one to be told.
const TIMED: usize = 200;

/// Fit a bundle to support samples and predict for queries
///
/// Does what a robot would, with the same code: all or nothing, so a support loss that gets worse leaves the bundle as it
/// is. Prints the support loss before and after each step, and the median time of an adaptation.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The bundle
    bundle: PathBuf,
    /// Tensors `x` [rows, input] and `y` [rows, output], f32; of classes, y is a one among zeros
    #[arg(long, value_name = "S.safetensors")]
    support: PathBuf,
    /// Tensor `x` [rows, input], f32: what to predict for
    #[arg(long, value_name = "Q.safetensors")]
    query: PathBuf,
    /// Where the predictions go: tensor `y` [rows, output], f32
    #[arg(long, value_name = "Y.safetensors")]
    out: PathBuf,
    /// Inner steps [default: as trained]
    #[arg(long, value_name = "S")]
    steps: Option<usize>,
    /// Write the losses and the time as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Json {
    /// Support rows.
    rows: usize,
    /// Inner steps.
    steps: usize,
    /// `committed`, `worse`, `not_finite` or `no_steps`: predictions come from the meta-learned start unless `committed`.
    outcome: &'static str,
    /// Support loss before the first step and after each, of targets as the network sees them (scaled); `null` where it is not finite.
    support_loss: Vec<f64>,
    /// The median time of a whole adaptation.
    microseconds: f64,
    /// The implementation that ran.
    path: &'static str,
}

pub fn run(arguments: &Arguments) -> Answer {
    let (model, bytes) = Model::open(&arguments.bundle)?;
    let bundle = Bundle::parse(&bytes)?;
    let (input_len, output_len) = (model.network.input.len, model.network.output_len());
    let x = tensors::read(&arguments.support, "x", input_len)?;
    let y = tensors::read(&arguments.support, "y", output_len)?;
    let query = tensors::read(&arguments.query, "x", input_len)?;
    let rows = x.len() / input_len;
    if rows != y.len() / output_len {
        let (at, targets) = (arguments.support.display(), y.len() / output_len);
        return Err(format!("{at}: expected as many rows in `y` as in `x`, found {targets} and {rows}").into());
    }
    if rows == 0 {
        return Err(format!("{}: expected at least one row, found none", arguments.support.display()).into());
    }
    let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, rows)?);
    let mut adapter = Adapter::new(&bundle, rows, &mut memory)?;
    for (x, y) in x.chunks_exact(input_len).zip(y.chunks_exact(output_len)) {
        adapter.observe(x, y)?;
    }
    let steps = arguments.steps.unwrap_or(adapter.steps());
    let mut losses = vec![f64::from(adapter.support_loss()?)];
    for steps in 1..=steps {
        adapter.set_steps(steps);
        losses.push(f64::from(adapter.adapt(|| false)?.loss_after));
    }
    adapter.set_steps(steps);
    let mut times: Vec<f64> = Vec::new();
    let mut outcome = Outcome::OutOfTime;
    for _ in 0..TIMED {
        adapter.rollback();
        let begun = Instant::now();
        outcome = adapter.adapt(|| false)?.outcome;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let mut answers = vec![0.0; query.len() / input_len * output_len];
    adapter.predict(&query, &mut answers)?;
    tensors::write(&arguments.out, &answers, output_len)?;
    let json = Json {
        rows,
        steps,
        outcome: match outcome {
            Outcome::Committed => "committed",
            Outcome::OutOfTime => "no_steps",
            Outcome::NotFinite => "not_finite",
            Outcome::Worse => "worse",
            Outcome::OutsideTrust => "outside_trust",
            Outcome::NothingNew => "nothing_new",
            Outcome::Recovering => "recovering",
        },
        support_loss: losses,
        microseconds: times[TIMED / 2],
        path: adapter.network().path().name(),
    };
    let losses: Vec<String> = json.support_loss.iter().map(|loss| table::number(*loss)).collect();
    println!("support loss {}", losses.join(" -> "));
    println!("{}, {steps} steps over {rows} rows in {:.2} µs ({})", json.outcome, json.microseconds, json.path);
    if let Some(path) = &arguments.json {
        table::write(path, &json)?;
    }
    Ok(())
}
