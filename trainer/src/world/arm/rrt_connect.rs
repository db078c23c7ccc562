//! RRT-Connect (Kuffner and LaValle 2000): two trees that grow toward random configurations and toward each other.
//!
//! What is free is asked of a closure, so that one code plans by exact checks, and lazily by whatever is believed (Bohlin and Kavraki 2000):
//! trees may be cut where a belief turned out wrong, and go on growing. Every step, wherever it is asked for, is looked at point by point,
//! its end first, then its middle, and so on: what is blocked is found soonest so.

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::kinematics::{Joints, between, distance, uniform};

/// How a planner goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The longest edge of a tree, in rad.
    pub step: f64,
    /// The farthest that two points of an edge which are looked at are apart, in rad.
    pub resolution: f64,
    /// Random configurations before it gives up.
    pub samples: usize,
}

impl Default for Settings {
    /// Steps of 0.5 rad, looked at every 0.05 rad (MoveIt looks every 0.07 rad of such an arm), and 4000 random configurations.
    fn default() -> Self {
        Self { step: 0.5, resolution: 0.05, samples: 4000 }
    }
}

/// Says whether all of these configurations are free. It may stop at the first that is not.
pub type Free<'a, E> = dyn FnMut(&[Joints]) -> Result<bool, E> + 'a;

/// The points of the straight way from `from`, which is left out, to `to`, at most `resolution` (rad) apart: the end first, then the
/// middle, then the quarters, and so on.
pub fn edge(from: &Joints, to: &Joints, resolution: f64) -> Vec<Joints> {
    let parts = (distance(from, to) / resolution).ceil().max(1.0) as usize;
    bisected(parts).into_iter().map(|number| between(from, to, number as f64 / parts as f64)).collect()
}

/// The numbers from 1 to `count`: the last first, then the middle, then the quarters, and so on.
pub fn bisected(count: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(count);
    order.extend((count > 0).then_some(count));
    let mut spans = VecDeque::from([(0, count)]);
    while let Some((low, high)) = spans.pop_front() {
        if high - low > 1 {
            let middle = usize::midpoint(low, high);
            order.push(middle);
            spans.extend([(low, middle), (middle, high)]);
        }
    }
    order
}

/// The length of a path, in rad.
pub fn length(path: &[Joints]) -> f64 {
    path.windows(2).map(|pair| distance(&pair[0], &pair[1])).sum()
}

/// All points of a path but the first, in their order, at most `resolution` (rad) apart.
pub fn points(path: &[Joints], resolution: f64) -> Vec<Joints> {
    let of = |pair: &[Joints]| {
        let parts = (distance(&pair[0], &pair[1]) / resolution).ceil().max(1.0) as usize;
        let (from, to) = (pair[0], pair[1]);
        (1..=parts).map(move |number| between(&from, &to, number as f64 / parts as f64)).collect::<Vec<_>>()
    };
    path.windows(2).flat_map(of).collect()
}

#[derive(Clone, Debug)]
struct Node {
    joints: Joints,
    parent: usize,
}

/// A tree; its root is its own parent, and parents stand before their children.
#[derive(Clone, Debug)]
struct Tree(Vec<Node>);

enum Extended {
    Trapped,
    Advanced(usize),
    Reached(usize),
}

impl Tree {
    fn root(joints: Joints) -> Self {
        Self(vec![Node { joints, parent: 0 }])
    }

    fn nearest(&self, to: &Joints) -> usize {
        let mut best = (f64::INFINITY, 0);
        for (number, node) in self.0.iter().enumerate() {
            let far = distance(&node.joints, to);
            if far < best.0 {
                best = (far, number);
            }
        }
        best.1
    }

    fn extend<E>(&mut self, to: &Joints, settings: Settings, free: &mut Free<'_, E>) -> Result<Extended, E> {
        let parent = self.nearest(to);
        let from = self.0[parent].joints;
        let far = distance(&from, to);
        if far == 0.0 {
            return Ok(Extended::Reached(parent));
        }
        let reaches = far <= settings.step;
        let joints = if reaches { *to } else { between(&from, to, settings.step / far) };
        if !free(&edge(&from, &joints, settings.resolution))? {
            return Ok(Extended::Trapped);
        }
        self.0.push(Node { joints, parent });
        let number = self.0.len() - 1;
        Ok(if reaches { Extended::Reached(number) } else { Extended::Advanced(number) })
    }

    /// The way from the node with this number to the root.
    fn branch(&self, mut number: usize) -> Vec<Joints> {
        let mut branch = vec![self.0[number].joints];
        while number != 0 {
            number = self.0[number].parent;
            branch.push(self.0[number].joints);
        }
        branch
    }

    /// Takes away what hangs on an edge that is not `whole`.
    fn cut(&mut self, whole: &mut dyn FnMut(&Joints, &Joints) -> bool) {
        let mut kept: Vec<Node> = Vec::with_capacity(self.0.len());
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.0.len());
        for (number, node) in self.0.iter().enumerate() {
            let parent = if number == 0 { Some(0) } else { places[node.parent] };
            let stays = parent.filter(|parent| number == 0 || whole(&kept[*parent].joints, &node.joints));
            places.push(stays.map(|parent| {
                kept.push(Node { joints: node.joints, parent });
                kept.len() - 1
            }));
        }
        self.0 = kept;
    }
}

/// The two trees of a query.
#[derive(Clone, Debug)]
pub struct Trees {
    /// From the start, and from the goal.
    trees: [Tree; 2],
    /// Which of them grows next.
    turn: usize,
    begun: bool,
    settings: Settings,
    rng: ChaCha8Rng,
}

impl Trees {
    /// Trees of a start and a goal that are free. What they draw follows from `seed`.
    pub fn new(start: &Joints, goal: &Joints, settings: Settings, seed: u64) -> Self {
        let trees = [Tree::root(*start), Tree::root(*goal)];
        Self { trees, turn: 0, begun: false, settings, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Grows both until they meet, and returns the path from start to goal; none if they have not met after so many random configurations
    /// as the settings say. The first is no random one: it is the goal. May be called again, after [`Trees::cut`].
    ///
    /// # Errors
    /// What `free` answers.
    pub fn grow<E>(&mut self, free: &mut Free<'_, E>) -> Result<Option<Vec<Joints>>, E> {
        for _ in 0..self.settings.samples {
            let target = if self.begun { uniform(&mut self.rng) } else { self.trees[1].0[0].joints };
            self.begun = true;
            let (settings, turn) = (self.settings, self.turn);
            self.turn = 1 - turn;
            let grown = match self.trees[turn].extend(&target, settings, free)? {
                Extended::Trapped => continue,
                Extended::Advanced(grown) | Extended::Reached(grown) => grown,
            };
            let meeting = self.trees[turn].0[grown].joints;
            loop {
                match self.trees[1 - turn].extend(&meeting, settings, free)? {
                    Extended::Trapped => break,
                    Extended::Advanced(_) => {}
                    Extended::Reached(other) => {
                        let (from, to) = if turn == 0 { (grown, other) } else { (other, grown) };
                        let mut path = self.trees[0].branch(from);
                        path.reverse();
                        // The meeting point stands in both branches.
                        path.extend(&self.trees[1].branch(to)[1..]);
                        return Ok(Some(path));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes away each edge that is not `whole`, and what hangs on it.
    pub fn cut(&mut self, whole: &mut dyn FnMut(&Joints, &Joints) -> bool) {
        self.trees.iter_mut().for_each(|tree| tree.cut(whole));
    }
}

/// Shortens a path by straight ways between random points of it, those that are free (Geraerts and Overmars 2007, *International Journal of
/// Robotics Research* 26(8)). What is drawn follows from `seed`. What comes back is every point of the path, each of them a point of `path`
/// at this `resolution` (rad), or one that `free` was asked of.
///
/// # Errors
/// What `free` answers.
pub fn shortcut<E>(
    path: &[Joints],
    attempts: usize,
    resolution: f64,
    seed: u64,
    free: &mut Free<'_, E>,
) -> Result<Vec<Joints>, E> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all: Vec<Joints> = path.first().copied().into_iter().chain(points(path, resolution)).collect();
    for _ in 0..attempts {
        let [one, other] = [(); 2].map(|()| rng.random_range(0..all.len().max(1)));
        let (first, last) = (one.min(other), one.max(other));
        if last - first < 2 || !free(&edge(&all[first], &all[last], resolution))? {
            continue;
        }
        let straight = points(&[all[first], all[last]], resolution);
        all.splice(first + 1..=last, straight);
    }
    Ok(all)
}
