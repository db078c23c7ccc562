//! Your own data, before training and after: writes trials such as a robot's log would hold, and runs a bundle on one of them as the robot would.
//!
//! ```text
//! cargo run -p sinew-examples --example your_data -- trials examples/your-data/trials
//! cargo run -p sinew-examples --example your_data -- adapt runs/elbow/model.safetensors examples/your-data/trials/object07.csv
//! ```

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sinew_runtime::{Adapter, Bundle};

const OBJECTS: u64 = 40;
const TRIALS: u64 = 2;
const ROWS: u64 = 40;

/// Rows of a trial that the robot adapts to, as `train.shots` has it.
const SUPPORT: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["trials", folder] => write_trials(Path::new(folder)),
        ["adapt", bundle, trial] => {
            let [before, after] = adapt(Path::new(bundle), Path::new(trial))?;
            println!("error on the rows that follow: {before:.2} -> {after:.2} N m");
            Ok(())
        }
        _ => Err("usage: your_data trials FOLDER | your_data adapt BUNDLE TRIAL.csv".into()),
    }
}

/// Uniform in [0, 1): SplitMix64 (Steele et al. 2014), so that the files are the same everywhere.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A file for each object. A forearm of 0.35 m and 1 kg swings with the object at its end; its friction differs from trial to trial.
pub fn write_trials(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for object in 0..OBJECTS {
        let random = &mut object.clone();
        let mass = 3.0 * uniform(random);
        let mut text = String::from("trial,angle,velocity,acceleration,torque\n");
        for trial in 0..TRIALS {
            let (viscous, dry) = (0.2 + 0.4 * uniform(random), 0.2 + 0.6 * uniform(random));
            for _ in 0..ROWS {
                let angle = 2.4 * uniform(random) - 1.2;
                let velocity = 4.0 * uniform(random) - 2.0;
                let acceleration = 12.0 * uniform(random) - 6.0;
                let (length, gravity) = (0.35_f64, 9.81);
                let inertia = length * length * (mass + 1.0 / 3.0);
                let weight = gravity * length * (mass + 0.5) * angle.cos();
                let friction = viscous * velocity + dry * (velocity / 0.1).tanh();
                let noise = 0.1 * (uniform(random) - 0.5);
                let torque = inertia * acceleration + weight + friction + noise;
                writeln!(text, "{trial},{angle:.4},{velocity:.4},{acceleration:.4},{torque:.4}")?;
            }
        }
        std::fs::write(folder.join(format!("object{object:02}.csv")), text)?;
    }
    println!("{OBJECTS} files of {TRIALS} trials in {}", folder.display());
    Ok(())
}

/// What the robot does: observe the first rows of a trial, adapt, predict the rest. Gives the error before and after, in N m.
pub fn adapt(bundle: &Path, trial: &Path) -> Result<[f32; 2], Box<dyn Error>> {
    let text = std::fs::read_to_string(trial)?;
    let rows = text.lines().skip(1).map(|line| line.split(',').map(str::parse).collect::<Result<Vec<f32>, _>>());
    let rows: Vec<Vec<f32>> = rows.collect::<Result<_, _>>()?;
    let first: Vec<([f32; 3], f32)> = rows
        .iter()
        .filter(|row| row[0] == 0.0)
        .map(|row| match row[..] {
            [_, angle, velocity, acceleration, torque] => Ok(([angle, velocity, acceleration], torque)),
            _ => Err(format!("expected 5 cells, found {}", row.len())),
        })
        .collect::<Result<_, _>>()?;
    let (support, query) = first.split_at_checked(SUPPORT).ok_or("the trial is too short")?;

    let bytes = std::fs::read(bundle)?;
    let bundle = Bundle::parse(&bytes)?;
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, SUPPORT)?];
    let mut adapter = Adapter::new(&bundle, SUPPORT, &mut memory)?;
    let error = |adapter: &mut Adapter<'_>| -> Result<f32, Box<dyn Error>> {
        let mut sum = 0.0;
        for (sensed, torque) in query {
            let mut said = [0.0];
            adapter.predict(sensed, &mut said)?;
            sum += (said[0] - torque).powi(2);
        }
        Ok((sum / query.len() as f32).sqrt())
    };
    let before = error(&mut adapter)?;
    for (sensed, torque) in support {
        adapter.observe(sensed, &[*torque])?;
    }
    let begun = Instant::now();
    let report = adapter.adapt(|| begun.elapsed() >= Duration::from_millis(5))?;
    println!("{:?}: {} steps in {:?}", report.outcome, report.steps, begun.elapsed());
    Ok([before, error(&mut adapter)?])
}
