//! Decisions on bars as they come.

use std::collections::BTreeMap;
use std::io::{BufRead, ErrorKind, Write};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::Value;

use super::{columns, given, registry};
use crate::cli::StreamArgs;
use crate::errors::message;
use crate::ingest::bar_line::{BarLine, next_line};
use crate::market::{Bar, Symbol};
use crate::runner::EnsembleConfig;
use crate::strategy::ensemble::{EnsembleMethod, Member, combine, weights};
use crate::strategy::{BarsAt, Cancel, Decision, Signals, Strategy};

/// One line of output, for each bar.
#[derive(Serialize)]
struct OutputLine<'a> {
    timestamp: &'a Value,
    stock: &'a Symbol,
    decisions: BTreeMap<&'a str, Decision>,
}

/// Reads to the end of `input`. Every bar is answered before the next is read.
pub(crate) fn stream(
    args: &StreamArgs,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let mut session = StreamSession::new(args)?;
    let mut number = 0;
    loop {
        let line = next_line(&mut input, &mut number);
        let Some(line) = line.with_context(|| format!("line {number}"))? else { break };
        let answers =
            session.answer(&line).map_err(|e| anyhow!("line {number}: {}", message(&e)))?;
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
        let line = BarLine::parse(text)?;
        let end_s = line.end_s;
        let mut bars: Vec<Option<Bar>> = vec![None; self.stocks.len()];
        let mut extras = vec![f32::NAN; self.stocks.len() * self.columns.len()];
        for of_stock in &line.bars {
            let symbol = &of_stock.symbol;
            let stock = self.stocks.iter().position(|known| known == symbol);
            let stock = stock.ok_or_else(|| anyhow!("{symbol} is not among --stocks; add it"))?;
            bars[stock] = Some(of_stock.bar);
            let columns = self.columns.len();
            extras[stock * columns..][..columns].copy_from_slice(&of_stock.extras(&self.columns)?);
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
