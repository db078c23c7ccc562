//! Ranks that share every batch: what they give beside one process, and that they do everything alike.

mod ranks;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ranks::{PLAIN, POOLED, RATES, Spoilt, among, assert_same, config, files, train_on};
use sinew_trainer::collective::{Collective, CollectiveError};
use sinew_trainer::config::Config;
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::episode::Episode;
use sinew_trainer::train::{CHECKPOINT, Line, METRICS, Options, Progress, TrainError, Trained, train, train_among};
use sinew_trainer::world::sinusoid::Sinusoid;
use sinew_trainer::world::{Task, World};

/// How far the parameters may be from those of one process after some tens of steps, as a share of their length: f32 sums in other
/// groups differ by 1e-7 of a gradient, and AdamW divides small gradients by themselves.
const APART: f64 = 1e-5;

fn alone(config: &Config, world: &dyn World, folder: &Path) -> Trained {
    let stop = AtomicBool::new(false);
    let options = Options {
        folder,
        resume: false,
        stop: &stop,
        stop_after: None,
        progress: Progress::Hidden,
        device: DeviceChoice::Cpu,
    };
    train(config, world, &options).unwrap()
}

/// How far `got` is from `want`, as a share of its length.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let apart = norm(&mut got.iter().zip(want).map(|(got, want)| f64::from(*got) - f64::from(*want)));
    apart / norm(&mut want.iter().map(|want| f64::from(*want)))
}

/// The log; a loss that was never finite is null there, and not a number here.
fn lines(folder: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(folder.join(METRICS)).unwrap();
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| line[name].as_u64().unwrap();
        let (iteration, skipped) = (number("iteration"), number("skipped"));
        let loss = line["loss"].as_f64().unwrap_or(f64::NAN);
        Line { iteration, loss, validation: line["validation"].as_f64(), skipped }
    };
    text.lines().map(line).collect()
}

/// Trains on one rank and on several: the same models among ranks, and close to the one of one process.
fn compare(config: &Config, world: &dyn World, sizes: &[usize]) -> Vec<Line> {
    let one = tempfile::tempdir().unwrap();
    let want = alone(config, world, one.path());
    for &size in sizes {
        let several = tempfile::tempdir().unwrap();
        let got = train_on(size, config, world, several.path(), false, None);
        let names = |folder: &Path| files(folder).into_keys().collect::<Vec<_>>();
        assert_eq!(names(several.path()), names(one.path()));
        let first = got[0].as_ref().unwrap().model.to_bytes().unwrap();
        for trained in got {
            let trained = trained.unwrap();
            assert!(trained.model.to_bytes().unwrap() == first, "{size} ranks differ among themselves");
            let (got, want) = (&trained.model, &want.model);
            assert_eq!(got.about.iterations, want.about.iterations);
            assert_eq!(got.scaling, want.scaling);
            let params = distance(&got.state.params, &want.state.params);
            let rates = distance(&got.state.rates, &want.state.rates);
            assert!(params <= APART && rates <= APART, "{size} ranks: parameters {params:e}, rates {rates:e}");
        }
        for (got, want) in lines(several.path()).iter().zip(lines(one.path())) {
            let close = |got: f64, want: f64| (got - want).abs() <= 10.0 * APART * want.abs();
            assert_eq!((got.iteration, got.skipped), (want.iteration, want.skipped));
            assert!(
                close(got.loss, want.loss) || (got.loss.is_nan() && want.loss.is_nan()),
                "{size} ranks: {got:?}, {want:?}"
            );
            assert_eq!(got.validation.is_some(), want.validation.is_some());
            assert!(close(got.validation.unwrap_or(0.0), want.validation.unwrap_or(0.0)), "{got:?}, {want:?}");
        }
        // Once more is the same to the bit.
        let again = tempfile::tempdir().unwrap();
        train_on(size, config, world, again.path(), false, None);
        assert_same(&files(again.path()), &files(several.path()), &format!("{size} ranks once more"));
    }
    lines(one.path())
}

/// Seven ranks are more than there are tasks, so some have none.
#[test]
fn any_number_of_ranks_gives_the_same_to_rounding() {
    for text in [PLAIN, RATES, POOLED] {
        compare(&config(text, &[]), &Sinusoid::new(10), &[1, 2, 3, 7]);
    }
}

/// Tasks without rows are left out, so ranks have different numbers of them, or none, and the mean is over those that there are.
#[test]
fn the_mean_is_over_the_tasks_that_there_are() {
    let empty = |task: &Task, episode: &mut Episode| {
        if task.seed.is_multiple_of(3) {
            *episode = Episode::default();
        }
    };
    compare(&config(PLAIN, &[]), &Spoilt { world: Sinusoid::new(10), spoil: empty }, &[2, 3, 5]);
}

/// A gradient that is not finite on one rank is not finite on all.
#[test]
fn all_skip_a_step_or_none() {
    let infinite = |task: &Task, episode: &mut Episode| {
        if task.seed.is_multiple_of(11) {
            episode.query.targets.fill(f32::INFINITY);
        }
    };
    let config = config(PLAIN, &["train.validation_every=1", "train.validation_tasks=0"]);
    let lines = compare(&config, &Spoilt { world: Sinusoid::new(10), spoil: infinite }, &[2, 3]);
    let skipped = lines.iter().filter(|line| line.skipped > 0).count();
    assert!(skipped > 0 && skipped < lines.len(), "{skipped} of {}", lines.len());
}

#[test]
fn stopped_ranks_go_on_to_the_bit() {
    for (text, parts) in [(PLAIN, vec![13]), (RATES, vec![5, 1, 10])] {
        let config = config(text, &[]);
        let whole = tempfile::tempdir().unwrap();
        train_on(3, &config, &Sinusoid::new(10), whole.path(), false, None);
        let folder = tempfile::tempdir().unwrap();
        let mut done = 0;
        for (number, part) in parts.iter().enumerate() {
            done += part;
            for ended in train_on(3, &config, &Sinusoid::new(10), folder.path(), number > 0, Some(*part)) {
                let ended = ended.unwrap();
                assert!(ended.stopped && ended.iterations == done);
            }
        }
        train_on(3, &config, &Sinusoid::new(10), folder.path(), true, None);
        assert_same(&files(folder.path()), &files(whole.path()), "resumed");
    }
}

/// A run may go on with more or fewer ranks: by rounding, it is the same.
#[test]
fn another_number_of_ranks_goes_on() {
    let config = config(RATES, &[]);
    let (one, several) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let want = alone(&config, &Sinusoid::new(10), one.path());
    train_on(3, &config, &Sinusoid::new(10), several.path(), false, Some(9));
    for ended in train_on(2, &config, &Sinusoid::new(10), several.path(), true, None) {
        let apart = distance(&ended.unwrap().model.state.params, &want.model.state.params);
        assert!(apart <= APART, "{apart:e}");
    }
}

/// One rank is told in the midst of an iteration; all stop at the same one.
#[test]
fn a_stop_on_one_rank_stops_all() {
    let config = config(PLAIN, &[]);
    let whole = tempfile::tempdir().unwrap();
    train_on(2, &config, &Sinusoid::new(10), whole.path(), false, None);
    let folder = tempfile::tempdir().unwrap();
    let drawn = AtomicUsize::new(0);
    let ended = among(2, |collective| {
        let (stop, second) = (AtomicBool::new(false), collective.rank() == 1);
        let spoil = |_: &Task, _: &mut Episode| {
            if second && drawn.fetch_add(1, Ordering::Relaxed) == 20 {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let (progress, folder) = (Progress::Hidden, folder.path());
        let options =
            Options { folder, resume: false, stop: &stop, stop_after: None, progress, device: DeviceChoice::Cpu };
        let world = Spoilt { world: Sinusoid::new(10), spoil };
        train_among(&config, &world, &options, collective).unwrap()
    });
    assert!(ended[0].stopped && ended[1].stopped);
    assert_eq!(ended[0].iterations, ended[1].iterations);
    assert!((1..30).contains(&ended[0].iterations), "{}", ended[0].iterations);
    train_on(2, &config, &Sinusoid::new(10), folder.path(), true, None);
    assert_same(&files(folder.path()), &files(whole.path()), "stopped and resumed");
}

/// The rank that has an error keeps it, the others hear of it, and nobody waits.
fn assert_said_once(ended: &[Result<Trained, TrainError>], owner: usize, words: &str) {
    for (rank, ended) in ended.iter().enumerate() {
        let why = ended.as_ref().unwrap_err();
        assert!(why.to_string().contains(words), "rank {rank}: {why}");
        match why {
            TrainError::Collective(CollectiveError::Elsewhere { rank: said, .. }) => {
                assert!(rank != owner && *said == owner, "rank {rank}: {why}");
            }
            _ => assert_eq!(rank, owner, "{why}"),
        }
    }
}

#[test]
fn an_error_of_one_is_an_error_of_all_and_said_once() {
    let world = Sinusoid::new(10);
    let folder = tempfile::tempdir().unwrap();
    let run = |config: &Config, world: &dyn World, folder: &Path| train_on(3, config, world, folder, false, None);

    // What only the first can see.
    let plain = config(PLAIN, &[]);
    run(&plain, &world, folder.path());
    assert_said_once(&run(&plain, &world, folder.path()), 0, "--resume");
    let checkpoint = folder.path().join(CHECKPOINT);
    std::fs::write(&checkpoint, "no").unwrap();
    assert_said_once(&train_on(3, &plain, &world, folder.path(), true, None), 0, "not a checkpoint");
    assert_said_once(&run(&plain, &world, &checkpoint), 0, "File exists");

    // What all see.
    let nothing =
        Spoilt { world: Sinusoid::new(10), spoil: |_: &Task, episode: &mut Episode| *episode = Episode::default() };
    assert_said_once(&run(&plain, &nothing, &folder.path().join("nothing")), 0, "no training tasks");
    let wild = config(PLAIN, &["learner.inner_rate=1e30", "train.iterations=200"]);
    assert_said_once(&run(&wild, &world, &folder.path().join("wild")), 0, "no finite gradient");
    // It is there to be looked at, and to go on from.
    assert!(folder.path().join("wild").join(CHECKPOINT).exists());

    // What is not the same on all.
    let ended = among(3, |collective| {
        let change = if collective.rank() == 2 { "train.outer_rate=4e-3" } else { "train.outer_rate=3e-3" };
        let (stop, folder) = (AtomicBool::new(false), folder.path().join("apart"));
        let options = Options {
            folder: &folder,
            resume: false,
            stop: &stop,
            stop_after: None,
            progress: Progress::Hidden,
            device: DeviceChoice::Cpu,
        };
        train_among(&config(PLAIN, &[change]), &Sinusoid::new(10), &options, collective)
    });
    assert_said_once(&ended, 0, "the configuration: expected the same on every process, rank 2");
    assert!(!folder.path().join("apart").exists());
}

/// Parameters that have come apart are noticed at the next checkpoint, before it is written.
#[test]
fn ranks_that_come_apart_are_noticed() {
    #[derive(Debug)]
    struct Wrong(ranks::Threads);
    impl Collective<sinew_trainer::aligned::Aligned> for Wrong {
        fn rank(&self) -> usize {
            self.0.rank()
        }
        fn size(&self) -> usize {
            self.0.size()
        }
        fn neighbours(&self) -> usize {
            self.0.neighbours()
        }
        fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
            self.0.gather(mine)
        }
        fn sum(
            &mut self,
            values: &mut [&mut sinew_trainer::aligned::Aligned],
            share: f32,
        ) -> Result<(), CollectiveError> {
            self.0.sum(values, share)?;
            if self.0.rank() == 1 {
                values[0][3] += 1e-3;
            }
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let ended = ranks::among_owned(3, |collective| {
        let stop = AtomicBool::new(false);
        let (folder, progress) = (folder.path(), Progress::Hidden);
        let options =
            Options { folder, resume: false, stop: &stop, stop_after: None, progress, device: DeviceChoice::Cpu };
        train_among(&config(PLAIN, &[]), &Sinusoid::new(10), &options, &mut Wrong(collective))
    });
    assert_said_once(&ended, 0, "the parameters: expected the same on every process, rank 1");
    assert!(!folder.path().join(CHECKPOINT).exists());
}
