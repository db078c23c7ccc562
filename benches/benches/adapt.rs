//! How long does it take to fit to a task? 16-64-64-4, 16 rows, squared error, 5 full-batch steps from the start; and with three heads,
//! one of which learns from 16 rows while 4 labels of each judge.

mod candle;
mod timed;

use sinew_benches::workload;
use sinew_runtime::{Guard, Path};

fn main() {
    candle::single_thread();
    let path = Path::detect();
    timed::with_criterion([
        // Nothing else checks what it commits.
        workload::adapt("adapt/sinew", path, Guard::Finite),
        workload::adapt("adapt/sinew_guarded", path, Guard::default()),
        workload::adapt_heads("adapt/one_head_of_three", path),
        candle::adapt(),
    ]);
}
