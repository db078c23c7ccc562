use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::deploy::agent::{Agent, AgentError};
use crate::world::arm::clearance::{clearance, is_free};
use crate::world::arm::kinematics::{JOINTS, Joints, READY, distance, uniform};
use crate::world::arm::rrt_connect::{Settings, edge};
use crate::world::arm::{FEATURES, Family, Scene, features};

/// One who says what a function of the configuration says, and never learns.
struct Says<F>(F);

impl<F: Fn(&Joints) -> f64> Agent for Says<F> {
    fn observe(&mut self, _input: &[f32], _target: &[f32]) -> Result<(), AgentError> {
        Ok(())
    }

    fn predict(&mut self, inputs: &[f32], mean: &mut [f32], _variance: Option<&mut [f32]>) -> Result<bool, AgentError> {
        for (mean, row) in mean.iter_mut().zip(inputs.chunks_exact(FEATURES)) {
            *mean = self.0(&std::array::from_fn::<_, JOINTS, _>(|joint| f64::from(row[joint]))) as f32;
        }
        Ok(false)
    }
}

fn scenes() -> Vec<(Scene, Vec<Query>)> {
    let planner = Settings::default();
    let families = Family::TRAINED.iter().chain(&Family::HELD_OUT);
    families
        .zip(0..)
        .map(|(family, number)| {
            let scene = family.draw(&mut ChaCha8Rng::seed_from_u64(number));
            let queries = queries(&scene, 3, planner.resolution, number);
            (scene, queries)
        })
        .collect()
}

fn assert_verified(scene: &Scene, query: &Query, answer: &Answer) {
    let path = answer.path.as_ref().expect("exact checks found a path, so it is found again");
    assert_eq!((path.first(), path.last()), (Some(&query.start), Some(&query.goal)));
    assert!(is_free(scene, &query.start));
    assert!(path.iter().all(|joints| is_free(scene, joints)));
    assert!(path.windows(2).all(|pair| distance(&pair[0], &pair[1]) <= Settings::default().resolution + 1e-9));
}

#[test]
fn queries_lead_on_and_need_a_planner() {
    for (scene, asked) in scenes() {
        assert_eq!(asked[0].start, READY);
        assert!(asked.windows(2).all(|pair| pair[0].goal == pair[1].start));
        for Query { start, goal } in &asked {
            assert!(is_free(&scene, start) && (0.02..0.1).contains(&clearance(&scene, goal)));
            assert!(!edge(start, goal, 0.05).iter().all(|joints| is_free(&scene, joints)));
        }
    }
}

#[test]
fn whatever_is_believed_paths_are_verified_and_checks_counted() {
    let planner = Settings::default();
    let (mut lost, mut without) = (0, 0);
    for (scene, asked) in scenes() {
        for (query, seed) in asked.iter().zip(10..) {
            let mut checker = Checker::new(&scene);
            let exact = exactly(query, &mut checker, planner, seed);
            assert_eq!(exact.checks, checker.count());
            if exact.path.is_none() {
                without += 1;
                continue;
            }
            assert_verified(&scene, query, &exact);
            assert!(exact.smoothing < exact.checks && exact.believed == 0);
            assert_eq!(exactly(query, &mut Checker::new(&scene), planner, seed), exact, "it follows from the seed");

            let mut blocked = Vec::new();
            let mut checker = Checker::new(&scene);
            let lazy = lazily(query, &mut checker, &mut blocked, planner, seed);
            assert_verified(&scene, query, &lazy);
            assert_eq!(lazy.checks, checker.count());
            // Each path but one that holds found one configuration.
            assert!(blocked.iter().all(|joints| !is_free(&scene, joints)));
            assert_eq!(blocked.len() as u32 + u32::from(!lazy.fell_back), lazy.rounds);

            // Who knows the scene errs nowhere but about start and goal, which it takes for free.
            let believe = |agent: &mut dyn Agent| {
                let mut checker = Checker::new(&scene);
                let answer = steered(query, &mut checker, &mut Belief::new(agent, 0.0, 0.02), planner, seed).unwrap();
                assert_verified(&scene, query, &answer);
                assert_eq!(answer.checks, checker.count());
                answer
            };
            let knowing = believe(&mut Says(|joints: &Joints| clearance(&scene, joints)));
            if !knowing.fell_back && knowing.rounds == 1 {
                let path = knowing.path.as_ref().unwrap();
                assert_eq!(knowing.checks as usize, path.len());
                assert!(knowing.believed > knowing.checks && knowing.smoothing == 0);
            }
            lost += usize::from(knowing.fell_back);

            // Who takes everything for blocked is asked until its threshold is below what it says.
            assert_eq!(believe(&mut Says(|_: &Joints| -10.0)), believe(&mut Says(|_: &Joints| -10.0)));
            assert!(believe(&mut Says(|_: &Joints| -10.0)).fell_back);
            believe(&mut Says(|_: &Joints| 1.0));
        }
    }
    assert!(without <= 3, "most queries have paths: {without} of 15 have none");
    assert!(lost <= 5, "who knows the scene finds its way: {lost} of {} fell back", 15 - without);
}

#[test]
fn an_agent_that_fails_is_no_answer() {
    struct Fails;
    impl Agent for Fails {
        fn observe(&mut self, input: &[f32], _target: &[f32]) -> Result<(), AgentError> {
            Perceptron::new(1.0, 1).observe(&input[1..], &[0.0])
        }

        fn predict(&mut self, _: &[f32], _: &mut [f32], _: Option<&mut [f32]>) -> Result<bool, AgentError> {
            Ok(false)
        }
    }
    let (scene, asked) = scenes().remove(0);
    let answer =
        steered(&asked[0], &mut Checker::new(&scene), &mut Belief::new(&mut Fails, 0.0, 0.1), Settings::default(), 0);
    assert!(matches!(answer, Err(AgentError::Length(_))));
}

#[test]
fn the_perceptron_tells_what_it_saw_apart() {
    let scene = Family::Pillars.draw(&mut ChaCha8Rng::seed_from_u64(4));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let rows: Vec<(Joints, f64)> = (0..400)
        .map(|_| {
            let joints = uniform(&mut rng);
            (joints, clearance(&scene, &joints))
        })
        .collect();
    let (seen, others) = rows.split_at(200);
    let mut perceptron = Perceptron::new(30.0, 200);
    let right = |perceptron: &mut Perceptron, rows: &[(Joints, f64)]| {
        let inputs: Vec<f32> = rows.iter().flat_map(|row| features(&row.0)).collect();
        let mut said = vec![0.0; rows.len()];
        assert!(!perceptron.predict(&inputs, &mut said, None).unwrap());
        said.iter().zip(rows).filter(|(said, row)| (**said > 0.0) == (row.1 > 0.0)).count()
    };
    for (joints, clearance) in seen {
        perceptron.observe(&features(joints), &[*clearance as f32]).unwrap();
    }
    assert_eq!(right(&mut perceptron, seen), 200);
    let free = others.iter().filter(|row| row.1 > 0.0).count();
    assert!(right(&mut perceptron, others) > free.max(200 - free), "better than one answer for all");
    // The oldest rows leave.
    let mut fresh = Perceptron::new(30.0, 200);
    for (joints, clearance) in others {
        for perceptron in [&mut perceptron, &mut fresh] {
            perceptron.observe(&features(joints), &[*clearance as f32]).unwrap();
        }
    }
    let said = |perceptron: &mut Perceptron| {
        let mut said = [0.0];
        perceptron.predict(&features(&READY), &mut said, None).unwrap();
        said
    };
    assert_eq!(said(&mut perceptron), said(&mut fresh));
    assert!(fresh.observe(&[0.0; 3], &[0.0]).is_err() && fresh.predict(&[0.0; 3], &mut [0.0], None).is_err());
    assert!(fresh.observe(&[f32::NAN; FEATURES], &[0.0]).is_err());
}
