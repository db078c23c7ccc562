//! Where a task plans: its map, its routes, and what the sensors said about the whole map beforehand.
//!
//! All of it follows from the task alone. So every episode of a task is judged on the same routes with the same
//! readings, whatever its support was.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Terrain;
use super::grid::{EDGES, edges};
use super::hidden::{Hidden, Purpose, stream};
use super::map::Map;
use super::route::far_pair;
use super::sense::{FEATURES, Labels, sense};
use crate::world::Task;

/// Routes on which a task's plans are judged.
pub const ROUTES: usize = 6;

/// The place of a task and the camera's look at it; the other sensors read on demand.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// The number of the map among those of the split.
    pub map: usize,
    /// Start and goal of each route.
    pub routes: [[usize; 2]; ROUTES],
    rng: ChaCha8Rng,
}

impl Survey {
    /// The survey of `task` in `world`.
    pub fn of(task: &Task, world: &Terrain) -> Self {
        let mut rng = stream(task, Purpose::Survey);
        let map = rng.random_range(0..Terrain::map_count(task.split));
        let blocked = &world.map(task.split, map).blocked;
        Self { map, routes: std::array::from_fn(|_| far_pair(blocked, &mut rng)), rng }
    }

    /// The camera's look at the map.
    pub fn labels(&self, map: &Map) -> Labels {
        Labels::look(map, &mut self.rng.clone())
    }

    /// What the sensors say about all edges: `[EDGES, FEATURES]`.
    pub fn features(&self, map: &Map, hidden: &Hidden) -> Vec<f32> {
        let mut rng = self.rng.clone();
        let shares = Labels::look(map, &mut rng).all_shares();
        let mut features = Vec::with_capacity(EDGES * FEATURES);
        for edge in edges() {
            features.extend(sense(&map.ground(edge), shares[edge.to], hidden.wetness_bias, &mut rng));
        }
        features
    }
}
