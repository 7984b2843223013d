//! Decisions on bars as they come.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Read, Write};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{columns, given, registry};
use crate::cli::StreamArgs;
use crate::errors::message;
use crate::market::bar::{is_price, is_volume};
use crate::market::{Bar, Symbol};
use crate::market::{calendar, times};
use crate::runner::EnsembleConfig;
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{BarsAt, Cancel, Decision, Signals, Strategy};

/// One line of input: a stock's bar, or the bars of several stocks that end together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputLine {
    /// When the bar ends: text as in 2020-01-02T10:00:00-05:00, or a number since 1970.
    timestamp: Value,
    stock: Option<Symbol>,
    open: Option<f64>,
    high: Option<f64>,
    low: Option<f64>,
    close: Option<f64>,
    volume: Option<f64>,
    #[serde(default)]
    columns: ColumnValues,
    bars: Option<BTreeMap<Symbol, Prices>>,
}

/// Values of further columns of a bar; None where unknown.
type ColumnValues = BTreeMap<String, Option<f64>>;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    #[serde(default)]
    volume: f64,
    #[serde(default)]
    columns: ColumnValues,
}

/// One line of output, for each bar.
#[derive(Serialize)]
struct OutputLine<'a> {
    timestamp: &'a Value,
    stock: &'a Symbol,
    decisions: BTreeMap<&'a str, Decision>,
}

/// Far more than the bars of a thousand stocks take.
const MAX_LINE_BYTES: u64 = 4 << 20;

/// Reads to the end of `input`. Every bar is answered before the next is read.
pub(crate) fn stream(
    args: &StreamArgs,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let mut session = StreamSession::new(args)?;
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let read = (&mut input).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("standard input, line {number}"))? == 0 {
            break;
        }
        if bytes.len() as u64 > MAX_LINE_BYTES {
            bail!(
                "line {number} is longer than {MAX_LINE_BYTES} bytes; end each bar with a newline"
            );
        }
        let line = std::str::from_utf8(&bytes)
            .map_err(|_| anyhow!("line {number} is not UTF-8; write JSON"))?;
        if line.trim().is_empty() {
            continue;
        }
        let answers =
            session.answer(line).map_err(|e| anyhow!("line {number}: {}", message(&e)))?;
        let sent = output.write_all(answers.as_bytes()).and_then(|()| output.flush());
        match sent {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error).context("standard output"),
        }
    }
    Ok(())
}

struct StreamSession {
    stocks: Vec<Symbol>,
    /// Further columns that the strategies need.
    columns: Vec<String>,
    strategies: Vec<(String, Box<dyn Strategy>)>,
    /// `[strategy][stock]`
    decisions: Vec<Vec<Decision>>,
    ensemble: Option<(EnsembleMethod, Vec<f64>)>,
    last_end_s: Vec<i64>,
    cancel: Cancel,
}

impl StreamSession {
    fn new(args: &StreamArgs) -> Result<StreamSession> {
        if let Some(calendar) = args.calendar {
            calendar.adopt()?;
        }
        let (registry, parameters) = registry(args.params.as_deref(), args.model.as_deref())?;
        let stocks = args.stocks.len();
        for (i, symbol) in args.stocks.iter().enumerate() {
            if args.stocks[..i].contains(symbol) {
                bail!("--stocks: {symbol} is given twice; give each symbol once");
            }
        }
        let mut strategies: Vec<(String, Box<dyn Strategy>)> = Vec::new();
        for asked in &args.strategies {
            let kind = registry.find(asked)?;
            if strategies.iter().any(|(name, _)| *name == kind.name) {
                bail!("--strategies: {} is given twice; give each strategy once", kind.name);
            }
            let used = kind.resolve(&given(&registry, &parameters, kind))?;
            strategies.push((kind.name.to_string(), kind.build_for(&used, &args.stocks)?));
        }
        let weights = (!args.weights.is_empty()).then(|| args.weights.clone());
        let weighed = EnsembleConfig { weights, ..EnsembleConfig::default() };
        let weights = weighed.weights_for(strategies.len())?;
        let past = [EnsembleMethod::InverseVariance, EnsembleMethod::Performance];
        if args.ensemble.is_some_and(|method| past.contains(&method)) {
            bail!(
                "--ensemble: weights by variance or performance need a back-test; \
                 use weighted, voting or average"
            );
        }
        Ok(StreamSession {
            decisions: vec![vec![Decision::NONE; stocks]; strategies.len()],
            ensemble: args.ensemble.map(|method| (method, weights)),
            last_end_s: vec![i64::MIN; stocks],
            stocks: args.stocks.clone(),
            columns: columns(&registry, &parameters, args.strategies.iter())?,
            strategies,
            cancel: Cancel::new(),
        })
    }

    /// The lines that answer one line.
    fn answer(&mut self, text: &str) -> Result<String> {
        let line: InputLine = serde_json::from_str(text)
            .map_err(|e| anyhow!("{e}; see dqn-trader strategies stream --help"))?;
        let end_s = end_of(&line.timestamp)?;
        let mut bars: Vec<Option<Bar>> = vec![None; self.stocks.len()];
        let mut extras = vec![f32::NAN; self.stocks.len() * self.columns.len()];
        for (symbol, prices) in line.prices()? {
            let stock = self.stocks.iter().position(|known| *known == symbol);
            let stock = stock.ok_or_else(|| anyhow!("{symbol} is not among --stocks; add it"))?;
            bars[stock] = Some(sound(&symbol, end_s, &prices)?);
            for (i, name) in self.columns.iter().enumerate() {
                let value = prices.columns.get(name).ok_or_else(|| missing(&symbol, name))?;
                extras[stock * self.columns.len() + i] = value.map_or(f32::NAN, |x| x as f32);
            }
            if end_s <= self.last_end_s[stock] {
                bail!("{symbol}: the bar does not end after the one before; sort bars by time");
            }
            self.last_end_s[stock] = end_s;
        }
        let now = BarsAt::new(end_s, &bars).with_extras(&self.columns, &extras);
        for ((_, strategy), decisions) in self.strategies.iter_mut().zip(&mut self.decisions) {
            strategy.decide(&now, &self.cancel, decisions)?;
        }
        let together = self.together();
        let mut answers = String::new();
        for stock in (0..bars.len()).filter(|&stock| bars[stock].is_some()) {
            let named = self.strategies.iter().zip(&self.decisions);
            let mut decisions: BTreeMap<&str, Decision> =
                named.map(|((name, _), decided)| (name.as_str(), decided[stock])).collect();
            if let Some(together) = &together {
                decisions.insert("ensemble", together.at(0)[stock]);
            }
            let (timestamp, stock) = (&line.timestamp, &self.stocks[stock]);
            answers += &serde_json::to_string(&OutputLine { timestamp, stock, decisions })?;
            answers.push('\n');
        }
        Ok(answers)
    }

    fn together(&self) -> Option<Signals> {
        let (method, given) = self.ensemble.as_ref()?;
        let stocks = self.stocks.len();
        let now: Vec<Signals> =
            self.decisions.iter().map(|decided| Signals::new(stocks, decided.clone())).collect();
        let member = |(signals, &weight)| Member { signals, weight, rewards: &[] };
        let members: Vec<Member<'_>> = now.iter().zip(given).map(member).collect();
        Some(combine(*method, &members, &weights(*method, &members, 0)))
    }
}

impl InputLine {
    fn prices(&self) -> Result<Vec<(Symbol, Prices)>> {
        let InputLine { stock, open, high, low, close, volume, columns, bars, .. } = self;
        match (stock, bars, open.zip(*high).zip(low.zip(*close))) {
            (None, Some(bars), None) => {
                if !columns.is_empty() {
                    bail!("columns beside bars belong to none of them; give them with each stock");
                }
                Ok(bars.iter().map(|(symbol, prices)| (symbol.clone(), prices.clone())).collect())
            }
            (Some(stock), None, Some(((open, high), (low, close)))) => {
                let volume = volume.unwrap_or(0.0);
                let columns = columns.clone();
                Ok(vec![(stock.clone(), Prices { open, high, low, close, volume, columns })])
            }
            _ => bail!(
                "give either stock, open, high, low and close, or bars with these for each stock"
            ),
        }
    }
}

/// UTC seconds of a time as text, or as a number since 1970, by the rule for all files. A date is the
/// close of its session.
fn end_of(timestamp: &Value) -> Result<i64> {
    let of_text = |text: &str| {
        let close = |date| calendar::market().usual_session(date).close_s;
        times::read_text(text).or_else(|| times::read_date(text).map(close))
    };
    let end_s = match timestamp {
        Value::String(text) => of_text(text),
        Value::Number(number) => number.as_f64().and_then(times::read_number),
        _ => None,
    };
    end_s.ok_or_else(|| {
        let shown: String = timestamp.to_string().chars().take(60).collect();
        anyhow!(
            "timestamp {shown} cannot be parsed; write the bar's end as \
             2020-01-02T10:00:00-05:00, or in seconds or milliseconds since 1970, or the date of \
             a daily bar"
        )
    })
}

fn missing(symbol: &Symbol, column: &str) -> anyhow::Error {
    anyhow!(
        "{symbol}: the column {column} is missing, with which the model was trained; \
         add \"columns\": {{\"{column}\": ...}} to the bar, null where the value is unknown"
    )
}

fn sound(symbol: &Symbol, end_s: i64, prices: &Prices) -> Result<Bar> {
    let &Prices { open, high, low, close, volume, .. } = prices;
    if ![open, high, low, close].into_iter().all(is_price) {
        bail!("{symbol}: a price is not a number from 1e-9 to 1e12; omit the bar");
    }
    if !is_volume(volume) {
        bail!("{symbol}: the volume is not a number from 0 to 1e18; omit it");
    }
    if high < open.max(close) || low > open.min(close) {
        bail!("{symbol}: open and close are not between low and high; omit the bar");
    }
    Ok(Bar { end_s, open, high, low, close, volume })
}
