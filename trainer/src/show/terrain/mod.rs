//! Pictures of a terrain task: the map with planned paths, and what each place costs, as predicted before and after driving and in truth.

mod costs;
#[cfg(feature = "rerun")]
mod record;
mod ways;

use std::error::Error;
use std::path::PathBuf;

use sinew_runtime::Bundle;

use self::costs::{CostPicture, Costs};
use self::ways::{Way, WaysPicture};
use super::Order;
use crate::deploy::agent::{Adapted, Agent, AgentError, memory};
use crate::deploy::terrain::NoRoute;
use crate::picture::{COLOURS, write_both};
use crate::world::terrain::grid::{CELLS, EDGES, edges};
use crate::world::terrain::route::plan_route;
use crate::world::terrain::{Rover, Terrain, expected_energies};
use crate::world::{Split, World};

/// What a bundle predicts of a map, before and after driving on it.
struct Driven {
    before: Vec<f64>,
    edges: Vec<usize>,
    /// After each of them.
    then: Vec<Vec<f64>>,
}

/// One task, and what a bundle makes of it.
struct Told<'w> {
    rover: Rover<'w>,
    driven: Option<Driven>,
}

/// The expected energy of every edge, in J: the mean of a log-normal energy where the variance is known, its median elsewhere.
fn believe(agent: &mut Adapted<'_>, rover: &Rover<'_>) -> Result<Vec<f64>, AgentError> {
    let (mut mean, mut variance) = (vec![0.0; EDGES], vec![0.0; EDGES]);
    if agent.predict(rover.features(), &mut mean, Some(&mut variance))? {
        mean.iter_mut().zip(&variance).for_each(|(mean, variance)| *mean += 0.5 * variance);
    }
    let mut energies = expected_energies(&mean);
    rover.map().block(&mut energies);
    Ok(energies)
}

fn plan(energies: &[f64], [start, goal]: [usize; 2]) -> Result<Vec<usize>, NoRoute> {
    plan_route(energies, start, goal).ok_or(NoRoute { start, goal })
}

impl Driven {
    /// Drives so many edges of the task's other routes, as the bundle plans them before it has seen anything, and adapts to them.
    fn drive(bytes: &[u8], rover: &Rover<'_>, shots: usize) -> Result<Self, Box<dyn Error>> {
        let bundle = Bundle::parse(bytes)?;
        let mut memory = memory(&bundle, shots.max(1))?;
        let mut agent = Adapted::new(&bundle, shots.max(1), &mut memory)?;
        let before = believe(&mut agent, rover)?;
        let mut on_the_way = rover.clone();
        let (mut driven, mut then) = (Vec::with_capacity(shots), Vec::with_capacity(shots));
        for route in rover.routes()[1..].iter().cycle() {
            for edge in plan(&before, *route)? {
                if driven.len() == shots {
                    return Ok(Self { before, edges: driven, then });
                }
                if let Some(drive) = on_the_way.drive(edge) {
                    agent.observe(&rover.sense(edge), &[drive.measured])?;
                    driven.push(edge);
                    then.push(believe(&mut agent, rover)?);
                }
            }
        }
        Err("expected a task of several routes, found one".into())
    }

    /// After all of them.
    fn after(&self) -> &[f64] {
        self.then.last().unwrap_or(&self.before)
    }
}

impl Told<'_> {
    /// The route that pictures show.
    fn route(&self) -> [usize; 2] {
        self.rover.routes()[0]
    }

    /// The true energy of a path, in J.
    fn energy(&self, path: &[usize]) -> f64 {
        path.iter().map(|&edge| self.rover.energies()[edge]).sum()
    }
}

/// What a metre costs on the way into each cell, in J/m: the mean over its edges. NaN where none leads into it.
fn per_metre(energies: &[f64]) -> Vec<f64> {
    let mut sums = vec![[0.0; 2]; CELLS];
    for (energy, edge) in energies.iter().zip(edges()).filter(|(energy, _)| energy.is_finite()) {
        let [sum, count] = &mut sums[edge.to];
        *sum += energy / edge.length;
        *count += 1.0;
    }
    sums.iter().map(|[sum, count]| sum / count).collect()
}

/// Draws one test task of `world`.
///
/// # Errors
/// If the bundle cannot be adapted, or a file cannot be written.
pub fn draw(world: &Terrain, order: &Order<'_>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut rng = order.rng(0);
    let task = world.task(Split::Test, &mut rng);
    let rover = world.rover(&task, &mut rng);
    let driven = order.bundle.map(|bytes| Driven::drive(bytes, &rover, order.shots)).transpose()?;
    let told = Told { rover, driven };
    let (rover, route) = (&told.rover, told.route());
    let truth = rover.energies();
    let best = plan(truth, route)?;
    let least = told.energy(&best);
    let way = |name: &str, path: Vec<usize>, colour, width| {
        let energy = told.energy(&path);
        let more = 100.0 * (energy / least - 1.0);
        let more = if more > 0.0 { format!(", {more:.1} % more") } else { String::new() };
        Way { name: name.into(), energy: format!("{:.1} kJ{more}", 1e-3 * energy), path, colour, width }
    };
    let [blue, vermilion, _, purple, .., black] = COLOURS;
    let mut ways = vec![way("the best path", best, black, 9)];
    let mut costs = vec![Costs { title: "True".into(), per_metre: per_metre(truth) }];
    let mut driven = Vec::new();
    if let Some(found) = &told.driven {
        ways.push(way("planned before driving", plan(&found.before, route)?, vermilion, 6));
        ways.push(way("planned afterwards", plan(found.after(), route)?, blue, 2));
        let edges = order.tries("driven edge", "driven edges");
        costs.push(Costs { title: "Predicted before driving".into(), per_metre: per_metre(&found.before) });
        costs.push(Costs { title: format!("Predicted after {edges}"), per_metre: per_metre(found.after()) });
        driven.clone_from(&found.edges);
    }
    let map = WaysPicture { map: rover.map(), route, ways, driven: driven.clone(), driven_colour: purple };
    let mut written = write_both(order.folder, "terrain-map", &map)?;
    written.extend(write_both(order.folder, "terrain-costs", &CostPicture { costs, driven })?);
    #[cfg(feature = "rerun")]
    if let Some(file) = order.recording {
        record::record(&told)?.write(file)?;
        written.push(file.into());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_metre_costs_is_the_mean_over_edges() {
        let mut energies: Vec<f64> = edges().iter().map(|edge| 3.0 * edge.length).collect();
        assert!(per_metre(&energies).iter().all(|cost| (cost - 3.0).abs() <= 1e-9));
        let into: Vec<usize> = (0..EDGES).filter(|&edge| edges()[edge].to == 100).collect();
        energies[into[0]] = f64::INFINITY;
        energies[into[1]] = 10.0 * edges()[into[1]].length;
        assert!((per_metre(&energies)[100] - (6.0 * 3.0 + 10.0) / 7.0).abs() <= 1e-9);
        into.iter().for_each(|&edge| energies[edge] = f64::INFINITY);
        assert!(per_metre(&energies)[100].is_nan());
    }
}
