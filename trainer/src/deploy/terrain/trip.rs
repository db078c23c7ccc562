//! A trip: from one place to the next, edge by edge, on a plan that is made anew whenever somebody believes something else.

use crate::world::terrain::grid::{EDGES, edges};
use crate::world::terrain::{Drive, Rover};

/// A rover that has not arrived at a place after so many edges never will.
const MOST_EDGES: usize = 1000;

/// What happened on one edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The edge.
    pub edge: usize,
    /// What the rover found there.
    pub drive: Drive,
}

/// What happened on one trip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trip {
    /// The edges, in the order in which they were driven.
    pub steps: Vec<Step>,
    /// How often the plan was made anew on the way and differed from what was left of the old one.
    pub replans: usize,
    /// Whether the rover got to where it wanted.
    pub arrived: bool,
}

/// There is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a way from cell {start} to cell {goal}, found none")]
pub struct NoRoute {
    /// Where it would begin.
    pub start: usize,
    /// Where it would end.
    pub goal: usize,
}

/// Who says what edges will cost.
pub trait Mind {
    /// Why it cannot go on.
    type Error: From<NoRoute>;

    /// What each edge is expected to cost, in J, into `energies [EDGES]`, an infinite cost where it cannot be driven. Asked before the first
    /// edge, where it must say something, and after each one, at the end, too. Whether `energies` changed, and a plan is to be made anew.
    ///
    /// # Errors
    /// If it cannot go on.
    fn believe(&mut self, rover: &Rover<'_>, driven: usize, energies: &mut [f64]) -> Result<bool, Self::Error>;

    /// Takes in what was found on an edge.
    ///
    /// # Errors
    /// If it cannot go on.
    fn learn(&mut self, rover: &Rover<'_>, step: &Step) -> Result<(), Self::Error>;
}

/// Finds the cheapest path over energies from one cell to another, as numbers of edges.
pub type Route<'a> = dyn FnMut(&[f64], usize, usize) -> Option<Vec<usize>> + 'a;

/// One who believes the same all the way.
#[derive(Clone, Copy, Debug)]
pub struct Sure<'a>(
    /// What each edge costs, in J.
    pub &'a [f64],
);

impl Mind for Sure<'_> {
    type Error = NoRoute;

    fn believe(&mut self, _: &Rover<'_>, driven: usize, energies: &mut [f64]) -> Result<bool, NoRoute> {
        if driven == 0 {
            energies.copy_from_slice(self.0);
        }
        Ok(driven == 0)
    }

    fn learn(&mut self, _: &Rover<'_>, _: &Step) -> Result<(), NoRoute> {
        Ok(())
    }
}

/// Drives `rover` from the first of `places` to each of the others in turn, on what `mind` believes and by paths of `route`.
///
/// # Errors
/// What `mind` answers, or if there is no way.
pub fn drive<M: Mind>(
    rover: &mut Rover<'_>,
    places: &[usize],
    mind: &mut M,
    route: &mut Route<'_>,
) -> Result<Trip, M::Error> {
    let mut trip = Trip::default();
    let mut energies = vec![0.0; EDGES];
    let Some((&first, mut ahead)) = places.split_first() else { return Ok(trip) };
    let mut cell = first;
    let mut plan: Vec<usize> = Vec::new();
    let most = MOST_EDGES * ahead.len();
    loop {
        let changed = mind.believe(rover, trip.steps.len(), &mut energies)?;
        let mut new_leg = trip.steps.is_empty();
        while let Some((_, rest)) = ahead.split_first().filter(|(next, _)| **next == cell) {
            (ahead, new_leg) = (rest, true);
        }
        let Some(&goal) = ahead.first() else {
            trip.arrived = true;
            return Ok(trip);
        };
        if trip.steps.len() == most {
            return Ok(trip);
        }
        if changed || new_leg {
            let anew = route(&energies, cell, goal).ok_or(NoRoute { start: cell, goal })?;
            trip.replans += usize::from(!new_leg && anew != plan);
            plan = anew;
        }
        // A plan leads to the goal, and the rover is not there.
        let edge = plan.remove(0);
        let Some(drive) = rover.drive(edge) else { return Ok(trip) };
        let step = Step { edge, drive };
        trip.steps.push(step);
        cell = edges()[edge].to;
        mind.learn(rover, &step)?;
    }
}

impl Trip {
    /// True energy, in J; infinite for a rover that never arrived.
    pub fn energy(&self) -> f64 {
        if self.arrived { self.steps.iter().map(|step| step.drive.energy).sum() } else { f64::INFINITY }
    }

    /// Time, in s; infinite for a rover that never arrived.
    pub fn time(&self) -> f64 {
        let time = |step: &Step| step.drive.time(edges()[step.edge].length);
        if self.arrived { self.steps.iter().map(time).sum() } else { f64::INFINITY }
    }

    /// Edges through which the rover had to dig itself.
    pub fn stuck(&self) -> usize {
        self.steps.iter().filter(|step| step.drive.stuck()).count()
    }

    /// The cells that it passed, the start among them.
    pub fn cells(&self) -> Vec<usize> {
        let first = self.steps.first().map(|step| edges()[step.edge].from);
        first.into_iter().chain(self.steps.iter().map(|step| edges()[step.edge].to)).collect()
    }
}
