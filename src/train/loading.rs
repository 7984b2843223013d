//! Reading of the bars of a rank's stocks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};

use super::load_message::LoadMessage;
use crate::market::options::{LoadOptions, LoadProgress, LoadReport};
use crate::market::{Period, Symbol};
use crate::source::{DataSource, load_bars};

/// Reads a rank's stocks, a few at a time, and sends what comes.
pub(super) fn load_own(
    load_one: &(dyn Fn(usize, &mpsc::SyncSender<LoadMessage>) -> LoadMessage + Sync),
    owned: &[usize],
    send: &mut dyn FnMut(LoadMessage),
) {
    let threads = owned.len().min(std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicUsize::new(0);
    // A bound, so that a fast reader waits for a slow receiver instead of filling the memory.
    let (sender, receiver) = mpsc::sync_channel::<LoadMessage>(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(&stock) = owned.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // The receiver lives until every sender is gone, so sending cannot fail.
                    let _ = sender.send(load_one(stock, &sender));
                }
            });
        }
        drop(sender);
        receiver.into_iter().for_each(send);
    });
}

/// Reads a stock's bars and tells `sender` how far it is.
pub(super) fn load_one(
    (source, stocks, options): (&DataSource, &[Symbol], &LoadOptions),
    stock: usize,
    load: &Period,
    sender: &mpsc::SyncSender<LoadMessage>,
) -> LoadMessage {
    let mut progress = |at: LoadProgress| {
        let load_message =
            LoadMessage::Progress { stock, days_done: at.days_done, days_total: at.days_total };
        let _ = sender.send(load_message);
    };
    match load_bars(source, stocks, &stocks[stock], load, options, &mut progress) {
        Ok((series, report)) => LoadMessage::Bars { stock, report: Box::new(report), series },
        Err(error) => LoadMessage::Failure { stock, message: error.to_string() },
    }
}

/// The length of all stocks' bars, which must be one.
pub(crate) fn common_bar_minutes(reports: &[LoadReport]) -> Result<u32> {
    let first = reports.first().context("no stock was read")?;
    for report in reports {
        if report.bar_minutes != first.bar_minutes {
            bail!(
                "{} has bars of {} minutes, {} of {}; choose a common length with --bar-minutes {}",
                first.symbol,
                first.bar_minutes,
                report.symbol,
                report.bar_minutes,
                first.bar_minutes.max(report.bar_minutes)
            );
        }
    }
    Ok(first.bar_minutes)
}
