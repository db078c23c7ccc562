//! What does the path cost that gives the same bits on every target?

mod timed;

use sinew_benches::workload;
use sinew_runtime::{Guard, Path};

fn main() {
    timed::with_criterion([
        workload::predict("predict/scalar", Path::SCALAR),
        workload::adapt("adapt/scalar", Path::SCALAR, Guard::Finite),
    ]);
}
