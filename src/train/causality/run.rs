//! Loading, training and evaluating as a run does, with everything noted that it computes.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::trace::{GIVEN, Trace};
use super::world::CausalityCase;
use crate::comm::comm::{MessageFor, OnMessage, StreamWork};
use crate::comm::local::LocalComm;
use crate::comm::{Comm, CommError, MessageStamp, Ranks, Tag};
use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::market::BarSeries;
use crate::market::calendar::Calendar;
use crate::market::options::LoadOptions;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};
use crate::market::panel::{Panel, TRAILER_BYTES};
use crate::market::store::LocalStore;
use crate::portfolio::mandate::Mandate;
use crate::rl::belief::Belief;
use crate::rl::device::Device;
use crate::rl::network::NetworkShape;
use crate::source::DataSource;
use crate::train::callbacks::Callbacks;
use crate::train::dataset::{DataPlan, Fit, PreparedData};
use crate::train::evaluation::BarDecision;
use crate::train::lockstep::LockstepTrainer;
use crate::train::model::Model;
use crate::train::run::{RunData, data_plan};
use crate::train::selection::RowSplit;
use crate::train::setup::{Setup, network_shape};
use crate::train::snapshot::{ModeState, Snapshot};
use crate::train::worker::{Lanes, Worker};

/// A market in a folder of its own, with a cache of its own.
pub(crate) struct CaseFolder(tempfile::TempDir);

impl CaseFolder {
    pub(crate) fn new(case: &CausalityCase, market: &[BarSeries]) -> CaseFolder {
        let folder = tempfile::tempdir().unwrap();
        case.store(market, folder.path());
        CaseFolder(folder)
    }

    /// What training is given.
    pub(crate) fn training(&self, case: &CausalityCase) -> PreparedData {
        let period = case.config.train_period();
        self.prepared(&case.config, |plan| plan.train(period, &mut |_, _, _| {}))
    }

    /// The training period with a fit that is given.
    pub(crate) fn training_fitted(
        &self,
        case: &CausalityCase,
        train: &PreparedData,
    ) -> PreparedData {
        let mut config = settled(&case.config, train);
        (config.eval_start, config.eval_end) = (config.start_date, config.end_date);
        self.fitted(&config, train)
    }

    /// What an evaluation is given.
    pub(crate) fn evaluation(&self, case: &CausalityCase, train: &PreparedData) -> PreparedData {
        self.fitted(&settled(&case.config, train), train)
    }

    fn fitted(&self, config: &RunConfig, train: &PreparedData) -> PreparedData {
        let (fit, minutes): (&Fit, u32) = (&train.note.fit, train.note.bar_minutes);
        let period = config.eval_period();
        self.prepared(config, |plan| plan.eval(period, fit, minutes, &mut |_, _, _| {}))
    }

    fn prepared(
        &self,
        config: &RunConfig,
        work: impl FnOnce(&DataPlan<'_>) -> Result<PreparedData>,
    ) -> PreparedData {
        let source = DataSource::Store(Arc::new(LocalStore::open(self.0.path()).unwrap()));
        let label = match (config.data.bar_label, config.data.extended_hours) {
            // Ragged bars of extended hours do not tell.
            (BarLabel::Auto, true) => BarLabel::Start,
            (label, _) => label,
        };
        let options = LoadOptions {
            bar_minutes: config.data.bar_minutes,
            bar_label: label,
            label_origin: LabelOrigin::default(),
            calendar: Calendar::Nyse,
            extended_hours: config.data.extended_hours,
            strict: false,
            clean: OutlierRule::Off,
            columns: config.features.columns.clone(),
            cache_dir: None,
        };
        let cache = self.cache();
        let data = RunData { source: &source, cache: &cache };
        work(&DataPlan { options, ..data_plan(&LocalComm, config, data) }).unwrap()
    }

    /// The bytes of a panel.
    /// Without the checksum, which covers the file's name, too.
    pub(crate) fn panel_file(&self, prepared: &PreparedData) -> Vec<u8> {
        let path = self.cache().join(format!("panels/{}.arrow", prepared.digest));
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(bytes.len() - TRAILER_BYTES);
        bytes
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }
}

/// As a run settles length and label of bars from its training period.
fn settled(config: &RunConfig, train: &PreparedData) -> RunConfig {
    let mut config = config.clone();
    config.data.bar_minutes = Some(train.note.bar_minutes);
    config.data.bar_label = train.note.reports[0].bar_label;
    config
}

/// Calendar, bars, tradability and features, row by row.
pub(crate) fn note_panel(prepared: &PreparedData, trace: &mut Trace) {
    let panel = &prepared.panel;
    for row in 0..panel.rows() {
        let view = panel.view(row);
        let bars = (0..panel.stocks().len()).map(|stock| view.bar(stock));
        let bars: Vec<_> = bars
            .map(|bar| ([bar.open, bar.high, bar.low, bar.close, bar.volume], bar.tradable))
            .collect();
        trace.note(view.end_s(), "the bars", &bars);
        trace.note(view.end_s(), "the features", view.all_features());
    }
    let rows = &prepared.note.rows;
    trace.note(panel.view(rows.start).end_s(), "the first row", &rows.start);
    trace.note(GIVEN, "the fit", &prepared.note.fit);
}

fn mandate(config: &RunConfig) -> Mandate {
    Mandate::new(&config.stocks, &config.env, &config.portfolio)
}

pub(crate) fn shape(config: &RunConfig, train: &PreparedData) -> NetworkShape {
    network_shape(&config.network, &config.env, train)
}

fn setup<'a>(
    comm: &'a dyn Comm,
    config: &'a RunConfig,
    (mandate, shape): (&'a Mandate, &'a NetworkShape),
    train: &'a PreparedData,
    (lanes, split): (Lanes, &'a RowSplit),
    stop: &'a AtomicBool,
) -> Setup<'a> {
    Setup {
        given_weights: None,
        comm,
        mandate,
        learner: &config.learner,
        shape,
        train,
        lanes,
        split,
        episodes: config.episodes,
        every_episodes: config.evaluation.every_episodes,
        seed: config.seed,
        device: Device::Cpu,
        stop,
    }
}

/// Trains one episode, or until `last_step` of it.
pub(crate) fn train(
    config: &RunConfig,
    data: &PreparedData,
    plan: Lanes,
    last_step: Option<usize>,
) -> Trace {
    let trace = RefCell::new(Trace::default());
    // What a step decides is known with the last lane's bar, the latest of all.
    let row = |step: usize| data.panel.view(plan.row(plan.count - 1, step)).end_s();
    let times: Vec<i64> = (0..=plan.steps).map(row).collect();
    let comm = RecordingComm { trace: &trace, times: &times, proposals: Cell::new(0) };
    let stop = AtomicBool::new(false);
    let (mandate, shape) = (mandate(config), shape(config, data));
    let split = RowSplit::new(&data.panel, data.note.rows.clone(), 0.0);
    let setup = setup(&comm, config, (&mandate, &shape), data, (plan, &split), &stop);
    let mut trainer = LockstepTrainer::new(setup).unwrap();
    let mut onlooker = RecordingWatcher {
        trace: &trace,
        times: &times,
        config,
        panel: &data.panel,
        plan,
        step: 0,
        last_step: last_step.unwrap_or(plan.steps),
        accounts: vec![vec![(0.0, config.env.initial_cash); plan.count]; config.stocks.len()],
        stop: &stop,
    };
    trainer.episode(&mut onlooker).unwrap();
    let weights = trainer.weights().to_vec();
    drop(trainer);
    trace.borrow_mut().note(*times.last().unwrap(), "the weights at the end", &weights);
    trace.into_inner()
}

/// One process whose messages are noted: proposals, orders, gradients, weights.
struct RecordingComm<'a> {
    trace: &'a RefCell<Trace>,
    /// Bar ends of the last lane, by step.
    times: &'a [i64],
    /// Steps that have begun.
    proposals: Cell<usize>,
}

impl RecordingComm<'_> {
    fn record(&self, stamp: MessageStamp, values: &[f32]) {
        if stamp.tag == Tag::Proposals {
            self.proposals.set(self.proposals.get() + 1);
        }
        let decided = matches!(stamp.tag, Tag::Proposals | Tag::Orders);
        let step = self.proposals.get() - usize::from(decided);
        let what = format!("the message {:?}", stamp.tag);
        self.trace.borrow_mut().note(self.times[step], &what, values);
    }
}

impl Comm for RecordingComm<'_> {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn library(&self) -> String {
        LocalComm.library()
    }

    fn gather(
        &self,
        stamp: MessageStamp,
        mine: &[f32],
        counts: &[usize],
        all: &mut [f32],
    ) -> Result<(), CommError> {
        self.record(stamp, mine);
        LocalComm.gather(stamp, mine, counts, all)
    }

    fn scatter(
        &self,
        stamp: MessageStamp,
        all: &[f32],
        counts: &[usize],
        mine: &mut [f32],
    ) -> Result<(), CommError> {
        self.record(stamp, all);
        LocalComm.scatter(stamp, all, counts, mine)
    }

    fn broadcast(&self, stamp: MessageStamp, values: &mut [f32]) -> Result<(), CommError> {
        self.record(stamp, values);
        LocalComm.broadcast(stamp, values)
    }

    fn sum(
        &self,
        stamp: MessageStamp,
        mine: &mut [f32],
        ranks: Ranks,
        total: &mut [f32],
    ) -> Result<(), CommError> {
        self.record(stamp, mine);
        LocalComm.sum(stamp, mine, ranks, total)
    }

    fn broadcast_bytes(&self, bytes: &mut Vec<u8>) {
        LocalComm.broadcast_bytes(bytes);
    }

    fn gather_bytes(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        LocalComm.gather_bytes(mine)
    }

    fn scatter_bytes(&self, message_for: &mut MessageFor<'_>) -> Vec<u8> {
        LocalComm.scatter_bytes(message_for)
    }

    fn stream_to_root(&self, work: &mut StreamWork<'_>, on_message: &mut OnMessage<'_>) {
        LocalComm.stream_to_root(work, on_message);
    }

    fn share_file(&self, path: &Path) -> Result<PathBuf, CommError> {
        LocalComm.share_file(path)
    }
}

/// Notes Q-values, accounts and the whole state after every bar.
struct RecordingWatcher<'a> {
    trace: &'a RefCell<Trace>,
    times: &'a [i64],
    config: &'a RunConfig,
    panel: &'a Panel,
    plan: Lanes,
    step: usize,
    last_step: usize,
    /// Shares and cash, `[stock][lane]`.
    accounts: Vec<Vec<(f64, f64)>>,
    stop: &'a AtomicBool,
}

impl RecordingWatcher<'_> {
    /// Notes what was traded, and checks that it was at the next bar's open.
    fn trade(&mut self, worker: &Worker, lane: usize) {
        let (stock, account) = (worker.stock(), worker.account(lane));
        let bar = self.panel.view(self.plan.row(lane, self.step + 1)).bar(stock);
        let (shares, cash) = (account.shares(0), account.cash());
        let (shares_before, cash_before) =
            std::mem::replace(&mut self.accounts[stock][lane], (shares, cash));
        // After ruin the account starts afresh.
        if shares == 0.0 && cash == self.config.env.initial_cash {
            return;
        }
        let traded = shares - shares_before;
        let paid = paid(&self.config.env, traded, bar.open);
        assert!(near(cash_before - cash, paid, cash_before), "{traded} shares at {}", bar.open);
        if bar.tradable && lane + 1 == self.plan.count {
            let what = format!("the size of the trade in stock {stock}");
            self.trace.borrow_mut().note_open(self.times[self.step], &what, &traded);
        }
    }
}

/// What so many shares cost at an open, with slippage and fee.
fn paid(config: &crate::config::EnvConfig, shares: f64, open: f64) -> f64 {
    if shares == 0.0 {
        return 0.0;
    }
    let Costs { fee_bps, slippage_bps } = Costs::new(config);
    let price = open * (1.0 + shares.signum() * slippage_bps / 1e4);
    shares * price + shares.abs() * price * fee_bps / 1e4
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * (a.abs() + b.abs() + scale.abs())
}

impl Callbacks for RecordingWatcher<'_> {
    fn wants_checkpoint(&mut self) -> bool {
        true
    }

    fn on_checkpoint(&mut self, snapshot: Snapshot) -> Result<()> {
        // Taken after the bar, which `step` counts already, and with the one that filled the
        // orders; but the desk was last busy when it decided.
        let (decided_s, known_s) = (self.times[self.step - 1], self.times[self.step]);
        let mut trace = self.trace.borrow_mut();
        let root = snapshot.root.as_ref().unwrap();
        trace.note(known_s, "the weights", &root.weights);
        trace.note(known_s, "the optimizer", &root.optimizer);
        let ModeState::Lockstep(state) = &root.mode else { panic!("a run in lockstep") };
        trace.note(known_s, "the target network", &state.networks);
        trace.note(decided_s, "the allocation", &state.desk);
        trace.note(known_s, "the state of the loop", &(state.at, &state.credit, &state.learned));
        for (stock, state) in &snapshot.stocks {
            let what = format!("accounts, rewards and replay of stock {stock}");
            trace.note(known_s, &what, state);
        }
        Ok(())
    }

    fn on_bar(&mut self, workers: &[Worker]) {
        for worker in workers {
            let what = format!("the Q-values of stock {}", worker.stock());
            self.trace.borrow_mut().note(self.times[self.step], &what, worker.q());
            (0..self.plan.count).for_each(|lane| self.trade(worker, lane));
        }
        self.step += 1;
        if self.step >= self.last_step {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Lets a policy of these weights trade the evaluation.
pub(crate) fn evaluate(
    config: &RunConfig,
    train: &PreparedData,
    data: &PreparedData,
    weights: &[f32],
) -> Trace {
    let (mandate, shape, stop) = (mandate(config), shape(config, train), AtomicBool::new(false));
    let lanes = Lanes::cut(train.note.rows.clone(), 1, 1).unwrap();
    let split = RowSplit::new(&train.panel, train.note.rows.clone(), 0.0);
    let lanes = (lanes, &split);
    let setup = setup(&LocalComm, config, (&mandate, &shape), train, lanes, &stop);
    let record = setup.expert_record().unwrap();
    let expert_weights = record.map(|record| record.without_dqn().clone());
    let fit = data.note.fit.clone();
    let belief = Belief::in_network(shape.stocks);
    let model =
        Model { shape: shape.clone(), weights: weights.to_vec(), belief, fit, expert_weights };
    let mut trace = Trace::default();
    let mut watch = |decided: &BarDecision<'_>| {
        let at = decided.end_s;
        trace.note(at, "the Q-values", decided.q);
        trace.note(at, "the allocation", &decided.desk.state());
        let requests = decided.desk.requests(0).iter();
        let requests: Vec<_> =
            requests.map(|request| (request.position, request.capital)).collect();
        trace.note(at, "what was wanted, and the capital for it", &requests);
        let orders = decided.desk.orders(0).iter();
        let orders: Vec<_> = orders.map(|o| (o.direction, o.weight, o.reason)).collect();
        trace.note(at, "the orders", &orders);
        trace.note(at, "the shares ordered", decided.backtest.pending());
    };
    let (learner, watch) = (&config.learner, &mut watch);
    let evaluated = model.evaluate(learner, Device::Cpu, &mandate, data, watch).unwrap();
    note_record(&evaluated.record, "the portfolio", data, &mut trace);
    note_record(&evaluated.benchmark, "the benchmark", data, &mut trace);
    check_fills(config, &evaluated.record);
    trace
}

fn note_record(record: &BacktestRecord, what: &str, data: &PreparedData, trace: &mut Trace) {
    let stocks = record.stocks.len();
    for (row, &end_s) in record.end_s.iter().enumerate() {
        let cells = row * stocks..(row + 1) * stocks;
        let account = [record.equity[row], record.cash[row], record.reward[row]];
        let more = (record.turnover[row], record.trades[row], record.drawdown[row]);
        let prices = (&record.price[cells.clone()], &record.open[cells.clone()]);
        trace.note(end_s, what, &(account, more, &record.position[cells.clone()], prices));
        if row == 0 {
            continue;
        }
        let view = data.panel.view(data.note.rows.start + row);
        for cell in cells.filter(|cell| view.bar(cell % stocks).tradable) {
            let traded = record.position[cell] - record.position[cell - stocks];
            let what = format!("the size of the trade of {what} in stock {}", cell % stocks);
            trace.note_open(record.end_s[row - 1], &what, &traded);
        }
    }
}

/// Whatever was traded was paid for at the open of the bar after the decision.
fn check_fills(config: &RunConfig, record: &BacktestRecord) {
    let stocks = record.stocks.len();
    for row in 1..record.end_s.len() {
        let cell = |stock: usize| row * stocks + stock;
        let traded =
            |stock: usize| record.position[cell(stock)] - record.position[cell(stock) - stocks];
        let trades = (0..stocks).filter(|&stock| traded(stock) != 0.0).count();
        // Closed out after ruin.
        if trades as u32 != record.trades[row] {
            continue;
        }
        let cost = |stock: usize| paid(&config.env, traded(stock), record.open[cell(stock)]);
        let (before, after) = (record.cash[row - 1], record.cash[row]);
        let paid: f64 = (0..stocks).map(cost).sum();
        assert!(near(before - after, paid, record.equity[0]), "row {row}: not filled at the open");
    }
}
