//! `position/position.jsonl`: what an agent held after each of its trades. It only grows, a whole
//! step (a day, or a bar) at a time; however the agent ends, what is there can be read, and the
//! next run goes on from it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::ledger::{Fill, Side};
use super::stamp::Stamp;
use crate::market::Symbol;

const FILE: &str = "position.jsonl";
/// Length of the file after the last whole step, in figures: a step that was being written when
/// the agent was killed is taken back.
const MARK: &str = ".whole";
const MARK_WIDTH: usize = 20;
const CASH: &str = "CASH";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub date: String,
    pub id: u64,
    /// None in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub this_action: Option<Action>,
    pub positions: Positions,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub action: Act,
    pub symbol: String,
    pub amount: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Buy,
    Sell,
    NoTrade,
}

/// Whole shares by symbol, in the order of the stocks, and cash.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, f64>")]
pub struct Positions {
    pub shares: Vec<(String, u64)>,
    pub cash: f64,
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
                Err(format!("{amount} shares of {symbol} are not a whole number"))
            }
        };
        Ok(Positions { shares: map.into_iter().map(whole).collect::<Result<_, _>>()?, cash })
    }
}

impl Positions {
    /// In the order of `stocks`.
    pub fn of(stocks: &[Symbol], shares: impl Fn(usize) -> u64, cash: f64) -> Positions {
        let one = |(stock, symbol): (usize, &Symbol)| (symbol.to_string(), shares(stock));
        Positions { shares: stocks.iter().enumerate().map(one).collect(), cash }
    }

    /// By the index of each of `stocks`. Err names a stock that is held and not among them.
    pub fn by_stock(&self, stocks: &[Symbol]) -> Result<Vec<u64>, String> {
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

impl Action {
    pub fn of(fill: &Fill, stocks: &[Symbol]) -> Action {
        let action = if fill.side == Side::Buy { Act::Buy } else { Act::Sell };
        Action { action, symbol: stocks[fill.stock].to_string(), amount: fill.shares }
    }

    pub fn none() -> Action {
        Action { action: Act::NoTrade, symbol: String::new(), amount: 0 }
    }
}

/// When an agent's account was begun, if it was.
pub fn begun(agent: &Path) -> Option<Stamp> {
    let file = File::open(agent.join("position").join(FILE)).ok()?;
    let first = BufReader::new(file).lines().next()?.ok()?;
    serde_json::from_str::<Record>(&first).ok()?.date.parse().ok()
}

/// The file, open for more.
pub struct Journal {
    path: PathBuf,
    file: File,
    mark: File,
    len: u64,
    records: Vec<Record>,
}

impl Journal {
    /// Of the agent whose folder is `agent`. A file that was left torn is repaired, and `say` told
    /// so.
    pub fn open(agent: &Path, say: &dyn Fn(&str)) -> Result<Journal> {
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
        journal.note_length().with_context(|| journal.trouble())?;
        Ok(journal)
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The date of the last record.
    pub fn last_date(&self) -> Result<Option<Stamp>> {
        let Some(record) = self.records.last() else { return Ok(None) };
        let stamp = record.date.parse::<Stamp>();
        stamp.map(Some).map_err(|what| anyhow::anyhow!("{}: {what}; fix it", self.path.display()))
    }

    /// Adds the records of a step: actions, and what was held after each.
    pub fn append(&mut self, date: &str, done: Vec<(Option<Action>, Positions)>) -> Result<()> {
        let mut text = Vec::new();
        let first = self.records.last().map_or(0, |record| record.id + 1);
        for (id, (this_action, positions)) in (first..).zip(done) {
            let record = Record { date: date.into(), id, this_action, positions };
            serde_json::to_writer(&mut text, &record)?;
            text.push(b'\n');
            self.records.push(record);
        }
        let written = self.file.write_all_at(&text, self.len);
        written.with_context(|| self.trouble())?;
        self.len += text.len() as u64;
        self.note_length().with_context(|| self.trouble())
    }

    fn note_length(&self) -> io::Result<()> {
        let text = format!("{:0MARK_WIDTH$}\n", self.len);
        self.mark.write_all_at(text.as_bytes(), 0)
    }

    fn trouble(&self) -> String {
        let path = self.path.display();
        format!("{path}: cannot be written; free some disk space, then start again")
    }
}

fn marked(mark: &File) -> Option<usize> {
    let mut text = [0; MARK_WIDTH];
    mark.read_exact_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

struct Kept {
    len: usize,
    records: Vec<Record>,
}

/// What of `text` is whole: up to the mark where it ends a line; else, without the torn last line
/// and the other lines of its step.
fn whole_part(text: &[u8], marked: Option<usize>) -> Result<Kept> {
    let ends_line = |len: usize| len == 0 || text.get(len - 1) == Some(&b'\n');
    let is_end = |len: &usize| *len <= text.len() && ends_line(*len) && is_one_step(&text[*len..]);
    if let Some(len) = marked.filter(is_end) {
        return Ok(Kept { len, records: records(&text[..len])? });
    }
    let len = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let torn = &text[len..];
    let mut records = records(&text[..len])?;
    // A line of which too little is left to tell may have been of the step before it.
    let same_step = |record: &Record| {
        let start = format!("{{\"date\":\"{}\"", record.date).into_bytes();
        let spaced = format!("{{\"date\": \"{}\"", record.date).into_bytes();
        [start, spaced].iter().any(|one| {
            let common = one.len().min(torn.len());
            one[..common] == torn[..common]
        })
    };
    if torn.is_empty() || !records.last().is_some_and(same_step) {
        return Ok(Kept { len, records });
    }
    let date = records.last().map(|record| record.date.clone()).unwrap_or_default();
    // The first record is no step.
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
    Ok(Kept { len, records })
}

/// Of several steps, another program has gone on with the file, which knows nothing of marks.
fn is_one_step(text: &[u8]) -> bool {
    let lines = text.split(|&byte| byte == b'\n');
    let read = |line: &[u8]| serde_json::from_slice::<Record>(line).ok();
    let mut dates: Vec<String> = lines.filter_map(read).map(|record| record.date).collect();
    dates.dedup();
    dates.len() <= 1
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

fn records(text: &[u8]) -> Result<Vec<Record>> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !is_blank(line));
    let (mut records, mut last): (Vec<Record>, Option<Stamp>) = (Vec::new(), None);
    for (i, line) in lines.enumerate() {
        let record: Record =
            serde_json::from_slice(line).with_context(|| format!("line {}", i + 1))?;
        let stamp: Stamp =
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

fn repaired(path: &Path, bytes: usize, last: Option<&Record>) -> String {
    let from = match last {
        Some(record) => format!("resumes after {}", record.date),
        None => "starts over".into(),
    };
    let path = path.display();
    format!("{path}: an incomplete last record of {bytes} bytes was removed; the agent {from}")
}

/// Appends lines to a log, after a torn one was cut off.
pub fn append_lines(path: &Path, lines: &[u8]) -> io::Result<()> {
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
