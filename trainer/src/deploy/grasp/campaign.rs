//! Many objects, each before every grasper.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt;
use rayon::prelude::*;

use super::{Bandit, Choice, Filter, Grasper, Judged, PARTICLES, Truths, TryError, try_grasps};
use crate::deploy::report::{Column, Panel};
use crate::deploy::roster::{RIVALS, Roster};
use crate::deploy::{Campaign, CampaignError, Scores};
use crate::streams::{Purpose, rng};
use crate::world::grasp::GraspWorld;
use crate::world::{Split, Task, World};

/// Numbers of tries after which graspers are judged.
pub const AFTER: [usize; 5] = [0, 1, 5, 10, 20];
/// Evaluations draw episodes with major number 0, the demo's missions with 1, those over terrain with 2.
const MAJOR: u64 = 3;

/// The graspers that are this world's own, after those of the roster.
pub const OWN: [&str; 2] = ["bandit", "filter"];

/// What is tried.
#[derive(Debug)]
pub struct Tries<'a> {
    /// The world.
    pub world: &'a GraspWorld,
    /// The agents.
    pub roster: &'a Roster<'a>,
    /// Whether the particle filter tries, too.
    pub own: bool,
    /// How tries are chosen, panel after panel.
    pub choices: &'a [Choice],
    /// Objects.
    pub objects: u64,
    /// Objects follow from it.
    pub seed: u64,
}

impl Tries<'_> {
    /// The task with this number, and the seed of what happens in it.
    fn draw(&self, number: u64) -> (Task, u64) {
        let mut rng = rng(self.seed, Purpose::Evaluation, MAJOR, number);
        (self.world.task(Split::Test, &mut rng), rng.random())
    }

    /// The place of the pooled network among the agents of the roster, which is the bandit's prior.
    fn pooled(&self) -> Option<usize> {
        self.roster.names().iter().position(|name| *name == RIVALS[0])
    }

    fn one(&self, number: u64) -> Result<Vec<Vec<f64>>, TryError> {
        let (task, seed) = self.draw(number);
        let row = |grasper: &dyn Fn(Choice) -> Result<Vec<Judged>, TryError>| {
            let judged = self.choices.iter().map(|choice| Ok(numbers(&grasper(*choice)?)));
            Ok::<_, TryError>(judged.collect::<Result<Vec<_>, TryError>>()?.concat())
        };
        let truths = RefCell::default();
        let run = |grasper: &mut dyn Grasper, choice| {
            let truths: &mut Truths = &mut truths.borrow_mut();
            try_grasps(self.world, &task, grasper, choice, &AFTER, seed, truths)
        };
        let mut scores = Vec::new();
        for place in 0..self.roster.names().len() {
            // There is an agent at each of these places.
            let fresh = |choice| {
                let judged = self.roster.with(place, |mut agent| run(&mut agent, choice))?;
                judged.unwrap_or_else(|| Ok(Vec::new()))
            };
            scores.push(row(&fresh)?);
        }
        if let Some(place) = self.pooled() {
            let fresh = |choice| {
                let judged = self.roster.with(place, |agent| run(&mut Bandit::new(agent), choice))?;
                judged.unwrap_or_else(|| Ok(Vec::new()))
            };
            scores.push(row(&fresh)?);
        }
        if self.own {
            scores.push(row(&|choice| run(&mut Filter::new(self.world.distribution(), PARTICLES, seed), choice))?);
        }
        Ok(scores)
    }
}

impl Campaign for Tries<'_> {
    fn names(&self) -> Vec<&str> {
        let bandit = self.pooled().map(|_| OWN[0]);
        self.roster.names().into_iter().chain(bandit).chain(self.own.then_some(OWN[1])).collect()
    }

    fn panels(&self) -> Vec<Panel> {
        let after = |skip: usize, unit: &'static str| -> Vec<Column> {
            AFTER[skip..].iter().map(|tries| Column { name: format!("after {tries}"), unit }).collect()
        };
        let of = |choice: &Choice| {
            let panel = |what: &str, columns| Panel { title: format!("{} tries: {what}", choice.name()), columns };
            [
                panel("success of the pick", after(0, "1")),
                panel("area under the ROC curve over other grasps", after(0, "1")),
                panel("log loss over other grasps", after(0, "nat")),
                panel("success of the tries so far", after(1, "1")),
            ]
        };
        self.choices.iter().flat_map(of).collect()
    }

    fn trials(&self) -> (&'static str, u64) {
        ("objects", self.objects)
    }

    fn notes(&self) -> String {
        "Each grasper tries grasps of the same objects one by one and learns from each; one that was touched and not lifted lies turned \
         about the vertical afterwards. `bandit` counts wins and losses of each grasp about what the pooled network says (BORGES), \
         `filter` is a particle filter inside the true model. Success, area and loss are expectations over 64 executions."
            .into()
    }

    fn run(&self, stop: &AtomicBool, tick: &(dyn Fn() + Sync)) -> Result<Option<Scores>, CampaignError> {
        let one = |number: u64| {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let scores = self.one(number)?;
            tick();
            Ok(Some(scores))
        };
        let objects: Vec<Option<Vec<Vec<f64>>>> =
            (0..self.objects).into_par_iter().map(one).collect::<Result<_, TryError>>()?;
        let Some(objects) = objects.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
        let agent = |place: usize| objects.iter().map(|scores| scores[place].clone()).collect();
        Ok(Some((0..self.names().len()).map(agent).collect()))
    }
}

/// The columns of one way of choosing.
fn numbers(judged: &[Judged]) -> Vec<f64> {
    let of = |what: fn(&Judged) -> f64| judged.iter().map(what);
    let during = of(|judged| judged.during).skip(1);
    of(|judged| judged.pick)
        .chain(of(|judged| judged.auroc))
        .chain(of(|judged| judged.log_loss))
        .chain(during)
        .collect()
}
