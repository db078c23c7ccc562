//! What does it cost to weigh tasks, beside the plain sum of their losses?

mod timed;

use sinew_benches::weighting;

fn main() {
    timed::with_criterion(weighting::all());
}
