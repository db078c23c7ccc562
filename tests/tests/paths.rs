//! Every fast path that the processor can take is there to be compared: no test passes because a path was missing.

use std::io::Write;

use sinew_runtime::Path;

#[test]
fn no_path_of_this_processor_is_left_out() {
    let names: Vec<&str> = Path::available().map(Path::name).collect();
    assert_eq!(names[0], "scalar");
    let all: &[(&str, &[&str])] = match std::env::consts::ARCH {
        "x86_64" => &[("avx2", &["avx2", "fma"]), ("avx512", &["avx2", "fma", "avx512f", "avx512vl", "avx512dq"])],
        "aarch64" => &[("neon", &["asimd"])],
        _ => &[],
    };
    // What the kernel says of the processor, and not the standard library, which the runtime asks. The word before the flags tells for
    // which architecture: an emulator may show the file of its host.
    let word = if cfg!(target_arch = "aarch64") { "Features" } else { "flags" };
    let said = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> = said.lines().filter(|line| line.starts_with(word)).flat_map(str::split_whitespace).collect();
    for (name, needs) in all {
        let there = names.contains(name);
        if !there {
            // Past the test's captured output, so that a log tells it.
            writeln!(std::io::stderr(), "this processor has no {name}: that path is compared with nothing here")
                .unwrap();
        }
        // Where the kernel says nothing, as under an emulator, there is nothing to compare with.
        assert!(flags.is_empty() || there == needs.iter().all(|flag| flags.contains(flag)), "{name}: {names:?}");
    }
}
