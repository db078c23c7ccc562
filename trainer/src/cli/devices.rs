//! `sinew devices`

use std::path::PathBuf;

use clap::Args;
use sinew_runtime::Path;

use super::Answer;
use crate::cuda::architecture;

/// List what sinew can compute on, or compile its kernels ahead of time
///
/// Lists the CPU and every CUDA device, with what the kernels need of it. Where there is no device that can be used, it
/// says why, and what to do.
///
/// With --compile it compiles all kernels for a compute capability instead, which needs NVRTC, but neither a GPU nor its
/// driver. Where the environment variable SINEW_CUBINS names that folder, nothing is compiled and NVRTC is not needed.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// A compute capability, such as sm_87 or 8.7, to compile all kernels for
    #[arg(long, value_name = "ARCH", value_parser = |text: &str| architecture::parse(text).map_err(|why| why.to_string()), requires = "out")]
    compile: Option<Architecture>,
    /// Where the compiled kernels go
    #[arg(long, value_name = "DIR", requires = "compile")]
    out: Option<PathBuf>,
}

/// Major, minor; clap takes an array for a list.
type Architecture = [u32; 2];

pub fn run(arguments: &Arguments) -> Answer {
    if let (Some(architecture), Some(folder)) = (arguments.compile, &arguments.out) {
        return cuda::compile(architecture, folder);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("cpu: {threads} threads, {} kernels", Path::detect().name());
    cuda::list();
    Ok(())
}

#[cfg(feature = "cuda")]
mod cuda {
    use std::path::Path;

    use crate::cli::Answer;
    use crate::cuda::compile::{Compiler, ahead_of_time};
    use crate::cuda::{DeviceError, Driver, architecture, driver};
    use crate::table;

    const MIB: u64 = 1 << 20;

    pub fn compile(capability: [u32; 2], folder: &Path) -> Answer {
        let written = ahead_of_time(capability, folder)?;
        println!("{} files of kernels for {} in {}", written.len(), architecture::name(capability), folder.display());
        println!("to use them: SINEW_CUBINS={}", folder.display());
        Ok(())
    }

    /// The devices; without one, why there is none.
    pub fn list() {
        let count = match driver::count() {
            Ok(0) => {
                return println!("\ncuda: the driver sees no device; on a server, CUDA_VISIBLE_DEVICES may hide it");
            }
            Ok(count) => count,
            Err(why) => return println!("\ncuda: {why}"),
        };
        let mut lines = Vec::new();
        let mut mistakes = Vec::new();
        for number in 0..count {
            match line(number) {
                Ok(line) => lines.push(line),
                Err(why) => mistakes.push(format!("cuda:{number}: {why}")),
            }
            // Opening it is what training does first.
            if let Err(why) = Driver::open(number) {
                mistakes.push(format!("cuda:{number} cannot be used: {why}"));
            }
        }
        let header = ["device", "name", "compute capability", "multiprocessors", "MiB free", "MiB", "kernels"];
        println!("\n{}", table::plain(&header, lines));
        if let Ok([major, minor]) = driver::version() {
            println!("the driver is for CUDA {major}.{minor}");
        }
        mistakes.dedup();
        mistakes.iter().for_each(|why| println!("{why}"));
    }

    fn line(number: usize) -> Result<Vec<String>, DeviceError> {
        let (limits, free) = Driver::describe(number)?;
        let kernels = match Compiler::open(limits.architecture) {
            _ if limits.architecture < architecture::LEAST => "too old".into(),
            Ok(compiler) => match compiler.nvrtc() {
                Some(nvrtc) => format!("NVRTC {}.{}", nvrtc.version()[0], nvrtc.version()[1]),
                None => "ahead of time".into(),
            },
            Err(_) => "none".into(),
        };
        let [major, minor] = limits.architecture;
        Ok(vec![
            format!("cuda:{number}"),
            limits.name,
            format!("{major}.{minor}"),
            limits.multiprocessors.to_string(),
            (free / MIB).to_string(),
            (limits.memory / MIB).to_string(),
            kernels,
        ])
    }
}

#[cfg(not(feature = "cuda"))]
mod cuda {
    use std::path::Path;

    use crate::cli::Answer;
    use crate::cuda::DeviceError;

    pub fn compile(_: [u32; 2], _: &Path) -> Answer {
        Err(DeviceError::NotBuilt.into())
    }

    pub fn list() {
        println!("\ncuda: {}", DeviceError::NotBuilt);
    }
}
