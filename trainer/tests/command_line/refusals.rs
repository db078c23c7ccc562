//! Every mistake gets an answer that helps, an exit code, and no half-written file.

use std::path::Path;
use std::process::Command;

use safetensors::tensor::Dtype;

use crate::fixture::{BUNDLE, CONFIG, Tensor, folder, sinew, tensor, trained, write};

/// Runs a command that must fail with `code`, say all of `words`, and leave nothing new in `folder`.
fn refused(folder: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let list = || {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let before = list();
    let ended = sinew(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {} {}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains("error: "), "{arguments:?}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{arguments:?}: expected `{word}` in: {}", ended.stderr);
    }
    assert_eq!(list(), before, "{arguments:?}");
}

#[test]
fn what_is_no_bundle_is_refused() {
    let folder = folder("no-bundle");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let whole = std::fs::read(trained().join(BUNDLE)).unwrap();
    std::fs::write(path("text"), "no bundle, and longer than eight bytes").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("half"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(path("short"), &whole[..whole.len() - 4]).unwrap();
    write(Path::new(&path("tensors")), &[tensor("x", &[1.0, 2.0], 1), tensor("y", &[1.0, 2.0], 1)]);
    let tensors = path("tensors");
    let out = path("out.safetensors");
    for (name, words) in [
        ("missing", "No such file"),
        ("text", "not a bundle"),
        ("empty", "not a bundle"),
        ("half", "not a bundle"),
        ("short", "not a bundle"),
        ("tensors", "not a bundle"),
        ("", "directory"),
    ] {
        let bundle = path(name);
        for arguments in [
            vec!["inspect", &bundle],
            vec!["inspect", &bundle, "--json"],
            vec!["predict", &bundle, "--input", &tensors, "--out", &out],
            vec!["adapt", &bundle, "--support", &tensors, "--query", &tensors, "--out", &out],
            vec!["evaluate", &bundle, "--world", "sinusoid", "--json", &out],
        ] {
            refused(&folder, &arguments, 1, &[words, name]);
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let folder = folder("tensors");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let bundle = trained().join(BUNDLE).to_str().unwrap().to_owned();
    let (good, out) = (path("good.safetensors"), path("out.safetensors"));
    let column = |name: &str, rows: usize| tensor(name, &vec![0.5; rows], 1);
    let typed =
        |dtype: Dtype, shape: &[usize], bytes: usize| -> Tensor { ("x".into(), dtype, shape.to_vec(), vec![0; bytes]) };
    write(Path::new(&good), &[column("x", 4), column("y", 4)]);
    let nan = |name: &str| tensor(name, &[0.0, 1.0, f32::NAN, 0.0], 1);
    let mistakes: [(&str, Vec<Tensor>, &[&str]); 12] = [
        ("name", vec![column("input", 4), column("y", 4)], &["expected a tensor `x`", "`input`"]),
        ("dtype", vec![typed(Dtype::F64, &[4, 1], 32), column("y", 4)], &["`x`", "F32", "F64"]),
        ("half", vec![typed(Dtype::F16, &[4, 1], 8), column("y", 4)], &["`x`", "F32", "F16"]),
        ("wide", vec![tensor("x", &[0.0; 8], 2), column("y", 4)], &["`x`", "[rows, 1]", "[4, 2]"]),
        ("flat", vec![typed(Dtype::F32, &[4], 16), column("y", 4)], &["`x`", "[rows, 1]", "[4]"]),
        ("deep", vec![typed(Dtype::F32, &[4, 1, 1], 16), column("y", 4)], &["`x`", "[rows, 1]", "[4, 1, 1]"]),
        ("nan", vec![nan("x"), column("y", 4)], &["`x`", "row 2", "NaN"]),
        ("nan-target", vec![column("x", 4), nan("y")], &["`y`", "row 2", "NaN"]),
        ("infinite", vec![tensor("x", &[f32::INFINITY], 1), column("y", 1)], &["`x`", "row 0", "inf"]),
        ("rows", vec![column("x", 4), column("y", 3)], &["as many rows", "3 and 4"]),
        ("none", vec![column("x", 0), column("y", 0)], &["at least one row"]),
        ("no-targets", vec![column("x", 4)], &["expected a tensor `y`", "`x`"]),
    ];
    for (name, tensors, words) in &mistakes {
        let file = path(name);
        write(Path::new(&file), tensors);
        let words: Vec<&str> = words.iter().copied().chain([*name]).collect();
        refused(&folder, &["adapt", &bundle, "--support", &file, "--query", &good, "--out", &out], 1, &words);
        // What is wrong with x is wrong of a query, too.
        if words[0] == "`x`" || words[0] == "expected a tensor `x`" {
            refused(&folder, &["adapt", &bundle, "--support", &good, "--query", &file, "--out", &out], 1, &words);
            refused(&folder, &["predict", &bundle, "--input", &file, "--out", &out], 1, &words);
        }
    }
    std::fs::write(path("text"), "no tensors at all").unwrap();
    let text = path("text");
    refused(&folder, &["predict", &bundle, "--input", &text, "--out", &out], 1, &["not a safetensors file", "text"]);
    let gone = path("gone");
    refused(&folder, &["predict", &bundle, "--input", &gone, "--out", &out], 1, &["No such file", "gone"]);

    // Where nothing can be written, nothing is.
    let nowhere = path("nowhere/y.safetensors");
    refused(&folder, &["predict", &bundle, "--input", &good, "--out", &nowhere], 1, &["there is no folder", "nowhere"]);
    let adapt = ["adapt", &bundle, "--support", &good, "--query", &good, "--out", &nowhere];
    refused(&folder, &adapt, 1, &["nowhere"]);
    refused(&folder, &[&adapt[..6], &["--out", &out, "--steps", "abc"]].concat(), 2, &["--steps", "abc"]);
    refused(&folder, &[&adapt[..6], &["--out", &out, "--steps", "-1"]].concat(), 2, &["-1"]);
    // A file that was there stays.
    std::fs::write(&out, "precious").unwrap();
    refused(&folder, &["predict", &bundle, "--input", &text, "--out", &out], 1, &[]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "precious");
}

#[test]
fn evaluations_that_make_no_sense_are_refused() {
    let folder = folder("no-evaluation");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let bundle = trained().join(BUNDLE).to_str().unwrap().to_owned();
    let result = path("result.json");
    let missing = path("missing.toml");
    let few = ["--world", "sinusoid", "--episodes", "2"];
    let cases: [(&[&str], i32, &[&str]); 12] = [
        (&["--world", "moon"], 1, &["moon", "sinusoid", "terrain", "--data"]),
        (&["--world", "terrain"], 1, &["1 inputs", "terrain"]),
        (&[], 2, &["--world", "--data"]),
        (&["--world", "sinusoid", "--data", "x.toml"], 2, &["cannot be used with"]),
        (&["--data", &missing], 1, &["missing.toml"]),
        (&["--world", "sinusoid", "--steps", "abc"], 2, &["--steps", "abc"]),
        (&["--world", "sinusoid", "--steps", ""], 2, &["--steps"]),
        (&["--world", "sinusoid", "--shots", "0"], 2, &["--shots", "at least 1"]),
        (&["--world", "sinusoid", "--shots", "5,0"], 2, &["--shots", "at least 1"]),
        (&["--world", "sinusoid", "--episodes", "0"], 2, &["--episodes", "at least 1"]),
        (&["--world", "sinusoid", "--episodes", "many"], 2, &["--episodes", "many"]),
        (&["--world", "sinusoid", "--seed", "-1"], 2, &["-1"]),
    ];
    for (arguments, code, words) in cases {
        refused(&folder, &[&["evaluate", &bundle, "--json", &result], arguments].concat(), code, words);
    }
    refused(
        &folder,
        &[&["evaluate", &bundle, "--json", &path("no/result.json")], &few[..]].concat(),
        1,
        &["result.json"],
    );
    // A bundle that stands alone has nothing to be compared with.
    let alone = path("alone.safetensors");
    std::fs::copy(&bundle, &alone).unwrap();
    refused(&folder, &[&["evaluate", &alone, "--baselines"], &few[..]].concat(), 1, &["baselines", "sinew train"]);
}

#[test]
fn runs_that_cannot_be_are_refused() {
    let folder = folder("no-run");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (good, out) = (path("good.toml"), path("run"));
    std::fs::write(&good, CONFIG).unwrap();
    let spoilt: [(&str, String, &[&str]); 6] = [
        ("field", CONFIG.replace("tasks = 8", "tasks = 8\ncolour = 3"), &["field.toml", "colour", "line"]),
        ("table", format!("{CONFIG}\n[magic]\nx = 1"), &["table.toml", "magic"]),
        ("lacking", CONFIG.replace("outer_rate = 1e-2\nvalidation", "validation"), &["lacking.toml", "outer_rate"]),
        ("type", CONFIG.replace("tasks = 8", "tasks = \"many\""), &["type.toml", "tasks", "many"]),
        ("text", "to whom it may concern".into(), &["text.toml"]),
        ("data", CONFIG.replace("\"sinusoid\"", "\"dataset\"\nfile = \"gone.toml\""), &["gone.toml", "No such file"]),
    ];
    for (name, text, words) in spoilt {
        let config = path(&format!("{name}.toml"));
        std::fs::write(&config, text).unwrap();
        refused(&folder, &["train", &config, "--out", &out], 1, words);
    }
    let missing = path("missing.toml");
    refused(&folder, &["train", &missing, "--out", &out], 1, &["missing.toml", "No such file"]);
    refused(&folder, &["train", &good], 2, &["--out"]);
    let settings: [(&[&str], i32, &[&str]); 12] = [
        (&["--set", "train.colour=3"], 1, &["colour"]),
        (&["--set", "train.iterations"], 1, &["KEY=VALUE"]),
        (&["--set", "train.iterations=0"], 1, &["train.iterations", "at least 1"]),
        (&["--set", "train.shots=0"], 1, &["train.shots"]),
        (&["--set", "train.shots=many"], 1, &["shots"]),
        (&["--set", "learner.steps=0"], 1, &["steps"]),
        (&["--set", "learner.steps=1001"], 1, &["1001"]),
        (&["--set", "network.hidden=[0]"], 1, &["network"]),
        (&["--set", "network.activation=gelu"], 1, &["gelu"]),
        (&["--set", "world.query=0"], 1, &["world.query", "at least 1"]),
        (&["--seed", "18446744073709551615"], 2, &["--seed"]),
        (&["--seed", "x"], 2, &["--seed"]),
    ];
    for (setting, code, words) in settings {
        refused(&folder, &[&["train", &good, "--out", &out], setting].concat(), code, words);
    }
    // A file is in the way of the folder.
    let below = path("good.toml/run");
    refused(&folder, &["train", &good, "--out", &good], 1, &["good.toml"]);
    refused(&folder, &["train", &good, "--out", &below], 1, &["good.toml"]);
    assert_eq!(std::fs::read_to_string(&good).unwrap(), CONFIG);
    refused(&folder, &["crossval", &good, "--out", &out], 1, &["data set"]);
    refused(&folder, &["crossval", &good, "--out", &out, "--folds", "0"], 2, &["--folds"]);
    refused(&folder, &["fly"], 2, &["fly"]);
}

/// Processes that know nothing of each other would take each other's files for their own.
#[test]
fn several_processes_are_refused_where_they_cannot_share() {
    let folder = folder("several");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("run.toml"), CONFIG).unwrap();
    let (config, out) = (path("run.toml"), path("out"));
    let train = ["train", &config, "--out", &out];
    let crossval = ["crossval", &config, "--out", &out];
    let demo = ["demo", "--out", &out];
    let only = "only `sinew train` shares";
    let mut cases = vec![(&crossval[..], only), (&demo[..], only)];
    // A build with MPI asks it; its own tests say what comes of that.
    if !cfg!(feature = "mpi") {
        cases.push((&train[..], "--features mpi"));
    }
    for (arguments, words) in cases {
        for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
            let output = command.args(arguments).env(variable, "2").output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains(words) && stderr.contains(variable) && stderr.contains('2'), "{stderr}");
            assert!(!folder.join("out").exists());
        }
    }
    // One process of a launcher is one process.
    let alone =
        Command::new(env!("CARGO_BIN_EXE_sinew")).args(train).env("OMPI_COMM_WORLD_SIZE", "1").output().unwrap();
    assert!(alone.status.success() && folder.join("out").join(BUNDLE).exists());
}

/// `sinew inspect … | head` ends with the reader, without a word.
#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_ends_the_command() {
    use std::process::Stdio;
    let bundle = trained().join(BUNDLE);
    // A reader that is gone before there is something to print.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = Command::new(env!("CARGO_BIN_EXE_sinew"))
        .args(["inspect", bundle.to_str().unwrap()])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    // Whether by the signal itself or with its exit code.
    assert!(!ended.status.success(), "{:?}", ended.status);
    assert_ne!(ended.status.code(), Some(101), "it panicked");
}
