//! Times workloads in turn, so that whatever drifts (clock, heat, neighbours) drifts for all of them alike.

use std::time::{Duration, Instant};

use crate::Workload;

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A sample repeats a short run until it lasts this long.
    pub sample: Duration,
    /// Most samples of each workload.
    pub samples: usize,
    /// No new samples after this time, once there are [`Plan::FEWEST`].
    pub budget: Duration,
}

impl Plan {
    /// Samples of each workload that are taken whatever the time.
    pub const FEWEST: usize = 7;

    /// What a report is made from.
    pub const FULL: Self = Self { sample: Duration::from_micros(100), samples: 3000, budget: Duration::from_secs(20) };

    /// Every workload three times, to see that it runs.
    pub const QUICK: Self = Self { sample: Duration::ZERO, samples: 1, budget: Duration::ZERO };
}

/// What was measured of one workload.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Its name.
    pub id: &'static str,
    /// Operations of one run.
    pub operations: u64,
    /// What it is compared with.
    pub peer: Option<&'static str>,
    /// Median time of one run, in nanoseconds.
    pub nanoseconds: f64,
}

impl Timing {
    /// Billions of operations in a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.nanoseconds
    }
}

/// Times all workloads round robin, after one run of each to warm up.
pub fn round_robin(workloads: &mut [Workload], plan: Plan) -> Vec<Timing> {
    let repeats: Vec<u32> = workloads.iter_mut().map(|workload| repeats(workload, plan.sample)).collect();
    let mut samples = vec![Vec::new(); workloads.len()];
    let began = Instant::now();
    for round in 0..plan.samples {
        if round >= Plan::FEWEST && began.elapsed() >= plan.budget {
            break;
        }
        for ((workload, repeats), samples) in workloads.iter_mut().zip(&repeats).zip(&mut samples) {
            // The others have been in the caches.
            (workload.run)();
            let before = Instant::now();
            (0..*repeats).for_each(|_| (workload.run)());
            samples.push(before.elapsed().as_nanos() as f64 / f64::from(*repeats));
        }
    }
    let timing = |(workload, samples): (&Workload, Vec<f64>)| {
        let Workload { id, operations, peer, .. } = *workload;
        Timing { id, operations, peer, nanoseconds: median(samples) }
    };
    workloads.iter().zip(samples).map(timing).collect()
}

/// How often a run fits into `sample`; at least once.
fn repeats(workload: &mut Workload, sample: Duration) -> u32 {
    (workload.run)();
    let mut repeats = 1_u32;
    loop {
        let before = Instant::now();
        (0..repeats).for_each(|_| (workload.run)());
        let spent = before.elapsed();
        if spent >= sample / 2 {
            let fit = f64::from(repeats) * sample.as_secs_f64() / spent.as_secs_f64().max(1e-9);
            return fit.round().max(1.0) as u32;
        }
        repeats = repeats.saturating_mul(2);
    }
}

/// The middle value, or the mean of the two in the middle; NaN if there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (len, middle) if len % 2 == 1 => values[middle],
        (_, middle) => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 9.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 9.0, 2.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn takes_turns_and_knows_what_is_slow() {
        let turns = Rc::new(Cell::new(0));
        let counter = turns.clone();
        let pause = |time: u64| move || std::thread::sleep(Duration::from_micros(time));
        let mut workloads = [
            Workload::new("sleep/short", 1000, pause(100)),
            Workload::new("sleep/long", 1000, pause(2000)).beside("sleep/short"),
            Workload::new("count", 0, move || counter.set(counter.get() + 1)),
        ];
        let plan = Plan { sample: Duration::ZERO, samples: 20, budget: Duration::ZERO };
        let timings = round_robin(&mut workloads, plan);
        assert!(timings[0].nanoseconds >= 1e5 && timings[1].nanoseconds >= 2e6);
        assert!(timings[1].rate() <= 1000.0 / 2e6);
        assert_eq!((timings[1].id, timings[1].peer), ("sleep/long", Some("sleep/short")));
        // 2 to choose the repeats, then 2 in each round.
        assert_eq!(turns.get(), 2 + 2 * Plan::FEWEST);
        assert_eq!(repeats(&mut Workload::new("sleep", 0, pause(3000)), Duration::from_micros(100)), 1);
    }
}
