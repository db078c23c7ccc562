//! How the heads of a configuration pulled while it was trained, over all its runs: the weights of the shared step, and the cosines between
//! the heads' gradients, as pictures.

mod cosines;
mod weights;

use std::error::Error;
use std::path::Path;

use crate::picture;
use crate::train::Pulls;
use crate::weighting::pull::pairs;

/// The record of several runs of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct PullsOfRuns {
    /// What the configuration is called.
    name: String,
    /// The heads by name: `[T]`.
    heads: Vec<String>,
    /// After so many iterations each: `[N]`.
    iterations: Vec<u64>,
    /// The weights of the shared step: `[run][N][T]`.
    weights: Vec<Vec<Vec<f64>>>,
    /// The means over runs of the cosines, NaN where no run can tell: `[N][T (T − 1) / 2]`.
    cosines: Vec<Vec<f64>>,
}

/// Pictures that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// What stands above them.
    pub title: String,
    /// What they show, in words.
    pub note: String,
    /// For each picture what it is of, and its SVG.
    pub files: Vec<(String, String)>,
}

/// The mean of those that are numbers; NaN without any.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let told = values.filter(|value| !value.is_nan());
    let (sum, count) = told.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

impl PullsOfRuns {
    /// Of the runs of the configuration called `name`.
    ///
    /// # Errors
    /// Says what differs, if they are not of the same heads after the same iterations, or that there are none.
    pub fn of(name: &str, runs: &[Pulls]) -> Result<Self, String> {
        let first = runs.first().ok_or("expected at least one run")?;
        let iterations = |run: &Pulls| run.rows.iter().map(|(iteration, _)| *iteration).collect::<Vec<u64>>();
        let wanted = iterations(first);
        for run in runs {
            if run.heads != first.heads {
                return Err(format!("expected the heads {:?} in every run, found {:?}", first.heads, run.heads));
            }
            let found = iterations(run);
            if found != wanted {
                return Err(format!("expected rows of the iterations {wanted:?} in every run, found {found:?}"));
            }
        }
        if wanted.is_empty() {
            return Err("expected at least one row".into());
        }
        let weights = |run: &Pulls| run.rows.iter().map(|(_, pull)| pull.shared.clone()).collect();
        let places = 0..pairs(first.heads.len()).count();
        let cosines = |row: usize| {
            places.clone().map(|pair| mean(runs.iter().map(|run| run.rows[row].1.cosines[pair]))).collect()
        };
        Ok(Self {
            name: name.into(),
            heads: first.heads.clone(),
            weights: runs.iter().map(weights).collect(),
            cosines: (0..wanted.len()).map(cosines).collect(),
            iterations: wanted,
        })
    }

    /// The means over iterations of the cosines: `[T (T − 1) / 2]`.
    fn mean_cosines(&self) -> Vec<f64> {
        let pairs = 0..pairs(self.heads.len()).count();
        pairs.map(|pair| mean(self.cosines.iter().map(|row| row[pair]))).collect()
    }

    /// What stands in a title.
    fn of_whom(&self) -> String {
        match self.weights.len() {
            1 => self.name.clone(),
            runs => format!("{}, {runs} runs", self.name),
        }
    }

    /// Draws `NAME-cosines` (where there are two heads or more) and `NAME-weights` into `folder`, PNG and SVG each.
    ///
    /// # Errors
    /// If one cannot be drawn, or a file cannot be written.
    pub fn draw(&self, folder: &Path) -> Result<Linked, Box<dyn Error>> {
        let mut files = Vec::new();
        let mut linked = |what: &str, kind: &str| {
            let file = format!("{}-{kind}", self.name);
            files.push((what.to_owned(), format!("{file}.svg")));
            file
        };
        if self.heads.len() > 1 {
            let file = linked("Cosines between gradients of heads", "cosines");
            picture::write_both(folder, &file, &cosines::Cosines(self))?;
        }
        let file = linked("Weights of heads", "weights");
        picture::write_both(folder, &file, &weights::Weights(self))?;
        let runs = if self.weights.len() == 1 { "one run".into() } else { format!("{} runs", self.weights.len()) };
        let note = format!(
            "Of {runs}, each time a validation came, on the training batch of that iteration. Where the cosine of two heads' gradients by \
             the shared parameters is below 0, they conflict: what helps one harms the other. A weight λ is what a head's gradient is \
             multiplied by in the step of the shared parameters."
        );
        Ok(Linked { title: format!("How the heads of {} pull", self.name), note, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{Picture, png, svg};
    use crate::weighting::pull::Pull;

    fn run(heads: &[&str], by: f64, iterations: &[u64]) -> Pulls {
        let row = |iteration: &u64| {
            let at = *iteration as f64 / 100.0;
            let shared =
                (0..heads.len()).map(|head| if head == 3 { f64::NAN } else { by + at * head as f64 }).collect();
            let cosines = pairs(heads.len()).map(|(i, j)| if j == 3 { f64::NAN } else { by * (at - (i + j) as f64) });
            (*iteration, Pull { shared, cosines: cosines.collect() })
        };
        Pulls { heads: heads.iter().map(|head| (*head).into()).collect(), rows: iterations.iter().map(row).collect() }
    }

    #[test]
    fn runs_are_averaged() {
        let heads = ["energy", "slip", "time"];
        let both = [run(&heads, 0.2, &[100, 200]), run(&heads, 0.4, &[100, 200])];
        let all = PullsOfRuns::of("famo", &both).unwrap();
        // Of the first pair 0 in both runs, then 0.2 and 0.4.
        assert!(all.cosines[0][0] == 0.0 && (all.cosines[1][0] - 0.3).abs() <= 1e-12, "{:?}", all.cosines);
        assert!((all.mean_cosines()[0] - 0.15).abs() <= 1e-12);
        assert_eq!((all.weights.len(), all.weights[1][1].len(), all.of_whom().as_str()), (2, 3, "famo, 2 runs"));
        let refused = |other| PullsOfRuns::of("famo", &[both[0].clone(), other]).unwrap_err();
        assert!(refused(run(&heads, 0.2, &[100])).contains("expected rows of the iterations [100, 200]"));
        assert!(refused(run(&["a", "b"], 0.2, &[100, 200])).contains("expected the heads"));
        assert!(PullsOfRuns::of("famo", &[]).is_err() && PullsOfRuns::of("famo", &[run(&heads, 0.2, &[])]).is_err());
    }

    #[test]
    fn pictures_are_pictures() {
        let heads = ["energy", "slip", "time", "nothing"];
        let iterations: Vec<u64> = (1..=3).map(|number| 100 * number).collect();
        let all = PullsOfRuns::of("a & b", &[run(&heads, 0.5, &iterations), run(&heads, 0.3, &iterations)]).unwrap();
        let (cosines, weights) = (cosines::Cosines(&all), weights::Weights(&all));
        let (of_cosines, of_weights) = (svg(&cosines).unwrap(), svg(&weights).unwrap());
        for word in ["a &amp; b, 2 runs", "energy, slip", "iteration", "conflict", "300"] {
            assert!(of_cosines.contains(word), "{word}");
        }
        assert!(of_weights.contains("slip") && of_weights.contains("iteration") && !of_weights.contains("NaN"));
        for (file, [width, height]) in
            [(png(&cosines).unwrap(), cosines.size()), (png(&weights).unwrap(), weights.size())]
        {
            let reader = ::png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            assert_eq!((reader.info().width, reader.info().height), (2 * width, 2 * height));
        }
        let folder = tempfile::tempdir().unwrap();
        let linked = all.draw(folder.path()).unwrap();
        assert_eq!(
            linked.files.iter().map(|(_, file)| file.as_str()).collect::<Vec<_>>(),
            ["a & b-cosines.svg", "a & b-weights.svg"]
        );
        assert!(["a & b-cosines.png", "a & b-weights.png"].iter().all(|file| folder.path().join(file).is_file()));
        // One head has nobody to conflict with.
        let alone = PullsOfRuns::of("alone", &[run(&["energy"], 0.5, &[7])]).unwrap();
        assert_eq!(alone.draw(folder.path()).unwrap().files.len(), 1);
    }
}
