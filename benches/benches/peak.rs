//! What can this core do at best?

mod timed;

fn main() {
    timed::with_criterion([sinew_benches::workload::peak()]);
}
