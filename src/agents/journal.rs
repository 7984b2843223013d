//! `position/position.jsonl`: an agent's positions after each of its trades. The file only grows,
//! by whole steps (a day or a bar). After a crash it is still readable, and the next run resumes
//! from it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ledger::{ShareFill, Side};
use super::step_time::StepTime;
use crate::market::Symbol;

const FILE: &str = "position.jsonl";
/// Stores the length of the file after the last complete step, in decimal digits: a step that was
/// being written when the agent was killed is removed.
const MARK: &str = ".whole";
const MARK_WIDTH: usize = 20;
const CASH: &str = "CASH";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JournalRecord {
    pub(crate) date: String,
    pub(crate) id: u64,
    /// None in the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) this_action: Option<TradeAction>,
    pub(crate) positions: Positions,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TradeAction {
    pub(crate) action: TradeActionKind,
    pub(crate) symbol: String,
    #[serde(deserialize_with = "whole_amount")]
    pub(crate) amount: u64,
}

/// Other programs write 3.0, or a fraction, which is refused.
fn whole_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let amount = f64::deserialize(deserializer)?;
    if amount.fract() == 0.0 && (0.0..=9e15).contains(&amount) {
        return Ok(amount as u64);
    }
    let what = format!("an amount of {amount}: agents hold whole shares only, so round it");
    Err(serde::de::Error::custom(what))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TradeActionKind {
    Buy,
    Sell,
    NoTrade,
}

/// Whole shares by symbol, in the order of the stocks, and cash.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>")]
pub(crate) struct Positions {
    pub(crate) shares: Vec<(String, u64)>,
    pub(crate) cash: f64,
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shares.len() + 1))?;
        for (symbol, shares) in &self.shares {
            map.serialize_entry(symbol, shares)?;
        }
        map.serialize_entry(CASH, &self.cash)?;
        map.end()
    }
}

impl TryFrom<BTreeMap<String, f64>> for Positions {
    type Error = String;

    fn try_from(mut map: BTreeMap<String, f64>) -> Result<Positions, String> {
        let cash = map.remove(CASH).ok_or("positions have no CASH")?;
        if !(cash.is_finite() && cash >= 0.0) {
            return Err(format!("CASH is {cash}, which must be a number of at least 0"));
        }
        let whole = |(symbol, amount): (String, f64)| {
            if amount.fract() == 0.0 && (0.0..=9e15).contains(&amount) {
                Ok((symbol, amount as u64))
            } else {
                Err(format!(
                    "{amount} shares of {symbol}: agents hold whole shares only, so round it"
                ))
            }
        };
        Ok(Positions { shares: map.into_iter().map(whole).collect::<Result<_, _>>()?, cash })
    }
}

impl Positions {
    /// In the order of `stocks`.
    pub(crate) fn new(stocks: &[Symbol], shares: impl Fn(usize) -> u64, cash: f64) -> Positions {
        let one = |(stock, symbol): (usize, &Symbol)| (symbol.to_string(), shares(stock));
        Positions { shares: stocks.iter().enumerate().map(one).collect(), cash }
    }

    /// Whether no share is held.
    pub(crate) fn is_flat(&self) -> bool {
        self.shares.iter().all(|(_, shares)| *shares == 0)
    }

    /// Shares by index in `stocks`. Errors: the name of a stock that is held but not among them.
    pub(crate) fn by_stock(&self, stocks: &[Symbol]) -> Result<Vec<u64>, String> {
        let held = |(_, shares): &&(String, u64)| *shares > 0;
        for (symbol, _) in self.shares.iter().filter(held) {
            if !stocks.iter().any(|known| known.as_str() == symbol) {
                return Err(symbol.clone());
            }
        }
        let of = |symbol: &Symbol| {
            let found = self.shares.iter().find(|(name, _)| name == symbol.as_str());
            found.map_or(0, |(_, shares)| *shares)
        };
        Ok(stocks.iter().map(of).collect())
    }
}

impl TradeAction {
    pub(crate) fn from_fill(fill: &ShareFill, stocks: &[Symbol]) -> TradeAction {
        let action =
            if fill.side == Side::Buy { TradeActionKind::Buy } else { TradeActionKind::Sell };
        TradeAction { action, symbol: stocks[fill.stock].to_string(), amount: fill.shares }
    }

    pub(crate) fn no_trade() -> TradeAction {
        TradeAction { action: TradeActionKind::NoTrade, symbol: String::new(), amount: 0 }
    }
}

/// When an agent's account was started; None if it was not.
pub(crate) fn begun(agent: &Path) -> Option<StepTime> {
    let file = File::open(agent.join("position").join(FILE)).ok()?;
    let first = BufReader::new(file).lines().next()?.ok()?;
    serde_json::from_str::<JournalRecord>(&first).ok()?.date.parse().ok()
}

/// Checks an agent's file before anything is written: None if there is none, else the positions of
/// its last record. Errors: it cannot be read, or is invalid.
pub(crate) fn checked(agent: &Path) -> Result<Option<LastRecord>> {
    let last = kept(agent)?.into_iter().next_back();
    let of = |record: JournalRecord| LastRecord {
        stamp: record.date.parse().ok(),
        positions: record.positions,
    };
    Ok(last.map(of))
}

/// All records of complete steps; empty if there is no file. Errors: it cannot be read, or is
/// invalid.
pub(crate) fn kept(agent: &Path) -> Result<Vec<JournalRecord>> {
    let path = agent.join("position").join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        // That a folder cannot be made is said when it is made.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => {
            return Err(e).with_context(|| format!("{}: look at that folder", path.display()));
        }
    };
    let mark = File::open(agent.join("position").join(MARK)).ok();
    let kept = whole_part(&text, mark.as_ref().and_then(marked))
        .with_context(|| format!("{}: fix or remove it", path.display()))?;
    Ok(kept.records)
}

/// Where an account stands.
pub(crate) struct LastRecord {
    pub(crate) stamp: Option<StepTime>,
    pub(crate) positions: Positions,
}

/// The file, open for appending.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    mark: File,
    len: u64,
    records: Vec<JournalRecord>,
}

impl Journal {
    /// Opens the journal in the agent's folder. An incomplete step at the end is removed and
    /// reported to `say`. Errors: the file cannot be read or written, or is invalid.
    pub(crate) fn open(agent: &Path, say: &dyn Fn(&str)) -> Result<Journal> {
        let folder = agent.join("position");
        let path = folder.join(FILE);
        let place = || format!("{}: look at that folder", path.display());
        fs::create_dir_all(&folder).with_context(place)?;
        let open = |path: &Path| {
            File::options().read(true).write(true).create(true).truncate(false).open(path)
        };
        let file = open(&path).with_context(place)?;
        let mark = open(&folder.join(MARK)).with_context(place)?;
        let text = fs::read(&path).with_context(place)?;
        let kept = whole_part(&text, marked(&mark))
            .with_context(|| format!("{}: fix or remove it", path.display()))?;
        if kept.len < text.len() {
            file.set_len(kept.len as u64).with_context(place)?;
            say(&repaired(&path, text.len() - kept.len, kept.records.last()));
        }
        let journal = Journal { path, file, mark, len: kept.len as u64, records: kept.records };
        journal.note_length().with_context(|| journal.write_error())?;
        Ok(journal)
    }

    pub(crate) fn records(&self) -> &[JournalRecord] {
        &self.records
    }

    /// The date of the last record.
    pub(crate) fn last_date(&self) -> Result<Option<StepTime>> {
        let Some(record) = self.records.last() else { return Ok(None) };
        let stamp = record.date.parse::<StepTime>();
        stamp.map(Some).map_err(|what| anyhow::anyhow!("{}: {what}; fix it", self.path.display()))
    }

    /// Appends the records of a step: actions, and the positions after each.
    pub(crate) fn append(
        &mut self,
        date: &str,
        done: Vec<(Option<TradeAction>, Positions)>,
    ) -> Result<()> {
        let mut text = Vec::new();
        let first = self.records.last().map_or(0, |record| record.id + 1);
        for (id, (this_action, positions)) in (first..).zip(done) {
            let record = JournalRecord { date: date.into(), id, this_action, positions };
            serde_json::to_writer(&mut text, &record)?;
            text.push(b'\n');
            self.records.push(record);
        }
        let written = self.file.write_all_at(&text, self.len);
        written.with_context(|| self.write_error())?;
        self.len += text.len() as u64;
        self.note_length().with_context(|| self.write_error())
    }

    fn note_length(&self) -> io::Result<()> {
        let text = format!("{:0MARK_WIDTH$}\n", self.len);
        self.mark.write_all_at(text.as_bytes(), 0)
    }

    fn write_error(&self) -> String {
        let path = self.path.display();
        format!("{path}: cannot be written; free some disk space, then start again")
    }
}

fn marked(mark: &File) -> Option<usize> {
    let mut text = [0; MARK_WIDTH];
    mark.read_exact_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

struct WholePart {
    len: usize,
    records: Vec<JournalRecord>,
}

/// The complete steps of `text`: up to the mark if that is the end of a line; else without an
/// incomplete last line and the other lines of its step.
fn whole_part(text: &[u8], marked: Option<usize>) -> Result<WholePart> {
    let ends_line = |len: usize| len == 0 || text.get(len - 1) == Some(&b'\n');
    let is_end = |len: &usize| *len <= text.len() && ends_line(*len) && is_one_step(&text[*len..]);
    if let Some(len) = marked.filter(is_end) {
        return Ok(WholePart { len, records: records(&text[..len])? });
    }
    let len = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let torn = &text[len..];
    let mut records = records(&text[..len])?;
    // If too little is left of a line to read its date, it may belong to the previous step.
    let same_step = |record: &JournalRecord| {
        let start = format!("{{\"date\":\"{}\"", record.date).into_bytes();
        let spaced = format!("{{\"date\": \"{}\"", record.date).into_bytes();
        [start, spaced].iter().any(|one| {
            let common = one.len().min(torn.len());
            one[..common] == torn[..common]
        })
    };
    if torn.is_empty() || !records.last().is_some_and(same_step) {
        return Ok(WholePart { len, records });
    }
    let date = records.last().map(|record| record.date.clone()).unwrap_or_default();
    // The first record is not a step.
    while records.last().is_some_and(|last| last.date == date && last.this_action.is_some()) {
        records.pop();
    }
    let (mut len, mut count) = (0, 0);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        if count == records.len() {
            break;
        }
        len += line.len();
        count += usize::from(!is_blank(line));
    }
    Ok(WholePart { len, records })
}

/// If there are several steps after the mark, another program has continued the file and knows no
/// mark.
fn is_one_step(text: &[u8]) -> bool {
    let lines = text.split(|&byte| byte == b'\n');
    let read = |line: &[u8]| serde_json::from_slice::<JournalRecord>(line).ok();
    let mut dates: Vec<String> = lines.filter_map(read).map(|record| record.date).collect();
    dates.dedup();
    dates.len() <= 1
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn records(text: &[u8]) -> Result<Vec<JournalRecord>> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !is_blank(line));
    let (mut records, mut last): (Vec<JournalRecord>, Option<StepTime>) = (Vec::new(), None);
    for (i, line) in lines.enumerate() {
        let record: JournalRecord = serde_json::from_slice(line).map_err(|error| {
            // Each line is read by itself, so its own number says where.
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            anyhow!("line {}: {what}", i + 1)
        })?;
        let stamp: StepTime =
            record.date.parse().map_err(|what| anyhow::anyhow!("line {}: {what}", i + 1))?;
        if records.last().is_some_and(|last| record.id <= last.id) {
            bail!("line {}: id {} is not after the one before", i + 1, record.id);
        }
        if last.replace(stamp).is_some_and(|last| stamp.last_moment() < last.last_moment()) {
            bail!("line {}: {stamp} is before the date of the line before", i + 1);
        }
        records.push(record);
    }
    Ok(records)
}

fn repaired(path: &Path, bytes: usize, last: Option<&JournalRecord>) -> String {
    let from = match last {
        Some(record) => format!("resumes after {}", record.date),
        None => "starts over".into(),
    };
    let path = path.display();
    format!("{path}: an incomplete last record of {bytes} bytes was removed; the agent {from}")
}

/// Appends lines to a log, after removing an incomplete last line.
pub(crate) fn append_lines(path: &Path, lines: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    let len = file.metadata()?.len();
    let mut last = [b'\n'];
    if len > 0 {
        file.read_exact_at(&mut last, len - 1)?;
    }
    if last != [b'\n'] {
        let text = fs::read(path)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
    }
    file.write_all(lines)
}

#[cfg(test)]
mod tests;
