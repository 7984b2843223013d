//! A trained desk on bars as they come, on paper.

use std::io::{BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use chrono::{NaiveDate, Utc};
use serde_json::{Value, json};

use super::report_loads;
use super::train::stop_on_signals;
use crate::cli::{GlobalArgs, TradeArgs};
use crate::comm::Comm;
use crate::comm::local::LocalComm;
use crate::config::RunConfig;
use crate::config::machine::{Machine, warning};
use crate::eval::metrics::Metrics;
use crate::market::calendar::{self, iso_utc, market_date};
use crate::market::options::doubts;
use crate::market::store::{Store, sha256_hex};
use crate::market::{Period, Symbol};
use crate::report::folder::ResultsFolder;
use crate::report::format::{amount, signed_percent};
use crate::report::live::LiveView;
use crate::report::run_explanation::RunExplanation;
use crate::report::{FolderLock, Progress, orders};
use crate::source::{self, DataSource, SYNTHETIC};
use crate::trade::account::PaperAccount;
use crate::trade::feed::{Asked, Batch, Feed, LineFeed, MadeUpFeed, StoreFeed};
use crate::trade::journal::{Journal, Kept, Opening};
use crate::trade::outputs::{self, ORDER_LOG, Outputs};
use crate::trade::rows::Patience;
use crate::trade::serve::LiveServer;
use crate::train::evaluation::EvaluationResult;
use crate::train::model::MODEL_FILE;
use crate::train::run::{RunData, data_plan};
use crate::train::trained::{SavedRun, fitted_until};
use crate::train::warmup::Warmup;
use crate::wording::counted;

/// Notices of an account that a page and the summary have.
const MOST_NOTICES: usize = 20;
/// How long bars are waited for before signals are looked at.
const ROUND: Duration = Duration::from_millis(500);

/// Trades until no more bars come, the last day is over or a signal asks for the end. Returns
/// whether a signal did.
///
/// Errors: the model, its data or the account's folder cannot be used.
pub(crate) fn trade(args: &TradeArgs, global: &GlobalArgs, progress: Progress) -> Result<bool> {
    let stop = stop_on_signals(false)?;
    let run = SavedRun::with_settings(args.resolve()?, &args.model.join(MODEL_FILE))?;
    let config = &run.config;
    let _lock = FolderLock::take(&config.output)?;
    outputs::sweep(&config.output)?;
    let kept = Journal::read(&config.output)?;
    let source = Source::open(args, config, global)?;
    let mut notices = source.notices(config);
    let start = args.start.or(kept.as_ref().map(|kept| kept.opening.start));
    let start = match start {
        Some(start) => Some(start),
        None => source.last_day(config, args.until)?,
    };
    let mut feed = source.feed(args, config, start, kept.as_ref())?;
    progress.line("No order is sent anywhere: this account is one of paper.");
    let mut first = Batch::default();
    if kept.is_none() {
        while first.bars.is_empty() && !first.is_over && !stop.load(Ordering::Relaxed) {
            first = feed.next(ROUND)?;
        }
        report_loads(feed.reports().into_iter(), &progress);
        notices.extend(doubts(feed.reports()));
    }
    let bars = first.bars.iter();
    let start = start.or_else(|| bars.map(|new| market_date(new.bar.end_s)).min());
    let Some(start) = start else {
        progress.line("no bar came");
        return Ok(stop.load(Ordering::Relaxed));
    };
    if fitted_until(config) >= start {
        notices.push(format!(
            "The account begins on {start}, and days until {} were trained on: its figures say \
             nothing about the future.",
            fitted_until(config)
        ));
    }
    notices.iter().for_each(|notice| progress.line(notice));
    let labels = match &kept {
        Some(kept) => kept.opening.labels.clone(),
        None => feed.reports().into_iter().map(|report| report.bar_label).collect(),
    };
    let server = args.serve.map(LiveServer::start).transpose()?;
    let folder = match kept {
        Some(_) => ResultsFolder::open(&config.output)?,
        // Without its journal an account is over; a journal without a first line was none yet.
        None => {
            Journal::remove_begun(&config.output, ORDER_LOG)?;
            ResultsFolder::create(&config.output)?
        }
    };
    folder.notice().into_iter().for_each(|moved| progress.line(moved));
    let columns = &config.features.columns;
    let opening = Opening::new(desk_digest(&run, args)?, start, &config.stocks, columns, labels);
    let patience = Patience { wait: Duration::from_secs(args.wait), in_order: args.is_stdin() };
    let (account, decided) = PaperAccount::open(&config.output, &opening, &run, patience, kept)?;
    let belief = run.model.belief.share;
    let explanation = RunExplanation::read(&args.model, &config.stocks, belief);
    let outputs = Outputs::new(folder, explanation, &account, &decided)?;
    let told = account.notices().len();
    if let Some(server) = &server {
        progress.line(&format!("the account is shown at http://{}/", server.address()));
    }
    let mut session = Session {
        args,
        config,
        account,
        outputs,
        notices,
        progress: &progress,
        told,
        said_s: None,
        begun_s: Utc::now().timestamp(),
        found_s: None,
        server,
    };
    session.show();
    write_out(orders::HEADER)?;
    let mut is_over = session.take(first)?;
    while !is_over && !stop.load(Ordering::Relaxed) {
        let due = session.account.due().map(|due| due.saturating_duration_since(Instant::now()));
        let batch = feed.next(due.map_or(ROUND, |due| due.min(ROUND)))?;
        is_over = session.take(batch)?;
    }
    if args.once && is_over {
        session.print_open(true)?;
    }
    session.end()?;
    Ok(stop.load(Ordering::Relaxed) && !is_over)
}

/// An account that trades, and who is told of it.
struct Session<'a> {
    args: &'a TradeArgs,
    config: &'a RunConfig,
    account: PaperAccount,
    outputs: Outputs,
    /// Known at the start.
    notices: Vec<String>,
    progress: &'a Progress,
    /// Notices of the account that were printed.
    told: usize,
    /// Of the last line about a session: the bar.
    said_s: Option<i64>,
    /// When the command began, UTC seconds.
    begun_s: i64,
    /// The last time of the bars that came first, UTC seconds: of a store, what it had at the start.
    found_s: Option<i64>,
    server: Option<LiveServer>,
}

impl Session<'_> {
    /// Decides at what came. Returns whether nothing more is to be waited for.
    fn take(&mut self, mut batch: Batch) -> Result<bool> {
        let count = batch.bars.len();
        if let Some(until) = self.args.until {
            batch.bars.retain(|new| market_date(new.bar.end_s) <= until);
        }
        if self.found_s.is_none() {
            self.found_s = batch.bars.iter().map(|new| new.bar.end_s).max();
        }
        // Lines come in the order of time.
        batch.is_over |= self.args.is_stdin() && batch.bars.len() < count;
        let is_over = batch.is_over;
        let decided = self.account.take(batch)?;
        if !decided.is_empty() {
            let lines = self.outputs.decided(&self.account, &decided)?;
            self.show();
            self.print(&lines, decided.len())?;
        }
        let new = &self.account.notices()[self.told..];
        if decided.is_empty() && !new.is_empty() {
            self.show();
        }
        new.iter().take(MOST_NOTICES).for_each(|notice| self.progress.line(notice));
        if new.len() > MOST_NOTICES {
            self.progress.line(&format!("{} notices more", new.len() - MOST_NOTICES));
        }
        self.told = self.account.notices().len();
        if self.outputs.is_session_over(&self.account) {
            self.close()?;
            self.tell();
        }
        Ok(is_over || self.is_last_day_over())
    }

    /// Prints the orders of the `times` that were decided now, which are `lines`. Of a store only
    /// those that are still open: the others were filled at bars that are there.
    fn print(&self, lines: &str, times: usize) -> Result<()> {
        if self.args.once {
            // At the end.
            return Ok(());
        }
        if self.args.is_stdin() {
            return write_out(lines);
        }
        // Of what was found at the start, some may wait for stocks that lack a bar.
        if self.account.last_s() < self.found_s {
            return Ok(());
        }
        self.print_open(times > 1)
    }

    /// Prints the orders for the next open. `tells_of_none`: says so where there are none.
    fn print_open(&self, tells_of_none: bool) -> Result<()> {
        let open = self.account.desk().next_orders();
        if open.is_empty() && tells_of_none {
            self.progress.line(orders::lines(&self.config.stocks, open).trim_end());
        }
        write_out(&orders::rows(&self.config.stocks, open))
    }

    /// Whether the bar with which the last session ends is there, or can no longer come. A session
    /// that was over before the command began is one that is replayed: its bars may come at any time.
    fn is_last_day_over(&self) -> bool {
        let Some(close_s) = self.args.until.and_then(last_close_s) else { return false };
        let wait_s = i64::try_from(self.args.wait).unwrap_or(i64::MAX);
        let due_s = close_s.saturating_add(wait_s);
        let is_past = self.begun_s <= due_s && Utc::now().timestamp() > due_s;
        let is_there = self.account.last_s().is_some_and(|last_s| last_s >= close_s);
        is_there || is_past && self.account.due().is_none()
    }

    /// Those of the start, and the last ones of the account.
    fn all_notices(&self, about_today: &[String]) -> Vec<String> {
        let of_account = [self.account.notices(), about_today].concat();
        let more = of_account.len().saturating_sub(MOST_NOTICES);
        let more_line = (more > 0).then(|| format!("{more} notices came before these."));
        let last = of_account.into_iter().skip(more);
        self.notices.iter().cloned().chain(more_line).chain(last).collect()
    }

    /// Renews the live page.
    fn show(&self) {
        let Some(server) = &self.server else { return };
        let desk = self.account.desk();
        let notices = self.all_notices(&[]);
        let notices: Vec<&String> = notices.iter().collect();
        let view = LiveView {
            stocks: &self.config.stocks,
            records: desk.records(),
            orders: desk.next_orders(),
            notices: &notices,
        };
        server.show(view.page(), view.json().to_string());
    }

    /// The line at the end of a session, once for each bar.
    fn tell(&mut self) {
        let last_s = self.account.last_s();
        if std::mem::replace(&mut self.said_s, last_s) == last_s {
            return;
        }
        let Some([record, benchmark]) = self.account.desk().records() else { return };
        let (Some(&end_s), Some(&equity)) = (record.end_s.last(), record.equity.last()) else {
            return;
        };
        let growth = |equity: &[f64]| match equity {
            [first, .., last] => signed_percent(last / first - 1.0),
            _ => signed_percent(0.0),
        };
        let orders = counted(self.account.desk().next_orders().len(), "new order");
        self.progress.line(&format!(
            "{}: equity {} ({}; buy and hold {}), {orders}",
            market_date(end_s),
            amount(equity),
            growth(&record.equity),
            growth(&benchmark.equity),
        ));
    }

    fn close(&mut self) -> Result<()> {
        let (config, account) = (self.config, &self.account);
        let notices = self.all_notices(&account.about_today());
        let notices: Vec<&String> = notices.iter().collect();
        let model = &self.args.model;
        let summary = |result: &EvaluationResult| summary(model, config, account, result, &notices);
        self.outputs.close(account, config, &notices, summary)
    }

    fn end(mut self) -> Result<()> {
        self.close()?;
        self.tell();
        self.progress.finish();
        if self.account.desk().records().is_none() {
            let start = self.account.start();
            let what = match self.account.last_s().map(market_date) {
                Some(last) if last >= start => {
                    "the indicators have not settled yet: give more bars before the first day"
                        .into()
                }
                Some(last) => format!("the last day that has bars is {last}"),
                None => "there is no bar of that day or a later one yet".into(),
            };
            self.progress.line(&format!("The account begins on {start}, but {what}."));
        }
        Ok(())
    }
}

/// Writes orders to standard output. Whoever closed it does not want them.
///
/// Errors: they cannot be written, as on a full disk.
fn write_out(lines: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow!("standard output: {error}; the orders are in {ORDER_LOG}"))
        }
        _ => Ok(()),
    }
}

fn summary(
    model: &Path,
    config: &RunConfig,
    account: &PaperAccount,
    result: &EvaluationResult,
    notices: &[&String],
) -> Value {
    json!({
        "model": model,
        "data": config.data.source,
        "period": { "start": account.start(), "end": account.last_s().map(market_date) },
        "last_bar": account.last_s().map(iso_utc),
        "eval": result.metrics,
        "benchmark": result.benchmark_metrics,
        "dqn": account.desk().dqn().map(Metrics::from_record),
        "contributions": result.contributions,
        "orders_for_next_open": result.next_orders.len(),
        "notices": notices,
    })
}

/// When the last session up to a day ends, UTC seconds; None where there is none within a month.
fn last_close_s(until: NaiveDate) -> Option<i64> {
    let days = until.iter_days().rev().take(31);
    days.into_iter()
        .find_map(|date| calendar::market().session(date))
        .map(|session| session.close_s)
}

/// SHA-256 of what decides: the model, and the settings that its decisions depend on.
fn desk_digest(run: &SavedRun, args: &TradeArgs) -> Result<String> {
    let RunConfig { stocks, features, env, network, learner, portfolio, data, .. } = &run.config;
    let bars = (data.bar_minutes, data.calendar, data.extended_hours, data.clean);
    let settings = serde_json::to_vec(&(stocks, features, env, network, learner, portfolio, bars))?;
    let path = args.model.join(MODEL_FILE);
    let model = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(sha256_hex(format!("{} {}", sha256_hex(&model), sha256_hex(&settings)).as_bytes()))
}

/// Where bars come from.
enum Source {
    Lines,
    Bars { source: DataSource, name: String, cache: PathBuf },
}

impl Source {
    fn open(args: &TradeArgs, config: &RunConfig, global: &GlobalArgs) -> Result<Source> {
        if args.is_stdin() {
            return Ok(Source::Lines);
        }
        let name = source::resolve(config.data.source.as_deref());
        let source = source::open(&name, &config.data.container)?;
        let cache = source::cache_folder(global.cache.as_deref());
        Ok(Source::Bars { source, name, cache })
    }

    /// What a reader must know before believing a figure.
    fn notices(&self, config: &RunConfig) -> Vec<String> {
        let here = Machine::detect(&LocalComm.library());
        let mut notices = Vec::new();
        notices.extend(warning("The run of this model", config.machine.as_ref(), &here));
        if let Source::Bars { name, .. } = self
            && name.starts_with(SYNTHETIC)
        {
            notices.push(format!(
                "These are the MADE-UP prices of {name}; name your own with --data."
            ));
        }
        notices
    }

    /// The last day with bars, up to `until`; None for lines. Made-up bars have no last day: an account
    /// of them begins with the evaluation of the run.
    ///
    /// Errors: there is none, or the store cannot be listed.
    fn last_day(&self, config: &RunConfig, until: Option<NaiveDate>) -> Result<Option<NaiveDate>> {
        let store: &Arc<dyn Store> = match self {
            Source::Lines => return Ok(None),
            Source::Bars { source: DataSource::Synthetic(_), .. } => {
                return Ok(Some(config.eval_start.min(until.unwrap_or(config.eval_end))));
            }
            Source::Bars { source: DataSource::Store(store), .. } => store,
        };
        let always = Period { start: NaiveDate::MIN, end: until.unwrap_or(NaiveDate::MAX) };
        let last = |symbol: &Symbol| Ok(store.list(symbol, &always)?.last().map(|file| file.date));
        let days: Result<Vec<Option<NaiveDate>>> = config.stocks.iter().map(last).collect();
        let last = days?.into_iter().flatten().max();
        last.map(Some).ok_or_else(|| {
            anyhow!("{}: no day files of the model's stocks; check --data", store.place())
        })
    }

    fn feed(
        self,
        args: &TradeArgs,
        config: &RunConfig,
        start: Option<NaiveDate>,
        kept: Option<&Kept>,
    ) -> Result<Box<dyn Feed>> {
        let minutes = config.data.bar_minutes.context("config.toml has no data.bar_minutes")?;
        let Source::Bars { source, name, cache } = self else {
            let input = BufReader::new(std::io::stdin());
            return Ok(Box::new(LineFeed::new(input, config, minutes)));
        };
        let data = RunData { source: &source, cache: &cache };
        let options = data_plan(&LocalComm, config, data).options;
        let asked = Asked {
            stocks: &config.stocks,
            options,
            warmup: Warmup::new(&config.features, config.portfolio.risk_sessions, minutes),
            start: start.context("a store has a last day")?,
            until: args.until,
        };
        Ok(match &source {
            DataSource::Synthetic(_) => {
                let end = args.until.unwrap_or(config.eval_end);
                if asked.start > end {
                    bail!(
                        "--start {} is after the last day of {name}, which is {end} without a later \
                         --until; choose an earlier day, or give a later --until",
                        asked.start
                    );
                }
                Box::new(MadeUpFeed::new(&source, &asked, end)?)
            }
            DataSource::Store(store) => {
                let wait = Duration::from_secs(args.wait);
                Box::new(StoreFeed::new(store.clone(), asked, kept, args.once, wait))
            }
        })
    }
}
