use super::*;
use crate::world::grasp::{Distribution, GraspConfig};
use crate::world::{Split, World};

fn tasks(world: &GraspWorld, count: usize) -> Vec<Task> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    (0..count).map(|_| world.task(Split::Test, &mut rng)).collect()
}

/// The mean over tasks after no and after 12 tries.
fn filtered(distribution: Distribution, choice: Choice, count: usize) -> [Judged; 2] {
    let world = GraspWorld::open(&GraspConfig { distribution, ..GraspConfig::default() }).unwrap();
    let tasks = tasks(&world, count);
    let mut sums = [[0.0; 4]; 2];
    for (number, task) in tasks.iter().enumerate() {
        let mut filter = Filter::new(distribution, 300, 1);
        let judged =
            try_grasps(&world, task, &mut filter, choice, &[0, 12], number as u64, &mut Truths::default()).unwrap();
        for (sum, judged) in sums.iter_mut().zip(judged) {
            let Judged { pick, auroc, log_loss, during } = judged;
            sum.iter_mut().zip([pick, auroc, log_loss, during]).for_each(|(sum, value)| *sum += value / count as f64);
        }
    }
    sums.map(|[pick, auroc, log_loss, during]| Judged { pick, auroc, log_loss, during })
}

#[test]
fn who_has_the_model_learns_what_is_hidden_and_nothing_where_nothing_is() {
    let [before, after] = filtered(Distribution::Full, Choice::Random, 12);
    assert!(after.log_loss < before.log_loss - 0.04 && after.auroc > before.auroc + 0.03, "{before:?} {after:?}");
    let [before, after] = filtered(Distribution::Nothing, Choice::Random, 8);
    assert!((after.log_loss - before.log_loss).abs() <= 0.03, "{before:?} {after:?}");
}

#[test]
fn tries_follow_from_their_seed() {
    let world = GraspWorld::open(&GraspConfig::default()).unwrap();
    let task = tasks(&world, 1)[0];
    let run = |choice, seed| {
        let mut filter = Filter::new(Distribution::Full, 50, 1);
        try_grasps(&world, &task, &mut filter, choice, &[1, 3], seed, &mut Truths::default()).unwrap()
    };
    for choice in Choice::ALL {
        assert_eq!(run(choice, 2), run(choice, 2));
    }
    assert_ne!(run(Choice::Random, 2), run(Choice::Random, 3));
}

#[test]
fn what_is_kept_of_the_truth_is_what_would_be_worked_out_anew() {
    let world = GraspWorld::open(&GraspConfig::default()).unwrap();
    let task = tasks(&world, 1)[0];
    let mut situation = world.situation(&task);
    let (mut kept, mut rng) = (Truths::default(), ChaCha8Rng::seed_from_u64(0));
    let first = kept.of_one(&situation, 9);
    assert_eq!(first, kept.of(&situation, 0)[9]);
    assert_eq!(first, Truths::default().of(&situation, 0)[9]);
    situation.scene.to_mut().turn(0.4, &mut rng);
    kept.turn(0.4);
    for start in [0, CANDIDATES] {
        assert_eq!(kept.of(&situation, start), Truths::default().of(&situation, start));
    }
    assert_eq!(kept.of_one(&situation, 9), kept.of(&situation, 0)[9]);
    // Another's tries begin with the object as it lay at first.
    kept.begin();
    assert_eq!(kept.of_one(&world.situation(&task), 9), first);
}
