//! What `cuda-check` found, as Markdown: the same text on the terminal and in the file.

use std::error::Error;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::{CellAlignment, Table, presets};
use sinew_trainer::cuda::{Device, Limits, architecture};

use super::Watched;
use super::check::{self, Checked, Group, OF_TRAINING, Training, Way};
use super::speed::{self, Measured, Plan, TOLERANCE};
use crate::meta_step::MetaStep;
use crate::table::digits;

/// What is checked and timed, and for how long.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Trials.
    pub groups: Vec<Group>,
    /// Iterations of the training run.
    pub iterations: usize,
    /// Meta-steps.
    pub steps: Vec<(&'static str, MetaStep)>,
    /// How long to measure.
    pub plan: Plan,
}

impl Scope {
    /// All of it.
    pub fn full() -> Self {
        Self { groups: check::groups(), iterations: 300, steps: speed::all(), plan: Plan::FULL }
    }
}

/// Where it ran.
#[derive(Clone, Debug)]
pub struct Place {
    /// The card.
    pub card: Limits,
    /// The version of CUDA that its driver is for.
    pub driver: [u32; 2],
    /// The version of NVRTC; none where all kernels were compiled ahead of time.
    pub compiler: Option<[u32; 2]>,
    /// The processor beside it.
    pub processor: String,
    /// The day, as `2026-01-31`.
    pub date: String,
    /// The command that made the report.
    pub command: String,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Where.
    pub place: Place,
    /// Trials.
    pub checked: Vec<Checked>,
    /// The training run, or why it failed.
    pub training: Result<Training, String>,
    /// Meta-steps, or why one failed.
    pub measured: Vec<Result<Measured, String>>,
}

impl Report {
    /// Checks and measures, and tells of each thing as it is done.
    pub fn make<D: Device>(device: &Watched<D>, place: Place, scope: &Scope, mut told: impl FnMut(&str)) -> Self {
        let in_words = |why: Box<dyn Error>| why.to_string();
        let checked = check::check(device, &scope.groups, |checked| told(&checked.line()));
        let training = check::training(device, scope.iterations).map_err(in_words);
        told(&training_line(&training));
        let measure = |(name, step): &(&'static str, MetaStep)| {
            let measured = speed::measure(device, (name, step), scope.plan).map_err(in_words);
            told(&match &measured {
                Ok(measured) => format!("timed {name} of {} tasks: {} µs", step.tasks, digits(measured.device.median)),
                Err(why) => format!("FAIL  {name} of {} tasks: {why}", step.tasks),
            });
            measured.map_err(|why| format!("{name} of {} tasks: {why}", step.tasks))
        };
        let measured = scope.steps.iter().map(measure).collect();
        Self { place, checked, training, measured }
    }

    /// Whether all is as it must be.
    pub fn passed(&self) -> bool {
        self.checked.iter().all(Checked::passed)
            && self.training.as_ref().is_ok_and(Training::passed)
            && self.measured.iter().all(|measured| measured.as_ref().is_ok_and(Measured::passed))
    }

    /// The name of the file that it goes to.
    pub fn file_name(&self) -> String {
        let words = self.place.card.name.split(|letter: char| !letter.is_ascii_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect();
        format!("cuda-{}.md", words.join("-"))
    }

    /// All of it.
    pub fn markdown(&self) -> String {
        let mut text = self.place.markdown();
        let verdict = if self.passed() { "All is as it must be." } else { "**Not all is as it must be.**" };
        let _ = write!(
            text,
            "
{verdict}

## Against the CPU

The engine on the card and the engine on the CPU (scalar path, one thread) on the same tasks: the largest error of any result, of the
largest value of that result. Each trial ran twice on the card, which must give the same bits. Measured.

{}
{}
",
            self.agreement(),
            training_line(&self.training)
        );
        let failed = self.checked.iter().filter(|checked| !checked.passed()).map(Checked::line);
        let failed = failed.chain(self.measured.iter().filter_map(|measured| measured.as_ref().err().cloned()));
        for line in failed {
            let _ = writeln!(text, "\n- {line}");
        }
        let steps: Vec<_> = self.measured.iter().flatten().collect();
        let _ = write!(
            text,
            "
## Meta-steps

A whole step: exact second-order meta-gradient, AdamW, and the wait for norm and losses. Medians, and in brackets the quartiles, of steps
that follow each other after a warm-up; CPU (one thread, its fastest path) and GPU in turn. Times, launches and how far the gradients of both
are apart, of their norm (at most {TOLERANCE:e}), are measured. Operations are counted, two for a multiply-add; the peak is computed:
{} GFLOP/s in FP32 from {} multiprocessors at {} MHz, as the driver tells.

{}
## Launches alone

The launches of a step again and again without a wait, as long as the card takes for them; and so the one launch of the inner loop and of
the way back through it, where the network goes through it in one. Times are measured.

{}",
            digits(speed::peak(&self.place.card)),
            self.place.card.multiprocessors,
            self.place.card.clock / 1000,
            self.steps(&steps),
            self.alone(&steps)
        );
        text
    }

    /// One row for each group and way.
    fn agreement(&self) -> Table {
        let mut table = table(["trials", "way", "number", "failed", "largest error", "may be"]);
        let mut groups: Vec<_> = self.checked.iter().map(|checked| checked.group).collect();
        groups.dedup();
        for (group, way) in groups.into_iter().flat_map(|group| Way::ALL.map(|way| (group, way))) {
            let of: Vec<_> =
                self.checked.iter().filter(|checked| checked.group == group && checked.way == way).collect();
            let outcomes: Vec<_> = of.iter().filter_map(|checked| checked.outcome.as_ref().ok()).collect();
            // NaN is the largest.
            let worst = outcomes.iter().map(|outcome| outcome.worst.error).max_by(f64::total_cmp);
            let tolerance = outcomes.first().map(|outcome| outcome.tolerance);
            let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1e}"));
            table.add_row([
                group.to_owned(),
                way.name().to_owned(),
                of.len().to_string(),
                of.iter().filter(|checked| !checked.passed()).count().to_string(),
                number(worst),
                number(tolerance),
            ]);
        }
        right(table, 2)
    }

    fn steps(&self, steps: &[&Measured]) -> Table {
        let mut table = table([
            "workload",
            "tasks",
            "CPU µs",
            "GPU µs",
            "times as fast",
            "GFLOP/s on the GPU",
            "% of FP32 peak",
            "launches",
            "gradients apart",
        ]);
        for step in steps {
            let (rate, share) = self.rate(step, step.device.median);
            table.add_row([
                step.name.to_owned(),
                step.tasks.to_string(),
                spread(&step.cpu),
                spread(&step.device),
                digits(step.times_as_fast()),
                rate,
                share,
                step.launches.to_string(),
                format!("{:.1e}{}", step.apart, if step.passed() { "" } else { " FAIL" }),
            ]);
        }
        right(table, 1)
    }

    fn alone(&self, steps: &[&Measured]) -> Table {
        let mut table = table([
            "workload",
            "tasks",
            "step µs",
            "GFLOP/s",
            "% of FP32 peak",
            "inner loop µs",
            "GFLOP/s of it",
            "% of peak",
        ]);
        for step in steps {
            let (rate, share) = self.rate(step, step.queued);
            let none = || ("-".to_owned(), "-".to_owned());
            let (rate_of_fused, share_of_fused) = step.fused.map_or_else(none, |fused| self.rate(step, fused));
            table.add_row([
                step.name.to_owned(),
                step.tasks.to_string(),
                digits(step.queued),
                rate,
                share,
                step.fused.map_or("-".into(), digits),
                rate_of_fused,
                share_of_fused,
            ]);
        }
        right(table, 1)
    }

    /// GFLOP/s in a time of so many microseconds, and percent of the peak.
    fn rate(&self, step: &Measured, microseconds: f64) -> (String, String) {
        let rate = step.operations as f64 / microseconds / 1e3;
        (digits(rate), format!("{:.1}", 100.0 * rate / speed::peak(&self.place.card)))
    }
}

impl Place {
    /// What holds of this machine now.
    pub fn here(card: Limits, driver: [u32; 2], compiler: Option<[u32; 2]>) -> Self {
        let of_cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let named = of_cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let processor = named.map_or(std::env::consts::ARCH, |(_, name)| name.trim()).to_owned();
        let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        let command = ["cargo run --release -p sinew-benches --bin cuda-check --".to_owned()];
        let command = command.into_iter().chain(arguments).collect::<Vec<_>>().join(" ");
        Self { card, driver, compiler, processor, date: date(days), command }
    }

    fn markdown(&self) -> String {
        let Limits { name, architecture: capability, multiprocessors, clock, memory, .. } = &self.card;
        let version = |[major, minor]: [u32; 2]| format!("{major}.{minor}");
        format!(
            "# Training on {name}

Printed by `{}` on {} (UTC).

- card: {name}, {}, {multiprocessors} multiprocessors, at most {} MHz, {} MiB
- driver: for CUDA {}
- NVRTC: {}
- CPU: {}
",
            self.command,
            self.date,
            architecture::name(*capability),
            clock / 1000,
            memory >> 20,
            version(self.driver),
            self.compiler.map_or_else(|| "none; the kernels were compiled ahead of time".into(), version),
            self.processor
        )
    }
}

fn training_line(training: &Result<Training, String>) -> String {
    match training {
        Ok(training) => format!(
            "{}  {} iterations on sine waves end in a validation loss of {:.6} on the card and {:.6} on the CPU, {:.1e} apart (at most {OF_TRAINING:e})",
            if training.passed() { "pass" } else { "FAIL" },
            training.iterations,
            training.device,
            training.cpu,
            training.error()
        ),
        Err(why) => format!("FAIL  training on sine waves: {why}"),
    }
}

fn spread(of: &speed::Spread) -> String {
    let [low, high] = of.quartiles.map(digits);
    format!("{} ({low} to {high})", digits(of.median))
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header);
    table
}

/// With all columns but the first ones at the right, where numbers are.
fn right(mut table: Table, first: usize) -> Table {
    table.column_iter_mut().skip(first).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The day that is so many days after 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> String {
    // 400 years, which are 146097 days, repeat. They are counted from a March, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // March has 31, then 30, 31, 30, 31 and again: 153 days in five months.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", 400 * era + year + later)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_dates() {
        for (days, want) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), want, "{days}");
        }
    }
}
