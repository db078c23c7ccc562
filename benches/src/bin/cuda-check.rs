//! `cuda-check`: proves the engine on a GPU against the engine on the CPU, and times it.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sinew_benches::cuda::Watched;
use sinew_benches::cuda::report::{Place, Report, Scope};
use sinew_trainer::cuda::{Device, DeviceChoice, Driver};

/// Prove the training engine on an NVIDIA GPU, and time it
///
/// Runs every kind of pass, inner loop and update on the GPU and on the CPU and prints how far they are apart, in one launch
/// and layer by layer; sees that a second run gives the same bits, and that a training run ends in the same loss. Then times
/// whole meta-steps on the GPU and on one thread of the CPU. Takes some minutes; fails if anything is not as it must be.
///
///     cargo run --release -p sinew-benches --bin cuda-check -- --device cuda:0 --write docs/results
#[derive(Debug, Parser)]
#[command(name = "cuda-check", version, verbatim_doc_comment)]
struct Arguments {
    /// The GPU, as `sinew devices` numbers it
    #[arg(long, value_name = "cuda:N", default_value = "cuda:0", value_parser = number)]
    device: usize,
    /// Also write the report to DIR/cuda-CARD.md
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

fn number(text: &str) -> Result<usize, String> {
    match text.parse()? {
        DeviceChoice::Cuda(number) => Ok(number),
        _ => Err(format!("expected cuda:N with the number of a device, got `{text}`; `sinew devices` lists them")),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("cuda-check: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is as it must be.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let driver = Driver::open(arguments.device)?;
    let place = Place::here(driver.limits().clone(), driver.version(), driver.compiler());
    let report = Report::make(&Watched::new(driver), place, &Scope::full(), |line| println!("{line}"));
    let text = report.markdown();
    println!("\n{text}");
    if let Some(folder) = &arguments.write {
        let path = folder.join(report.file_name());
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &text))
            .map_err(|why| format!("writing {}: {why}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(report.passed())
}
