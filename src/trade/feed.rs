//! New bars: from a store that is watched, or from lines.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use chrono::{Days, NaiveDate, Utc};

use super::journal::Kept;
use super::line_check::LineCheck;
use super::rows::NewBar;
use crate::config::RunConfig;
use crate::errors::message;
use crate::ingest::bar_line::{BarLine, StockBar, next_line};
use crate::market::calendar::market_date;
use crate::market::clean::{Convention, SeriesTail};
use crate::market::load::load_tail;
use crate::market::options::{LabelOrigin, LoadOptions, LoadReport};
use crate::market::store::{DayFile, Store};
use crate::market::{Bar, BarSeries, MarketError, Period, Symbol};
use crate::source::{DataSource, load_bars};
use crate::train::warmup::Warmup;

/// Calendar days before the last bar whose files are watched for more bars, and for corrections.
const WATCHED_DAYS: u64 = 7;
/// Where a reader finds how lines are written.
const PAGE: &str = "docs/trade.md";
/// Lines that wait to be decided.
const LINES_AHEAD: usize = 64;
/// A file that cannot be read may be half written; after so long it is an error.
const HALF_WRITTEN: Duration = Duration::from_secs(60);

/// What came since the last call.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bars: Vec<NewBar>,
    /// Nothing more will come.
    pub(crate) is_over: bool,
}

/// A source of new bars.
pub(crate) trait Feed {
    /// Bars that are new, or that were changed lately; waits for them no longer than `patience`.
    ///
    /// Errors: the source cannot be read.
    fn next(&mut self, patience: Duration) -> Result<Batch>;

    /// What was found while reading what there was first, in the order of the stocks; empty for
    /// lines.
    fn reports(&self) -> Vec<&LoadReport> {
        Vec::new()
    }
}

/// The bars that an account sees before and after its first day.
pub(crate) struct Asked<'a> {
    pub(crate) stocks: &'a [Symbol],
    pub(crate) options: LoadOptions,
    pub(crate) warmup: Warmup,
    /// First day of the account.
    pub(crate) start: NaiveDate,
    /// Last day, where one is given.
    pub(crate) until: Option<NaiveDate>,
}

/// Day files that grow.
pub(crate) struct StoreFeed {
    stocks: Vec<WatchedStock>,
    watch: Watch,
    /// Not handed on yet.
    bars: Vec<NewBar>,
    /// By stock.
    reports: BTreeMap<usize, LoadReport>,
}

/// What is watched of every stock.
struct Watch {
    store: Arc<dyn Store>,
    warmup: Warmup,
    start: NaiveDate,
    until: NaiveDate,
    /// Nothing is waited for: what is there is taken as whole.
    once: bool,
    /// How long a bar made of several is waited for after its last row.
    wait: Duration,
}

struct WatchedStock {
    symbol: Symbol,
    options: LoadOptions,
    /// Its files were looked at.
    is_known: bool,
    /// How its files are read; None before they were read first.
    convention: Option<Convention>,
    /// The files of the watched days, as they were listed when they were read.
    files: Vec<DayFile>,
    changed: Instant,
    /// End of its last whole bar, UTC seconds.
    last_s: Option<i64>,
    /// A bar was held back as not whole.
    holds: Option<Hold>,
    /// Since when its files cannot be read.
    unreadable: Option<Instant>,
}

impl Watch {
    /// How long a file must not have changed before what it lacks counts as not there: less than
    /// other stocks are waited for, so that the bar comes before its time is decided.
    fn stillness(&self) -> Duration {
        self.wait / 2
    }

    /// The last day that the store has of a stock.
    fn last_day(&self, symbol: &Symbol) -> Result<Option<NaiveDate>, MarketError> {
        let always = Period { start: NaiveDate::MIN, end: NaiveDate::MAX };
        Ok(self.store.list(symbol, &always)?.last().map(|file| file.date))
    }
}

/// Why the last bar of a file is not taken yet.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// Its last minutes are not there; they may come while the file changes.
    UntilStill,
    /// It ends at this time, UTC seconds.
    UntilEnd(i64),
}

impl StoreFeed {
    /// `kept`: what a journal has, where there is one: what lies well before its last row is not read
    /// again, and files are read as they were. `once`: what is there is all that is waited for.
    pub(crate) fn new(
        store: Arc<dyn Store>,
        asked: Asked<'_>,
        kept: Option<&Kept>,
        once: bool,
        wait: Duration,
    ) -> StoreFeed {
        let last_s = kept.and_then(|kept| kept.rows.last()).map(|row| row.end_s);
        let label = |stock: usize| kept.and_then(|kept| kept.opening.labels.get(stock)).copied();
        let watched = |(stock, symbol): (usize, &Symbol)| WatchedStock {
            symbol: symbol.clone(),
            options: match label(stock) {
                Some(bar_label) => LoadOptions {
                    bar_label,
                    label_origin: LabelOrigin::Journal,
                    ..asked.options.clone()
                },
                None => asked.options.clone(),
            },
            is_known: false,
            convention: None,
            files: Vec::new(),
            changed: Instant::now(),
            last_s,
            holds: None,
            unreadable: None,
        };
        let (warmup, start) = (asked.warmup, asked.start);
        let until = asked.until.unwrap_or(LAST_DAY);
        StoreFeed {
            stocks: asked.stocks.iter().enumerate().map(watched).collect(),
            watch: Watch { store, warmup, start, until, once, wait },
            bars: Vec::new(),
            reports: BTreeMap::new(),
        }
    }

    /// What is new of each stock.
    fn poll(&mut self) -> Vec<Result<Polled, MarketError>> {
        let watch = &self.watch;
        let per_thread = self.stocks.len().div_ceil(LOOKS_AT_ONCE);
        thread::scope(|scope| {
            let parts = self.stocks.chunks_mut(per_thread);
            let look = |stocks: &mut [WatchedStock]| -> Vec<_> {
                stocks.iter_mut().map(|stock| stock.poll(watch)).collect()
            };
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || look(part))).collect();
            let joined = threads.into_iter().flat_map(|thread| thread.join().expect("no panic"));
            joined.collect()
        })
    }
}

/// What is new of one stock; nothing if its files are as they were.
#[derive(Default)]
struct Polled {
    series: Option<BarSeries>,
    /// Where its files were read first.
    report: Option<LoadReport>,
}

impl WatchedStock {
    fn poll(&mut self, watch: &Watch) -> Result<Polled, MarketError> {
        let is_first = !self.is_known;
        let watched_from = |last_s| market_date(last_s).checked_sub_days(Days::new(WATCHED_DAYS));
        let from = self.last_s.and_then(watched_from);
        let start = from.unwrap_or_else(|| watch.warmup.first_day(watch.start));
        let period = Period { start, end: watch.until };
        let files = watch.store.list(&self.symbol, &period)?;
        let is_same = files == self.files;
        let is_still = is_same && self.changed.elapsed() >= watch.stillness();
        let is_due = match self.holds {
            Some(Hold::UntilStill) => is_still,
            Some(Hold::UntilEnd(end_s)) => now_s() >= end_s,
            None => false,
        };
        if is_same && !is_first && !is_due {
            return Ok(Polled::default());
        }
        if files.is_empty() && !self.files.is_empty() {
            return Err(MarketError::NoData {
                symbol: self.symbol.to_string(),
                what: format!("its day files from {} on are gone", period.start),
                hint: "put them back; the same command goes on with the account".into(),
            });
        }
        if files.is_empty()
            && from.is_none()
            && let Some(last) = watch.last_day(&self.symbol)?.filter(|last| *last < start)
        {
            return Err(MarketError::NoData {
                symbol: self.symbol.to_string(),
                what: format!(
                    "the last day that {} has of it is {last}, but an account that begins on {} needs \
                     bars from {start} on",
                    watch.store.place(),
                    watch.start
                ),
                hint: "choose an earlier --start".into(),
            });
        }
        if files.is_empty() && from.is_some() {
            // A stock that has ended.
            self.is_known = true;
            return Ok(Polled::default());
        }
        if !is_same {
            self.changed = Instant::now();
        }
        let known = self.convention.clone();
        let tail = load_tail(&watch.store, &self.symbol, &period, &self.options, known)?;
        let SeriesTail { mut series, report, convention, known_until_s } = tail;
        self.files = files;
        self.convention = Some(convention);
        self.is_known = true;
        self.holds = series.end_s.last().and_then(|&end_s| {
            // Further in the future are bars that are made up.
            let is_forming = (1..=86_400).contains(&(end_s - now_s()));
            let lacks_minutes = end_s > known_until_s && !is_still && !watch.once;
            match is_forming {
                true => Some(Hold::UntilEnd(end_s)),
                false => lacks_minutes.then_some(Hold::UntilStill),
            }
        });
        if self.holds.is_some() {
            series = without_last(series);
        }
        if from.is_none() {
            watch.warmup.keep(&mut series, watch.start);
        }
        self.last_s = series.end_s.last().copied().or(self.last_s);
        Ok(Polled { series: Some(series), report: is_first.then_some(report) })
    }
}

/// Far enough for every store.
const LAST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2_199, 12, 31).expect("a day");
/// Stocks whose files are listed and read side by side.
const LOOKS_AT_ONCE: usize = 16;
/// How often a local store is looked at; a remote one less often.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_REMOTE: Duration = Duration::from_secs(2);

impl Feed for StoreFeed {
    fn next(&mut self, patience: Duration) -> Result<Batch> {
        let until = Instant::now() + patience;
        loop {
            for (stock, polled) in self.poll().into_iter().enumerate() {
                let watched = &mut self.stocks[stock];
                match polled {
                    Ok(Polled { series, report }) => {
                        watched.unreadable = None;
                        self.bars.extend(series.iter().flat_map(|series| new_bars(stock, series)));
                        self.reports.extend(report.map(|report| (stock, report)));
                    }
                    Err(error) => {
                        let since = watched.unreadable.get_or_insert_with(Instant::now);
                        let may_be_written = matches!(error, MarketError::File { .. });
                        let may_be_written = may_be_written || watched.is_known;
                        if self.watch.once || !may_be_written || since.elapsed() >= HALF_WRITTEN {
                            return Err(error.into());
                        }
                    }
                }
            }
            let is_over = self.watch.once;
            let now = Instant::now();
            // Nothing is decided before the bars of all stocks were read once.
            let are_known = self.stocks.iter().all(|stock| stock.is_known);
            if are_known && self.stocks.iter().all(|stock| stock.files.is_empty()) {
                // The last bars of an account that goes on came from there.
                bail!(
                    "{}: no day files of the model's stocks; check --data",
                    self.watch.store.place()
                );
            }
            if are_known && (!self.bars.is_empty() || is_over) {
                return Ok(Batch { bars: std::mem::take(&mut self.bars), is_over });
            }
            if now >= until {
                return Ok(Batch::default());
            }
            let look = if self.watch.store.is_remote() { LOOK_REMOTE } else { LOOK };
            thread::sleep(look.min(until - now));
        }
    }

    fn reports(&self) -> Vec<&LoadReport> {
        self.reports.values().collect()
    }
}

/// Made-up bars, all at once.
pub(crate) struct MadeUpFeed {
    bars: Vec<NewBar>,
    reports: Vec<LoadReport>,
}

impl MadeUpFeed {
    /// The bars of a synthetic market until `end`.
    pub(crate) fn new(
        source: &DataSource,
        asked: &Asked<'_>,
        end: NaiveDate,
    ) -> Result<MadeUpFeed> {
        let start = asked.warmup.first_day(asked.start);
        let period = Period { start, end };
        let (mut bars, mut reports) = (Vec::new(), Vec::new());
        for (stock, symbol) in asked.stocks.iter().enumerate() {
            let (stocks, options) = (asked.stocks, &asked.options);
            let (mut series, report) =
                load_bars(source, stocks, symbol, &period, options, &mut |_| {})?;
            asked.warmup.keep(&mut series, asked.start);
            bars.extend(new_bars(stock, &series));
            reports.push(report);
        }
        Ok(MadeUpFeed { bars, reports })
    }
}

impl Feed for MadeUpFeed {
    fn next(&mut self, _patience: Duration) -> Result<Batch> {
        let bars = std::mem::take(&mut self.bars);
        Ok(Batch { bars, is_over: true })
    }

    fn reports(&self) -> Vec<&LoadReport> {
        self.reports.iter().collect()
    }
}

/// Lines of JSON, as [`BarLine`] reads them.
pub(crate) struct LineFeed {
    lines: Receiver<Result<Vec<NewBar>>>,
    /// A line that was taken but not handed on.
    ahead: Option<Result<Vec<NewBar>>>,
}

impl LineFeed {
    /// Reads `input` in a thread of its own: bars of `minutes`, as the run of `config` has them.
    pub(crate) fn new(
        input: impl BufRead + Send + 'static,
        config: &RunConfig,
        minutes: u32,
    ) -> LineFeed {
        let (sender, lines) = sync_channel(LINES_AHEAD);
        let (stocks, columns) = (config.stocks.clone(), config.features.columns.clone());
        let mut check = LineCheck::new(config, minutes);
        thread::spawn(move || {
            let (mut input, mut number) = (input, 0);
            loop {
                let line = next_line(&mut input, &mut number);
                let bars = match line {
                    Ok(None) => return,
                    Ok(Some(line)) => bars_of(&line, &stocks, &columns, &mut check),
                    Err(error) => Err(error.into()),
                };
                let bars = bars.map_err(|e| anyhow!("line {number}: {}", message(&e)));
                let is_wrong = bars.is_err();
                // Nobody listens any more once an error has ended the command.
                if sender.send(bars).is_err() || is_wrong {
                    return;
                }
            }
        });
        LineFeed { lines, ahead: None }
    }
}

impl Feed for LineFeed {
    /// The lines that are there, and no more than one if it is waited for.
    fn next(&mut self, patience: Duration) -> Result<Batch> {
        let mut batch = Batch::default();
        match self.lines.recv_timeout(patience) {
            Ok(bars) => batch.bars = bars?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => batch.is_over = true,
        }
        while let Some(bars) = self.ahead.take().or_else(|| self.lines.try_recv().ok()) {
            match bars {
                Ok(bars) => batch.bars.extend(bars),
                // What came before it is decided first.
                Err(error) if batch.bars.is_empty() => return Err(error),
                Err(error) => {
                    self.ahead = Some(Err(error));
                    break;
                }
            }
        }
        Ok(batch)
    }
}

fn bars_of(
    line: &str,
    stocks: &[Symbol],
    columns: &[String],
    check: &mut LineCheck,
) -> Result<Vec<NewBar>> {
    let line = BarLine::parse_by(line, PAGE)?;
    let mut bar = |of: &StockBar| -> Result<NewBar> {
        let stock = stocks.iter().position(|known| *known == of.symbol);
        let stock = stock.with_context(|| {
            format!("{} is not among the model's stocks; leave it out", of.symbol)
        })?;
        let end_s = check.check(stock, &of.symbol, of.bar.end_s)?;
        Ok(NewBar { stock, bar: Bar { end_s, ..of.bar }, extras: of.extras(columns)? })
    };
    line.bars.iter().map(&mut bar).collect()
}

fn new_bars(stock: usize, series: &BarSeries) -> impl Iterator<Item = NewBar> {
    (0..series.len()).map(move |i| NewBar {
        stock,
        bar: series.bar(i),
        extras: series.extra(i).to_vec(),
    })
}

fn without_last(series: BarSeries) -> BarSeries {
    let (mut shorter, last) = (BarSeries::new(series.symbol.clone()), series.len() - 1);
    shorter = shorter.with_columns(&series.columns);
    (0..last).for_each(|i| shorter.push_with(series.bar(i), series.extra(i)));
    shorter
}

fn now_s() -> i64 {
    Utc::now().timestamp()
}
