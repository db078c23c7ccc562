//! How fast is grasping: the simulator, and a robot's decision among 64 candidates?

mod timed;

use sinew_benches::grasp;

fn main() {
    timed::with_criterion(grasp::all());
}
