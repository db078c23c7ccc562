//! Every kernel compiles for every architecture that `docs/results/cuda-kernels.md` is about, keeps its numbers in registers, and takes
//! what that table says. No GPU is needed.
//!
//! Needs NVRTC: `pip install --no-deps --target DIR nvidia-cuda-nvrtc-cu12==12.6.85`, and `LD_LIBRARY_PATH=DIR/nvidia/cuda_nvrtc/lib`.
//! Without it each test says that it is skipped, or fails where `SINEW_REQUIRE_NVRTC=1`. `SINEW_WRITE_KERNELS=1` writes the table anew.

#![cfg(feature = "cuda")]

mod usage;

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use sinew_trainer::cuda::compile::{Compiler, Origin, ahead_of_time};
use sinew_trainer::cuda::nvrtc::{Nvrtc, options};
use sinew_trainer::cuda::occupancy::{Demand, Multiprocessor};
use sinew_trainer::cuda::{DeviceError, Source, architecture, device};
use usage::Usage;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results/cuda-kernels.md");
const ANEW: &str = "SINEW_WRITE_KERNELS=1 cargo test -p sinew-trainer --test nvrtc";

fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
}

/// NVRTC, or `None` where there is none and none is required.
fn nvrtc(architecture: [u32; 2]) -> Option<Nvrtc> {
    match Nvrtc::open(architecture) {
        Ok(nvrtc) => Some(nvrtc),
        Err(why) if is_set("SINEW_REQUIRE_NVRTC") => panic!("{why}"),
        Err(why) => {
            assert!(matches!(why, DeviceError::NoCompiler { .. }), "{why}");
            eprintln!("skipped: {why}");
            None
        }
    }
}

/// The lines of one architecture, and what must not be.
fn measure(nvrtc: &Nvrtc, architecture: [u32; 2], table: &mut String, mistakes: &mut Vec<String>) {
    let target = nvrtc.target(architecture).unwrap();
    let mut options = options(target);
    options.push("--ptxas-options=-v".into());
    let processor = Multiprocessor::of(architecture).unwrap();
    let _ = write!(
        table,
        "\n## {target}\n\n| kernel | file | threads | argument | registers | shared | stack | spilled | blocks | occupancy |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    let mut seconds = Vec::new();
    for source in Source::ALL {
        let begun = Instant::now();
        let compiled = nvrtc.compile(*source, &source.text(), target, &options).unwrap_or_else(|why| panic!("{why}"));
        seconds.push(format!("{} {:.2}", source.file(), begun.elapsed().as_secs_f64()));
        // A file without any is seen by the tests of kernel.rs.
        let known = compiled.ptx.matches(".visible .entry").count();
        if known == 0 {
            eprintln!("{} is empty", source.file());
            continue;
        }
        for kernel in source.kernels() {
            let name = kernel.name();
            let Some(usage) = Usage::read(name, &compiled.ptx, &compiled.log) else {
                mistakes.push(format!("{target}: {} has no {name}: {}", source.file(), compiled.log));
                continue;
            };
            let Usage { threads, argument, registers, shared, stack, spilled } = usage;
            let demand = Demand { threads, registers, shared };
            let (blocks, occupancy) = (processor.resident(demand), 100.0 * processor.occupancy(demand));
            let _ = writeln!(
                table,
                "| `{name}` | `{}` | {threads} | {argument} | {registers} | {shared} | {stack} | {spilled} | {blocks} | {occupancy:.0} % |",
                source.file()
            );
            if spilled > 0 {
                mistakes.push(format!("{target}: {name} spills {spilled} bytes: expected all numbers in registers"));
            }
            if argument > device::MOST_BYTES as u32 {
                mistakes
                    .push(format!("{target}: {name} takes {argument} bytes: a launch carries {}", device::MOST_BYTES));
            }
            if blocks == 0 {
                mistakes.push(format!("{target}: not one block of {name} fits on a multiprocessor"));
            }
        }
        if known != source.kernels().len() {
            mistakes.push(format!(
                "{target}: {} has {known} kernels, kernel.rs {}",
                source.file(),
                source.kernels().len()
            ));
        }
    }
    eprintln!("{target}, seconds: {}", seconds.join(", "));
}

#[test]
fn kernels_take_what_the_table_says() {
    let [major, minor] = match nvrtc(architecture::MEASURED[0]) {
        Some(nvrtc) => nvrtc.version(),
        None => return,
    };
    let head = format!("NVRTC {major}.{minor}");
    let mut table = format!(
        "# What the CUDA kernels take\n\nPrinted by `{ANEW}`, with {head}; no GPU is needed. Bytes of the argument, of static shared memory and of the\nstack of a thread; bytes that were spilled from registers, of which there must be none; blocks on a multiprocessor at once and the part of its\nthreads that they are, as registers and static shared memory allow. Dynamic shared memory, which a launch adds, may allow fewer.\n"
    );
    let mut mistakes = Vec::new();
    for architecture in architecture::MEASURED {
        let nvrtc = nvrtc(architecture).unwrap();
        measure(&nvrtc, architecture, &mut table, &mut mistakes);
    }
    if is_set("SINEW_WRITE_KERNELS") {
        std::fs::write(TABLE, &table).unwrap();
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let committed = std::fs::read_to_string(TABLE).unwrap();
    // Another compiler allots other registers.
    if !committed.contains(&head) && !is_set("SINEW_REQUIRE_NVRTC") {
        eprintln!("skipped: the table is of another version than {head}");
        return;
    }
    let pairs = committed.lines().zip(table.lines());
    let differs =
        pairs.filter(|(old, new)| old != new).map(|(old, new)| format!("-{old}\n+{new}\n")).collect::<String>();
    assert!(committed == table, "docs/results/cuda-kernels.md is of other kernels; write it anew: {ANEW}\n{differs}");
}

#[test]
fn kernels_compile_once_and_are_kept() {
    if nvrtc([8, 7]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let compiler = Compiler::with([8, 7], None, Some(cache.clone())).unwrap();
    let source = Source::Adam;
    let (image, origin) = compiler.image(source).unwrap();
    assert_eq!((origin, &image[..4]), (Origin::Compiled, &b"\x7fELF"[..]));
    assert_eq!(compiler.image(source).unwrap(), (image, Origin::Cache));
    // Another architecture is another kernel; a newer one than NVRTC knows gets portable text with a zero behind it.
    let other = Compiler::with([9, 0], None, Some(cache.clone())).unwrap();
    assert_eq!(other.image(source).unwrap().1, Origin::Compiled);
    let newer = Compiler::with([99, 0], None, Some(cache.clone())).unwrap();
    let (image, _) = newer.image(source).unwrap();
    assert!(image.ends_with(b"\0") && String::from_utf8_lossy(&image).contains(".target sm_"));
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 3);
    // One that is older than all gets none.
    let why = Compiler::with([3, 5], None, None).unwrap_err().to_string();
    assert!(why.contains("sm_35") && why.contains("sm_87"), "{why}");
}

#[test]
fn kernels_of_ahead_of_time_are_used_or_refused() {
    if nvrtc([8, 7]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cubins = folder.path().join("cubins");
    let written = ahead_of_time([8, 7], &cubins).unwrap();
    assert_eq!(written.len(), Source::ALL.len());
    let open = |architecture| Compiler::with(architecture, Some(cubins.clone()), None);
    let compiler = open([8, 7]).unwrap();
    assert!(compiler.nvrtc().is_none());
    for source in Source::ALL {
        assert_eq!(compiler.image(*source).unwrap().1, Origin::Ahead);
    }
    // Where they are of another card, they are compiled.
    assert_eq!(open([9, 0]).unwrap().image(Source::Adam).unwrap().1, Origin::Compiled);
    let refused = |file: &Path, words: &str| {
        let why = open([8, 7]).unwrap_err().to_string();
        assert!(
            why.contains(words) && why.contains(file.to_str().unwrap()) && why.contains("--compile sm_87"),
            "{why}"
        );
    };
    let (file, other) = (&written[0], &written[1]);
    let whole = std::fs::read(file).unwrap();
    std::fs::copy(other, file).unwrap();
    refused(file, "it was made of another");
    std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
    refused(file, "not a whole file");
    std::fs::remove_file(file).unwrap();
    assert_eq!(open([8, 7]).unwrap().image(Source::ALL[0]).unwrap().1, Origin::Compiled);
    let why = ahead_of_time([99, 0], &cubins).unwrap_err().to_string();
    assert!(why.contains("sm_990") && why.contains("sm_90"), "{why}");
}

#[test]
fn what_does_not_compile_says_where() {
    let Some(nvrtc) = nvrtc([8, 7]) else { return };
    let target = nvrtc.target([8, 7]).unwrap();
    let compile = |text| nvrtc.compile(Source::Dense, text, target, &options(target)).unwrap_err().to_string();
    let why = compile("extern \"C\" __global__ void f() { nowhere = 1; }");
    assert!(why.contains("dense.cu(1)") && why.contains("nowhere") && why.contains("sm_87"), "{why}");
    assert!(compile("zero \0 byte").contains("zero byte"));
}
