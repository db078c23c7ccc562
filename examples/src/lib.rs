//! Complete control loops, read top to bottom: see the files in `examples`.
//!
//! - `minimal`: load a bundle, observe, adapt, predict. The runtime alone, as on a device.
//! - `live`: a loop at 1 kHz that predicts and a thread beside it that adapts, with latencies. The runtime alone.
//! - `terrain_rover`: a loop at 1 kHz on a simulated rover, with its latencies. For a workstation.
