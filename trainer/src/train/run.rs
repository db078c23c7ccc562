//! A run in progress, on one engine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;

use sinew_models::spec::NetworkSpec;

use super::draw::{Batches, Draw, has_rows};
use super::sampling::Sampler;
use super::start::episodes_of;
use super::timing::Clock;
use super::{BUNDLE, CHECKPOINT, LAST, Line, Log, METRICS, Options, PULLS, TIMING, TrainError, Trained};
use crate::checkpoint::{Best, Checkpoint, CheckpointError};
use crate::collective::{Collective, agree, alike, any, expect_same, gather_values, share};
use crate::config::Config;
use crate::engine::{BatchGradient, Engine, Learned, OuterStep, TaskRows};
use crate::export::{About, Column};
use crate::learn::{Batch, Learner, State, Use};
use crate::metric::Summary;
use crate::model::Model;
use crate::optimiser::{AdamW, Moments};
use crate::scaling::Scaling;
use crate::streams::{Purpose, rng};
use crate::world::{Split, World};

/// So many iterations in a row without a finite gradient end the run.
pub(super) const MOST_NOT_FINITE: u64 = 100;

/// This process' share of the tasks by which the best state is chosen.
fn validation<V>(
    config: &Config,
    world: &dyn World,
    scaling: &Scaling,
    collective: &dyn Collective<V>,
) -> Vec<TaskRows> {
    let count = config.train.validation_tasks as u64;
    // All tasks of a data set, once, if there are fewer.
    let count = world.task_count(Split::Validation).map_or(count, |tasks| count.min(tasks as u64)) as usize;
    let shots = config.train.shots.all();
    let mine = share(shots.len() * count, collective.rank(), collective.size());
    let mut tasks = Vec::new();
    for (place, shots) in shots.iter().enumerate() {
        // The numbers of this process among those of these shots.
        let [start, end] =
            [mine.start, mine.end].map(|at| (at.clamp(place * count, (place + 1) * count) - place * count) as u64);
        let drawn = episodes_of(world, Split::Validation, *shots, config.seed, Purpose::Validation, start..end);
        let numbers = (place * count) as u64 + start..;
        tasks.extend(drawn.into_iter().zip(numbers).map(|((_, mut episode), number)| {
            let mut rng = rng(config.seed, Purpose::Labels, number, 0);
            config.train.labels.mask(world.signature(), &mut episode.support, &mut rng);
            scaling.task_rows(&episode)
        }));
    }
    tasks.retain(has_rows);
    tasks
}

/// A run in progress.
pub(super) struct Run<'a, E: Engine> {
    config: &'a Config,
    world: &'a dyn World,
    network: NetworkSpec,
    engine: E,
    learner: Box<dyn Learner<E>>,
    threads: usize,
    collective: &'a mut dyn Collective<E::Values>,
    /// This process' share; `None` where there is no validation.
    validation: Option<Batch<E>>,
    losses: Vec<f32>,
    state: State<E::Values>,
    params_moments: Moments<E::Values>,
    rates_moments: Moments<E::Values>,
    /// All else; what it says of state and moments is as old as the last [`Run::bring_home`].
    at: Checkpoint,
}

impl<'a, E: Engine> Run<'a, E> {
    /// A run that goes on from `at`.
    pub(super) fn new(
        config: &'a Config,
        world: &'a dyn World,
        (mut engine, mut learner): (E, Box<dyn Learner<E>>),
        threads: usize,
        collective: &'a mut dyn Collective<E::Values>,
        at: Checkpoint,
    ) -> Result<Self, TrainError> {
        let network = engine.network().clone();
        if !learner.shares_tasks() && collective.size() > 1 {
            return Err(alike(&*collective, TrainError::Alone { learner: learner.name() }));
        }
        if at.iteration > 0 && !learner.restore(&at.memory) {
            let wrong =
                CheckpointError::Format { path: CHECKPOINT.into(), why: "it has another learner's memory".into() };
            return Err(alike(&*collective, wrong.into()));
        }
        let validation = validation(config, world, &at.scaling, &*collective);
        let any = any(collective, !validation.is_empty())?;
        if config.train.validation_tasks > 0 && !any {
            let (world, shots) = (world.name().into(), config.train.shots.main());
            return Err(alike(&*collective, TrainError::NoTasks { world, split: "validation", shots }));
        }
        let take = || -> Result<_, TrainError> {
            let validation = if any { Some(learner.prepare(&mut engine, validation, Use::Validation)?) } else { None };
            let state = State { params: engine.upload(&at.state.params)?, rates: engine.upload(&at.state.rates)? };
            let mut moments = |of: &Moments| -> Result<_, TrainError> {
                let (first, second) = (engine.upload(&of.first)?, engine.upload(&of.second)?);
                Ok(Moments { first, second, steps: of.steps })
            };
            Ok((validation, state, moments(&at.params_moments)?, moments(&at.rates_moments)?))
        };
        let taken = take();
        let (validation, state, params_moments, rates_moments) = agree(collective, taken)?;
        let losses = Vec::new();
        Ok(Self {
            config,
            world,
            network,
            engine,
            learner,
            threads,
            collective,
            validation,
            losses,
            state,
            params_moments,
            rates_moments,
            at,
        })
    }

    /// This process' share of the tasks of an iteration, where the engine computes.
    fn batch(&mut self, batches: &mut Batches<'_, '_>, iteration: u64) -> Result<Batch<E>, TrainError> {
        Ok(self.learner.prepare(&mut self.engine, batches.next(iteration), Use::Training)?)
    }

    /// Whether this is the first process, which alone writes.
    pub(super) fn first(&self) -> bool {
        self.collective.rank() == 0
    }

    /// What succeeded on every process.
    pub(super) fn agree<T>(&mut self, mine: Result<T, TrainError>) -> Result<T, TrainError> {
        agree(self.collective, mine)
    }

    /// The network that is trained.
    pub(super) const fn network(&self) -> &NetworkSpec {
        &self.network
    }

    /// Iterations done.
    pub(super) const fn iteration(&self) -> u64 {
        self.at.iteration
    }

    /// Brings state and moments home from the engine.
    fn bring_home(&mut self) -> Result<(), TrainError> {
        let engine = &self.engine;
        let moments = |of: &Moments<E::Values>| -> Result<_, TrainError> {
            Ok(Moments { first: engine.download(&of.first)?, second: engine.download(&of.second)?, steps: of.steps })
        };
        self.at.params_moments = moments(&self.params_moments)?;
        self.at.rates_moments = moments(&self.rates_moments)?;
        self.at.state = self.state_at_home()?;
        self.at.memory = self.learner.memory();
        Ok(())
    }

    fn state_at_home(&self) -> Result<State, TrainError> {
        Ok(State { params: self.engine.download(&self.state.params)?, rates: self.engine.download(&self.state.rates)? })
    }

    fn write(&mut self, folder: &Path, clock: &Clock) -> Result<(), TrainError> {
        self.bring_home()?;
        if self.collective.size() > 1 {
            let mut hash = DefaultHasher::new();
            let Checkpoint { state, params_moments, rates_moments, .. } = &self.at;
            let moments = [params_moments, rates_moments].into_iter().flat_map(|of| [&of.first, &of.second]);
            for values in [&state.params, &state.rates].into_iter().chain(moments) {
                values.iter().for_each(|value| value.to_bits().hash(&mut hash));
            }
            expect_same(self.collective, "the parameters", &hash.finish().to_le_bytes())?;
        }
        let write = || -> Result<(), TrainError> {
            self.at.write(&folder.join(CHECKPOINT))?;
            let timed = clock.timing(self.at.iteration).map_or(Ok(()), |timing| timing.write(folder));
            timed.map_err(|source| TrainError::Io { path: folder.join(TIMING), source })
        };
        let written = if self.first() { write() } else { Ok(()) };
        self.agree(written)
    }

    /// The gradient over the tasks of all processes, from those over the tasks of each; and whether any process was `told` to stop.
    fn gather(&mut self, gradient: &mut BatchGradient<E::Values>, told: bool) -> Result<bool, TrainError> {
        if self.collective.size() == 1 {
            return Ok(told);
        }
        let mut said = vec![u8::from(told)];
        said.extend((gradient.tasks as u64).to_le_bytes());
        let (mut told, mut tasks) = (false, 0);
        for said in self.collective.gather(&said)? {
            if let Some((yes, count)) = said.split_first() {
                told |= *yes == 1;
                tasks += count.try_into().map_or(0, u64::from_le_bytes);
            }
        }
        let share = gradient.tasks as f32 / tasks.max(1) as f32;
        let mut values: Vec<_> = iter::once(&mut gradient.params).chain(&mut gradient.rates).collect();
        self.collective.sum(&mut values, share)?;
        Ok(told)
    }

    /// Runs until the last iteration, or until told to stop; whether it was stopped.
    pub(super) fn run(&mut self, options: &Options<'_>, log: &mut Option<Log>) -> Result<bool, TrainError> {
        let (config, world, scaling) = (self.config, self.world, self.at.scaling.clone());
        let numbers = share(config.train.tasks, self.collective.rank(), self.collective.size());
        let sampler = Sampler::open(config.train.sampling, world)?;
        let draw = Draw { config, scaling, sampler, threads: self.threads, numbers };
        thread::scope(|scope| {
            // A device leaves this machine's processors free. Where they compute themselves, one more thread is only in their way: with one
            // worker thread, sine waves and terrain took 5 to 17 % more processor time so; with two, no difference could be told.
            let mut batches = if self.engine.computes_elsewhere() {
                Batches::ahead(scope, &draw, world, self.at.iteration..config.train.iterations)
            } else {
                Batches::at_once(&draw, world)
            };
            self.iterate(options, log, &mut batches)
        })
    }

    fn iterate(
        &mut self,
        options: &Options<'_>,
        log: &mut Option<Log>,
        batches: &mut Batches<'_, '_>,
    ) -> Result<bool, TrainError> {
        let settings = &self.config.train;
        // Not at times that depend on where a run was interrupted, so that a resumed run logs and chooses the same.
        let is_logged =
            |iteration: u64| iteration.is_multiple_of(settings.validation_every) || iteration == settings.iterations;
        let mut gradient = BatchGradient::default();
        let begun_at = self.at.iteration;
        let clock = Clock::start(options.folder, begun_at);
        let asked = || options.stop.load(Ordering::Relaxed);
        let mut heard = any(self.collective, asked())?;
        let mut ahead = None;
        while self.at.iteration < settings.iterations {
            // What all processes have heard decides, so that all of them stop here or none; one process hears itself at once.
            let told = heard || (self.collective.size() == 1 && asked());
            if told || options.stop_after.is_some_and(|most| self.at.iteration >= begun_at + most) {
                self.write(options.folder, &clock)?;
                return Ok(true);
            }
            let batch = match ahead.take() {
                Some(batch) => batch,
                None => self.batch(batches, self.at.iteration)?,
            };
            self.learner.gradient(&mut self.engine, &self.state, &batch, self.at.iteration, &mut gradient)?;
            let pull = match is_logged(self.at.iteration + 1) {
                true => self.learner.pull(&mut self.engine, &self.state, &batch)?,
                false => None,
            };
            heard = self.gather(&mut gradient, asked())?;
            self.update(&mut gradient)?;
            // While a device computes.
            if self.at.iteration + 1 < settings.iterations {
                ahead = Some(self.batch(batches, self.at.iteration + 1)?);
            }
            let (loss, finite) = self.outcome(&gradient)?;
            if finite {
                self.learner.stepped(&mut self.engine, &self.state, &batch)?;
                self.at.loss_sum += loss;
                self.at.loss_count += 1;
                self.at.not_finite = 0;
            } else {
                self.at.not_finite += 1;
                if self.at.not_finite >= MOST_NOT_FINITE {
                    // Who resumes with nothing changed ends here again, at the same iteration.
                    self.at.not_finite = MOST_NOT_FINITE - 1;
                    self.write(options.folder, &clock)?;
                    return Err(alike(self.collective, TrainError::Diverged { iteration: self.at.iteration }));
                }
            }
            self.at.iteration += 1;
            if let Some(log) = log {
                log.tick(loss);
            }
            let iteration = self.at.iteration;
            if is_logged(iteration) {
                let validation = self.validate()?;
                let loss = self.at.loss_sum / self.at.loss_count as f64;
                let line = Line { iteration, loss, validation, skipped: self.at.not_finite };
                let logged = log.as_mut().map_or(Ok(()), |log| log.line(&line));
                self.agree(logged.map_err(|source| TrainError::Io { path: options.folder.join(METRICS), source }))?;
                let logged = log.as_mut().zip(pull).map_or(Ok(()), |(log, pull)| log.pull(iteration, &pull));
                self.agree(logged.map_err(|source| TrainError::Io { path: options.folder.join(PULLS), source }))?;
                (self.at.loss_sum, self.at.loss_count) = (0.0, 0);
                self.write(options.folder, &clock)?;
            }
        }
        Ok(false)
    }

    /// One step of the optimiser, which does nothing if the gradient is not finite.
    fn update(&mut self, gradient: &mut BatchGradient<E::Values>) -> Result<(), TrainError> {
        let settings = &self.config.train;
        let share = settings.schedule.share(self.at.iteration, settings.iterations);
        let step = OuterStep {
            adam: AdamW { weight_decay: settings.weight_decay, ..AdamW::default() },
            clip: settings.clip,
            rate: settings.outer_rate * share,
            rate_of_rates: settings.rate_outer_rate.unwrap_or(settings.outer_rate) * share,
        };
        let State { params, rates } = &mut self.state;
        let moments = [&mut self.params_moments, &mut self.rates_moments];
        Ok(self.engine.update(&step, Learned { params, rates, moments }, gradient)?)
    }

    /// The median loss of the tasks of all processes, so that one task that blew up does not hide the others, and whether the step was taken.
    fn outcome(&mut self, gradient: &BatchGradient<E::Values>) -> Result<(f64, bool), TrainError> {
        let norm = self.engine.outcome(gradient, &mut self.losses)?;
        gather_values(self.collective, &mut self.losses, false)?;
        let losses: Vec<f64> = self.losses.iter().map(|loss| f64::from(*loss)).collect();
        if norm.is_finite() {
            self.params_moments.steps += 1;
            self.rates_moments.steps += u64::from(gradient.rates.is_some());
        }
        Ok((Summary::of(&losses).median, norm.is_finite()))
    }

    fn validate(&mut self) -> Result<Option<f64>, TrainError> {
        let Some(batch) = &self.validation else { return Ok(None) };
        self.learner.losses(&mut self.engine, &self.state, batch, &mut self.losses)?;
        gather_values(self.collective, &mut self.losses, false)?;
        let loss = self.losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / self.losses.len() as f64;
        let better = self.at.best.as_ref().is_none_or(|best| loss < best.loss || best.loss.is_nan());
        // A loss that is NaN is never better, unless there is nothing else.
        if better && (loss.is_finite() || self.at.best.is_none()) {
            self.at.best = Some(Best { loss, iteration: self.at.iteration, state: self.state_at_home()? });
        }
        Ok(Some(loss))
    }

    fn model(&self, state: &State, iterations: u64) -> Model {
        let columns = |columns: &[crate::world::Column]| {
            columns.iter().map(|column| Column { name: column.name.clone(), unit: column.unit.clone() }).collect()
        };
        let signature = self.world.signature();
        Model {
            network: self.network.clone(),
            rule: self.learner.rule().clone(),
            state: self.learner.deploy(&self.network, state),
            scaling: self.at.scaling.clone(),
            about: About {
                inputs: columns(&signature.inputs),
                outputs: columns(&signature.outputs),
                world: self.world.name().into(),
                learner: self.learner.name().into(),
                seed: self.config.seed,
                version: env!("CARGO_PKG_VERSION").into(),
                iterations,
                config: Some(self.config.to_portable_toml()),
                scores: Vec::new(),
            },
        }
    }

    pub(super) fn finish(mut self, folder: &Path, stopped: bool) -> Result<Trained, TrainError> {
        self.bring_home()?;
        let last = self.model(&self.at.state, self.at.iteration);
        let (model, validation) = match &self.at.best {
            Some(best) => (self.model(&best.state, best.iteration), Some(best.loss)),
            None => (last.clone(), None),
        };
        let write = || -> Result<(), TrainError> {
            last.write(&folder.join(LAST))?;
            Ok(model.write(&folder.join(BUNDLE))?)
        };
        let written = if self.first() { write() } else { Ok(()) };
        self.agree(written)?;
        Ok(Trained { model, iterations: self.at.iteration, stopped, validation })
    }
}
