//! What a run does around its end, with callbacks that decide when the user wants no more.

use std::sync::atomic::{AtomicBool, Ordering};

use super::message::{self, GradientPush, NextStep, ServerReply};
use super::*;
use crate::comm::CommError;
use crate::comm::local::LocalComm;
use crate::comm::mailbox::ServerLink;
use crate::config::{Compression, FeatureConfig, RunConfig};
use crate::portfolio::mandate::Mandate;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::source::DataSource;
use crate::synthetic::SyntheticMarket;
use crate::train::callbacks::TrainingInterval;
use crate::train::compress::floats_to_bytes;
use crate::train::dataset::PreparedData;
use crate::train::evaluation::Evaluation;
use crate::train::lockstep::LockstepTrainer;
use crate::train::run::{RunData, data_plan};
use crate::train::selection::RowSplit;
use crate::train::setup::network_shape;
use crate::train::worker::Lanes;

/// Three stocks for three months, and a month to evaluate.
struct Fixture {
    config: RunConfig,
    mandate: Mandate,
    shape: NetworkShape,
    train: PreparedData,
    split: RowSplit,
    eval: PreparedData,
    plan: Lanes,
    _cache: tempfile::TempDir,
}

fn world(episodes: u32) -> Fixture {
    let stocks = ["A", "B", "C"].map(|name| name.parse().unwrap()).into();
    let day = |text: &str| text.parse().unwrap();
    let mut config = RunConfig {
        stocks,
        start_date: day("2019-01-02"),
        end_date: day("2019-03-29"),
        eval_start: day("2019-04-01"),
        eval_end: day("2019-04-30"),
        episodes,
        ..RunConfig::default()
    };
    config.data.bar_minutes = Some(30);
    config.features = FeatureConfig {
        return_bars: vec![1, 3],
        volatility_bars: vec![10, 30],
        relation_bars: 25,
        arbitrage_bars: 60,
        volume_bars: 20,
        volume_mean_bars: vec![1, 3],
        warmup_bars: 60,
        ..FeatureConfig::default()
    };
    (config.learner.lanes, config.learner.batch_size) = (4, 16);
    config.learner.learning_starts = 32;
    config.learner.replay_capacity = 4_096;
    config.portfolio.meta_policy.enabled = false;
    config.evaluation.every_episodes = 1;
    let cache = tempfile::tempdir().unwrap();
    let source = DataSource::Synthetic(SyntheticMarket::parse("momentum").unwrap());
    let data = RunData { source: &source, cache: cache.path() };
    let data = data_plan(&LocalComm, &config, data);
    let train = data.train(config.train_period(), &mut |_, _, _| {}).unwrap();
    let fit = &train.note.fit;
    let eval = data.eval(config.eval_period(), fit, 30, &mut |_, _, _| {}).unwrap();
    let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
    let shape = network_shape(&config.network, &config.env, &train);
    let split = RowSplit::new(&train.panel, train.note.rows.clone(), 0.0);
    let plan = Lanes::cut(train.note.rows.clone(), config.learner.lanes, 16).unwrap();
    Fixture { config, mandate, shape, train, split, eval, plan, _cache: cache }
}

impl Fixture {
    fn setup<'a>(&'a self, stop: &'a AtomicBool) -> Setup<'a> {
        let Fixture { config, mandate, shape, train, split, plan, .. } = self;
        Setup {
            given_weights: None,
            comm: &LocalComm,
            mandate,
            learner: &config.learner,
            shape,
            train,
            lanes: *plan,
            split,
            episodes: config.episodes,
            every_episodes: config.evaluation.every_episodes,
            seed: config.seed,
            device: Device::Cpu,
            stop,
        }
    }

    fn run<'a>(&'a self, stop: &'a AtomicBool) -> (Asynchronous<'a>, Evaluator) {
        let setup = self.setup(stop);
        let run = Asynchronous::new(setup, &self.config.asynchronous).unwrap();
        (run, Evaluator::new(&setup, &self.eval, None))
    }

    fn env_steps_per_episode(&self) -> u64 {
        (self.plan.steps * self.plan.count * self.config.stocks.len()) as u64
    }
}

/// What the callbacks are told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// After so many steps.
    Interval(u64),
    /// After so many episodes.
    Evaluated(u32),
    Checkpoint,
    Settled,
}
use Event::{Checkpoint, Evaluated, Settled};

struct RecordingWatcher<'a> {
    events: Vec<Event>,
    snapshot: Option<Snapshot>,
    stop: &'a AtomicBool,
    /// Says after which event the user wants no more.
    is_enough: &'a dyn Fn(Event) -> bool,
}

impl<'a> RecordingWatcher<'a> {
    fn new(stop: &'a AtomicBool, is_enough: &'a dyn Fn(Event) -> bool) -> RecordingWatcher<'a> {
        RecordingWatcher { events: Vec::new(), snapshot: None, stop, is_enough }
    }

    fn note(&mut self, event: Event) -> Result<()> {
        self.events.push(event);
        self.stop.fetch_or((self.is_enough)(event), Ordering::Relaxed);
        Ok(())
    }

    fn evaluations(&self) -> Vec<u32> {
        let episode = |event: &Event| match event {
            Evaluated(episode) => Some(*episode),
            _ => None,
        };
        self.events.iter().filter_map(episode).collect()
    }
}

impl Callbacks for RecordingWatcher<'_> {
    fn on_checkpoint(&mut self, snapshot: Snapshot) -> Result<()> {
        self.snapshot = Some(snapshot);
        self.note(Checkpoint)
    }

    fn on_interval(&mut self, interval: TrainingInterval) -> Result<()> {
        self.note(Event::Interval(interval.env_steps))
    }

    fn on_evaluation(&mut self, done: &Evaluation) -> Result<()> {
        self.note(Evaluated(done.episode))
    }

    fn on_workers_stopped(&mut self) -> Result<()> {
        self.note(Settled)
    }
}

/// The evaluation after the first episode comes due in the interval after which the user wants no
/// more: it is not begun, the checkpoint is whole before anything that takes long, and a run resumed
/// from it evaluates.
#[test]
fn an_evaluation_that_a_stop_leaves_out_is_made_on_resuming() {
    let world = world(2);
    let episode = world.env_steps_per_episode();
    let stop = AtomicBool::new(false);
    let after_one = |event| matches!(event, Event::Interval(steps) if steps >= episode);
    let mut callbacks = RecordingWatcher::new(&stop, &after_one);
    let (mut run, mut evaluations) = world.run(&stop);
    assert_eq!(run.run(&mut callbacks, &mut evaluations).unwrap(), Ending::Stopped);
    assert!(!evaluations.is_running());
    assert!(callbacks.evaluations().is_empty());
    assert_eq!(callbacks.events.iter().filter(|&&event| event == Checkpoint).count(), 1);
    assert_eq!(callbacks.events.last(), Some(&Settled));

    let Snapshot { root, stocks, .. } = callbacks.snapshot.unwrap();
    let stop = AtomicBool::new(false);
    let mut callbacks = RecordingWatcher::new(&stop, &|_| false);
    let (mut run, mut evaluations) = world.run(&stop);
    let stocks = stocks.into_iter().map(|(_, state)| state).collect();
    run.restore(root.unwrap(), stocks).unwrap();
    assert!(run.server().unwrap().env_steps >= episode);
    assert_eq!(run.run(&mut callbacks, &mut evaluations).unwrap(), Ending::EpisodeDone);
    if let Some(done) = evaluations.finish().unwrap() {
        callbacks.on_evaluation(done).unwrap();
    }
    assert_eq!(callbacks.evaluations(), [1]);
}

#[test]
fn a_stopped_run_has_the_last_evaluation_that_it_made() {
    let world = world(100_000);
    let stop = AtomicBool::new(false);
    let mut callbacks = RecordingWatcher::new(&stop, &|event| event == Evaluated(1));
    let (mut run, mut evaluations) = world.run(&stop);
    assert_eq!(run.run(&mut callbacks, &mut evaluations).unwrap(), Ending::Stopped);
    assert!(evaluations.finish().unwrap().is_none());
    assert_eq!(evaluations.into_latest().unwrap().episode, 1);
}

#[test]
fn who_wants_no_more_after_the_last_step_has_a_finished_run() {
    let world = world(1);
    let all = world.env_steps_per_episode();
    let stop = AtomicBool::new(false);
    let after_all = |event| matches!(event, Event::Interval(steps) if steps >= all);
    let mut callbacks = RecordingWatcher::new(&stop, &after_all);
    let (mut run, mut evaluations) = world.run(&stop);
    assert_eq!(run.run(&mut callbacks, &mut evaluations).unwrap(), Ending::EpisodeDone);
    assert!(stop.load(Ordering::Relaxed));
    assert!(!callbacks.events.contains(&Checkpoint));
}

/// Both ways round, in one line, with what resumes it.
#[test]
fn a_checkpoint_of_the_other_mode_is_refused() {
    let world = world(1);
    // Both stop, with a checkpoint, as soon as they can.
    let stop = AtomicBool::new(true);
    let mut trainer = LockstepTrainer::new(world.setup(&stop)).unwrap();
    let (mut run, mut evaluations) = world.run(&stop);
    let mut callbacks = RecordingWatcher::new(&stop, &|_| true);
    assert_eq!(trainer.episode(&mut callbacks).unwrap(), Ending::Stopped);
    let in_lockstep = callbacks.snapshot.take().unwrap();
    assert_eq!(run.run(&mut callbacks, &mut evaluations).unwrap(), Ending::Stopped);
    let asynchronous = callbacks.snapshot.take().unwrap();
    let states = |snapshot: Snapshot| {
        let stocks: Vec<StockState> = snapshot.stocks.into_iter().map(|(_, state)| state).collect();
        (snapshot.root.unwrap(), stocks)
    };
    let (root, stocks) = states(in_lockstep);
    let text = run.restore(root, stocks).unwrap_err().to_string();
    assert_eq!(text, "the checkpoint is from a lockstep run; resume it with --sync lockstep");
    let (root, stocks) = states(asynchronous);
    let text = trainer.restore(root, stocks).unwrap_err().to_string();
    assert_eq!(text, "the checkpoint is of an asynchronous run; resume it with --sync async");
}

/// A server that uses no gradient.
struct RefusingServer {
    weights: Vec<f32>,
}

impl ServerLink for RefusingServer {
    fn ask(&self, bytes: Vec<u8>) -> Result<Vec<u8>, CommError> {
        let (push, _): (GradientPush, _) = message::read(&bytes).unwrap();
        assert!(push.learned.is_some());
        let answer =
            ServerReply { next: NextStep::GoOn, version: 0, progress: 0.0, is_used: false };
        let mut bytes = Vec::new();
        message::write(&answer, &mut bytes).unwrap();
        floats_to_bytes(&self.weights, &mut bytes);
        Ok(bytes)
    }
}

/// Else what was packed of it would be owed no more, and what was not would be owed twice.
#[test]
fn a_gradient_that_was_not_used_leaves_its_worker_as_it_was() {
    let mut world = world(1);
    world.config.asynchronous.compression = Compression::TopK;
    let stop = AtomicBool::new(false);
    let (mut run, _) = world.run(&stop);
    let line = RefusingServer { weights: run.weights.clone() };
    let async_worker = &mut run.async_workers[0];
    (0..40).for_each(|_| async_worker.bar(&run.context));
    // The first one says how many bars there were.
    let mut cursor = || {
        async_worker.exchange(&run.context, &line, true).unwrap();
        async_worker.state().own_pace.unwrap().cursor
    };
    // Not printed: they are of a whole network.
    assert!(cursor() == cursor(), "what it owes has changed");
}
