//! The learner that a configuration asks for.

use super::TrainError;
use crate::config::{BayesConfig, Config, LearnerConfig, RidgeConfig};
use crate::engine::Engine;
use crate::learn::Learner;
use crate::learn::bayes::Bayes;
use crate::learn::features::OnFeatures;
use crate::learn::maml::Maml;
use crate::learn::meta_lstm::MetaLstm;
use crate::learn::pooled::Pooled;
use crate::learn::prototype::Prototype;
use crate::learn::reptile::Reptile;
use crate::learn::ridge::{Ridge, Settings};
use crate::learn::siamese::Siamese;
use crate::world::Signature;

/// The learner that a configuration asks for.
pub(super) fn learner<E: Engine>(
    config: &Config,
    signature: &Signature,
    engine: &E,
    threads: usize,
) -> Result<Box<dyn Learner<E>>, TrainError> {
    let network = engine.network();
    let rule = config.rule(network, signature)?;
    Ok(match &config.learner {
        LearnerConfig::Reptile(settings) => Box::new(Reptile::new(rule, settings.clone())),
        LearnerConfig::Prototype(settings) => {
            let head = Prototype { scale: settings.scale, learn_scale: settings.learn_scale };
            Box::new(OnFeatures::new(head, threads))
        }
        LearnerConfig::Siamese(_) => Box::new(OnFeatures::new(Siamese::new(signature.outputs.len()), threads)),
        LearnerConfig::Ridge(settings) => {
            let RidgeConfig { ridge, logit_scale, learn_prior, forgetting } = *settings;
            let settings = Settings { ridge, logit_scale, learn_prior, forgetting };
            Box::new(OnFeatures::new(Ridge::new(network, settings), threads))
        }
        LearnerConfig::Bayes(settings) => {
            let BayesConfig { precision, noise, forgetting } = *settings;
            Box::new(OnFeatures::new(Bayes { precision, noise, forgetting }, threads))
        }
        LearnerConfig::Maml(settings) => Box::new(Maml::new(engine, rule, settings, config.train.kept)?),
        LearnerConfig::MetaLstm(settings) => Box::new(MetaLstm::new(engine, settings, config.seed, threads)),
        LearnerConfig::Pooled(settings) => Box::new(Pooled::new(rule, settings.inner_rate)),
    })
}
