//! The bars of a made-up market as day files.

use anyhow::{Result, anyhow};

use super::{check_request, check_years, file_store};
use crate::cli::SynthArgs;
use crate::config::RunConfig;
use crate::market::calendar::market_date;
use crate::market::options::LoadOptions;
use crate::market::parquet::encode_day;
use crate::market::store::{Store, day_key};
use crate::market::{BarSeries, Period, Symbol};
use crate::report::Progress;
use crate::source::SYNTHETIC;
use crate::source::{DataSource, load_bars};
use crate::synthetic::SyntheticMarket;
use crate::wording::counted;

/// Writes what training on `--data synthetic:MARKET` would read. Day files that are there already
/// are left alone: they may be real ones.
pub(crate) fn synth(args: &SynthArgs, progress: &Progress) -> Result<()> {
    let defaults = RunConfig::default();
    let market = args.market.strip_prefix(SYNTHETIC).unwrap_or(&args.market);
    let market = SyntheticMarket::parse(market)?;
    let stocks = if args.stocks.is_empty() { defaults.stocks } else { args.stocks.clone() };
    let period = Period {
        start: args.start_date.unwrap_or(defaults.start_date),
        end: args.end_date.unwrap_or(defaults.eval_end),
    };
    check(&stocks, &period, args.bar_minutes)?;
    let store = file_store(&args.into)?;
    for symbol in &stocks {
        if let Some(file) = store.list(symbol, &period)?.first() {
            return Err(anyhow!(
                "{} has day files of {symbol} already (first {}), which may be real; \
                 choose another folder with --data",
                store.place(),
                file.date
            ));
        }
    }
    let options =
        LoadOptions { bar_minutes: args.bar_minutes, strict: true, ..LoadOptions::default() };
    let made = DataSource::Synthetic(market.clone());
    for symbol in &stocks {
        let (series, report) = load_bars(&made, &stocks, symbol, &period, &options, &mut |_| ())?;
        let days = write_days(store.as_ref(), &series, report.bar_minutes)?;
        progress.line(&format!(
            "{symbol}: {} of {market} in {} below {}",
            counted(report.bars, &format!("{}-minute bar", report.bar_minutes)),
            counted(days, "day file"),
            store.place()
        ));
    }
    progress.finish();
    Ok(())
}

fn check(stocks: &[Symbol], period: &Period, bar_minutes: Option<u32>) -> Result<()> {
    check_request(stocks, period)?;
    check_years(period)?;
    // A reader tells the length of bars from their distance within a day.
    if bar_minutes.is_some_and(|minutes| !(1..=195).contains(&minutes)) {
        return Err(anyhow!(
            "--bar-minutes: must be from 1 to 195, so that a day has at least two bars"
        ));
    }
    Ok(())
}

/// One file per day; says how many.
fn write_days(store: &dyn Store, series: &BarSeries, bar_minutes: u32) -> Result<usize> {
    let mut day = BarSeries::new(series.symbol.clone());
    let mut days = 0;
    for (i, bar) in series.bars().enumerate() {
        day.push(bar);
        let date = market_date(bar.end_s);
        if series.end_s.get(i + 1).is_none_or(|&next| market_date(next) != date) {
            store.put(&day_key(&series.symbol, date), &encode_day(&day, bar_minutes)?)?;
            day = BarSeries::new(series.symbol.clone());
            days += 1;
        }
    }
    Ok(days)
}
