//! Three ways of finding a path that is exactly verified: by exact checks alone, lazily without a belief, and lazily by what an agent
//! believes.

use std::collections::HashSet;

use super::checker::Checker;
use super::queries::Query;
use crate::deploy::agent::{Agent, AgentError};
use crate::world::arm::features;
use crate::world::arm::kinematics::{JOINTS, Joints, distance};
use crate::world::arm::rrt_connect::{Free, Settings, Trees, edge, shortcut};

/// Attempts to shorten a path.
const SHORTCUTS: usize = 30;
/// Paths that an agent may believe in, for one query, before exact checks take over.
const ROUNDS: u32 = 30;
/// The same for who believes that everything is free.
const LAZY_ROUNDS: u32 = 300;
/// Random configurations before an agent's belief is taken for too gloomy.
const BELIEVED_SAMPLES: usize = 400;
/// What is nearer than this to a configuration that is blocked is not tried again, in rad.
const BLOCKED: f64 = 0.3;
/// What is nearer than this to start and goal, which are free, is believed to be free, in rad.
const AROUND_ENDS: f64 = 0.3;

/// What came of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Every point of a path, all of them checked exactly.
    pub path: Option<Vec<Joints>>,
    /// Exact checks.
    pub checks: u64,
    /// Those of them that were for shortening.
    pub smoothing: u64,
    /// Configurations of which an agent was asked.
    pub believed: u64,
    /// Paths that were believed in.
    pub rounds: u32,
    /// Whether exact checks took over.
    pub fell_back: bool,
}

/// RRT-Connect and shortcuts by exact checks alone.
pub fn exactly(query: &Query, checker: &mut Checker<'_>, settings: Settings, seed: u64) -> Answer {
    let before = checker.count();
    let mut answer = Answer::default();
    if [query.start, query.goal].iter().all(|joints| checker.is_free(joints)) {
        answer.path = search(query, checker, settings, seed);
        shorten(&mut answer, checker, settings, seed);
    }
    answer.checks = checker.count() - before;
    answer
}

/// RRT-Connect by exact checks, between ends that are free.
fn search(query: &Query, checker: &mut Checker<'_>, settings: Settings, seed: u64) -> Option<Vec<Joints>> {
    let free: &mut Free<'_, std::convert::Infallible> =
        &mut |joints| Ok(joints.iter().all(|joints| checker.is_free(joints)));
    let Ok(path) = Trees::new(&query.start, &query.goal, settings, seed).grow(free);
    path
}

/// Shortens the path of an answer by exact checks.
fn shorten(answer: &mut Answer, checker: &mut Checker<'_>, settings: Settings, seed: u64) {
    let before = checker.count();
    if let Some(path) = answer.path.take() {
        let free: &mut Free<'_, std::convert::Infallible> =
            &mut |joints| Ok(joints.iter().all(|joints| checker.is_free(joints)));
        let Ok(path) = shortcut(&path, SHORTCUTS, settings.resolution, seed, free);
        answer.path = Some(path);
    }
    answer.smoothing = checker.count() - before;
}

/// An edge by the bits of its ends.
fn key(from: &Joints, to: &Joints) -> [[u64; JOINTS]; 2] {
    [from, to].map(|joints| joints.map(f64::to_bits))
}

fn is_blocked(blocked: &[Joints], joints: &Joints) -> bool {
    blocked.iter().any(|other| distance(other, joints) < BLOCKED)
}

/// RRT-Connect that believes everything to be free but what is near a configuration in `blocked`, and checks an edge only once it is part of
/// a path (Bohlin and Kavraki 2000; Sánchez and Latombe 2003). What turns out blocked is added to `blocked`, the trees lose the edge, and
/// go on growing.
pub fn lazily(
    query: &Query,
    checker: &mut Checker<'_>,
    blocked: &mut Vec<Joints>,
    settings: Settings,
    seed: u64,
) -> Answer {
    let before = checker.count();
    let mut answer = Answer::default();
    if ![query.start, query.goal].iter().all(|joints| checker.is_free(joints)) {
        answer.checks = checker.count() - before;
        return answer;
    }
    let mut trees = Trees::new(&query.start, &query.goal, settings, seed);
    let mut verified = HashSet::new();
    loop {
        let ends = [query.start, query.goal];
        let free: &mut Free<'_, std::convert::Infallible> =
            &mut |joints| Ok(joints.iter().all(|joints| ends.contains(joints) || !is_blocked(blocked, joints)));
        let Ok(path) = trees.grow(free);
        let Some(path) = path.filter(|_| answer.rounds < LAZY_ROUNDS) else {
            answer.fell_back = true;
            answer.path = search(query, checker, settings, seed);
            shorten(&mut answer, checker, settings, seed);
            break;
        };
        answer.rounds += 1;
        let broken = path.windows(2).find_map(|pair| {
            let key = key(&pair[0], &pair[1]);
            if verified.contains(&key) {
                return None;
            }
            let found =
                edge(&pair[0], &pair[1], settings.resolution).into_iter().find(|joints| !checker.is_free(joints));
            if found.is_none() {
                verified.insert(key);
            }
            found.map(|joints| (pair[0], pair[1], joints))
        });
        let Some((from, to, joints)) = broken else {
            answer.path = Some(path);
            shorten(&mut answer, checker, settings, seed);
            break;
        };
        blocked.push(joints);
        let broken = [key(&from, &to), key(&to, &from)];
        trees.cut(&mut |from, to| {
            let key = key(from, to);
            let near = || edge(from, to, settings.resolution).iter().any(|point| distance(point, &joints) < BLOCKED);
            !broken.contains(&key) && (verified.contains(&key) || !near())
        });
    }
    answer.checks = checker.count() - before;
    answer
}

/// What an agent believes of a scene.
pub struct Belief<'a> {
    agent: &'a mut dyn Agent,
    /// Configurations with a prediction above it are believed to be free.
    threshold: f32,
    /// By how much it is lowered where the belief leaves no way.
    step: f32,
    /// What was found to be blocked.
    blocked: Vec<Joints>,
    /// Configurations that it was asked of.
    asked: u64,
}

impl std::fmt::Debug for Belief<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Belief")
            .field("threshold", &self.threshold)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl<'a> Belief<'a> {
    /// That of `agent`, who knows nothing of the scene yet.
    pub fn new(agent: &'a mut dyn Agent, threshold: f32, step: f32) -> Self {
        Self { agent, threshold, step, blocked: Vec::new(), asked: 0 }
    }

    /// Learns what the exact checker says of a configuration, in m; returns it.
    ///
    /// # Errors
    /// If the agent fails.
    pub fn check(&mut self, joints: &Joints, checker: &mut Checker<'_>) -> Result<f64, AgentError> {
        let clearance = checker.clearance(joints);
        self.agent.observe(&features(joints), &[clearance as f32])?;
        if clearance <= 0.0 {
            self.blocked.push(*joints);
        }
        Ok(clearance)
    }

    fn predict(&mut self, joints: &[Joints]) -> Result<Vec<f32>, AgentError> {
        let rows: Vec<f32> = joints.iter().flat_map(features).collect();
        let mut said = vec![0.0; joints.len()];
        self.agent.predict(&rows, &mut said, None)?;
        self.asked += joints.len() as u64;
        Ok(said)
    }

    fn is_free(&mut self, joints: &[Joints], query: &Query, threshold: f32) -> Result<bool, AgentError> {
        let at_end = |joints: &Joints| distance(joints, &query.start).min(distance(joints, &query.goal));
        // Start and goal themselves are free, whatever is near them.
        if joints.iter().any(|joints| at_end(joints) > 1e-9 && is_blocked(&self.blocked, joints)) {
            return Ok(false);
        }
        let doubtful: Vec<Joints> = joints.iter().filter(|joints| at_end(joints) > AROUND_ENDS).copied().collect();
        Ok(doubtful.is_empty() || self.predict(&doubtful)?.iter().all(|said| *said > threshold))
    }
}

/// RRT-Connect and shortcuts by what an agent believes. A path is checked exactly, what is most doubtful first; where it is blocked the
/// agent learns what was found, and plans anew; after `ROUNDS` paths exact checks take over.
///
/// # Errors
/// If the agent fails.
pub fn steered(
    query: &Query,
    checker: &mut Checker<'_>,
    belief: &mut Belief<'_>,
    settings: Settings,
    seed: u64,
) -> Result<Answer, AgentError> {
    let (before, asked) = (checker.count(), belief.asked);
    let mut answer = Answer::default();
    let ends = [belief.check(&query.start, checker)?, belief.check(&query.goal, checker)?];
    if ends.iter().all(|clearance| *clearance > 0.0) {
        let mut threshold = belief.threshold;
        let sparing = Settings { samples: BELIEVED_SAMPLES, ..settings };
        while answer.path.is_none() && answer.rounds < ROUNDS {
            answer.rounds += 1;
            let seed = seed.wrapping_add(u64::from(answer.rounds));
            let free: &mut Free<'_, AgentError> = &mut |joints| belief.is_free(joints, query, threshold);
            let Some(path) = Trees::new(&query.start, &query.goal, sparing, seed).grow(free)? else {
                threshold -= belief.step;
                continue;
            };
            let path = shortcut(&path, SHORTCUTS, settings.resolution, seed, free)?;
            if holds(&path, checker, belief)? {
                answer.path = Some(path);
            }
        }
        if answer.path.is_none() {
            answer.fell_back = true;
            if let Some(path) = search(query, checker, settings, seed) {
                let before = checker.count();
                // What is believed to be blocked is not worth a check.
                let free: &mut Free<'_, AgentError> = &mut |joints| {
                    let believed = belief.is_free(joints, query, threshold)?;
                    Ok(believed && joints.iter().all(|joints| checker.is_free(joints)))
                };
                answer.path = Some(shortcut(&path, SHORTCUTS, settings.resolution, seed, free)?);
                answer.smoothing = checker.count() - before;
            }
        }
    }
    answer.checks = checker.count() - before;
    answer.believed = belief.asked - asked;
    Ok(answer)
}

/// Whether every point of a path is free, the most doubtful looked at first. If not, the agent learns what was found until then.
fn holds(path: &[Joints], checker: &mut Checker<'_>, belief: &mut Belief<'_>) -> Result<bool, AgentError> {
    // Start and goal were checked.
    let between = path.get(1..path.len().saturating_sub(1)).unwrap_or_default();
    let mut order: Vec<(f32, Joints)> = belief.predict(between)?.into_iter().zip(between.iter().copied()).collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = Vec::new();
    for (_, joints) in order {
        let clearance = checker.clearance(&joints);
        if clearance <= 0.0 {
            for (joints, clearance) in free.into_iter().chain([(joints, clearance)]) {
                belief.agent.observe(&features(&joints), &[clearance as f32])?;
            }
            belief.blocked.push(joints);
            return Ok(false);
        }
        free.push((joints, clearance));
    }
    Ok(true)
}
