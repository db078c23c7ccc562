//! Which labels the support of a task carries: of all heads, or of some.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sinew_models::rule::Rule;
use sinew_models::spec::NetworkSpec;
use sinew_runtime::HeadSet;

use crate::episode::Samples;
use crate::world::Signature;

/// Whose labels the support of a task carries. A label that is missing is NaN, and nobody learns from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "expected \"all\", \"one\" or a list of heads")]
pub enum Labels {
    /// Of all heads.
    #[default]
    All,
    /// Of one head, another one from task to task.
    One,
    /// Of these heads.
    #[serde(untagged)]
    Of(Vec<String>),
}

/// Why a support cannot carry such labels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A head that is not there.
    #[error("expected heads among {}, found `{found}`", heads.join(", "))]
    NoSuchHead {
        /// The heads.
        heads: Vec<String>,
        /// What is there.
        found: String,
    },
    /// No head at all.
    #[error("expected one head at least, found none")]
    None,
    /// A rule that fits all heads to the same rows.
    #[error(
        "expected a rule that takes gradient steps, found one that fits all heads to the same rows and needs all labels"
    )]
    Rule,
}

impl Labels {
    /// From what a command line says, as a configuration would: `all`, `one`, or heads.
    pub fn parse(words: &[String]) -> Self {
        match words {
            [] => Self::All,
            [word] if word == "all" => Self::All,
            [word] if word == "one" => Self::One,
            heads => Self::Of(heads.to_vec()),
        }
    }

    /// Whether a world with this signature has such heads, and `rule` can do with their labels alone.
    ///
    /// # Errors
    /// Says what would do.
    pub fn check(&self, signature: &Signature, rule: &Rule) -> Result<(), LabelsError> {
        let names = || signature.heads.iter().map(|head| head.name.clone());
        if let Self::Of(heads) = self {
            if let Some(found) = heads.iter().find(|head| names().all(|name| name != **head)) {
                return Err(LabelsError::NoSuchHead { heads: names().collect(), found: found.clone() });
            }
            if heads.is_empty() {
                return Err(LabelsError::None);
            }
        }
        let complete = match self {
            Self::All => true,
            Self::One => signature.heads.len() == 1,
            Self::Of(heads) => names().all(|name| heads.contains(&name)),
        };
        if complete || matches!(rule, Rule::Gradient { .. } | Rule::MetaLstm { .. }) {
            Ok(())
        } else {
            Err(LabelsError::Rule)
        }
    }

    /// Takes the other labels out of the support of one task. Draws nothing where it leaves all labels.
    pub fn mask(&self, signature: &Signature, support: &mut Samples, rng: &mut ChaCha8Rng) {
        let heads = &signature.heads;
        let kept: Vec<bool> = match self {
            Self::All => return,
            Self::One => {
                let one = rng.random_range(0..heads.len());
                (0..heads.len()).map(|head| head == one).collect()
            }
            Self::Of(names) => heads.iter().map(|head| names.contains(&head.name)).collect(),
        };
        let kept: Vec<bool> =
            heads.iter().zip(kept).flat_map(|(head, kept)| std::iter::repeat_n(kept, head.outputs)).collect();
        for row in support.targets.chunks_mut(kept.len()) {
            for (target, _) in row.iter_mut().zip(&kept).filter(|(_, kept)| !**kept) {
                *target = f32::NAN;
            }
        }
    }
}

/// The heads whose targets a row has, for an adapter.
pub fn of_row(network: &NetworkSpec, target: &[f32]) -> HeadSet {
    let mut rest = target;
    let heads = network.heads.iter().enumerate().filter(|(_, head)| {
        let (own, others) = rest.split_at(head.outputs().min(rest.len()));
        rest = others;
        own.iter().all(|y| !y.is_nan())
    });
    heads.fold(HeadSet::NONE, |set, (head, _)| set.with(head))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use sinew_models::spec::Loss;

    use super::*;
    use crate::world::Column;

    fn signature() -> Signature {
        let head = |name: &str| (Column { name: name.into(), unit: "1".into() }, Loss::MeanSquared);
        Signature::of_heads(Vec::new(), None, ["energy", "slip", "time"].map(head).to_vec())
    }

    fn masked(labels: &Labels, seed: u64) -> Vec<bool> {
        let mut support = Samples { inputs: vec![], targets: vec![1.0; 6], rows: 2 };
        labels.mask(&signature(), &mut support, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(support.targets.iter().filter(|y| !y.is_nan()).count() % 2, 0);
        support.targets[..3].iter().zip(&support.targets[3..]).map(|(a, b)| a.is_nan() && b.is_nan()).collect()
    }

    #[test]
    fn the_others_are_taken_out() {
        assert_eq!(masked(&Labels::All, 1), [false; 3]);
        assert_eq!(masked(&Labels::Of(vec!["slip".into()]), 1), [true, false, true]);
        let mut left = [0; 3];
        for seed in 0..300 {
            let one = masked(&Labels::One, seed);
            assert_eq!(one.iter().filter(|missing| !**missing).count(), 1);
            left[one.iter().position(|missing| !missing).unwrap()] += 1;
        }
        assert!(left.iter().all(|count| (70..130).contains(count)), "{left:?}");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let steps = Rule::Gradient {
            steps: 1,
            rate: sinew_models::rule::Rate::Constant,
            scope: sinew_models::rule::Scope::All,
            momentum: false,
            rows: 0,
        };
        let of = |names: &[&str]| Labels::Of(names.iter().map(|name| (*name).into()).collect());
        for labels in [Labels::All, Labels::One, of(&["time", "energy"])] {
            assert_eq!(labels.check(&signature(), &steps), Ok(()));
        }
        let wrong = of(&["time", "width"]).check(&signature(), &steps).unwrap_err().to_string();
        assert_eq!(wrong, "expected heads among energy, slip, time, found `width`");
        assert_eq!(of(&[]).check(&signature(), &steps), Err(LabelsError::None));
        assert_eq!(Labels::One.check(&signature(), &Rule::Bayes), Err(LabelsError::Rule));
        assert_eq!(of(&["time", "energy", "slip"]).check(&signature(), &Rule::Bayes), Ok(()));
    }

    #[test]
    fn they_are_read_and_written() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Section {
            labels: Labels,
        }
        for (text, labels) in [
            ("labels = \"all\"\n", Labels::All),
            ("labels = \"one\"\n", Labels::One),
            ("labels = [\"slip\"]\n", Labels::Of(vec!["slip".into()])),
        ] {
            assert_eq!(toml::from_str::<Section>(text), Ok(Section { labels: labels.clone() }));
            assert_eq!(toml::to_string(&Section { labels }).as_deref(), Ok(text));
        }
        assert!(toml::from_str::<Section>("labels = \"some\"").is_err());
    }
}
