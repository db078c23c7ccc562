//! What a bundle costs on a device: time by the runtime on this machine, and memory.

use std::time::{Duration, Instant};

use serde::Serialize;
use sinew_runtime::{Adapter, Bundle};

use crate::aligned::Aligned;
use crate::demo::latency::Latencies;
use crate::episode::Episode;
use crate::evaluate::EvaluateError;
use crate::labels;

/// Episodes on which is timed.
const EPISODES: usize = 20;
/// Adaptations of one episode, at least and at most.
const REPEATS: [usize; 2] = [5, 50];
/// After so long on one episode the next one comes.
const LONG: Duration = Duration::from_millis(50);

/// What a bundle costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// The median time of [`Adapter::adapt`] with all support rows, from the start that was learned, in µs.
    pub adapt: f64,
    /// The median time of observing all support rows and then adapting, in µs: for a rule that works samples in as they come.
    pub observe_and_adapt: f64,
    /// Bytes of the bundle.
    pub bundle: usize,
    /// Bytes of the adapter's memory, with room for the largest support set.
    pub memory: usize,
}

/// Adapts `bytes` to some of the supports of `episodes`, with so many inner steps, again and again, on one core.
///
/// # Errors
/// If the bundle cannot be set up, or a sample does not fit it.
pub fn of_bundle<'e>(
    bytes: &[u8],
    episodes: impl Iterator<Item = &'e Episode> + Clone,
    steps: usize,
) -> Result<Cost, EvaluateError> {
    let bundle = Bundle::parse(bytes)?;
    let capacity = episodes.clone().map(|episode| episode.support.rows).max().unwrap_or(0).max(1);
    let values = Adapter::memory_len(&bundle, capacity)?;
    let mut memory = Aligned::zeros(values);
    let mut adapter = Adapter::new(&bundle, capacity, &mut memory)?;
    adapter.set_steps(steps);
    let (mut adapting, mut both) = (Vec::new(), Vec::new());
    for episode in episodes.filter(|episode| episode.support.rows > 0).take(EPISODES) {
        let support = &episode.support;
        let began = Instant::now();
        for repeat in 0..REPEATS[1] {
            if repeat >= REPEATS[0] && began.elapsed() > LONG {
                break;
            }
            adapter.reset();
            let begun = Instant::now();
            for row in 0..support.rows {
                let target = support.target(row);
                adapter.observe_heads(support.input(row), target, labels::of_row(bundle.network(), target))?;
            }
            let observed = Instant::now();
            // There is support, so there is a report; whether it was kept does not matter here.
            let report = adapter.adapt(|| false);
            debug_assert!(report.is_ok());
            let done = Instant::now();
            adapting.push(done - observed);
            both.push(done - begun);
        }
    }
    let median = |durations| Latencies::of(durations).percentile(0.5);
    Ok(Cost {
        adapt: median(adapting),
        observe_and_adapt: median(both),
        bundle: bytes.len(),
        memory: values * size_of::<f32>(),
    })
}
