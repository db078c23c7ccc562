//! How long does it take to fit a convolutional network to a task? 25 images of 32 × 32, cross-entropy, 5 full-batch steps from the start.

mod timed;

use sinew_benches::workload;
use sinew_models::rule::Scope;
use sinew_runtime::Path;

fn main() {
    let path = Path::detect();
    timed::with_criterion([
        workload::adapt_images("images/all", path, Scope::All),
        workload::adapt_images("images/head", path, Scope::Heads),
        // Beside them, for their share of it.
        workload::peak(),
    ]);
}
