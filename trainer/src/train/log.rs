//! What a person sees of a run, and what it leaves in `metrics.jsonl` and `multitask.csv`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::pulls::PullLog;
use crate::weighting::pull::Pull;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, plain lines where there is none.
    Shown,
    /// Not at all.
    Hidden,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Iterations done.
    pub iteration: u64,
    /// Mean since the last line of the median task's training loss; `null` where it was never finite.
    pub loss: f64,
    /// Validation loss.
    pub validation: Option<f64>,
    /// Iterations in a row, just now, without a finite gradient.
    pub skipped: u64,
}

/// Shows and writes.
pub(super) struct Log {
    file: File,
    /// Of a learner that weighs heads.
    pulls: Option<PullLog>,
    bar: Option<ProgressBar>,
    plain: bool,
    begun: Instant,
    from: u64,
    to: u64,
    best: f64,
}

impl Log {
    /// Opens `path` to go on after `iteration`: later lines, of a run that got further than its checkpoint, are taken out.
    pub(super) fn open(path: &Path, iteration: u64, iterations: u64, progress: Progress) -> io::Result<Self> {
        let mut kept = String::new();
        if iteration > 0 && path.exists() {
            #[derive(Deserialize)]
            struct At {
                iteration: u64,
            }
            for line in std::fs::read_to_string(path)?.lines() {
                if serde_json::from_str::<At>(line).is_ok_and(|at| at.iteration <= iteration) {
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
        }
        crate::files::replace(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path)?;
        let bar = ProgressBar::with_draw_target(Some(iterations), ProgressDrawTarget::stderr_with_hz(8));
        bar.set_position(iteration);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} {per_sec} ETA {eta}") {
            bar.set_style(style);
        }
        let plain = bar.is_hidden();
        let bar = (progress == Progress::Shown && !plain).then_some(bar);
        let plain = progress == Progress::Shown && plain;
        let (begun, pulls, best) = (Instant::now(), None, f64::INFINITY);
        Ok(Self { file, pulls, bar, plain, begun, from: iteration, to: iterations, best })
    }

    /// Keeps a record of how these heads pull in `folder`, too.
    pub(super) fn with_pulls(self, folder: &Path, heads: &[String]) -> io::Result<Self> {
        Ok(Self { pulls: Some(PullLog::open(folder, self.from, heads)?), ..self })
    }

    pub(super) fn pull(&mut self, iteration: u64, pull: &Pull) -> io::Result<()> {
        self.pulls.as_mut().map_or(Ok(()), |pulls| pulls.row(iteration, pull))
    }

    pub(super) fn tick(&mut self, loss: f64) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
            if bar.position().is_multiple_of(64) {
                bar.set_message(format!("loss {loss:.4} best {:.4}", self.best));
            }
        }
    }

    pub(super) fn line(&mut self, line: &Line) -> io::Result<()> {
        let json = serde_json::to_string(line)?;
        writeln!(self.file, "{json}")?;
        self.best = self.best.min(line.validation.unwrap_or(f64::INFINITY));
        if self.plain {
            let done = (line.iteration - self.from).max(1) as f64;
            let left = self.begun.elapsed().as_secs_f64() / done * (self.to - line.iteration) as f64;
            let validation = line.validation.map_or_else(String::new, |loss| format!("  validation {loss:.5}"));
            let Line { iteration, loss, .. } = line;
            eprintln!("{iteration:>8}/{}  loss {loss:.5}{validation}  {left:.0} s left", self.to);
        }
        Ok(())
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
