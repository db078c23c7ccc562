//! One map: heights, surfaces and soil of 64×64 cells, and the paths that were driven on it.
//!
//! Heights are fractal; five smooth random fields compete for the surface of a cell; hollows are wetter than ridges.
//! Everything follows from the map's own random numbers. Sizes are engineering choices for open country.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Gamma, StandardNormal};

use super::grid::{CELL, CELLS, EDGES, Edge, SIDE, edges};
use super::ground::Materials;
use super::hidden::Hidden;
use super::noise::{Border, blurred, spectral, standardised, white};
use super::physics::{Ground, passage};
use super::route::{far_pair, plan_route};

/// What a cell is covered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Surface {
    /// Bare rock.
    Rock,
    /// Gravel.
    Gravel,
    /// Grass.
    Grass,
    /// Loam.
    Loam,
    /// Sand.
    Sand,
}

impl Surface {
    /// All of them, in the order of every array of surfaces.
    pub const ALL: [Self; 5] = [Self::Rock, Self::Gravel, Self::Grass, Self::Loam, Self::Sand];
}

/// Typical roughness of each surface, in m.
const ROUGHNESS: [f64; 5] = [0.02, 0.025, 0.018, 0.015, 0.01];
/// Scale of the steps of each surface, in m.
const STEP: [f64; 5] = [0.05, 0.02, 0.012, 0.01, 0.006];

/// Paths that were driven on each map.
const DRIVEN_PATHS: usize = 8;
/// Edges that a driven path has at least.
pub(super) const DRIVEN_EDGES: usize = 32;

/// A map. Vectors hold a value for each cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Heights, in m.
    pub heights: Vec<f32>,
    /// Surfaces.
    pub surfaces: Vec<Surface>,
    /// Wetness, from 0 to 1.
    pub wetness: Vec<f32>,
    /// Roughness, in m.
    pub roughness: Vec<f32>,
    /// Height of steps, in m.
    pub steps: Vec<f32>,
    /// What divides the strength of the soil; spread 0.12 in its logarithm.
    pub variation: Vec<f32>,
    /// Whether something stands in the cell, which no sensor needs to tell: obstacles are on the map.
    pub blocked: Vec<bool>,
    /// Gradient of the heights, `[along x, along y]`.
    gradient: Vec<[f32; 2]>,
    /// Edges of paths between random far cells that a rover of nominal parameters would choose.
    pub driven: Vec<Vec<usize>>,
}

impl Map {
    /// Draws a map, number `number` of `count`, of these materials. The 98th percentile of its slopes is between 12° and 22°.
    pub(super) fn draw(materials: &Materials, number: usize, count: usize, rng: &mut ChaCha8Rng) -> Self {
        let shape = materials.heights(number, count, rng).unwrap_or_else(|| spectral(rng, 1.8, 2.5));
        let steepest: f64 = rng.random_range(12.0..22.0_f64).to_radians().tan();
        let mut slopes: Vec<f64> = gradient(&shape).iter().map(|[x, y]| x.hypot(*y)).collect();
        slopes.sort_by(f64::total_cmp);
        let scale = steepest / slopes[CELLS * 98 / 100];
        let heights: Vec<f64> = shape.iter().map(|height| height * scale).collect();

        let rivals: [Vec<f64>; 5] = std::array::from_fn(|_| {
            let field = white(rng);
            standardised(blurred(&field, rng.random_range(2.5..4.5), Border::Wrap))
        });
        let surface = |cell: usize| {
            (0..5).reduce(|best, next| if rivals[next][cell] > rivals[best][cell] { next } else { best }).unwrap_or(0)
        };
        let surfaces: Vec<usize> = (0..CELLS).map(surface).collect();

        let around = blurred(&heights, 8.0, Border::Mirror);
        let relief = standardised(heights.iter().zip(around).map(|(height, around)| height - around).collect());
        let patches = standardised(blurred(&white(rng), 6.0, Border::Wrap));
        let weather = 0.5 * rng.sample::<f64, _>(StandardNormal);
        let wet = |cell: usize| 1.0 / (1.0 + (-(0.9 * patches[cell] - 0.8 * relief[cell] + weather)).exp());
        let wetness = (0..CELLS).map(|cell| wet(cell) as f32).collect();

        let mut spread = |typical: f64| typical * (0.35 * rng.sample::<f64, _>(StandardNormal)).exp();
        let roughness = surfaces.iter().map(|&class| spread(ROUGHNESS[class]) as f32).collect();
        let gamma = Gamma::new(0.8, 1.0).expect("shape and scale are positive");
        let steps = surfaces.iter().map(|&class| (rng.sample(gamma) * STEP[class]) as f32).collect();
        // White noise keeps 0.19 of its deviation after a blur of 1.5 cells.
        let soil = blurred(&white(rng), 1.5, Border::Mirror);
        let variation = soil.iter().map(|value| (0.12 * value / 0.19).exp() as f32).collect();

        let mut map = Self {
            gradient: gradient(&heights).iter().map(|g| g.map(|slope| slope as f32)).collect(),
            heights: heights.iter().map(|&height| height as f32).collect(),
            surfaces: surfaces.iter().map(|&class| Surface::ALL[class]).collect(),
            wetness,
            roughness,
            steps,
            variation,
            blocked: materials.blocked(number, rng).unwrap_or_else(|| vec![false; CELLS]),
            driven: Vec::new(),
        };
        map.drive(rng);
        map
    }

    /// Fills `driven`: the best paths for √(nominal energy per metre) · length. The root makes the rover less wary
    /// of bad ground than a planner, so its paths show it some.
    fn drive(&mut self, rng: &mut ChaCha8Rng) {
        let nominal = Hidden::nominal();
        let cost = |edge: &Edge| passage(&nominal, &self.ground(edge)).energy.sqrt() * edge.length;
        let mut costs: Vec<f64> = edges().iter().map(cost).collect();
        self.block(&mut costs);
        while self.driven.len() < DRIVEN_PATHS {
            let [start, goal] = far_pair(&self.blocked, rng);
            self.driven.extend(plan_route(&costs, start, goal).filter(|path| path.len() >= DRIVEN_EDGES));
        }
    }

    /// What lies under the wheels along `edge`.
    pub fn ground(&self, edge: &Edge) -> Ground {
        let (from, to) = (edge.from, edge.to);
        let across = [-edge.heading[1], edge.heading[0]];
        let slope = |axis: usize| f64::from(self.gradient[from][axis] + self.gradient[to][axis]) / 2.0;
        let mut surface = [0.0; 5];
        surface[self.surfaces[to] as usize] = 1.0;
        Ground {
            grade: f64::from(self.heights[to] - self.heights[from]) / edge.length,
            side: (slope(0) * across[0] + slope(1) * across[1]).abs(),
            surface,
            wetness: self.wetness[to].into(),
            roughness: self.roughness[to].into(),
            step: self.steps[to].into(),
            variation: self.variation[to].into(),
        }
    }

    /// The true energy of every edge for a rover with these hidden facts, in J; infinite where something stands in the way. Where the slip is
    /// beyond [`super::physics::LARGEST_SLIP`] it is the energy at that slip: the rover digs itself through at five times the work.
    pub fn energies(&self, hidden: &Hidden) -> Vec<f64> {
        let mut energies =
            edges().iter().map(|edge| passage(hidden, &self.ground(edge)).energy * edge.length).collect::<Vec<_>>();
        self.block(&mut energies);
        energies
    }

    /// Whether nothing stands in the way of `edge`: both its cells are free, and on a diagonal the two beside it.
    pub fn is_free(&self, edge: &Edge) -> bool {
        let Edge { from, to, .. } = *edge;
        // The cells of the row of one end and the column of the other; on a straight edge they are its ends.
        let corners = [from / SIDE * SIDE + to % SIDE, to / SIDE * SIDE + from % SIDE];
        ![from, to].iter().chain(&corners).any(|&cell| self.blocked[cell])
    }

    /// A random edge that nothing stands in the way of.
    pub(super) fn free_edge(&self, rng: &mut ChaCha8Rng) -> usize {
        loop {
            let edge = rng.random_range(0..EDGES);
            if self.is_free(&edges()[edge]) {
                return edge;
            }
        }
    }

    /// Makes the cost of every edge infinite that something stands in the way of.
    pub fn block(&self, costs: &mut [f64]) {
        let closed = costs.iter_mut().zip(edges()).filter(|(_, edge)| !self.is_free(edge));
        closed.for_each(|(cost, _)| *cost = f64::INFINITY);
    }
}

/// Central differences inside, one-sided at the border: `[along x, along y]`.
fn gradient(heights: &[f64]) -> Vec<[f64; 2]> {
    let along = |cell: usize, place: usize, stride: usize| {
        let back = usize::from(place > 0);
        let ahead = usize::from(place < SIDE - 1);
        (heights[cell + ahead * stride] - heights[cell - back * stride]) / ((back + ahead) as f64 * CELL)
    };
    (0..CELLS).map(|cell| [along(cell, cell % SIDE, 1), along(cell, cell / SIDE, SIDE)]).collect()
}
