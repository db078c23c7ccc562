//! A control loop at 1 kHz on a simulated rover: sense, predict, plan, observe, adapt within a budget.
//!
//! ```text
//! every tick, 1 ms      predict a slice of the map, if its costs have changed; take the planner's answer, if there is one
//! end of an edge        observe what it took, adapt within 200 µs: in the same tick
//! beside the loop       the planner, on its own thread: a plan takes longer than a tick, and the loop never waits for it
//! ```
//!
//! The ticks are real; the rover is faster than one: an edge of 2 to 3 m takes it 40 ms instead of 4 to 6 s, so that a mission ends
//! while somebody looks on. A plan that comes too late is not used, and the rover drives on along the old one. Without real-time
//! priority the operating system takes some ticks away: they are counted as missed.
//!
//! `cargo run -p sinew-examples --example terrain_rover --release`

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sinew_runtime::{Adapter, Bundle};
use sinew_trainer::demo::campaign::REMEMBERED;
use sinew_trainer::demo::latency::Latencies;
use sinew_trainer::demo::mission::{Mission, MissionError};
use sinew_trainer::world::terrain::grid::{EDGES, edges};
use sinew_trainer::world::terrain::sense::FEATURES;
use sinew_trainer::world::terrain::{Terrain, expected_energies};

const PERIOD: Duration = Duration::from_millis(1);
const BUDGET: Duration = Duration::from_micros(200);
const TICKS_PER_EDGE: u32 = 40;
/// Edges of the map that are predicted in one tick: all of them in 32.
const SLICE: usize = 1024;
const MISSIONS: u64 = 3;
/// Nothing drives for longer than this.
const MOST_TICKS: usize = 20_000;
/// The scheduler may be this late, so the last part of a wait is spent awake.
const AWAKE: Duration = Duration::from_micros(200);

/// What the loop wants of the planner, and what it gets back; the predictions travel there and back, so none are copied.
struct Request {
    predictions: Vec<f32>,
    from: usize,
}

struct Answer {
    predictions: Vec<f32>,
    from: usize,
    plan: Result<Vec<usize>, MissionError>,
    took: Duration,
}

/// What happened.
#[derive(Default)]
struct Log {
    energy: f64,
    work: Vec<Duration>,
    adaptations: Vec<Duration>,
    plans: Vec<Duration>,
    late_plans: usize,
    missed_ticks: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let world = Terrain::default();
    let mut logs = [Log::default(), Log::default()];
    println!("mission   without adapting     adapting    best way   [J]");
    for number in 0..MISSIONS {
        let mission = Mission::draw(&world, 1, number);
        let mut energies = [0.0; 2];
        // Without adapting the network that was trained on all tasks pooled is the better one.
        let pooled: &[u8] = include_bytes!("../bundles/terrain-pooled.safetensors");
        let bundle: &[u8] = include_bytes!("../bundles/terrain.safetensors");
        for (place, (bytes, adapts)) in [(pooled, false), (bundle, true)].into_iter().enumerate() {
            let before = logs[place].energy;
            drive(&world, &mission, bytes, adapts, &mut logs[place])?;
            energies[place] = logs[place].energy - before;
        }
        let best = mission.follow(&world, mission.rover(&world).energies())?.energy();
        println!("{number:>7} {:>18.0} {:>12.0} {best:>11.0}", energies[0], energies[1]);
    }
    println!("Three missions are a sight, not a measurement: `sinew demo` drives 64 and gives intervals.");
    for (log, name) in logs.into_iter().zip(["without adapting", "adapting"]) {
        let ticks = log.work.len();
        println!("\n{name}: {ticks} ticks, {} missed; {} plans came too late", log.missed_ticks, log.late_plans);
        println!("                    p50      p99    p99.9      max   [µs]");
        for (what, durations) in
            [("the loop's work", log.work), ("  adaptation", log.adaptations), ("planner", log.plans)]
        {
            let latencies = Latencies::of(durations);
            if !latencies.sorted().is_empty() {
                let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| latencies.percentile(share));
                println!("{what:<15} {p50:>7.0} {p99:>8.0} {p999:>8.0} {max:>8.0}");
            }
        }
    }
    Ok(())
}

/// Drives one mission with the network in `bytes`.
fn drive(world: &Terrain, mission: &Mission, bytes: &[u8], adapts: bool, log: &mut Log) -> Result<(), Box<dyn Error>> {
    // Everything is set up before the first tick.
    let bundle = Bundle::parse(bytes)?;
    let mut memory = vec![0.0; Adapter::memory_len(&bundle, REMEMBERED)?];
    let mut adapter = Adapter::new(&bundle, REMEMBERED, &mut memory)?;
    let mut rover = mission.rover(world);
    log.work.reserve(MOST_TICKS);

    thread::scope(|scope| {
        let (ask, asked) = mpsc::channel::<Request>();
        let (answer, answered) = mpsc::channel::<Answer>();
        scope.spawn(move || {
            for Request { predictions, from } in asked {
                let begun = Instant::now();
                let plan = mission.plan(&expected_energies(&predictions), from);
                if answer.send(Answer { predictions, from, plan, took: begun.elapsed() }).is_err() {
                    break;
                }
            }
        });

        // The rover stands, or drives along `edge`, and will be at `cell`; from there goes `plan`, last edge first.
        let (mut edge, mut cell, mut ticks_left) = (None, mission.start, 0);
        let mut plan: Vec<usize> = Vec::new();
        // The buffer is here, or with the planner; `next` is the first edge of the map that is still to be predicted.
        let mut predictions = Some(vec![0.0; EDGES]);
        let mut next = 0;

        let mut tick = Instant::now();
        for _ in 0..MOST_TICKS {
            // The simulation, which is not the loop's work.
            let drive = edge.filter(|_| ticks_left == 0).and_then(|edge| rover.drive(edge));
            let begun = Instant::now();

            // Observe and adapt, at the end of an edge.
            if let (Some(driven), Some(drive)) = (edge, drive) {
                log.energy += drive.energy;
                edge = None;
                if adapts {
                    adapter.observe(&rover.sense(driven), &[drive.measured])?;
                    let since = Instant::now();
                    adapter.adapt(|| since.elapsed() >= BUDGET)?;
                    log.adaptations.push(since.elapsed());
                    // Every cost has changed.
                    next = 0;
                }
                if cell == mission.goal {
                    return Ok(());
                }
            }

            // Drive on.
            if edge.is_none()
                && let Some(onward) = plan.pop()
            {
                (edge, cell, ticks_left) = (Some(onward), edges()[onward].to, TICKS_PER_EDGE);
            }
            ticks_left = ticks_left.saturating_sub(1);

            // Sense and predict, a slice at a time; once the map is complete, ask for a plan from where the rover will be.
            if next < EDGES
                && let Some(buffer) = &mut predictions
            {
                let end = (next + SLICE).min(EDGES);
                adapter.predict(&rover.features()[next * FEATURES..end * FEATURES], &mut buffer[next..end])?;
                next = end;
                if next == EDGES {
                    let complete = predictions.take().into_iter();
                    complete.for_each(|predictions| drop(ask.send(Request { predictions, from: cell })));
                }
            }

            // Take a plan, if there is one and the rover can still follow it.
            if let Ok(answer) = answered.try_recv() {
                predictions = Some(answer.predictions);
                log.plans.push(answer.took);
                if answer.from == cell {
                    plan = answer.plan?;
                    plan.reverse();
                } else {
                    log.late_plans += 1;
                }
            }
            log.work.push(begun.elapsed());

            // Wait for the next tick that is not over yet.
            tick += PERIOD;
            while tick <= Instant::now() {
                tick += PERIOD;
                log.missed_ticks += 1;
            }
            thread::sleep(tick.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
            while Instant::now() < tick {
                std::hint::spin_loop();
            }
        }
        Err("expected the rover at its goal by now".into())
    })
}
