//! The whole of it: load a bundle, observe, adapt, predict. The runtime alone, as on a device.
//!
//! `cargo run -p sinew-examples --example minimal --release`

use std::error::Error;
use std::time::{Duration, Instant};

use sinew_runtime::{Adapter, Bundle};

/// Six edges that a rover has driven: what its sensors said (grade, side slope, wetness, roughness, steps and the shares of rock,
/// gravel, grass, loam and sand), and the log of the energy per metre that it measured, ln(J/m).
const DRIVEN: [([f32; 10], f32); 6] = [
    ([1.17, -0.59, 0.26, 0.66, -0.08, 1.12, 0.0, 0.10, 0.0, 0.28], 6.46),
    ([0.13, -0.72, 0.30, 0.27, -0.26, 1.20, 0.0, 0.26, 0.0, 0.03], 5.59),
    ([-0.46, -0.53, 0.42, 0.08, -0.11, 1.02, 0.0, 0.48, 0.0, 0.0], 4.46),
    ([-0.85, -0.36, 0.80, 0.26, -0.73, 0.19, 0.0, 1.01, 0.0, 0.30], 4.87),
    ([-0.10, -0.22, 0.74, 0.69, -0.28, 0.0, 0.0, 1.42, 0.0, 0.08], 5.98),
    ([-0.45, -0.64, 0.66, 1.41, 0.07, 0.0, 0.0, 1.42, 0.0, 0.08], 5.60),
];

/// An edge that it has not: over rock and uphill. It takes 478 J/m.
const AHEAD: [f32; 10] = [0.71, -0.21, 0.04, 0.65, -0.57, 1.23, 0.0, 0.10, 0.18, 0.0];

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
    println!("energy of the edge ahead: {:.0} -> {:.0} J/m, in truth 478", before[0].exp(), after[0].exp());
    Ok(())
}
