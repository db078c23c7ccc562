//! Complete control loops, read top to bottom: see the files in `examples`.
//!
//! - `minimal`: load a bundle, observe, adapt, predict. The runtime alone, as on a device.
//! - `terrain_rover`: a loop at 1 kHz on a simulated rover, with its latencies. For a workstation.
