//! All of it in one run and one table: time, rate, share of this core's peak, and speed beside candle's.
//!
//! `--test` runs everything a few times to see that it works; `--only PREFIX` times only what begins so, beside the peak, and may be
//! said again; `--markdown FILE` also writes the table there.

mod candle;

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::presets;
use sinew_benches::measure::{Plan, round_robin};
use sinew_benches::peak::Peak;
use sinew_benches::{Workload, lanes, meta_step, table, workload};
use sinew_models::rule::Scope;
use sinew_runtime::{Guard, Path};

/// In the order of the table.
fn workloads() -> Vec<Workload> {
    let path = Path::detect();
    let mut all = vec![
        workload::predict("predict/sinew", path),
        workload::predict("predict/scalar", Path::SCALAR),
        candle::predict(),
        workload::adapt("adapt/sinew", path, Guard::Finite),
        workload::adapt("adapt/sinew_guarded", path, Guard::default()),
        workload::adapt_heads("adapt/one_head_of_three", path),
        workload::adapt("adapt/scalar", Path::SCALAR, Guard::Finite),
        candle::adapt(),
        workload::adapt_images("images/all", path, Scope::All),
        workload::adapt_images("images/head", path, Scope::Heads),
    ];
    all.extend(meta_step::all());
    all.extend(lanes::all());
    all.extend(candle::composed::all());
    all.push(workload::peak());
    all.extend(workload::avx2());
    all
}

struct Arguments {
    plan: Plan,
    markdown: Option<PathBuf>,
    /// Empty for all.
    only: Vec<String>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        // Without optimisation the numbers mean nothing, so only see that it runs.
        let mut parsed = Self {
            plan: if cfg!(debug_assertions) { Plan::QUICK } else { Plan::FULL },
            markdown: None,
            only: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says it to every bench.
                "--bench" => {}
                "--test" => parsed.plan = Plan::QUICK,
                "--markdown" => parsed.markdown = Some(arguments.next().ok_or("--markdown: expected a file")?.into()),
                "--only" => parsed.only.push(arguments.next().ok_or("--only: expected the beginning of an id")?),
                other => eprintln!("report: {other} means nothing here"),
            }
        }
        Ok(parsed)
    }
}

fn main() -> ExitCode {
    candle::single_thread();
    let done = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| report(&arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(arguments: &Arguments) -> Result<(), String> {
    candle::assert_same_work();
    candle::composed::assert_same_gradients();
    let mut workloads = workloads();
    let wanted = |id: &str| arguments.only.iter().any(|prefix| id.starts_with(prefix.as_str()));
    if !arguments.only.is_empty() {
        workloads.retain(|workload| workload.id == table::PEAK || wanted(workload.id));
    }
    if workloads.len() == 1 && arguments.only != [table::PEAK] {
        return Err(format!("--only: nothing begins with {}", arguments.only.join(" or ")));
    }
    let timings = round_robin(&mut workloads, arguments.plan);
    println!("{}", table::table(&timings, presets::UTF8_FULL_CONDENSED));
    if arguments.plan == Plan::QUICK {
        println!("everything runs; one run each says nothing about speed");
    }
    println!("sinew on its {} path, the peak by {}; one core, medians", Path::detect().name(), Peak::detect().name());
    match &arguments.markdown {
        Some(file) => {
            std::fs::write(file, table::markdown(&timings)).map_err(|error| format!("{}: {error}", file.display()))
        }
        None => Ok(()),
    }
}
