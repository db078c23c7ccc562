//! The memory of a meta-step: the formula of [`Cpu::memory`](sinew_trainer::engine::Cpu::memory) against the bytes that are live, what
//! an inner step adds to it, and that nothing is allocated after the first.

mod counting;
mod peak;
mod problem;
mod steady;

/// All in one, for the allocator counts whatever the process does: with two tests, one would count what the other allocates.
#[test]
fn memory_of_a_meta_step() {
    counting::the_counter_counts();
    // One thread first: those of a pool end, and start, while others are measured.
    for threads in [1, 2] {
        peak::the_formula_is_the_peak(threads);
        peak::an_inner_step_adds_what_is_kept_of_it(threads);
        steady::nothing_allocates_after_the_first(threads);
        steady::an_empty_batch_gives_nothing(threads);
        if threads == 1 {
            peak::losses_and_first_order_keep_nothing();
        }
    }
}
