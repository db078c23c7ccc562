//! The learner that a configuration asks for.

use super::TrainError;
use crate::config::{Config, ConfigError, LearnerConfig};
use crate::engine::Engine;
use crate::learn::Learner;
use crate::learn::features::OnFeatures;
use crate::learn::maml::Maml;
use crate::learn::meta_lstm::MetaLstm;
use crate::learn::multitask::MultiTask;
use crate::learn::pooled::Pooled;
use crate::learn::reptile::Reptile;
use crate::learn::ridge::Ridge;
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
        LearnerConfig::Prototype(head) => Box::new(OnFeatures::new(*head, threads)),
        LearnerConfig::Siamese(settings) => {
            Box::new(OnFeatures::new(Siamese::new(signature.outputs.len(), *settings), threads))
        }
        LearnerConfig::Ridge(settings) => Box::new(OnFeatures::new(Ridge::new(network, *settings), threads)),
        LearnerConfig::Bayes(head) => Box::new(OnFeatures::new(*head, threads)),
        LearnerConfig::Maml(settings) => Box::new(Maml::new(engine, rule, settings, config.train.kept)?),
        LearnerConfig::MetaLstm(settings) => Box::new(MetaLstm::new(engine, settings, config.seed, threads)),
        LearnerConfig::MultiTask(settings) => {
            settings.weighting.check(network.heads.len()).map_err(ConfigError::from)?;
            Box::new(MultiTask::new(network, rule, settings, config.seed))
        }
        LearnerConfig::Pooled(settings) => Box::new(Pooled::new(rule, settings.inner_rate)),
    })
}
