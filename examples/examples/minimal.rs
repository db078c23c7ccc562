//! The whole of it: load a bundle, observe, adapt, predict. The runtime alone, as on a device.
//!
//! `cargo run -p sinew-examples --example minimal --release`

use std::error::Error;
use std::time::{Duration, Instant};

use sinew_runtime::{Adapter, Bundle};

/// Eight edges that a rover has driven, most of them downhill: what its sensors said (grade, side slope, wetness, roughness, steps and
/// the shares of rock, gravel, grass, loam and sand), and the log of the energy per metre that it measured, ln(J/m).
///
/// A task of the simulated terrain on which adapting shows; what it is worth over many, `sinew evaluate` and `sinew demo` tell.
const DRIVEN: [([f32; 10], f32); 8] = [
    ([-0.02, -0.34, 0.26, 0.11, -0.52, 0.31, 0.00, 0.04, 1.04, 0.11], 5.64),
    ([0.11, -0.18, 0.27, 0.23, -0.71, 0.04, 0.04, 1.09, 0.21, 0.11], 5.64),
    ([-0.62, -0.08, 0.45, 0.38, -0.14, 0.00, 0.00, 1.47, 0.03, 0.00], 4.88),
    ([-0.55, -0.15, 0.46, 0.71, -0.60, 0.00, 0.00, 1.50, 0.00, 0.00], 5.04),
    ([-0.71, -0.53, 0.43, 0.03, -0.39, 0.00, 0.16, 1.31, 0.03, 0.00], 4.91),
    ([-0.58, 0.12, 0.44, 0.33, 0.21, 0.00, 1.26, 0.24, 0.00, 0.00], 4.92),
    ([-1.18, 0.24, 0.61, 0.12, -0.16, 0.00, 1.47, 0.00, 0.00, 0.03], 4.76),
    ([-0.70, 0.33, 0.96, -0.46, -0.21, 0.00, 1.26, 0.00, 0.00, 0.24], 4.94),
];

/// An edge on another map of the site: uphill, over grass and loam. It takes 672 J/m.
const AHEAD: [f32; 10] = [1.29, -0.12, -0.29, -1.46, -0.75, 0.04, 0.00, 0.52, 0.95, 0.00];

fn main() -> Result<(), Box<dyn Error>> {
    let bundle = Bundle::parse(include_bytes!("../bundles/terrain.safetensors"))?;
    // On a device this is a static array, whose length `memory_len` tells beforehand.
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, 16)?];
    let mut adapter = Adapter::new(&bundle, 16, &mut memory)?;

    let mut before = [0.0];
    adapter.predict(&AHEAD, &mut before)?;

    for (sensed, energy) in &DRIVEN {
        adapter.observe(sensed, &[*energy])?;
    }
    let begun = Instant::now();
    let report = adapter.adapt(|| begun.elapsed() >= Duration::from_micros(200))?;
    let took = begun.elapsed();

    let mut after = [0.0];
    adapter.predict(&AHEAD, &mut after)?;
    println!("{:?}: {} steps in {took:?}", report.outcome, report.steps);
    println!("support loss {:.3} -> {:.3}", report.loss_before, report.loss_after);
    println!("energy of the edge ahead: {:.0} -> {:.0} J/m, in truth 672", before[0].exp(), after[0].exp());
    Ok(())
}
