//! How long does one prediction take? 16-64-64-4, one row.

mod candle;
mod timed;

use sinew_benches::workload;
use sinew_runtime::Path;

fn main() {
    candle::single_thread();
    timed::with_criterion([workload::predict("predict/sinew", Path::detect()), candle::predict()]);
}
