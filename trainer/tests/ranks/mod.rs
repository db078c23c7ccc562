//! Ranks that are threads of one process: the slow twin of those that mpirun starts, to the bit. Runs that they share, and worlds that
//! go wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

use rand_chacha::ChaCha8Rng;
use sinew_trainer::aligned::Aligned;
use sinew_trainer::collective::{Collective, CollectiveError};
use sinew_trainer::config::Config;
use sinew_trainer::cuda::DeviceChoice;
use sinew_trainer::episode::Episode;
use sinew_trainer::train::{Options, Progress, TIMING, TrainError, Trained, train_among};
use sinew_trainer::world::sinusoid::Sinusoid;
use sinew_trainer::world::{Metric, Predictor, Signature, Split, Task, World};

/// One inner step at a constant rate, everything decayed and clipped; tasks that no number of ranks divides.
pub const PLAIN: &str = r#"
    seed = 5
    [world]
    kind = "sinusoid"
    [network]
    hidden = [16, 16]
    activation = "tanh"
    normalise = false
    [learner]
    kind = "maml"
    inner_rate = 0.01
    [train]
    iterations = 30
    tasks = 5
    shots = 5
    outer_rate = 3e-3
    weight_decay = 0.01
    clip = 2.0
    validation_every = 10
    validation_tasks = 7
    threads = 1
"#;

/// Learned rates for each layer and step, several shots, scales, two threads.
pub const RATES: &str = r#"
    seed = 6
    [world]
    kind = "sinusoid"
    [network]
    input = "both"
    hidden = [12]
    activation = "tanh"
    [learner]
    kind = "maml"
    steps = 3
    inner_rate = 0.05
    rate = "per_layer_step"
    learn_rate = true
    [train]
    iterations = 24
    tasks = 6
    shots = [1, 5, 10]
    outer_rate = 3e-3
    rate_outer_rate = 1e-2
    validation_every = 7
    validation_tasks = 8
    threads = 2
"#;

/// Supervised, without a validation.
pub const POOLED: &str = r#"
    [world]
    kind = "sinusoid"
    [network]
    hidden = [8]
    activation = "silu"
    [learner]
    kind = "pooled"
    inner_rate = 0.01
    [train]
    iterations = 12
    tasks = 4
    shots = 5
    outer_rate = 1e-3
    validation_every = 5
    validation_tasks = 0
    threads = 1
"#;

pub fn config(text: &str, changes: &[&str]) -> Config {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    Config::parse(Path::new("run.toml"), text, &changes).unwrap()
}

/// One rank, with a channel to and from each.
pub struct Threads {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Receiver<Vec<u8>>>,
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.to.len())
    }
}

impl Collective<Aligned> for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn neighbours(&self) -> usize {
        self.to.len()
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        for to in &self.to {
            // Who has gone is noticed below.
            let _ = to.send(mine.to_vec());
        }
        let heard = self.from.iter().enumerate();
        heard
            .map(|(rank, from)| from.recv().map_err(|_| CollectiveError::Elsewhere { rank, why: "gone".into() }))
            .collect()
    }

    fn sum(&mut self, values: &mut [&mut Aligned], share: f32) -> Result<(), CollectiveError> {
        for values in values {
            let mine: Vec<u8> = values.iter().flat_map(|value| (share * value).to_le_bytes()).collect();
            let all = self.gather(&mine)?;
            assert!(all.iter().all(|bytes| bytes.len() == mine.len()));
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            for (place, value) in values.iter_mut().enumerate() {
                let parts = all.iter().map(|bytes| number(&bytes[4 * place..][..4]));
                *value = parts.reduce(|sum, part| sum + part).unwrap();
            }
        }
        Ok(())
    }
}

/// Runs `one` on so many ranks at once; what each gives.
pub fn among<T: Send>(size: usize, one: impl Fn(&mut Threads) -> T + Sync) -> Vec<T> {
    among_owned(size, |mut rank| one(&mut rank))
}

/// The same, of ranks that are given away.
pub fn among_owned<T: Send>(size: usize, one: impl Fn(Threads) -> T + Sync) -> Vec<T> {
    let mut to: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    for to in &mut to {
        for from in &mut from {
            let (sender, receiver) = channel();
            to.push(sender);
            from.push(receiver);
        }
    }
    let ranks = to.into_iter().zip(from).enumerate();
    let ranks: Vec<_> = ranks.map(|(rank, (to, from))| Threads { rank, to, from }).collect();
    std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = ranks.into_iter().map(|rank| scope.spawn(move || one(rank))).collect();
        running.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// Trains on so many ranks, of which all but the first are shown a folder that must not be made.
pub fn train_on(
    size: usize,
    config: &Config,
    world: &dyn World,
    folder: &Path,
    resume: bool,
    stop_after: Option<u64>,
) -> Vec<Result<Trained, TrainError>> {
    let nowhere = folder.join("nowhere");
    let ended = among(size, |collective| {
        let (stop, progress) = (AtomicBool::new(false), Progress::Hidden);
        let folder = if collective.rank == 0 { folder } else { &nowhere };
        train_among(
            config,
            world,
            &Options { folder, resume, stop: &stop, stop_after, progress, device: DeviceChoice::Cpu },
            collective,
        )
    });
    assert!(!nowhere.exists());
    ended
}

/// The files of a run, without what a killed process left half written, and without how long it took.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    files.filter(|(name, _)| !name.starts_with(".sinew-") && name != TIMING).collect()
}

pub fn assert_same(got: &BTreeMap<String, Vec<u8>>, want: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in want {
        assert!(got[name] == *bytes, "{what}: {name} differs");
    }
}

/// Sine waves of which some episodes are not as they should be.
pub struct Spoilt<F> {
    pub world: Sinusoid,
    pub spoil: F,
}

impl<F: Fn(&Task, &mut Episode) + Send + Sync> World for Spoilt<F> {
    fn name(&self) -> &str {
        self.world.name()
    }

    fn signature(&self) -> &Signature {
        self.world.signature()
    }

    fn task_count(&self, split: Split) -> Option<usize> {
        self.world.task_count(split)
    }

    fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
        self.world.task(split, rng)
    }

    fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
        let mut episode = self.world.episode(task, shots, rng);
        (self.spoil)(task, &mut episode);
        episode
    }

    fn metrics(&self) -> &[Metric] {
        self.world.metrics()
    }

    fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
        self.world.score(task, episode, predictor)
    }

    fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
        self.world.oracle(task, episode)
    }
}
