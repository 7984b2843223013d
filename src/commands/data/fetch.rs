//! `dqn-trader fetch`

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Result, anyhow};
use chrono::{Datelike, Utc};

use crate::cli::{Datatype, FetchArgs, GlobalArgs};
use crate::commands::{check_request, check_years, file_store};
use crate::config::RunConfig;
use crate::ingest::alpha_vantage::{ApiKey, FetchError, Form, SeriesKind, Service, ServiceOptions};
use crate::ingest::{FetchRequest, FetchStats, Fetcher};
use crate::market::store::{Store, is_exposed, sha256_hex};
use crate::market::{MarketError, Period, Symbol};
use crate::report::{FolderLock, Progress};
use crate::source::{self, AZURE};
use crate::wording::counted;

/// The first year of which the service has intraday bars.
const FIRST_YEAR: i32 = 2000;

/// Fetches each stock's months; a stock that cannot be had does not keep the others from it.
pub(crate) fn fetch(args: &FetchArgs, global: &GlobalArgs, progress: &Progress) -> Result<()> {
    let defaults = RunConfig::default();
    let stocks = if args.stocks.is_empty() { defaults.stocks } else { args.stocks.clone() };
    let period = Period {
        start: args.start_date.unwrap_or(defaults.start_date),
        end: args.end_date.unwrap_or(defaults.eval_end),
    };
    check_request(&stocks, &period)?;
    check_years(&period)?;
    if period.start.year() < FIRST_YEAR || period.end.year() > 2_199 {
        return Err(anyhow!("--start_date: Alpha Vantage has intraday bars since {FIRST_YEAR}-01"));
    }
    if args.service.parse().is_ok_and(|address| is_exposed(&address)) {
        return Err(anyhow!("--service: others could read the key; write https://"));
    }
    let service = Service::new(&args.service, ApiKey::from_environment()?, manners(args)?)?;
    let store = file_store(&args.into)?;
    // In full, so that folders of one name do not share it.
    let place = match source::resolve(Some(&args.into.data)) {
        name if name == AZURE => store.place(),
        folder => folder,
    };
    let place = &sha256_hex(place.as_bytes())[..16];
    let aside = source::cache_folder(global.cache.as_deref()).join("fetch").join(place);
    let _lock = FolderLock::take(&aside).map_err(|error| match error.kind() {
        ErrorKind::ResourceBusy => anyhow!(
            "{}: another fetch is writing there ({}); wait for it, or stop it",
            store.place(),
            error.cause
        ),
        _ => anyhow!(
            "{}: cannot be used: {}; check that folder, or choose another with --cache",
            aside.display(),
            error.cause
        ),
    })?;
    let request = FetchRequest {
        series: SeriesKind {
            interval_minutes: args.interval.minutes(),
            adjusted: !args.raw,
            extended_hours: args.extended_hours,
        },
        period,
        rewrite: args.rewrite,
    };
    let fetcher = Fetcher {
        service: &service,
        store: store.as_ref(),
        aside: &aside,
        request: &request,
        now_s: Utc::now().timestamp(),
        tell: &|line| progress.line(line),
    };
    let result = all(&fetcher, &stocks, progress);
    progress.finish();
    result
}

fn all(fetcher: &Fetcher, stocks: &[Symbol], progress: &Progress) -> Result<()> {
    let mut refused: Vec<MarketError> = Vec::new();
    for symbol in stocks {
        match fetcher.stock(symbol) {
            Ok(stats) => {
                progress.line(&format!("{symbol}: {}", fetch_summary(&stats, fetcher.store)))
            }
            Err(FetchError::All(error)) => return Err(error.into()),
            Err(FetchError::Stock(error)) => {
                if stocks.len() > 1 {
                    progress.line(&format!("{symbol}: not fetched: {error}"));
                }
                refused.push(error);
            }
        }
    }
    match refused.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone().into()),
        all => {
            let each: Vec<String> = all.iter().map(MarketError::to_string).collect();
            Err(anyhow!("{} stocks could not be fetched: {}", all.len(), each.join(" | ")))
        }
    }
}

fn fetch_summary(stats: &FetchStats, store: &dyn Store) -> String {
    let FetchStats { months, files, bars, rewritten } = stats;
    let (place, files) = (store.place(), counted(*files, "day file"));
    match (months, rewritten) {
        (_, true) => format!("its files in {place} were replaced: {files}"),
        (0, _) => format!("{place} is up to date"),
        _ => {
            let (months, bars) = (counted(*months, "month"), counted(*bars, "bar"));
            format!("{months}, {bars} fetched; {files} written to {place}")
        }
    }
}

fn manners(args: &FetchArgs) -> Result<ServiceOptions> {
    let seconds = |flag: &str, value: f64| {
        Duration::try_from_secs_f64(value)
            .map_err(|_| anyhow!("{flag} {value}: must be a number of seconds"))
    };
    Ok(ServiceOptions {
        requests_per_minute: args.requests_per_minute,
        form: if args.datatype == Datatype::Csv { Form::Csv } else { Form::Json },
        timeout: seconds("--timeout-s", args.timeout_s)?,
        first_pause: seconds("--retry-pause-s", args.retry_pause_s)?,
        limit_pause: seconds("--limit-pause-s", args.limit_pause_s)?,
    })
}
