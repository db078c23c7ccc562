//! Grasps lifted in a simulator of rigid bodies, beside what the closed form says of the same tries.
//!
//! `cargo run -p sinew-examples --features physics --example grasp_physics --release -- [objects of each kind] [each]`
//!
//! Objects are of the families to train on, of those held out, and of meshes where `SINEW_DATA` has them. With `each`, every
//! disagreement is a line.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sinew_trainer::metric::Summary;
use sinew_trainer::world::grasp::execute::{Failure, Noise, Outcome, execute};
use sinew_trainer::world::grasp::lift::{Body, Lifted, lift};
use sinew_trainer::world::grasp::{GraspConfig, GraspWorld};
use sinew_trainer::world::root::data_folder;
use sinew_trainer::world::{Split, Task};

/// Grasps of each object, from those to choose from.
const GRASPS: usize = 12;
/// The first object. Those from 0 on were looked at when closed form and simulation were mended, these were not.
const FIRST: u64 = 1000;

struct Try {
    object: usize,
    noisy: bool,
    said: Outcome,
    lifted: Lifted,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let objects = arguments.first().map_or(Ok(24), |count| count.parse())?;
    let each = arguments.iter().any(|word| word == "each");
    let mut worlds = vec![
        ("families to train on", Split::Train, GraspWorld::open(&GraspConfig::default())?),
        ("families held out", Split::Test, GraspWorld::open(&GraspConfig::default())?),
    ];
    let meshes = ["ycb", "robosuite"].map(|name| data_folder().join("meshes").join(name));
    if meshes.iter().all(|folder| folder.exists()) {
        let config = GraspConfig {
            test_meshes: meshes.map(|folder| folder.to_string_lossy().into_owned()).into(),
            without: vec!["MasterChefCan".into(), "Scissors".into()],
            ..Default::default()
        };
        worlds.push(("meshes", Split::Test, GraspWorld::open(&config)?));
    } else {
        println!("without meshes: {} has none", data_folder().display());
    }
    let mut tries = Vec::new();
    let (mut took, mut number) = (0.0, 0);
    for (name, split, world) in &worlds {
        let before = tries.len();
        for seed in FIRST..FIRST + objects {
            let situation = world.situation(&Task { split: *split, seed });
            let (scene, hidden) = (&situation.scene, &situation.hidden);
            let body = Body::new(&scene.mesh)?;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for grasp in 0..GRASPS {
                for noise in [Noise::NONE, Noise::draw(&mut rng)] {
                    let start = Instant::now();
                    let lifted = lift(&body, &scene.object, hidden, &scene.grasps[grasp], &noise);
                    took += start.elapsed().as_secs_f64();
                    let said = execute(&scene.object, hidden, &scene.grasps[grasp], &noise);
                    if each && said.held() != lifted.held() {
                        println!("{name} {seed}, grasp {grasp}: {said:?}, {lifted:?}");
                    }
                    tries.push(Try { object: number, noisy: noise != Noise::NONE, said, lifted });
                }
            }
            number += 1;
        }
        row(name, &tries[before..]);
    }
    row("without noise", tries.iter().filter(|one| !one.noisy));
    row("with noise", tries.iter().filter(|one| one.noisy));
    row("all", &tries);
    println!("\nby what the closed form says");
    let mut kinds: BTreeMap<Option<Failure>, Vec<&Try>> = BTreeMap::new();
    tries.iter().for_each(|one| kinds.entry(one.said.failure).or_default().push(one));
    for (failure, tries) in kinds {
        let mut fates = BTreeMap::new();
        tries.iter().for_each(|one| *fates.entry(one.lifted.fate).or_insert(0) += 1);
        row(&failure.map_or("Held".into(), |failure| format!("{failure:?}")), tries);
        println!("    {fates:?}");
    }
    println!("\nby the slip margin");
    for [low, high] in
        [[-1.1, -0.99], [-0.99, -0.5], [-0.5, -0.2], [-0.2, 0.0], [0.0, 0.2], [0.2, 0.5], [0.5, 0.8], [0.8, 1.1]]
    {
        row(&format!("{low} to {high}"), tries.iter().filter(|one| (low..high).contains(&one.said.slip_margin)));
    }
    println!(
        "\n{} tries of {} grasps of {number} objects, {:.1} ms each",
        tries.len(),
        tries.len() / 2,
        1e3 * took / tries.len() as f64
    );
    Ok(())
}

/// Agreement over tries, with an interval over objects, whose tries are not independent.
fn row<'t>(name: &str, tries: impl IntoIterator<Item = &'t Try>) {
    let mut objects: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let (mut held, mut said, mut count, mut agree) = (0, 0, 0, 0);
    for one in tries {
        let same = one.said.held() == one.lifted.held();
        objects.entry(one.object).or_default().push(f64::from(u8::from(same)));
        count += 1;
        held += usize::from(one.lifted.held());
        said += usize::from(one.said.held());
        agree += usize::from(same);
    }
    let means: Vec<f64> = objects.values().map(|each| each.iter().sum::<f64>() / each.len() as f64).collect();
    let summary = Summary::of(&means);
    println!(
        "{name:<24} {count:>5} tries {:>4} objects  said held {said:>5}  held {held:>5}  agree {:.3}  over objects {:.3} ± {:.3}",
        objects.len(),
        agree as f64 / count as f64,
        summary.mean,
        summary.ci95
    );
}
