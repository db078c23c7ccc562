//! `[learner.weighting]` of a configuration.

use serde::{Deserialize, Serialize};

use super::{Weighting, cagrad, dynamic_average, famo, fixed, gradnorm, mgda, nash, pcgrad, random, uncertainty};

/// Which weighting, and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Settings {
    /// Weights that stay as they are.
    Fixed(fixed::Settings),
    /// Homoscedastic uncertainty.
    Uncertainty(uncertainty::Settings),
    /// Dynamic weight averaging.
    DynamicAverage(dynamic_average::Settings),
    /// Gradient normalisation.
    #[serde(rename = "gradnorm")]
    GradNorm(gradnorm::Settings),
    /// Projection of gradients that conflict.
    #[serde(rename = "pcgrad")]
    PcGrad(pcgrad::Settings),
    /// Gradients averse to conflict.
    #[serde(rename = "cagrad")]
    CaGrad(cagrad::Settings),
    /// The shortest combination of gradients.
    Mgda(mgda::Settings),
    /// Nash's bargaining solution.
    Nash(nash::Settings),
    /// Losses that fall at the same relative rate.
    Famo(famo::Settings),
    /// Random weights.
    Random(random::Settings),
}

/// Settings that mean nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A list with an entry for each task has another length.
    #[error("learner.weighting.{field} ({weighting}) needs one entry for each of {tasks} tasks, and has {given}")]
    Length {
        /// The weighting.
        weighting: &'static str,
        /// The field.
        field: &'static str,
        /// Tasks that there are.
        tasks: usize,
        /// Entries that came.
        given: usize,
    },
    /// A number is outside what it may be.
    #[error("learner.weighting.{field} ({weighting}) must be {expected}, not {given}")]
    Number {
        /// The weighting.
        weighting: &'static str,
        /// The field.
        field: &'static str,
        /// What it may be, in words.
        expected: &'static str,
        /// What came.
        given: f64,
    },
    /// There is nothing to weigh.
    #[error("learner.weighting ({weighting}) needs at least one task, and there is none")]
    NoTasks {
        /// The weighting.
        weighting: &'static str,
    },
}

impl Settings {
    /// The name of the weighting, as configurations have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed",
            Self::Uncertainty(_) => "uncertainty",
            Self::DynamicAverage(_) => "dynamic_average",
            Self::GradNorm(_) => "gradnorm",
            Self::PcGrad(_) => "pcgrad",
            Self::CaGrad(_) => "cagrad",
            Self::Mgda(_) => "mgda",
            Self::Nash(_) => "nash",
            Self::Famo(_) => "famo",
            Self::Random(_) => "random",
        }
    }

    /// Whether they mean something for so many tasks.
    ///
    /// # Errors
    /// If a list has not one entry for each task, or a number is outside what it may be.
    pub fn check(&self, tasks: usize) -> Result<(), SettingsError> {
        let weighting = self.name();
        if tasks == 0 {
            return Err(SettingsError::NoTasks { weighting });
        }
        let length = |field, given: usize| {
            let fits = given == tasks;
            if fits { Ok(()) } else { Err(SettingsError::Length { weighting, field, tasks, given }) }
        };
        let number = |field, expected, given: f64, holds: bool| {
            let fits = given.is_finite() && holds;
            if fits { Ok(()) } else { Err(SettingsError::Number { weighting, field, expected, given }) }
        };
        let above_zero = |field, given: f64| number(field, "finite and above 0", given, given > 0.0);
        let not_below_zero = |field, given: f64| number(field, "finite and at least 0", given, given >= 0.0);
        let at_least_one = |field, given: u64| number(field, "at least 1", given as f64, given >= 1);
        match self {
            Self::Fixed(settings) => {
                length("weights", settings.weights.len())?;
                settings.weights.iter().try_for_each(|weight| not_below_zero("weights", *weight))?;
                let sum = settings.weights.iter().sum();
                number("weights", "above 0 for one task at least, so that their sum is finite and above 0", sum, sum > 0.0)
            }
            Self::Uncertainty(settings) => {
                above_zero("rate", settings.rate)?;
                let given = settings.log_variance;
                number("log_variance", "between -20 and 20", given, given.abs() <= 20.0)
            }
            Self::DynamicAverage(settings) => {
                let given = settings.temperature;
                number("temperature", "finite and at least 0.1", given, given >= 0.1)?;
                at_least_one("window", settings.window)
            }
            Self::GradNorm(settings) => {
                above_zero("rate", settings.rate)?;
                number("alpha", "between 0 and 10", settings.alpha, (0.0..=10.0).contains(&settings.alpha))
            }
            Self::PcGrad(_) | Self::Mgda(_) | Self::Random(_) => Ok(()),
            Self::CaGrad(settings) => number("c", "between 0 and 100", settings.c, (0.0..=100.0).contains(&settings.c)),
            Self::Nash(settings) => {
                at_least_one("every", settings.every)?;
                settings.largest_norm.map_or(Ok(()), |given| above_zero("largest_norm", given))
            }
            Self::Famo(settings) => {
                above_zero("rate", settings.rate)?;
                not_below_zero("decay", settings.decay)?;
                let least = &settings.least_losses;
                if !least.is_empty() {
                    length("least_losses", least.len())?;
                }
                least.iter().try_for_each(|given| number("least_losses", "finite", *given, true))
            }
        }
    }

    /// The weighting of so many tasks, at its beginning. What it draws follows from the seed. [`Self::check`] comes first.
    #[must_use]
    pub fn open(&self, tasks: usize, seed: u64) -> Box<dyn Weighting> {
        match self {
            Self::Fixed(settings) => Box::new(fixed::Fixed::new(settings)),
            Self::Uncertainty(settings) => Box::new(uncertainty::Uncertainty::new(settings, tasks)),
            Self::DynamicAverage(settings) => Box::new(dynamic_average::DynamicAverage::new(settings, tasks)),
            Self::GradNorm(settings) => Box::new(gradnorm::GradNorm::new(settings, tasks)),
            Self::PcGrad(_) => Box::new(pcgrad::PcGrad::new(seed)),
            Self::CaGrad(settings) => Box::new(cagrad::CaGrad::new(settings)),
            Self::Mgda(settings) => Box::new(mgda::Mgda::new(settings)),
            Self::Nash(settings) => Box::new(nash::Nash::new(settings, tasks)),
            Self::Famo(settings) => Box::new(famo::Famo::new(settings, tasks)),
            Self::Random(_) => Box::new(random::Random::new(seed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    /// A kind alone is enough, but for fixed weights; what is written is read back the same.
    #[test]
    fn kinds_have_defaults_and_names() {
        let kinds =
            ["uncertainty", "dynamic_average", "gradnorm", "pcgrad", "cagrad", "mgda", "nash", "famo", "random"];
        for kind in kinds {
            let settings = parse(&format!("kind = \"{kind}\"")).unwrap();
            assert_eq!(settings.name(), kind);
            assert_eq!(settings.check(3), Ok(()));
            assert_eq!(settings.open(3, 1).name(), kind);
            assert_eq!(parse(&toml::to_string(&settings).unwrap()).unwrap(), settings);
        }
        assert!(parse("kind = \"fixed\"").unwrap_err().to_string().contains("weights"));
        assert_eq!(parse("kind = \"fixed\"\nweights = [1.0, 2.0]").unwrap().name(), "fixed");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(parse("kind = \"best\"").is_err());
        for kind in ["uncertainty", "cagrad", "pcgrad", "random", "famo"] {
            let error = parse(&format!("kind = \"{kind}\"\nspeed = 1.0")).unwrap_err();
            assert!(error.to_string().contains("speed"), "{error}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        let refused = [
            ("kind = \"fixed\"\nweights = [1.0]", "weights (fixed) needs one entry for each of 2 tasks, and has 1"),
            ("kind = \"fixed\"\nweights = [1.0, -1.0]", "weights (fixed) must be finite and at least 0, not -1"),
            ("kind = \"fixed\"\nweights = [0.0, 0.0]", "above 0 for one task at least"),
            ("kind = \"uncertainty\"\nrate = 0.0", "rate (uncertainty)"),
            ("kind = \"uncertainty\"\nlog_variance = 900.0", "log_variance (uncertainty)"),
            ("kind = \"dynamic_average\"\nwindow = 0", "window (dynamic_average) must be at least 1, not 0"),
            ("kind = \"dynamic_average\"\ntemperature = 0.0", "temperature (dynamic_average)"),
            ("kind = \"gradnorm\"\nalpha = -1.0", "alpha (gradnorm)"),
            ("kind = \"cagrad\"\nc = nan", "c (cagrad)"),
            ("kind = \"nash\"\nevery = 0", "every (nash)"),
            ("kind = \"nash\"\nlargest_norm = 0.0", "largest_norm (nash)"),
            ("kind = \"famo\"\nleast_losses = [0.0, 0.0, 0.0]", "least_losses (famo) needs one entry for each of 2"),
            ("kind = \"famo\"\ndecay = -0.1", "decay (famo)"),
        ];
        for (text, part) in refused {
            let error = parse(text).unwrap().check(2).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(parse("kind = \"mgda\"").unwrap().check(0).is_err());
    }
}
