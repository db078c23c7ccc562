//! Processes that mpirun starts: the same bytes as ranks that are threads, and an end for every run of which a process fails or dies.
//!
//! Needs Open MPI, and `/proc` to find the processes of a run.

mod ranks;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ranks::{PLAIN, POOLED, RATES, Spoilt, assert_same, config, files, train_on};
use sinew_trainer::checkpoint::Checkpoint;
use sinew_trainer::collective::Processes;
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::episode::Episode;
use sinew_trainer::train::{BUNDLE, CHECKPOINT, LAST, METRICS, Options, Progress, train_among};
use sinew_trainer::world::Task;
use sinew_trainer::world::sinusoid::Sinusoid;

/// A process that has not ended by then is taken for one that never will.
const LONG: Duration = Duration::from_secs(240);
/// What makes of a run one that lasts until it is stopped or killed: so many iterations that it would not end by itself.
const ENDLESS: [&str; 2] = ["train.iterations=1000000", "train.validation_every=10"];
/// What [`one_of_several`] should do.
const PART: &str = "SINEW_TEST_PART";

/// How a run ended.
struct Ended {
    code: Option<i32>,
    stderr: String,
}

/// A started mpirun.
struct Run {
    child: Child,
    stderr: PathBuf,
}

fn mpirun(log: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log).unwrap());
    let child = command.spawn().expect("mpirun: is Open MPI there?");
    Run { child, stderr: log.into() }
}

impl Run {
    fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > LONG {
                self.child.kill().unwrap();
                panic!("no end: {}", fs::read_to_string(&self.stderr).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ended { code: status.code(), stderr: fs::read_to_string(&self.stderr).unwrap() }
    }

    /// The process of a rank.
    fn rank(&self, rank: usize) -> u32 {
        let parent = format!("PPid:\t{}", self.child.id());
        let is_it = |process: &u32| {
            let of = |file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
            String::from_utf8_lossy(&of("status")).lines().any(|line| line == parent)
                && of("environ").split(|byte| *byte == 0).any(|found| found == variable.as_bytes())
        };
        let names = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let mut processes = names.filter_map(|name| name.to_str()?.parse().ok());
        processes.find(is_it).expect("a process of that rank")
    }

    /// Waits for a file, sends a signal to a rank, and waits for the end.
    fn signal(self, file: &Path, rank: usize, signal: &str) -> Ended {
        let begun = Instant::now();
        while !file.exists() {
            assert!(begun.elapsed() <= LONG, "no {}: {}", file.display(), fs::read_to_string(&self.stderr).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(Command::new("kill").args([signal, &self.rank(rank).to_string()]).status().unwrap().success());
        self.end()
    }
}

/// The folder of a test, its configuration in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(text: &str, changes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run.toml"), config(text, changes).to_toml()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts `sinew train` on so many ranks.
    fn start(&self, size: usize, out: &str, more: &[&str]) -> Run {
        let (size, configuration, out) = (size.to_string(), self.path("run.toml"), self.path(out));
        let [configuration, to] = [&configuration, &out].map(|path| path.to_str().unwrap());
        let mut arguments = vec!["-n", &size, env!("CARGO_BIN_EXE_sinew"), "train", configuration, "--out", to];
        arguments.extend(more);
        mpirun(&out.with_extension("stderr"), &arguments)
    }

    fn train(&self, size: usize, out: &str, more: &[&str]) -> BTreeMap<String, Vec<u8>> {
        let ended = self.start(size, out, more).end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        files(&self.path(out))
    }
}

/// With the comparison of threads with one process in `shares.rs`, this says that mpirun changes a bundle by rounding alone.
#[test]
fn processes_give_the_bytes_of_threads() {
    for (text, sizes) in [(PLAIN, vec![2, 3]), (RATES, vec![1, 2]), (POOLED, vec![5])] {
        let folder = Folder::new(text, &[]);
        for size in sizes {
            let got = folder.train(size, &format!("processes-{size}"), &[]);
            let threads = folder.path(&format!("threads-{size}"));
            train_on(size, &config(text, &[]), &Sinusoid::new(10), &threads, false, None);
            assert_same(&got, &files(&threads), &format!("{size} processes"));
        }
    }
}

/// Baselines are shared as well, and a file is written by one process: the log has one line a validation.
#[test]
fn one_process_writes() {
    let folder = Folder::new(PLAIN, &["baselines={iterations = 20, outer_rate = 1e-3}"]);
    let ended = folder.start(3, "run", &[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("training on").count(), 1, "{}", ended.stderr);
    let text = fs::read_to_string(folder.path("run").join(METRICS)).unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(folder.path("run/baselines/linear.safetensors").exists());
    assert_eq!(files(&folder.path("run/baselines/pooled")).len(), 5);
}

/// Kills the last rank, or the one that writes; what is left goes on to the bytes of a run that nobody disturbed.
#[test]
fn a_rank_that_is_killed_ends_the_run_which_can_be_resumed() {
    for victim in [0, 1] {
        let folder = Folder::new(RATES, &ENDLESS);
        let running = folder.start(2, "run", &[]);
        let ended = running.signal(&folder.path("run").join(CHECKPOINT), victim, "-KILL");
        assert!(ended.code != Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("signal 9"), "{}", ended.stderr);
        resumes(&folder);
    }
}

/// A scheduler tells one rank; all save at the same iteration, and end well.
#[test]
fn a_rank_that_is_told_to_stop_stops_all() {
    let folder = Folder::new(RATES, &ENDLESS);
    let ended = folder.start(2, "run", &[]).signal(&folder.path("run").join(CHECKPOINT), 1, "-TERM");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("stopped after").count(), 1, "{}", ended.stderr);
    resumes(&folder);
}

/// A run that was ended can be resumed: for a few iterations more than it had, against one that had as many from the start.
///
/// The number of iterations is in the configuration, and the schedule follows from it, so both runs are stopped at the same place.
fn resumes(folder: &Folder) {
    let at = Checkpoint::read(&folder.path("run").join(CHECKPOINT)).unwrap().iteration;
    let whole = folder.path("whole");
    let config = config(RATES, &ENDLESS);
    train_on(2, &config, &Sinusoid::new(10), &whole, false, Some(at + 15));
    let out = folder.path("run");
    let ended = part(2, "resume", &out, &folder.path("resume.stderr"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_same(&files(&out), &files(&whole), &format!("resumed at {at}"));
}

/// Runs [`one_of_several`] on so many ranks.
fn part(size: usize, name: &str, out: &Path, log: &Path) -> Ended {
    let this = std::env::current_exe().unwrap();
    let (size, part) = (size.to_string(), format!("{PART}={name}:{}", out.display()));
    let mut arguments = vec!["-n", &size, "env", &part, this.to_str().unwrap()];
    arguments.extend(["--exact", "one_of_several", "--ignored", "--nocapture", "--test-threads=1"]);
    mpirun(log, &arguments).end()
}

/// What [`part`] starts under mpirun; nothing by itself.
#[test]
#[ignore = "started by the other tests under mpirun"]
fn one_of_several() {
    let Ok(part) = std::env::var(PART) else { return };
    let (name, out) = part.split_once(':').unwrap();
    let mut processes = Processes::join().unwrap();
    let collective = processes.collective();
    let second = collective.rank() == 1;
    let resume = name == "resume";
    let config = if resume { config(RATES, &ENDLESS) } else { config(PLAIN, &["train.validation_every=2"]) };
    let drawn = AtomicUsize::new(0);
    let spoil = |_: &Task, episode: &mut Episode| {
        // In the midst of the run, which has a share of 2 or 3 tasks an iteration and of 3 or 4 in the validation.
        if !second || resume || drawn.fetch_add(1, Ordering::Relaxed) < 20 {
            return;
        }
        match name {
            "error" => {
                episode.query.inputs.pop();
            }
            "panic" => panic!("a panic in rank 1"),
            "exit" => std::process::exit(3),
            _ => {}
        }
    };
    let world = Spoilt { world: Sinusoid::new(10), spoil };
    let stop = AtomicBool::new(false);
    let stop_after = resume.then_some(15);
    let options = Options {
        folder: Path::new(out),
        resume,
        stop: &stop,
        stop_after,
        progress: Progress::Hidden,
        device: DeviceChoice::Cpu,
    };
    let answer = train_among(&config, &world, &options, collective);
    processes.leave(answer.map(|_| ()).map_err(Into::into)).unwrap();
}

/// An error, a panic or an exit in one rank while the other waits for its gradient: an end with a word about it, never a hang.
#[test]
fn what_goes_wrong_in_one_rank_ends_all() {
    for (name, words) in [("error", "error: rank 1: "), ("panic", "a panic in rank 1"), ("exit", "Exit code:    3")] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let ended = part(2, name, &out, &folder.path().join("stderr"));
        assert!(ended.code.is_some_and(|code| code != 0), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{name}: {}", ended.stderr);
        // What was there is whole, and can be resumed.
        Checkpoint::read(&out.join(CHECKPOINT)).unwrap();
        assert!(!out.join(BUNDLE).exists() && !out.join(LAST).exists());
    }
}

/// What one rank, or all of them, cannot begin with is said once.
#[test]
fn what_cannot_begin_is_said_once() {
    let folder = Folder::new(PLAIN, &[]);
    folder.train(2, "run", &[]);
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let [configuration, missing, run, other] = ["run.toml", "missing.toml", "run", "other"].map(path);
    let before = files(&folder.path("run"));
    let begin = ["train", &configuration, "--out", &other];
    let changed = ["train", &configuration, "--out", &other, "--set", "seed=8"];
    let gone = ["train", &missing, "--out", &other];
    let again = ["train", &configuration, "--out", &run];
    for (first, second, words) in [
        (&begin[..], &changed[..], "error: rank 0: the configuration: expected the same on every process, rank 1"),
        (&begin[..], &gone[..], "error: rank 1: "),
        (&gone[..], &gone[..], "error: rank 0: "),
        (&again[..], &again[..], "a run is there already"),
    ] {
        let sinew = env!("CARGO_BIN_EXE_sinew");
        let arguments = [&["-n", "1", sinew], first, &[":", "-n", "1", sinew], second].concat();
        let ended = mpirun(&folder.path("stderr"), &arguments).end();
        assert!(ended.code.is_some_and(|code| code != 0), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("error: ").count(), 1, "{}", ended.stderr);
        assert!(!folder.path("other").exists());
        assert_same(&files(&folder.path("run")), &before, words);
    }
}

/// A launcher of another MPI: each process would be alone, and take the other's files for its own.
#[test]
fn a_launcher_of_another_mpi_is_refused() {
    let folder = Folder::new(PLAIN, &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    command.args(["train".as_ref(), folder.path("run.toml").as_os_str(), "--out".as_ref()]).arg(folder.path("run"));
    let output = command.env("PMI_SIZE", "2").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("PMI_SIZE") && stderr.contains("MPI sees 1"), "{stderr}");
    assert!(!folder.path("run").exists());
}
