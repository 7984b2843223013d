//! `metrics.jsonl`: one JSON object per line, as `pandas.read_json(path, lines=True)` reads it.
//! Most tell of an interval of training; those with an `event` tell of the market.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::folder::{ReportError, ResultsFolder};
use crate::features::relations::opportunity::Opportunity;
use crate::market::Symbol;
use crate::market::calendar::iso_utc;
use crate::train::callbacks::PushStats;

/// What is known at the end of an interval of training. The fields stand in the file in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetricsLine {
    /// From 1.
    pub(crate) episode: u32,
    /// Bars stepped, summed over lanes and stocks, since the run began.
    pub(crate) env_steps: u64,
    pub(crate) gradient_steps: u64,
    /// Over this interval.
    pub(crate) env_steps_per_s: f64,
    /// Mean over this interval's gradient steps; None where there was none.
    pub(crate) loss: Option<f64>,
    /// Mean Q-value of the sampled transitions' actions; None where nothing was sampled.
    pub(crate) mean_q: Option<f64>,
    /// Mean over the actors.
    pub(crate) epsilon: f64,
    /// Mean over this interval's bars and lanes of the portfolio's return per bar, each stock's by
    /// its capital.
    pub(crate) reward: f64,
    /// Of runs without lockstep.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) asynchronous: Option<PushStats>,
}

/// A line of its own kind, told apart by its first field.
#[derive(Debug, Serialize)]
struct EventLine<'a> {
    event: &'static str,
    /// `train` or `eval`.
    period: &'static str,
    /// End of the bar, ISO 8601 in UTC.
    timestamp: String,
    stock: &'a Symbol,
    peer: &'a Symbol,
    z_score: f64,
    hedge_ratio: f64,
    p_value: f64,
    half_life_bars: Option<f64>,
    correlation: Option<f64>,
    stock_leads: Option<f64>,
    peer_leads: Option<f64>,
}

/// How a line that tells of an event begins.
const EVENT: &str = "{\"event\":";

/// Appends lines; each reaches the operating system in one write, so a killed run leaves whole
/// lines.
#[derive(Debug)]
pub(crate) struct MetricsLog {
    path: PathBuf,
    file: File,
    /// Of whole lines.
    bytes: u64,
}

impl MetricsLog {
    pub(crate) const NAME: &str = "metrics.jsonl";

    pub(crate) fn create(folder: &ResultsFolder) -> Result<MetricsLog, ReportError> {
        let path = folder.path(MetricsLog::NAME);
        match File::create(&path) {
            Ok(file) => Ok(MetricsLog { path, file, bytes: 0 }),
            Err(cause) => Err(ReportError::new(path, "cannot make", cause)),
        }
    }

    /// The log of a run that is resumed, cut back to its first `bytes`, and the lines it then has.
    pub(crate) fn reopen(
        folder: &ResultsFolder,
        bytes: u64,
    ) -> Result<(MetricsLog, Vec<MetricsLine>), ReportError> {
        let path = folder.path(MetricsLog::NAME);
        let reopened = || -> io::Result<_> {
            let mut file = File::options().read(true).append(true).open(&path)?;
            file.set_len(bytes)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let intervals = text.lines().filter(|line| !line.starts_with(EVENT));
            let lines: Result<Vec<_>, _> = intervals.map(serde_json::from_str).collect();
            Ok((file, lines?))
        };
        match reopened() {
            Ok((file, lines)) => Ok((MetricsLog { path, file, bytes }, lines)),
            Err(cause) => Err(ReportError::new(path, "cannot continue", cause)),
        }
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn append(&mut self, line: &MetricsLine) -> Result<(), ReportError> {
        self.write(line)
    }

    /// An arbitrage opportunity of a period, `train` or `eval`, of these stocks.
    pub(crate) fn append_opportunity(
        &mut self,
        period: &'static str,
        stocks: &[Symbol],
        found: &Opportunity,
    ) -> Result<(), ReportError> {
        self.write(&EventLine {
            event: "arbitrage",
            period,
            timestamp: iso_utc(found.end_s),
            stock: &stocks[found.stock],
            peer: &stocks[found.peer],
            z_score: found.z_score,
            hedge_ratio: found.hedge_ratio,
            p_value: found.p_value,
            half_life_bars: found.half_life_bars,
            correlation: found.correlation,
            stock_leads: found.stock_leads,
            peer_leads: found.peer_leads,
        })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), ReportError> {
        let written = serde_json::to_string(line).map_err(io::Error::from).and_then(|mut text| {
            text.push('\n');
            self.file.write_all(text.as_bytes())?;
            Ok(text.len() as u64)
        });
        match written {
            Ok(bytes) => self.bytes += bytes,
            Err(cause) => {
                // A full disk takes the beginning of a line. Should it stay, a resumed run
                // cuts it off.
                let _ = self.file.set_len(self.bytes);
                return Err(ReportError::new(&self.path, "cannot append", cause));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_fields_in_order_and_null_for_undefined() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let mut log = MetricsLog::create(&folder).unwrap();
        let first = MetricsLine {
            episode: 1,
            env_steps: 2_048,
            gradient_steps: 0,
            env_steps_per_s: 1_000.5,
            loss: None,
            mean_q: None,
            epsilon: 0.4,
            reward: -0.25,
            asynchronous: None,
        };
        let second = MetricsLine { loss: Some(0.1), mean_q: Some(f64::NAN), ..first.clone() };
        log.append(&first).unwrap();
        let seen_at_once = std::fs::read_to_string(folder.path("metrics.jsonl")).unwrap();
        log.append(&second).unwrap();
        let text = std::fs::read_to_string(folder.path("metrics.jsonl")).unwrap();
        let expected = "{\"episode\":1,\"env_steps\":2048,\"gradient_steps\":0,\
            \"env_steps_per_s\":1000.5,\"loss\":null,\"mean_q\":null,\"epsilon\":0.4,\
            \"reward\":-0.25}\n";
        assert_eq!(seen_at_once, expected);
        assert_eq!(text, format!("{expected}{}", expected.replacen("null", "0.1", 1)));
        let back: MetricsLine = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(back, first);
    }

    #[test]
    fn events_stand_between_intervals_and_are_passed_over_by_a_run_that_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let folder = ResultsFolder::create(place.path()).unwrap();
        let mut log = MetricsLog::create(&folder).unwrap();
        let stocks: Vec<Symbol> = ["B", "A"].map(|name| name.parse().unwrap()).into();
        let found = Opportunity {
            end_s: 1_577_975_460,
            stock: 0,
            peer: 1,
            z_score: -2.5,
            hedge_ratio: 1.25,
            p_value: 0.001,
            half_life_bars: Some(3.5),
            correlation: None,
            stock_leads: Some(0.25),
            peer_leads: Some(-0.5),
        };
        let line = MetricsLine {
            episode: 1,
            env_steps: 64,
            gradient_steps: 0,
            env_steps_per_s: 10.0,
            loss: None,
            mean_q: None,
            epsilon: 0.4,
            reward: 0.0,
            asynchronous: None,
        };
        log.append_opportunity("train", &stocks, &found).unwrap();
        log.append(&line).unwrap();
        let bytes = log.bytes();
        log.append_opportunity("eval", &stocks, &found).unwrap();
        let text = std::fs::read_to_string(folder.path("metrics.jsonl")).unwrap();
        let expected = "{\"event\":\"arbitrage\",\"period\":\"train\",\
            \"timestamp\":\"2020-01-02T14:31:00Z\",\"stock\":\"B\",\"peer\":\"A\",\
            \"z_score\":-2.5,\"hedge_ratio\":1.25,\"p_value\":0.001,\"half_life_bars\":3.5,\
            \"correlation\":null,\"stock_leads\":0.25,\"peer_leads\":-0.5}";
        assert_eq!(text.lines().next(), Some(expected));
        assert_eq!(text.lines().count(), 3);
        let (again, lines) = MetricsLog::reopen(&folder, bytes).unwrap();
        assert_eq!((again.bytes(), lines), (bytes, vec![line]));
    }
}
