//! Several learners, and the baselines, on the very same episodes: what each is worth, what it costs, and which differences are real.

pub mod combine;
pub mod cost;
pub mod gain;
pub mod plot;
pub mod pulls;
pub mod report;

use crate::compare::combine::Interval;
use crate::compare::cost::Cost;
use crate::evaluate::Evaluation;
use crate::world::Metric;

/// What a method is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A bundle of a configuration, on the runtime.
    Learner,
    /// What was trained beside it.
    Baseline,
    /// What knows everything hidden.
    Oracle,
}

/// A method at one number of steps, on one number of shots.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The file stem of the configuration that it comes from.
    pub config: String,
    /// Inner steps, for a rule without them whether it adapted (1) or not (0); `None` for what is no bundle.
    pub steps: Option<usize>,
    /// Whether its rule takes inner steps.
    pub takes_steps: bool,
    /// Its scores: `[seed][episode][metric]`.
    pub scores: Vec<Vec<Vec<f64>>>,
    /// What it costs on a device, where it is a bundle that adapts.
    pub cost: Option<Cost>,
    /// Seconds that one run took to train, where they are known.
    pub training: Option<f64>,
    /// The head that it was trained for and no other, where it is to be compared with models of several.
    pub alone: Option<usize>,
}

/// Every method on the same episodes with one number of shots.
#[derive(Clone, Debug)]
pub struct Table {
    /// Support samples (of each class).
    pub shots: usize,
    /// The methods.
    pub entries: Vec<Entry>,
    /// To which cluster each episode belongs.
    pub clusters: Vec<u64>,
    /// What was measured, the main one first.
    pub metrics: Vec<Metric>,
}

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The method.
    pub entry: &'a Entry,
    /// Its score.
    pub score: Interval,
    /// Its score less that of the best method; `None` for the best itself.
    pub less_best: Option<Interval>,
    /// Its score less that of the reference; `None` for the reference itself.
    pub less_reference: Option<Interval>,
}

impl Entry {
    /// Its name and steps, as a person would say them.
    pub fn label(&self) -> String {
        let name = &self.name;
        match self.steps {
            None => name.clone(),
            Some(0) => format!("{name}, not adapted"),
            Some(_) if !self.takes_steps => name.clone(),
            Some(1) => format!("{name}, 1 step"),
            Some(steps) => format!("{name}, {steps} steps"),
        }
    }
}

impl Table {
    /// The place of the method called `name`, by its own name or its configuration's; of several numbers of steps the last.
    pub fn find(&self, name: &str) -> Option<usize> {
        let by = |same: &dyn Fn(&Entry) -> bool| self.entries.iter().rposition(same);
        by(&|entry| entry.name == name).or_else(|| by(&|entry| entry.kind == Kind::Learner && entry.config == name))
    }

    /// The lines for one metric, by its place, beside the method at `reference`. The best is the one with the best mean but the oracle; it
    /// was chosen on these very episodes, so what is a little behind it may be as good.
    pub fn lines(&self, metric: usize, reference: usize) -> Vec<Line<'_>> {
        let of = |entry: &Entry| -> Vec<Vec<f64>> {
            entry.scores.iter().map(|seed| seed.iter().map(|episode| episode[metric]).collect()).collect()
        };
        let scores: Vec<Vec<Vec<f64>>> = self.entries.iter().map(of).collect();
        let intervals: Vec<Interval> = scores.iter().map(|scores| combine::over(scores, &self.clusters)).collect();
        let sign = if self.metrics[metric].higher_is_better { -1.0 } else { 1.0 };
        let told = |place: &usize| self.entries[*place].kind != Kind::Oracle && !intervals[*place].mean.is_nan();
        let best = (0..self.entries.len())
            .filter(told)
            .min_by(|a, b| (sign * intervals[*a].mean).total_cmp(&(sign * intervals[*b].mean)));
        let less = |place: usize, other: Option<usize>| {
            let other = other.filter(|other| *other != place)?;
            Some(combine::difference(&scores[place], &scores[other], &self.clusters))
        };
        let line = |(place, entry)| Line {
            entry,
            score: intervals[place],
            less_best: less(place, best),
            less_reference: less(place, Some(reference)),
        };
        self.entries.iter().enumerate().map(line).collect()
    }
}

/// Which rows of an evaluation become methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The baselines.
    pub baselines: bool,
    /// The oracle.
    pub oracle: bool,
}

/// The methods of `evaluations`, one for each seed, of the configuration with this stem, on the same episodes. The learner's own rows are
/// called `learner`; baselines have their own names.
pub fn entries(learner: &str, config: &str, evaluations: Vec<Evaluation>, wanted: Wanted) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (seed, evaluation) in evaluations.into_iter().enumerate() {
        let mut place = 0;
        for (method, scores) in evaluation.scores {
            let kind = match method.name {
                "adapted" => Kind::Learner,
                "oracle" => Kind::Oracle,
                _ => Kind::Baseline,
            };
            let is_wanted = match kind {
                Kind::Learner => true,
                Kind::Baseline => wanted.baselines,
                Kind::Oracle => wanted.oracle,
            };
            if !is_wanted {
                continue;
            }
            if seed == 0 {
                entries.push(Entry {
                    name: if kind == Kind::Learner { learner.into() } else { method.name.into() },
                    kind,
                    config: config.into(),
                    steps: (kind == Kind::Learner).then_some(method.steps),
                    takes_steps: true,
                    scores: Vec::new(),
                    cost: None,
                    training: None,
                    alone: None,
                });
            }
            // Every seed has the same methods in the same order.
            if let Some(entry) = entries.get_mut(place) {
                entry.scores.push(scores);
            }
            place += 1;
        }
    }
    entries
}

/// Names under which learners are told apart: their own, or their configurations' stems, which differ, where two are the same.
pub fn names(learners: &[(String, String)]) -> Vec<String> {
    let alone = |name: &str| learners.iter().filter(|other| other.0 == name).count() == 1;
    let is_stem = |name: &str| learners.iter().any(|other| other.1 == name);
    learners
        .iter()
        .map(|(learner, stem)| if alone(learner) && (learner == stem || !is_stem(learner)) { learner } else { stem })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, kind: Kind, config: &str, steps: Option<usize>, scores: &[&[f64]]) -> Entry {
        let scores = scores.iter().map(|seed| seed.iter().map(|score| vec![*score]).collect()).collect();
        let (name, config) = (name.into(), config.into());
        Entry { name, kind, config, steps, takes_steps: true, scores, cost: None, training: None, alone: None }
    }

    fn table(higher_is_better: bool) -> Table {
        let entries = vec![
            entry("maml", Kind::Learner, "first", Some(0), &[&[3.0, 5.0], &[4.0, 6.0]]),
            entry("maml", Kind::Learner, "first", Some(1), &[&[2.0, 4.0], &[2.0, 4.0]]),
            entry("finetuned", Kind::Baseline, "first", None, &[&[2.5, 4.5], &[2.5, 4.5]]),
            entry("oracle", Kind::Oracle, "first", None, &[&[0.0, 9.0], &[0.0, 9.0]]),
        ];
        let metrics = vec![Metric { name: "mse", unit: "1", higher_is_better, head: 0 }];
        Table { shots: 5, entries, clusters: vec![0, 1], metrics }
    }

    #[test]
    fn differences_are_paired() {
        let table = table(false);
        assert_eq!((table.find("maml"), table.find("first"), table.find("finetuned")), (Some(1), Some(1), Some(2)));
        assert_eq!(table.find("who"), None);
        let lines = table.lines(0, 2);
        assert_eq!(lines[0].score.mean, 4.5);
        // The best after one step; the oracle does not count.
        assert!(lines[1].less_best.is_none() && lines[2].less_reference.is_none());
        let less =
            |line: &Line<'_>| [line.less_best, line.less_reference].map(|less| less.map(|less| (less.mean, less.ci95)));
        assert_eq!(less(&lines[2])[0], Some((0.5, 0.0)));
        assert_eq!(less(&lines[1])[1], Some((-0.5, 0.0)));
        // From seed to seed it varies, from task to task not: 12.7 half differences of one another.
        let (mean, ci95) = less(&lines[0])[0].unwrap();
        assert!(mean == 1.5 && (ci95 - 12.706_205 * 0.5).abs() <= 1e-6, "{ci95}");
    }

    #[test]
    fn the_best_is_where_better_is() {
        let best = |table: &Table| table.lines(0, 0).iter().position(|line| line.less_best.is_none());
        assert_eq!((best(&table(false)), best(&table(true))), (Some(1), Some(0)));
    }

    #[test]
    fn learners_are_told_apart() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(learner, stem)| (String::from(*learner), String::from(*stem))).collect()
        };
        assert_eq!(names(&pairs(&[("maml", "a"), ("ridge", "b")])), ["maml", "ridge"]);
        assert_eq!(names(&pairs(&[("maml", "a"), ("maml", "b"), ("ridge", "c")])), ["a", "b", "ridge"]);
        assert_eq!(names(&pairs(&[("maml", "ridge"), ("maml", "b"), ("ridge", "c")])), ["ridge", "b", "c"]);
    }
}
