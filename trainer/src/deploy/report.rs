//! What agents did: tables for people, and JSON for programs.

use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use crate::compare::combine::{self, Interval};
use crate::metric::Ratio;
use crate::table::{plain, with_interval};

/// One number that is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its unit, `1` for a plain number.
    pub unit: &'static str,
}

/// Columns that are shown beside each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panel {
    /// What they are.
    pub title: String,
    /// The columns.
    pub columns: Vec<Column>,
}

/// One agent, and what it did.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// Its numbers: `[seed][trial][column]`, columns in the order of all panels. An agent that is not trained has one seed.
    pub scores: Vec<Vec<Vec<f64>>>,
}

/// All agents on the same trials.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The world.
    pub world: String,
    /// What a trial is called, such as `missions`.
    pub trials: &'static str,
    /// The seed of the trials.
    pub seed: u64,
    /// The columns.
    pub panels: Vec<Panel>,
    /// The agents.
    pub agents: Vec<Deployed>,
    /// The name of the one with which all are compared.
    pub reference: String,
    /// What else makes the numbers readable.
    pub notes: String,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    world: &'a str,
    trials: usize,
    seeds: usize,
    evaluation_seed: u64,
    reference: &'a str,
    panels: Vec<JsonPanel<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonPanel<'a> {
    title: &'a str,
    columns: Vec<JsonColumn<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonColumn<'a> {
    name: &'a str,
    unit: &'a str,
    agents: Vec<JsonAgent<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonAgent<'a> {
    agent: &'a str,
    #[serde(flatten)]
    score: Interval,
    less_reference: [f64; 2],
    by_reference: [f64; 2],
}

/// A ratio with its interval; a dash for a ratio to 0, of which the table of means says that it is.
fn ratio(pair: [f64; 2]) -> String {
    if pair[0].is_finite() { with_interval(pair) } else { "–".to_owned() }
}

/// An agent in one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Its mean, with its interval over trials and seeds.
    pub score: Interval,
    /// The mean less that of the reference, trial by trial and seed by seed, and half of its 95% interval.
    pub less_reference: [f64; 2],
    /// The mean over that of the reference, trial by trial after the mean over seeds, and half of its 95% interval.
    pub by_reference: [f64; 2],
}

impl Deployment {
    fn reference(&self) -> Option<&Deployed> {
        self.agents.iter().find(|agent| agent.name == self.reference)
    }

    /// What `agent` did in a column, by its place among all.
    pub fn cell(&self, agent: &Deployed, column: usize) -> Cell {
        let of = |agent: &Deployed| -> Vec<Vec<f64>> {
            agent.scores.iter().map(|seed| seed.iter().map(|trial| trial[column]).collect()).collect()
        };
        let (ours, theirs) = (of(agent), self.reference().map(of).unwrap_or_default());
        let clusters: Vec<u64> = (0..ours.first().map_or(0, Vec::len) as u64).collect();
        let over_seeds = |scores: &[Vec<f64>]| -> Vec<f64> {
            let mean = |trial: usize| scores.iter().map(|seed| seed[trial]).sum::<f64>() / scores.len() as f64;
            (0..scores.first().map_or(0, Vec::len)).map(mean).collect()
        };
        let ratio = Ratio::of_means(&over_seeds(&ours), &over_seeds(&theirs));
        let difference = combine::difference(&ours, &theirs, &clusters);
        Cell {
            score: combine::over(&ours, &clusters),
            less_reference: [difference.mean, difference.ci95],
            by_reference: [ratio.ratio, ratio.ci95],
        }
    }

    fn tables(&self) -> Vec<(String, comfy_table::Table)> {
        let mut first = 0;
        let mut tables = Vec::new();
        for panel in &self.panels {
            let columns = first..first + panel.columns.len();
            let mut header = vec!["agent".to_owned()];
            header.extend(panel.columns.iter().map(|column| format!("{} [{}]", column.name, column.unit)));
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let shown = |show: fn(Cell) -> String| {
                let row = |agent: &Deployed| {
                    let cells = columns.clone().map(|column| show(self.cell(agent, column)));
                    std::iter::once(agent.name.clone()).chain(cells).collect()
                };
                plain(&header, self.agents.iter().map(row).collect::<Vec<Vec<String>>>())
            };
            let mean = shown(|cell| with_interval([cell.score.mean, cell.score.ci95]));
            tables.push((format!("{}: mean ± 95%", panel.title), mean));
            let less = shown(|cell| with_interval(cell.less_reference));
            tables.push((format!("{}: less {}, paired", panel.title, self.reference), less));
            let by = shown(|cell| ratio(cell.by_reference));
            tables.push((format!("{}: by {}", panel.title, self.reference), by));
            first = columns.end;
        }
        tables
    }

    fn counts(&self) -> [usize; 2] {
        let seeds = self.agents.iter().map(|agent| agent.scores.len()).max().unwrap_or(0);
        let trials = self.agents.first().and_then(|agent| agent.scores.first()).map_or(0, Vec::len);
        [seeds, trials]
    }

    /// What makes the numbers readable.
    pub fn notes(&self) -> String {
        let [seeds, trials] = self.counts();
        let seeds = match seeds {
            1 => "Bundles are of one seed: intervals say what other tasks would give, not what other seeds would."
                .to_owned(),
            seeds => {
                format!("Bundles are of {seeds} seeds; intervals are over tasks and seeds together, ratios over tasks.")
            }
        };
        format!("All on the same {trials} {}, evaluation seed {}. {seeds} {}\n", self.trials, self.seed, self.notes)
    }

    /// The tables and notes for a terminal.
    pub fn text(&self) -> String {
        let tables: String = self.tables().into_iter().map(|(title, table)| format!("\n{title}\n{table}\n")).collect();
        format!("{tables}\n{}", self.notes())
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let table = |(title, mut table): (String, comfy_table::Table)| {
            table.load_preset(ASCII_MARKDOWN);
            format!("\n## {title}\n\n{table}\n")
        };
        let tables: String = self.tables().into_iter().map(table).collect();
        format!("# {} at work\n\n{}{tables}", self.world, self.notes())
    }

    /// The same as JSON; a number that is infinite or none is null.
    ///
    /// # Errors
    /// Never, unless memory runs out: there are only numbers and words.
    pub fn json(&self) -> serde_json::Result<String> {
        let [seeds, trials] = self.counts();
        let mut place = 0..;
        let agents = |place: usize| {
            let agent = |agent| {
                let Cell { score, less_reference, by_reference } = self.cell(agent, place);
                JsonAgent { agent: &agent.name, score, less_reference, by_reference }
            };
            self.agents.iter().map(agent).collect()
        };
        let panels = self.panels.iter().map(|panel| JsonPanel {
            title: &panel.title,
            columns: panel
                .columns
                .iter()
                .zip(&mut place)
                .map(|(of, place)| JsonColumn { name: &of.name, unit: of.unit, agents: agents(place) })
                .collect(),
        });
        let json = Json {
            world: &self.world,
            trials,
            seeds,
            evaluation_seed: self.seed,
            reference: &self.reference,
            panels: panels.collect(),
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_compared_trial_by_trial() {
        let column = |name: &str| Column { name: name.into(), unit: "1" };
        let agent = |name: &str, scores: Vec<Vec<Vec<f64>>>| Deployed { name: name.into(), scores };
        let seed = |by: f64| vec![vec![1.0 + by, 4.0], vec![2.0 + by, 6.0], vec![3.0 + by, 5.0]];
        let deployment = Deployment {
            world: "terrain".into(),
            trials: "missions",
            seed: 7,
            panels: vec![
                Panel { title: "errors".into(), columns: vec![column("first")] },
                Panel { title: "missions".into(), columns: vec![column("second")] },
            ],
            agents: vec![agent("ours", vec![seed(0.5), seed(1.5)]), agent("theirs", vec![seed(0.0), seed(1.0)])],
            reference: "theirs".into(),
            notes: "Noted.".into(),
        };
        let cell = deployment.cell(&deployment.agents[0], 0);
        assert!((cell.score.mean - 3.0).abs() <= 1e-12 && cell.less_reference == [0.5, 0.0]);
        assert!((cell.by_reference[0] - 3.0 / 2.5).abs() <= 1e-12);
        let same = deployment.cell(&deployment.agents[0], 1);
        assert_eq!((same.score.mean, same.less_reference, same.by_reference), (5.0, [0.0; 2], [1.0, 0.0]));
        for text in [deployment.text(), deployment.markdown()] {
            assert!(
                ["3 missions", "2 seeds", "less theirs", "Noted."].iter().all(|word| text.contains(word)),
                "{text}"
            );
        }
        let json: serde_json::Value = serde_json::from_str(&deployment.json().unwrap()).unwrap();
        let nothing = Deployment { agents: vec![agent("theirs", vec![vec![vec![0.0, 0.0]; 3]])], ..deployment };
        assert!(nothing.text().contains('–') && !nothing.text().contains("NaN"), "{}", nothing.text());
        assert_eq!(json["panels"][1]["columns"][0]["agents"][0]["mean"], 5.0);
    }
}
