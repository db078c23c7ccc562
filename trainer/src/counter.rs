//! How far work that is counted has got: a bar on a terminal, plain lines where there is none.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// From one plain line to the next, so that short work has none.
const QUIET: Duration = Duration::from_secs(20);

/// Counts what is done, on any thread.
#[derive(Debug)]
pub struct Counter {
    bar: ProgressBar,
    things: &'static str,
    /// Of the first of them, and of the last plain line.
    times: Mutex<Option<[Instant; 2]>>,
}

impl Counter {
    /// Counts to `total` of these `things`, such as `episodes`.
    pub fn new(total: u64, things: &'static str) -> Self {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {prefix}, ETA {eta}") {
            bar.set_style(style);
        }
        bar.set_prefix(things);
        Self { bar, things, times: Mutex::new(None) }
    }

    /// One more is done.
    pub fn tick(&self) {
        self.bar.inc(1);
        // Where another thread says so just now, that is enough.
        let Ok(mut times) = self.times.try_lock() else { return };
        let now = Instant::now();
        // What comes before the first is no measure of how long the others take.
        let [first, said] = times.get_or_insert([now; 2]);
        if self.bar.is_hidden() && now - *said >= QUIET {
            *said = now;
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let each = (now - *first).as_secs_f64() / done.saturating_sub(1).max(1) as f64;
            eprintln!("{done:>8}/{total} {}  {:.0} s left", self.things, each * total.saturating_sub(done) as f64);
        }
    }

    /// A line beside it.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
