//! Many scenes, each with several motions, for everybody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Answer, Belief, Checker, Perceptron, Query, exactly, lazily, queries, steered};
use crate::deploy::agent::{Agent, AgentError};
use crate::deploy::report::{Column, Panel};
use crate::deploy::roster::{Roster, Settings, after, choice_episodes};
use crate::deploy::{Campaign, CampaignError, Scores};
use crate::episode::Episode;
use crate::streams::{Purpose, rng};
use crate::world::arm::kinematics::uniform;
use crate::world::arm::rrt_connect::{Settings as Planner, length};
use crate::world::arm::{ArmWorld, Scene};
use crate::world::{Split, Task, World};

/// Numbers of queries in a scene after which checks are counted.
pub const AFTER: [usize; 4] = [1, 2, 4, 8];
/// Queries of a scene.
const QUERIES: usize = AFTER[AFTER.len() - 1];
/// Evaluations draw episodes with major number 0, other campaigns with 1 to 3.
const MAJOR: u64 = 4;
/// Steps by which a belief that leaves no way is lowered, to one standard deviation of what the agent says.
const STEPS: f64 = 8.0;

/// Those who are this world's own, after those of the roster.
pub const OWN: [&str; 3] = ["perceptron", "lazy", "rrt_connect"];

/// From which prediction on an agent's word is taken for free.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold {
    at: f32,
    step: f32,
}

/// Motions in test scenes.
#[derive(Debug)]
pub struct Motions<'a> {
    world: &'a ArmWorld,
    roster: &'a Roster<'a>,
    own: bool,
    settings: Settings,
    scenes: u64,
    planner: Planner,
}

/// One who plans.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// The agent of the roster at this place.
    Agent(usize, Threshold),
    /// A kernel perceptron with this γ, in 1/m².
    Perceptron(f32, Threshold),
    Lazy,
    Exact,
}

/// What one did in a scene.
struct Done {
    answers: Vec<Answer>,
    /// Checks of the support.
    support: u64,
    /// Time of everything, in s.
    seconds: f64,
}

impl<'a> Motions<'a> {
    /// Motions in `scenes` test scenes, each with a support of as many checks as `settings` have shots. `own` says whether those plan, too,
    /// who are not trained.
    pub fn new(world: &'a ArmWorld, roster: &'a Roster<'a>, own: bool, settings: Settings, scenes: u64) -> Self {
        Self { world, roster, own, settings, scenes, planner: Planner::default() }
    }

    /// Everybody, with what is chosen on validation tasks.
    fn everybody(&self) -> Result<Vec<Who>, AgentError> {
        let drawn = choice_episodes(self.world, self.settings);
        let of_agent = |place: usize| {
            let mut predict = |episode: &Episode, said: &mut [f32]| {
                let asked = self.roster.with(place, |agent| after(agent, episode, said))?;
                asked.unwrap_or(Ok(false)).map(|_| ())
            };
            Ok(Who::Agent(place, threshold(&mut predict, &drawn)?.0))
        };
        let places = 0..self.roster.names().len();
        let mut all: Vec<Who> = places.into_par_iter().map(of_agent).collect::<Result<_, AgentError>>()?;
        if self.own {
            let of_kernel = |gamma: f32| {
                let mut predict = |episode: &Episode, said: &mut [f32]| {
                    after(&mut Perceptron::new(gamma, self.settings.capacity), episode, said).map(|_| ())
                };
                Ok((gamma, threshold(&mut predict, &drawn)?))
            };
            let kernels = Perceptron::GAMMAS.map(of_kernel).into_iter().collect::<Result<Vec<_>, AgentError>>()?;
            let best = kernels.into_iter().max_by(|one, other| one.1.1.total_cmp(&other.1.1));
            all.extend(best.map(|(gamma, (threshold, _))| Who::Perceptron(gamma, threshold)));
            all.extend([Who::Lazy, Who::Exact]);
        }
        Ok(all)
    }

    /// What everybody did in the scene with this number.
    fn one(&self, everybody: &[Who], number: u64) -> Result<Vec<Vec<f64>>, AgentError> {
        let mut rng = rng(self.settings.seed, Purpose::Evaluation, MAJOR, number);
        let task = self.world.task(Split::Test, &mut rng);
        let seed = rng.random();
        let scene = &self.world.scene(&task).scene;
        let queries = queries(scene, QUERIES, self.planner.resolution, seed);
        let row = |who: &Who| Ok(numbers(&self.plan(*who, scene, &queries, seed)?));
        everybody.iter().map(row).collect()
    }

    fn plan(&self, who: Who, scene: &Scene, queries: &[Query], seed: u64) -> Result<Done, AgentError> {
        let mut checker = Checker::new(scene);
        let planner = self.planner;
        let begun = Instant::now();
        let with = |agent: &mut dyn Agent, threshold: Threshold, checker: &mut Checker<'_>| {
            let mut belief = Belief::new(agent, threshold.at, threshold.step);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..self.settings.shots {
                belief.check(&uniform(&mut rng), checker)?;
            }
            let support = checker.count();
            let one = |(query, number)| steered(query, checker, &mut belief, planner, seed.wrapping_add(number));
            let answers = queries.iter().zip((0..).step_by(1000)).map(one).collect::<Result<_, AgentError>>()?;
            Ok::<_, AgentError>((answers, support))
        };
        let (answers, support) = match who {
            // There is an agent at each of these places.
            Who::Agent(place, threshold) => self
                .roster
                .with(place, |agent| with(agent, threshold, &mut checker))?
                .unwrap_or_else(|| Ok((Vec::new(), 0)))?,
            Who::Perceptron(gamma, threshold) => {
                with(&mut Perceptron::new(gamma, self.settings.capacity), threshold, &mut checker)?
            }
            Who::Lazy => {
                let mut blocked = Vec::new();
                let one = |(query, number): (&Query, u64)| {
                    lazily(query, &mut checker, &mut blocked, planner, seed.wrapping_add(number))
                };
                (queries.iter().zip((0..).step_by(1000)).map(one).collect(), 0)
            }
            Who::Exact => {
                let one =
                    |(query, number): (&Query, u64)| exactly(query, &mut checker, planner, seed.wrapping_add(number));
                (queries.iter().zip((0..).step_by(1000)).map(one).collect(), 0)
            }
        };
        Ok(Done { answers, support, seconds: begun.elapsed().as_secs_f64() })
    }
}

/// Predicts the query of an episode after its support.
type Predict<'a> = dyn FnMut(&Episode, &mut [f32]) -> Result<(), AgentError> + 'a;

/// The threshold by which predictions of queries tell free from blocked best, and the balanced accuracy that it has.
fn threshold(predict: &mut Predict<'_>, drawn: &[(Task, Episode)]) -> Result<(Threshold, f64), AgentError> {
    let mut all = Vec::new();
    for (_, episode) in drawn {
        let mut said = vec![0.0; episode.query.rows];
        predict(episode, &mut said)?;
        all.extend(said.into_iter().zip(episode.query.targets.iter().map(|target| *target > 0.0)));
    }
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let count = all.len() as f64;
    let free = all.iter().filter(|row| row.1).count() as f64;
    // Below the first everything is believed to be free; each row that goes below the threshold moves one of the recalls.
    let (mut below, mut best) = ([0.0; 2], (0.5, all.first().map_or(0.0, |row| row.0 - 1.0)));
    for (place, row) in all.iter().enumerate() {
        below[usize::from(row.1)] += 1.0;
        let next = all.get(place + 1).map_or(row.0, |next| next.0);
        let accuracy = 0.5 * (below[0] / (count - free).max(1.0) + 1.0 - below[1] / free.max(1.0));
        if next > row.0 && accuracy > best.0 {
            best = (accuracy, f32::midpoint(row.0, next));
        }
    }
    let mean = all.iter().map(|row| f64::from(row.0)).sum::<f64>() / count.max(1.0);
    let variance = all.iter().map(|row| (f64::from(row.0) - mean).powi(2)).sum::<f64>() / count.max(1.0);
    Ok((Threshold { at: best.1, step: (variance.sqrt() / STEPS) as f32 }, best.0))
}

/// The columns of one who planned.
fn numbers(done: &Done) -> Vec<f64> {
    let Done { answers, support, seconds } = done;
    let mean = |of: &dyn Fn(&Answer) -> f64| answers.iter().map(of).sum::<f64>() / answers.len() as f64;
    let amortised = AFTER.iter().map(|count| {
        let checks: u64 = answers[..*count].iter().map(|answer| answer.checks).sum();
        (support + checks) as f64 / *count as f64
    });
    let found: Vec<(&Answer, f64)> =
        answers.iter().filter_map(|answer| Some((answer, length(answer.path.as_deref()?)))).collect();
    let of_found = |of: &dyn Fn(&(&Answer, f64)) -> f64| found.iter().map(of).sum::<f64>() / found.len() as f64;
    // A search that finds nothing goes on to its end, which would hide what finding takes.
    let checks = of_found(&|(answer, _)| answer.checks as f64) + *support as f64 / answers.len() as f64;
    amortised
        .chain([
            mean(&|answer| answer.checks as f64),
            mean(&|answer| answer.smoothing as f64),
            mean(&|answer| answer.believed as f64),
            mean(&|answer| f64::from(answer.rounds)),
            mean(&|answer| f64::from(u8::from(answer.fell_back))),
            found.len() as f64 / answers.len() as f64,
            of_found(&|(_, length)| *length),
            checks,
            1e3 * seconds / answers.len() as f64,
        ])
        .collect()
}

impl Campaign for Motions<'_> {
    fn names(&self) -> Vec<&str> {
        let own = if self.own { &OWN[..] } else { &[] };
        self.roster.names().into_iter().chain(own.iter().copied()).collect()
    }

    fn panels(&self) -> Vec<Panel> {
        let column = |name: &str, unit: &'static str| Column { name: name.into(), unit };
        let after = |count: &usize| column(&format!("of {count}"), "1");
        vec![
            Panel {
                title: format!(
                    "exact checks a query, with {} of the support, by queries in a scene",
                    self.settings.shots
                ),
                columns: AFTER.iter().map(after).collect(),
            },
            Panel {
                title: "a query, without the support".into(),
                columns: vec![
                    column("checks", "1"),
                    column("of them to shorten", "1"),
                    column("predictions", "1"),
                    column("paths believed in", "1"),
                    column("fell back", "1"),
                ],
            },
            Panel {
                title: "what came of a query".into(),
                columns: vec![
                    column("success", "1"),
                    column("length", "rad"),
                    column("checks where a path was found", "1"),
                    column("time", "ms"),
                ],
            },
        ]
    }

    fn trials(&self) -> (&'static str, u64) {
        ("scenes", self.scenes)
    }

    fn notes(&self) -> String {
        "Each plans the same 8 motions in each scene, one after another. Every point of a returned path was checked exactly; checks \
         where a path was found have an eighth of the support in them. `rrt_connect` plans by \
         exact checks alone; `lazy` believes that everything is free until it is checked; all others plan by what they predict, learn from what \
         checks of their paths find, and give way to exact checks after 30 paths. Time is that of one core, with everything, the support included."
            .into()
    }

    fn run(&self, stop: &AtomicBool, tick: &(dyn Fn() + Sync)) -> Result<Option<Scores>, CampaignError> {
        let everybody = self.everybody()?;
        let one = |number: u64| {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let scores = self.one(&everybody, number)?;
            tick();
            Ok(Some(scores))
        };
        let scenes: Vec<Option<Vec<Vec<f64>>>> =
            (0..self.scenes).into_par_iter().map(one).collect::<Result<_, AgentError>>()?;
        let Some(scenes) = scenes.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let agent = |place: usize| scenes.iter().map(|scores| scores[place].clone()).collect();
        Ok(Some((0..everybody.len()).map(agent).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_tells_free_from_blocked_best() {
        let mut episode = Episode::default();
        for (said, clearance) in [(0.1, -0.1), (0.2, -0.2), (0.3, 0.1), (0.4, -0.1), (0.5, 0.2), (0.6, 0.3)] {
            episode.query.push(&[said], &[clearance]);
        }
        let task = Task { split: Split::Validation, seed: 0 };
        let mut predict = |episode: &Episode, said: &mut [f32]| {
            said.copy_from_slice(&episode.query.inputs);
            Ok(())
        };
        // Above 0.25 are all that are free and one of three that are not; above 0.45 two of three, and none.
        let (found, accuracy) = threshold(&mut predict, &[(task, episode)]).unwrap();
        assert!((found.at - 0.25).abs() <= 1e-6 || (found.at - 0.45).abs() <= 1e-6, "{found:?}");
        assert!((accuracy - 5.0 / 6.0).abs() <= 1e-12 && found.step > 0.0);
        let nothing = threshold(&mut predict, &[]).unwrap().0;
        assert_eq!(nothing, Threshold { at: 0.0, step: 0.0 });
    }

    #[test]
    fn checks_are_shared_among_queries() {
        let answer = |checks| Answer { checks, path: Some(vec![[0.0; 7], [1.0; 7]]), ..Answer::default() };
        let answers: Vec<Answer> = (0..8).map(|number| answer(100 + 10 * number)).collect();
        let row = numbers(&Done { answers, support: 64, seconds: 0.8 });
        assert_eq!(row[..5], [164.0, 137.0, 131.0, 143.0, 135.0]);
        assert_eq!(row[9..10], [1.0]);
        assert!((row[10] - 7.0_f64.sqrt()).abs() <= 1e-12 && (row[12] - 100.0).abs() <= 1e-9);
        assert!((row[11] - 143.0).abs() <= 1e-9);
    }
}
