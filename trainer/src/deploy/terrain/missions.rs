//! Many missions, each driven by every agent.

use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::agents::{Grey, Oracle};
use super::device_plan::DevicePlan;
use super::trip::{Mind, NoRoute, Step, Sure, Trip, drive};
use crate::deploy::agent::{Agent, AgentError};
use crate::deploy::report::{Column, Panel};
use crate::deploy::roster::{self, Roster, fit_spread};
use crate::deploy::spread::Spread;
use crate::deploy::{Campaign, CampaignError, Scores};
use crate::metric::rmse;
use crate::streams::{Purpose, rng};
use crate::world::terrain::grey_box::GreyBox;
use crate::world::terrain::grid::{EDGES, SIDE, edges};
use crate::world::terrain::route::Planner;
use crate::world::terrain::{ROUTES, Rover, Terrain};
use crate::world::{Split, Task, World};

/// Numbers of driven edges after which beliefs are judged.
pub const JUDGED: [usize; 5] = [0, 8, 16, 32, 64];
/// Edges that every mission has at least.
pub const LEAST_EDGES: usize = 64;
/// Evaluations draw episodes with major number 0, the demo's missions with 1.
const MAJOR: u64 = 2;
/// Log energies per metre beyond these are planned on as these: no rover takes less than the one, and none gets anywhere at the other.
const LOGS: [f32; 2] = [1.0, 11.0];

/// The agents that are this world's own, after those of the roster.
pub const OWN: [&str; 3] = ["grey_box", "oracle", "truth"];

/// Numbers that a mission comes to.
pub const COLUMNS: usize = 2 * JUDGED.len() + 3;

/// Why a mission could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum MissionError {
    /// An agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// No route.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
}

/// A task, the places to go to, and the noise of the rover's measurements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mission {
    /// The task: what is hidden, and the map.
    pub task: Task,
    /// The first cell, and those to go to.
    pub places: Vec<usize>,
    /// Seed of the noise of measurements; the same for every rover.
    pub noise: u64,
}

impl Mission {
    /// The mission with this number: a test task of `world`, with the goals of its routes until even a crow drives [`LEAST_EDGES`] edges.
    pub fn draw(world: &Terrain, seed: u64, number: u64) -> Self {
        let mut rng = rng(seed, Purpose::Evaluation, MAJOR, number);
        let task = world.task(Split::Test, &mut rng);
        let noise = rng.random();
        let routes = world.routes(&task);
        let mut places = routes[0].to_vec();
        // An edge leads no farther than to the next row or column.
        let apart = |a: usize, b: usize| (a / SIDE).abs_diff(b / SIDE).max((a % SIDE).abs_diff(b % SIDE));
        let mut edges = apart(places[0], places[1]);
        // Routes are far, so their ends are not all one cell.
        for &cell in routes[1..].iter().flatten().cycle() {
            if edges >= LEAST_EDGES {
                break;
            }
            edges += apart(places[places.len() - 1], cell);
            places.push(cell);
        }
        Self { task, places, noise }
    }

    /// The rover at the start.
    pub fn rover<'w>(&self, world: &'w Terrain) -> Rover<'w> {
        world.rover(&self.task, &mut ChaCha8Rng::seed_from_u64(self.noise))
    }
}

/// What is driven.
#[derive(Debug)]
pub struct Missions<'a> {
    /// The world.
    pub world: &'a Terrain,
    /// The agents.
    pub roster: &'a Roster<'a>,
    /// Whether this world's own agents drive, too.
    pub own: bool,
    /// What agents are chosen by.
    pub settings: roster::Settings,
    /// Missions.
    pub missions: u64,
    /// Missions follow from it.
    pub seed: u64,
    /// Driven edges from one adaptation and plan to the next.
    pub every: usize,
}

/// What is known of the map of a mission, whoever drives.
struct Ground<'a> {
    rover: &'a Rover<'a>,
    /// Edges that can be driven.
    open: Vec<usize>,
    truth: Planner,
    /// The best path of each of the task's routes.
    best: Vec<Vec<usize>>,
}

/// An agent at the wheel.
struct Driver<'a> {
    agent: &'a mut dyn Agent,
    spread: Option<&'a Spread>,
    ground: &'a Ground<'a>,
    every: usize,
    judged: Vec<[f64; 2]>,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Ground<'_> {
    fn of<'r>(rover: &'r Rover<'r>) -> Option<Ground<'r>> {
        let open = (0..EDGES).filter(|&edge| rover.map().is_free(&edges()[edge])).collect();
        let truth = Planner::new(rover.energies())?;
        let best = rover.routes().iter().map(|&[start, goal]| truth.plan(start, goal)).collect::<Option<_>>()?;
        Some(Ground { rover, open, truth, best })
    }

    /// The error of predicted log energies over all edges that can be driven, and the mean regret of plans for the task's routes.
    fn judge(&self, mean: &[f32], energies: &[f64]) -> [f64; 2] {
        let truth = |&edge: &usize| (self.rover.energies()[edge] / edges()[edge].length).ln() as f32;
        let pick = |&edge: &usize| mean[edge];
        let [said, truth]: [Vec<f32>; 2] =
            [self.open.iter().map(pick).collect(), self.open.iter().map(truth).collect()];
        let routes = self.rover.routes().iter().zip(&self.best);
        let regret = Planner::new(energies).and_then(|plan| {
            let excess = |(&[start, goal], best): (&[usize; 2], &Vec<usize>)| {
                Some(self.truth.excess(best, &plan.plan(start, goal)?))
            };
            routes.map(excess).sum::<Option<f64>>()
        });
        [rmse(&said, &truth), regret.map_or(f64::NAN, |sum| sum / ROUTES as f64)]
    }
}

impl Mind for Driver<'_> {
    type Error = MissionError;

    fn believe(&mut self, rover: &Rover<'_>, driven: usize, energies: &mut [f64]) -> Result<bool, MissionError> {
        let judged = JUDGED.contains(&driven);
        let due = driven.is_multiple_of(self.every);
        if !(judged || due) {
            return Ok(false);
        }
        let known = self.agent.predict(rover.features(), &mut self.mean, Some(&mut self.variance))?;
        if !known {
            match self.spread {
                Some(spread) => spread.variance(rover.features(), &mut self.variance),
                None => self.variance.fill(0.0),
            }
        }
        let mut expected: Vec<f64> = self
            .mean
            .iter()
            .zip(&self.variance)
            .zip(edges())
            .map(|((mean, variance), edge)| {
                // What is not a number stays so, and is driven last.
                f64::from((mean + 0.5 * variance).clamp(LOGS[0], LOGS[1])).exp() * edge.length
            })
            .collect();
        rover.map().block(&mut expected);
        if judged {
            self.judged.push(self.ground.judge(&self.mean, &expected));
        }
        if due {
            energies.copy_from_slice(&expected);
        }
        Ok(due)
    }

    fn learn(&mut self, rover: &Rover<'_>, step: &Step) -> Result<(), MissionError> {
        Ok(self.agent.observe(&rover.sense(step.edge), &[step.drive.measured])?)
    }
}

impl Missions<'_> {
    /// How far the one is off who knows the hidden facts: it is another one in each task.
    fn oracle_spread(&self) -> Result<Option<Spread>, MissionError> {
        let drawn = roster::choice_episodes(self.world, self.settings);
        let mut tasks = drawn.iter().filter(|(_, episode)| episode.query.rows > 0).map(|(task, _)| task);
        Ok(fit_spread(
            &mut |episode, mean| {
                let Some(task) = tasks.next() else { return Ok(true) };
                roster::after(&mut Oracle(self.world.hidden(task)), episode, mean)
            },
            &drawn,
        )?)
    }

    /// The numbers of each agent on one mission.
    fn mission(
        &self,
        mission: &Mission,
        spreads: &[Option<Spread>],
        grey_box: GreyBox,
    ) -> Result<Vec<Vec<f64>>, MissionError> {
        let start = mission.rover(self.world);
        let [first, last] = [0, mission.places.len() - 1].map(|place| mission.places[place]);
        let ground = Ground::of(&start).ok_or(NoRoute { start: first, goal: last })?;
        let mut plan = DevicePlan::default();
        let mut route = |energies: &[f64], from: usize, to: usize| plan.route(energies, from, to);
        let truth = drive(&mut start.clone(), &mission.places, &mut Sure(start.energies()), &mut route)?;
        let mut at_the_wheel = |agent: &mut dyn Agent, place: usize| {
            let mut driver = Driver {
                agent,
                spread: spreads.get(place).and_then(Option::as_ref),
                ground: &ground,
                every: self.every.max(1),
                judged: Vec::new(),
                mean: vec![0.0; EDGES],
                variance: vec![0.0; EDGES],
            };
            let trip = drive(&mut start.clone(), &mission.places, &mut driver, &mut route)?;
            Ok::<_, MissionError>(numbers(&driver.judged, &trip, &truth))
        };
        let mut scores = Vec::new();
        let count = self.roster.names().len();
        for place in 0..count {
            // There is one at each of these places.
            scores.extend(self.roster.with(place, |agent| at_the_wheel(agent, place))?.transpose()?);
        }
        if self.own {
            scores.push(at_the_wheel(&mut Grey::new(grey_box, self.settings.capacity), count)?);
            scores.push(at_the_wheel(&mut Oracle(*start.hidden()), count + 1)?);
            scores.push(numbers(&[[0.0; 2]; JUDGED.len()], &truth, &truth));
        }
        Ok(scores)
    }
}

impl Campaign for Missions<'_> {
    fn names(&self) -> Vec<&str> {
        let own: &[&str] = if self.own { &OWN } else { &[] };
        self.roster.names().into_iter().chain(own.iter().copied()).collect()
    }

    fn panels(&self) -> Vec<Panel> {
        let after = |unit: &'static str| move |edges: usize| Column { name: format!("after {edges}"), unit };
        let missions = [("energy beyond the truth", "1"), ("time", "s"), ("stuck", "edges")];
        vec![
            Panel {
                title: "error of the log energies of the whole map, after driven edges".into(),
                columns: JUDGED.map(after("ln(J/m)")).into(),
            },
            Panel {
                title: "regret of a plan made then, after driven edges".into(),
                columns: JUDGED.map(after("1")).into(),
            },
            Panel {
                title: "the mission".into(),
                columns: missions.map(|(name, unit)| Column { name: name.into(), unit }).into(),
            },
        ]
    }

    fn trials(&self) -> (&'static str, u64) {
        ("missions", self.missions)
    }

    fn notes(&self) -> String {
        format!(
            "An agent adapts and plans anew every {} driven edges and remembers {}. Plans are on expected energies; where an agent knows no \
             variance, one fitted on validation tasks. `oracle` knows the hidden facts and reads the sensors, `truth` knows the true energies.",
            self.every, self.settings.capacity
        )
    }

    fn run(&self, stop: &AtomicBool, tick: &(dyn Fn() + Sync)) -> Result<Option<Scores>, CampaignError> {
        let grey_box = GreyBox::choose(self.world, self.settings.shots, self.settings.seed);
        let mut spreads = self.roster.spreads(self.world, self.settings)?;
        if self.own {
            spreads.extend([None, self.oracle_spread()?]);
        }
        let one = |number: u64| {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let scores = self.mission(&Mission::draw(self.world, self.seed, number), &spreads, grey_box)?;
            tick();
            Ok(Some(scores))
        };
        let missions: Vec<Option<Vec<Vec<f64>>>> =
            (0..self.missions).into_par_iter().map(one).collect::<Result<_, MissionError>>()?;
        let Some(missions) = missions.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let agent = |place: usize| missions.iter().map(|scores| scores[place].clone()).collect();
        Ok(Some((0..self.names().len()).map(agent).collect()))
    }
}

/// The columns: errors, regrets, and what the mission took.
fn numbers(judged: &[[f64; 2]], trip: &Trip, truth: &Trip) -> Vec<f64> {
    let told = |which: usize| (0..JUDGED.len()).map(move |at| judged.get(at).map_or(f64::NAN, |judged| judged[which]));
    let beyond = trip.energy() / truth.energy() - 1.0;
    told(0).chain(told(1)).chain([beyond, trip.time(), trip.stuck() as f64]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_drives_as_far_as_is_judged() {
        let world = Terrain::default();
        for number in 0..20 {
            let mission = Mission::draw(&world, 1, number);
            assert_eq!(mission, Mission::draw(&world, 1, number));
            let lengths: Vec<f64> = edges().iter().map(|edge| edge.length).collect();
            let mut plan = DevicePlan::default();
            let mut route = |energies: &[f64], from: usize, to: usize| plan.route(energies, from, to);
            let trip = drive(&mut mission.rover(&world), &mission.places, &mut Sure(&lengths), &mut route).unwrap();
            assert!(trip.arrived && trip.steps.len() >= LEAST_EDGES && trip.replans == 0);
            assert!(trip.time() >= trip.steps.len() as f64 * 2.0 / 0.5 && trip.energy().is_finite());
        }
    }

    /// Without bundles: the formulas fitted, those known, and the truth.
    #[test]
    fn who_knows_more_drives_better_and_the_same_seed_says_the_same() {
        let world = Terrain::default();
        let settings = roster::Settings { shots: 16, capacity: 64, seed: 0 };
        let roster = Roster::new(&[], None, &world, settings).unwrap();
        let campaign = Missions { world: &world, roster: &roster, own: true, settings, missions: 6, seed: 2, every: 8 };
        let stop = AtomicBool::new(false);
        let scores = campaign.run(&stop, &|| ()).unwrap().unwrap();
        assert_eq!(scores, campaign.run(&stop, &|| ()).unwrap().unwrap());
        assert_eq!((campaign.names(), scores.len()), (OWN.to_vec(), OWN.len()));
        let mean = |agent: usize, column: usize| scores[agent].iter().map(|row| row[column]).sum::<f64>() / 6.0;
        // Errors and regrets of the grey box fall with driven edges, and stay above those of the one who knows.
        let last = JUDGED.len() - 1;
        assert!(mean(0, last) <= 0.8 * mean(0, 0) && mean(1, last) <= mean(0, last), "{scores:?}");
        assert!(scores[2].iter().all(|row| row[..2 * JUDGED.len() + 1].iter().all(|value| *value == 0.0)));
        let beyond = 2 * JUDGED.len();
        assert!(scores.iter().flatten().all(|row| row[beyond] >= -1e-5 && row.len() == COLUMNS));
        stop.store(true, Ordering::Relaxed);
        assert!(campaign.run(&stop, &|| ()).unwrap().is_none());
    }
}
