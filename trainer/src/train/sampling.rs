//! How often each source of training tasks comes up, where sources have different numbers of samples (Arivazhagan et al. 2019; Aharoni,
//! Johnson and Firat 2019): p_i ∝ n_i^(1/T).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::world::{Split, Task, World};

/// `sampling` of `[train]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each source as often as any other, which is how worlds draw by themselves: T → ∞.
    #[default]
    Balanced,
    /// Each sample as often as any other: T = 1.
    Proportional,
    /// In between, by the temperature T.
    Temperature(f64),
}

impl Sampling {
    /// The probability of each source, which have so many samples. A source without samples does not come up. NaN if none has any.
    ///
    /// ```
    /// # use sinew_trainer::train::Sampling;
    /// assert_eq!(Sampling::Proportional.probabilities(&[10, 30]), [0.25, 0.75]);
    /// assert_eq!(Sampling::Balanced.probabilities(&[10, 30]), [0.5, 0.5]);
    /// ```
    pub fn probabilities(self, sizes: &[usize]) -> Vec<f64> {
        let exponent = match self {
            Self::Balanced => 0.0,
            Self::Proportional => 1.0,
            Self::Temperature(temperature) => 1.0 / temperature,
        };
        // Over the largest, so that no power leaves the range of numbers.
        let most = sizes.iter().copied().max().unwrap_or(0) as f64;
        let share = |size: &usize| if *size == 0 { 0.0 } else { (*size as f64 / most).powf(exponent) };
        let shares: Vec<f64> = sizes.iter().map(share).collect();
        let sum: f64 = shares.iter().sum();
        shares.into_iter().map(|share| share / sum).collect()
    }
}

/// Draws training tasks of a world as often as a [`Sampling`] says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sampler {
    /// With what probability a task of each source is taken.
    taken: Vec<f64>,
}

impl Sampler {
    /// For the training tasks of `world`; `None` where it draws by itself as it should.
    pub(super) fn open(sampling: Sampling, world: &dyn World) -> Result<Option<Self>, TrainError> {
        if sampling == Sampling::Balanced {
            return Ok(None);
        }
        let sizes = world.source_sizes(Split::Train).filter(|sizes| sizes.iter().any(|size| *size > 0));
        let Some(sizes) = sizes else {
            return Err(TrainError::NoSizes { world: world.name().into() });
        };
        let probabilities = sampling.probabilities(&sizes);
        let most = probabilities.iter().copied().fold(0.0, f64::max);
        Ok(Some(Self { taken: probabilities.into_iter().map(|probability| probability / most).collect() }))
    }

    /// A training task. The world draws from its sources evenly; of these draws each is taken with its source's probability over that of
    /// the likeliest (rejection sampling, von Neumann 1951).
    pub(super) fn task(&self, world: &dyn World, rng: &mut ChaCha8Rng) -> Task {
        loop {
            let task = world.task(Split::Train, rng);
            let taken = self.taken.get(world.source(&task)).copied().unwrap_or(0.0);
            if rng.random::<f64>() < taken {
                return task;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::episode::Episode;
    use crate::world::sinusoid::Sinusoid;
    use crate::world::{Metric, Predictor, Signature};

    /// Sine waves from sources of so many samples.
    struct Sources(Sinusoid, Option<Vec<usize>>);

    impl World for Sources {
        fn name(&self) -> &str {
            "sources"
        }

        fn signature(&self) -> &Signature {
            self.0.signature()
        }

        fn task_count(&self, split: Split) -> Option<usize> {
            self.0.task_count(split)
        }

        fn source_sizes(&self, split: Split) -> Option<Vec<usize>> {
            assert_eq!(split, Split::Train);
            self.1.clone()
        }

        fn source(&self, task: &Task) -> usize {
            task.seed as usize % self.1.as_ref().map_or(1, Vec::len)
        }

        fn task(&self, split: Split, rng: &mut ChaCha8Rng) -> Task {
            self.0.task(split, rng)
        }

        fn episode(&self, task: &Task, shots: usize, rng: &mut ChaCha8Rng) -> Episode {
            self.0.episode(task, shots, rng)
        }

        fn metrics(&self) -> &[Metric] {
            self.0.metrics()
        }

        fn score(&self, task: &Task, episode: &Episode, predictor: &mut Predictor<'_>) -> Vec<f64> {
            self.0.score(task, episode, predictor)
        }

        fn oracle(&self, task: &Task, episode: &Episode) -> Option<Vec<f64>> {
            self.0.oracle(task, episode)
        }
    }

    #[test]
    fn probabilities_are_those_of_the_formula() {
        let sizes = [1000, 10, 0, 100];
        let close = |got: Vec<f64>, want: [f64; 4]| {
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-12), "{got:?} for {want:?}");
        };
        close(Sampling::Balanced.probabilities(&sizes), [1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0 / 3.0]);
        close(Sampling::Proportional.probabilities(&sizes), [1000.0 / 1110.0, 10.0 / 1110.0, 0.0, 100.0 / 1110.0]);
        assert_eq!(Sampling::Temperature(1.0).probabilities(&sizes), Sampling::Proportional.probabilities(&sizes));
        // √1000, √10 and √100.
        let roots = [31.622_776_601_683_793, 3.162_277_660_168_379_5, 0.0, 10.0];
        let sum: f64 = roots.iter().sum();
        close(Sampling::Temperature(2.0).probabilities(&sizes), roots.map(|root| root / sum));
        close(Sampling::Temperature(1e15).probabilities(&sizes), [1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0 / 3.0]);
        // So cold that only the largest is left, and no number too large on the way.
        close(Sampling::Temperature(1e-3).probabilities(&sizes), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn tasks_come_as_often_as_the_formula_says() {
        const DRAWS: usize = 40_000;
        let sizes = vec![100, 10, 0, 40];
        let world = Sources(Sinusoid::new(1), Some(sizes.clone()));
        for sampling in [Sampling::Proportional, Sampling::Temperature(3.0)] {
            let sampler = Sampler::open(sampling, &world).unwrap().unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let mut counts = vec![0_u32; sizes.len()];
            (0..DRAWS).for_each(|_| counts[world.source(&sampler.task(&world, &mut rng))] += 1);
            for (count, p) in counts.iter().zip(sampling.probabilities(&sizes)) {
                // Five standard deviations of a binomial share.
                let (share, most) = (f64::from(*count) / DRAWS as f64, 5.0 * (p * (1.0 - p) / DRAWS as f64).sqrt());
                assert!((share - p).abs() <= most, "{sampling:?}: {share} for {p}");
            }
        }
        assert_eq!(Sampler::open(Sampling::Balanced, &world).unwrap(), None, "left to the world");
    }

    #[test]
    fn a_world_without_sizes_is_refused() {
        for sizes in [None, Some(Vec::new()), Some(vec![0, 0])] {
            let world = Sources(Sinusoid::new(1), sizes);
            let refused = Sampler::open(Sampling::Proportional, &world).unwrap_err();
            let words = "train.sampling: expected \"balanced\" in the world `sources`, whose tasks come from no sources of known sizes";
            assert_eq!(refused.to_string(), words);
            assert!(Sampler::open(Sampling::Balanced, &world).is_ok());
        }
    }
}
