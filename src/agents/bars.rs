//! The bars of a run: loaded once, stored as a panel file, and mapped into memory by every agent's
//! process, so that all share the same pages. An agent accesses them through a [`MarketView`].

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::{NaiveDate, NaiveTime, TimeDelta};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{AgentsConfig, SessionLength};
use super::step_time::StepTime;
use crate::market::calendar::{Calendar, MarketClock, market};
use crate::market::judge::presence;
use crate::market::options::{BarLabel, LabelOrigin, OutlierRule};
use crate::market::options::{LoadOptions, LoadReport, doubts};
use crate::market::panel::{Grid, MarketView, NO_BAR, Panel, PanelData, align};
use crate::market::{Bar, BarSeries, MarketData, Period, Symbol};
use crate::source::{self, DataSource, fingerprint, load_bars};
use crate::train::loading::common_bar_minutes;
use crate::train::panel_cache::{prune, readable};

/// Part of every file's name; to be raised when the same bars would produce a different file.
const VERSION: u32 = 2;
const HOUR_S: i64 = 3_600;

/// Metadata in the panel file.
#[derive(Serialize, Deserialize)]
struct AgentBarsNote {
    /// Full name.
    source: String,
    bar_minutes: u32,
    reports: Vec<LoadReport>,
}

/// The location of a run's bars, for use by other processes.
#[derive(Serialize, Deserialize)]
pub(crate) struct PreparedBars {
    pub(crate) path: PathBuf,
    /// Full name of the source.
    pub(crate) source: String,
    /// Findings in the data, from now or from when the file was written.
    pub(crate) reports: Vec<LoadReport>,
}

/// All bars of a run, up to its last day.
pub(crate) struct AgentBars {
    panel: Panel,
    source: String,
    bar_minutes: u32,
    doubts: Vec<String>,
}

/// Consecutive rows with the same date in the position file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TradingStep {
    pub(crate) stamp: StepTime,
    pub(crate) rows: Range<usize>,
}

/// When a row starts, as the position file says it.
struct RowStamp {
    start: StepTime,
    /// As if the last bar of a day were of full length. So it stands in files of earlier versions,
    /// which must go on.
    full: StepTime,
}

/// Options for loading the data of a run.
pub(crate) fn load_options(config: &AgentsConfig, cache: &Path) -> LoadOptions {
    LoadOptions {
        bar_minutes: config.bar_minutes,
        bar_label: BarLabel::Auto,
        label_origin: LabelOrigin::default(),
        calendar: config.calendar,
        extended_hours: false,
        strict: false,
        clean: OutlierRule::Off,
        columns: Vec::new(),
        cache_dir: Some(cache.to_path_buf()),
    }
}

/// Loads the bars, or finds them in the cache. `on_days` receives each stock's progress.
pub(crate) fn prepare(
    config: &AgentsConfig,
    cache: &Path,
    on_days: &(dyn Fn(&Symbol, usize, usize) + Sync),
) -> Result<PreparedBars> {
    let name = source::resolve(config.data.as_deref());
    if name.starts_with(source::SYNTHETIC) && config.calendar == Calendar::Always {
        bail!(
            "calendar: is always, but the made-up prices of `data` are those of New York; name \
             yours in `data`, a folder or azure, or leave `calendar` out"
        );
    }
    let source = source::open(&name, &config.container)?;
    let options = load_options(config, cache);
    let path = path(config, &source, &options, cache)?;
    if !readable(&path) {
        let one = |symbol: &Symbol| {
            load_bars(&source, &config.stocks, symbol, &config.period(), &options, &mut |at| {
                on_days(symbol, at.days_done, at.days_total);
            })
        };
        let loaded = config.stocks.par_iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let (series, mut reports): (Vec<_>, Vec<_>) = loaded.into_iter().unzip();
        let bar_minutes = common_bar_minutes(&reports)?;
        let traded = Period { start: config.first_day, end: config.end.date };
        for (one, report) in series.iter().zip(&mut reports) {
            report.doubt(&presence(one, &traded, config.calendar));
        }
        let note = AgentBarsNote { source: name.clone(), bar_minutes, reports };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: choose another with --cache", folder.display()))?;
        Panel::write(&path, &panel_data(&series, serde_json::to_string(&note)?))?;
        prune(folder, &path);
    }
    let note = note_of(&Panel::open_verified(&path)?, &path)?;
    Ok(PreparedBars { path, source: name, reports: note.reports })
}

/// The path contains a hash of everything that the bars depend on.
fn path(
    config: &AgentsConfig,
    source: &DataSource,
    options: &LoadOptions,
    cache: &Path,
) -> Result<PathBuf> {
    let mut hasher = Sha256::new();
    hasher.update(format!("agents {VERSION} {:?}", config.stocks));
    for symbol in &config.stocks {
        hasher.update(fingerprint(source, symbol, &config.period(), options)?);
    }
    let name: String =
        hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache.join("panels").join(format!("bars-{name}.arrow")))
}

fn note_of(panel: &Panel, path: &Path) -> Result<AgentBarsNote> {
    let foreign = || format!("{}: delete this file", path.display());
    serde_json::from_str(panel.note()).with_context(foreign)
}

/// The series as a panel without features: a panel has at least one, so there is one of zeros.
fn panel_data(series: &[BarSeries], note: String) -> PanelData {
    let Grid { end_s, bar_index } = align(series);
    let cells = end_s.len() * series.len();
    let column = || Vec::with_capacity(cells);
    let mut data = PanelData {
        stocks: series.iter().map(|one| one.symbol.clone()).collect(),
        feature_names: vec!["none".into()],
        open: column(),
        high: column(),
        low: column(),
        close: column(),
        volume: column(),
        tradable: Vec::with_capacity(cells),
        features: vec![0.0; cells],
        note,
        end_s,
    };
    let mut last = vec![f64::NAN; series.len()];
    for t in 0..data.end_s.len() {
        for (stock, one) in series.iter().enumerate() {
            let index = bar_index[stock][t];
            let has_bar = index != NO_BAR;
            if has_bar {
                last[stock] = one.close[index as usize];
            }
            let close = last[stock];
            let none = Bar { end_s: 0, open: close, high: close, low: close, close, volume: 0.0 };
            let bar = if has_bar { one.bar(index as usize) } else { none };
            data.open.push(bar.open);
            data.high.push(bar.high);
            data.low.push(bar.low);
            data.close.push(bar.close);
            data.volume.push(bar.volume);
            data.tradable.push(has_bar);
        }
    }
    data
}

impl AgentBars {
    /// Those that [`prepare`] wrote or found, and verified.
    pub(crate) fn open(path: &Path) -> Result<AgentBars> {
        let panel = Panel::open_verified(path)?;
        let note = note_of(&panel, path)?;
        let doubts = doubts(&note.reports);
        Ok(AgentBars { panel, source: note.source, bar_minutes: note.bar_minutes, doubts })
    }

    pub(crate) fn stocks(&self) -> &[Symbol] {
        self.panel.stocks()
    }

    pub(crate) fn rows(&self) -> usize {
        self.panel.rows()
    }

    pub(crate) fn bar_minutes(&self) -> u32 {
        self.bar_minutes
    }

    /// A warning about made-up prices.
    pub(crate) fn notices(&self) -> Vec<String> {
        let source = Some(&self.source).filter(|name| name.starts_with(source::SYNTHETIC));
        let made_up = |source: &String| {
            format!("These are the MADE-UP prices of {source}; name your own in `data`.")
        };
        source.map(made_up).into_iter().chain(self.doubts.iter().cloned()).collect()
    }

    /// The market up to and including row `t`.
    pub(crate) fn view(&self, t: usize) -> MarketView<'_> {
        self.panel.view(t)
    }

    /// The steps after `last`, up to and including `end`, in time order.
    pub(crate) fn steps(
        &self,
        sessions: SessionLength,
        last: &StepTime,
        end: &StepTime,
    ) -> Vec<TradingStep> {
        self.steps_until(sessions, last, end, |row| row.start)
    }

    /// Those of a position file whose first and last dates are `first` and `last`.
    pub(crate) fn recorded_steps(
        &self,
        sessions: SessionLength,
        first: &StepTime,
        last: &StepTime,
    ) -> Vec<TradingStep> {
        self.steps_until(sessions, first, last, |row| row.full)
    }

    /// `compared`: what of a row is compared with `end`.
    fn steps_until(
        &self,
        sessions: SessionLength,
        last: &StepTime,
        end: &StepTime,
        compared: impl Fn(&RowStamp) -> StepTime,
    ) -> Vec<TradingStep> {
        let mut steps: Vec<TradingStep> = Vec::new();
        let mut clock = MarketClock::new();
        let by_day = sessions == SessionLength::Day;
        let is_after = |stamp: &StepTime, other: &StepTime| match by_day {
            true => stamp.date > other.date,
            false => stamp.last_moment() > other.last_moment(),
        };
        for t in 0..self.rows() {
            let row = self.stamp(t, sessions, &mut clock);
            if is_after(&compared(&row), end) {
                break;
            }
            let stamp = row.start;
            match steps.last_mut() {
                Some(step) if step.stamp == stamp => step.rows.end = t + 1,
                _ if !is_after(&row.full, last) => {}
                _ => steps.push(TradingStep { stamp, rows: t..t + 1 }),
            }
        }
        steps
    }

    /// The date of a row in the position file: its day, the start of its hour, or that of its bar.
    fn stamp(&self, t: usize, sessions: SessionLength, clock: &mut MarketClock) -> RowStamp {
        let end_s = self.view(t).end_s();
        // A bar that ends at midnight belongs to the previous day.
        let (date, _) = clock.at(end_s - 1);
        if sessions == SessionLength::Day {
            let day = StepTime::from_date(date);
            return RowStamp { start: day, full: day };
        }
        let joins_bars = sessions == SessionLength::Hour && self.bar_minutes < 60;
        let session = market().usual_session(date);
        let mut start_s = end_s - i64::from(self.bar_minutes) * 60;
        let (_, tod_s) = clock.at(start_s);
        if joins_bars {
            start_s -= tod_s.rem_euclid(HOUR_S);
        }
        // The first bar or hour of a day may nominally start before the session opens.
        let start_s = if end_s > session.open_s { start_s.max(session.open_s) } else { start_s };
        let mut at = |start_s: i64| {
            let (date, tod_s) = clock.at(start_s);
            StepTime::from_datetime(date.and_time(NaiveTime::MIN) + TimeDelta::seconds(tod_s))
        };
        let full = at(start_s);
        // The last bar of a day may be shorter: it starts where the one before ends.
        let before_s = t.checked_sub(1).map(|before| self.view(before).end_s());
        let is_last = end_s == session.close_s && !joins_bars;
        match before_s.filter(|&before_s| is_last && before_s > start_s) {
            Some(before_s) => RowStamp { start: at(before_s), full },
            None => RowStamp { start: full, full },
        }
    }

    /// The first row of `date` or later; the number of rows if there is none.
    pub(crate) fn first_row(&self, date: NaiveDate) -> usize {
        let mut clock = MarketClock::new();
        let is_there = |&t: &usize| clock.at(self.view(t).end_s() - 1).0 >= date;
        (0..self.rows()).find(is_there).unwrap_or(self.rows())
    }

    /// The rows from `first` on as series, for computations over whole series.
    pub(crate) fn market_data(&self, first: usize) -> Result<MarketData> {
        let stocks = self.stocks();
        let mut series: Vec<BarSeries> =
            stocks.iter().map(|symbol| BarSeries::new(symbol.clone())).collect();
        for t in first..self.rows() {
            let view = self.view(t);
            for (stock, one) in series.iter_mut().enumerate() {
                let bar = view.bar(stock);
                if bar.tradable {
                    one.push(Bar {
                        end_s: view.end_s(),
                        open: bar.open,
                        high: bar.high,
                        low: bar.low,
                        close: bar.close,
                        volume: bar.volume,
                    });
                }
            }
        }
        Ok(MarketData::new(series)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two stocks, sessions from 2020-01-02 on, three bars of 130 minutes each, with these closes.
    /// An open is the previous close; NaN means no bar.
    pub(crate) fn bars(closes: &[[f64; 2]]) -> AgentBars {
        let period = "2020-01-02".parse::<NaiveDate>().unwrap().iter_days();
        let sessions = period.filter_map(crate::market::calendar::session);
        let ends = sessions.flat_map(|one| (1..=3).map(move |i| one.open_s + i * 7_800));
        let mut series = ["AAA", "BBB"].map(|name| BarSeries::new(name.parse().unwrap()));
        let mut before = [100.0_f64, 50.0];
        for (end_s, row) in ends.zip(closes) {
            for ((one, &close), open) in series.iter_mut().zip(row).zip(&mut before) {
                if !close.is_nan() {
                    let (high, low) = (open.max(close), open.min(close));
                    one.push(Bar { end_s, open: *open, high, low, close, volume: 1.0 });
                    *open = close;
                }
            }
        }
        written(&series, 130)
    }

    fn written(series: &[BarSeries], bar_minutes: u32) -> AgentBars {
        let note = AgentBarsNote { source: "here".into(), bar_minutes, reports: Vec::new() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.arrow");
        Panel::write(&path, &panel_data(series, serde_json::to_string(&note).unwrap())).unwrap();
        AgentBars::open(&path).unwrap()
    }

    #[test]
    fn steps_are_days_or_bars_after_the_last_one() {
        let bars = bars(&[[101.0, 51.0]; 12]);
        let stamp = |text: &str| text.parse::<StepTime>().unwrap();
        let days = bars.steps(SessionLength::Day, &stamp("2020-01-02"), &stamp("2020-01-06"));
        let dates: Vec<String> = days.iter().map(|step| step.stamp.to_string()).collect();
        assert_eq!(dates, ["2020-01-03", "2020-01-06"]);
        assert_eq!([days[0].rows.clone(), days[1].rows.clone()], [3..6, 6..9]);
        let from = stamp("2020-01-02 09:30:00");
        let by_bar = bars.steps(SessionLength::Bar, &from, &stamp("2020-01-03 11:40:00"));
        let dates: Vec<String> = by_bar.iter().map(|step| step.stamp.to_string()).collect();
        let afternoon = ["2020-01-02 11:40:00", "2020-01-02 13:50:00"];
        assert_eq!(dates[..2], afternoon);
        assert_eq!(dates[2..], ["2020-01-03 09:30:00", "2020-01-03 11:40:00"]);
        // After a complete day, and after part of a day.
        let after_day = bars.steps(SessionLength::Bar, &stamp("2020-01-02"), &stamp("2020-01-03"));
        assert_eq!(after_day.len(), 3);
        let after_part =
            bars.steps(SessionLength::Day, &stamp("2020-01-02 11:40:00"), &stamp("2020-01-03"));
        assert_eq!(after_part.len(), 1);
        let none = bars.steps(SessionLength::Day, &stamp("2020-01-03"), &stamp("2020-01-03"));
        assert_eq!(none, []);
        // Bars longer than an hour are sessions of their own.
        let by_hour = bars.steps(SessionLength::Hour, &from, &stamp("2020-01-03 11:40:00"));
        assert_eq!(by_hour, by_bar);
    }

    /// Half-hour bars from 9:30: the first is a session of its own, then two make an hour.
    #[test]
    fn hours_join_bars() {
        let open_s =
            crate::market::calendar::session("2020-01-02".parse().unwrap()).unwrap().open_s;
        let mut one = BarSeries::new("AAA".parse().unwrap());
        // The bar of 10:00 is missing.
        for i in [1, 3, 4, 5, 13] {
            let (open, high, low, close) = (100.0, 100.0, 100.0, 100.0);
            one.push(Bar { end_s: open_s + i * 1_800, open, high, low, close, volume: 1.0 });
        }
        let bars = written(&[one], 30);
        let stamp = |text: &str| text.parse::<StepTime>().unwrap();
        let told = |last: &str, end: &str| -> Vec<String> {
            let steps = bars.steps(SessionLength::Hour, &stamp(last), &stamp(end));
            let one =
                |step: &TradingStep| format!("{} {:?}", &step.stamp.to_string()[11..16], step.rows);
            steps.iter().map(one).collect()
        };
        let all = ["09:30 0..1", "10:00 1..2", "11:00 2..4", "15:00 4..5"];
        assert_eq!(told("2020-01-01", "2020-01-02"), all);
        // An hour is whole, wherever the period ends.
        assert_eq!(told("2020-01-02 10:00:00", "2020-01-02 11:10:00"), ["11:00 2..4"]);
        assert_eq!(told("2020-01-02 11:00:00", "2020-01-02"), ["15:00 4..5"]);
    }

    /// Hours from 9:30: the last bar is half an hour, and dated by its own start.
    #[test]
    fn the_last_bar_of_a_day_may_be_shorter() {
        let date = "2020-01-02".parse().unwrap();
        let session = crate::market::calendar::session(date).unwrap();
        let mut one = BarSeries::new("AAA".parse().unwrap());
        let ends = (1..=6).map(|i| session.open_s + i * HOUR_S).chain([session.close_s]);
        for end_s in ends {
            let (open, high, low, close) = (100.0, 100.0, 100.0, 100.0);
            one.push(Bar { end_s, open, high, low, close, volume: 1.0 });
        }
        let bars = written(&[one], 60);
        let stamp = |text: &str| format!("2020-01-02 {text}").parse::<StepTime>().unwrap();
        for sessions in [SessionLength::Hour, SessionLength::Bar] {
            let times = |steps: Vec<TradingStep>| -> Vec<String> {
                steps.iter().map(|step| step.stamp.to_string()[11..16].to_string()).collect()
            };
            let told = |last, end| times(bars.steps(sessions, &stamp(last), &stamp(end)));
            assert_eq!(told("12:30:00", "16:00:00"), ["13:30", "14:30", "15:30"]);
            assert_eq!(told("13:30:00", "15:00:00"), ["14:30"]);
            assert_eq!(told("15:30:00", "16:00:00"), [""; 0]);
            // Earlier versions dated it 15:00: it is not traded again, and belongs to that date.
            assert_eq!(told("15:00:00", "16:00:00"), [""; 0]);
            let recorded =
                |last| times(bars.recorded_steps(sessions, &stamp("13:30:00"), &stamp(last)));
            assert_eq!(recorded("15:00:00"), ["14:30", "15:30"]);
            assert_eq!(recorded("15:30:00"), ["14:30", "15:30"]);
            assert_eq!(recorded("14:30:00"), ["14:30"]);
        }
    }

    #[test]
    fn a_panel_converts_to_the_series_and_back() {
        let none = f64::NAN;
        let bars = bars(&[[101.0, none], [none, 52.0], [103.0, 53.0]]);
        assert!(bars.view(0).bar(1).close.is_nan() && !bars.view(0).bar(1).tradable);
        let carried = bars.view(1).bar(0);
        assert_eq!((carried.open, carried.close, carried.tradable), (101.0, 101.0, false));
        let data = bars.market_data(0).unwrap();
        assert_eq!(data.series(0).close, [101.0, 103.0]);
        assert_eq!(data.series(1).open, [50.0, 52.0]);
        assert_eq!((data.rows(), bars.bar_minutes()), (3, 130));
        let later = bars.market_data(1).unwrap();
        assert_eq!((later.rows(), &later.series(0).close[..]), (2, &[103.0][..]));
        let row = |day: &str| bars.first_row(day.parse().unwrap());
        assert_eq!([row("2019-12-31"), row("2020-01-02"), row("2020-01-03")], [0, 0, 3]);
    }
}
