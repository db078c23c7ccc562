//! How long does one step of meta-training take? Exact second order, AdamW included, on one thread and on two.

mod timed;

fn main() {
    timed::with_criterion(sinew_benches::meta_step::all());
}
