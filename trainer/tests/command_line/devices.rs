//! `sinew devices`, on a machine without a GPU.

use std::process::Command;

use crate::fixture::{folder, sinew};

/// Runs the command where no library of CUDA is found; `None` on a machine that has one.
fn without_cuda(arguments: &[&str]) -> Option<(i32, String)> {
    if ["libcuda.so.1", "libnvrtc.so.12", "libnvrtc.so.13"].iter().any(|name| is_there(name)) {
        eprintln!("skipped: this machine has CUDA");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    let ended = command.args(arguments).env_remove("LD_LIBRARY_PATH").env_remove("SINEW_CUBINS").output().unwrap();
    let words = String::from_utf8(ended.stdout).unwrap() + &String::from_utf8(ended.stderr).unwrap();
    assert!(!words.contains("panicked"), "{words}");
    Some((ended.status.code().unwrap(), words))
}

/// Whether the system's own folders have a library.
fn is_there(name: &str) -> bool {
    let listed = Command::new("/sbin/ldconfig").arg("-p").output();
    let listed = listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).contains(name));
    listed || std::path::Path::new("/usr/local/cuda/lib64").join(name).exists()
}

#[test]
fn what_is_not_there_is_said() {
    let Some((code, words)) = without_cuda(&["devices"]) else { return };
    assert!(code == 0 && words.contains("cpu: ") && words.contains(" threads"), "{words}");
    if cfg!(feature = "cuda") {
        assert!(words.contains("no CUDA driver") && words.contains("libcuda"), "{words}");
    } else {
        assert!(words.contains("--features cuda"), "{words}");
    }
}

#[test]
fn kernels_are_compiled_where_that_can_be() {
    let folder = folder("devices");
    let out = folder.join("cubins");
    let Some((code, words)) = without_cuda(&["devices", "--compile", "sm_87", "--out", out.to_str().unwrap()]) else {
        return;
    };
    let expected = if cfg!(feature = "cuda") { "nvidia-cuda-nvrtc-cu12" } else { "--features cuda" };
    assert!(code == 1 && words.contains(expected) && !out.exists(), "{words}");
    let out = out.to_str().unwrap();
    for (arguments, word) in [
        (&["--compile", "sm_87"][..], "--out"),
        (&["--out", out], "--compile"),
        (&["--compile", "sm_60", "--out", out], "at least 7.0"),
        (&["--compile", "orin", "--out", out], "sm_87"),
    ] {
        let ended = sinew(&[&["devices"], arguments].concat());
        assert!(ended.code == 2 && ended.stderr.contains(word), "{arguments:?}: {}", ended.stderr);
    }
}
