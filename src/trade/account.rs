//! An account that survives: its journal, and the desk that the journal's rows bring to where it is.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use chrono::NaiveDate;

use super::desk::LiveDesk;
use super::feed::Batch;
use super::journal::{Journal, Kept, Opening};
use super::rows::{Belated, Patience, Row, Rows};
use crate::market::calendar::{iso_market_time, market_date};
use crate::market::judge::{self, judge};
use crate::train::evaluation::NextOrder;
use crate::train::trained::SavedRun;

/// Days before a doubtful bar by which it is judged.
const JUDGED_DAYS: i64 = 7;

/// A decision at the close of a row's bars: orders for the next open, maybe none.
pub(crate) struct Decided(pub(crate) Vec<NextOrder>);

/// An account on paper.
pub(crate) struct PaperAccount {
    desk: LiveDesk,
    rows: Rows,
    journal: Journal,
    start: NaiveDate,
    /// By stock: the market's date of its last bar.
    traded: Vec<Option<NaiveDate>>,
    /// Of the last row.
    date: Option<NaiveDate>,
    /// Rows were added to the journal since it was made sure of last.
    has_new_rows: bool,
    /// What a reader must know, such as bars that came too late.
    notices: Vec<String>,
}

impl PaperAccount {
    /// Begins the account of `folder`, or goes on with it from what its journal has `kept`. Returns
    /// what was decided at the rows of the journal, too.
    ///
    /// Errors: the journal cannot be written, or is of another desk or another first day.
    pub(crate) fn open(
        folder: &Path,
        opening: &Opening,
        run: &SavedRun,
        patience: Patience,
        kept: Option<Kept>,
    ) -> Result<(PaperAccount, Vec<Decided>)> {
        if let Some(kept) = &kept {
            check_same(folder, &kept.opening, opening)?;
        }
        let (stocks, columns) = (opening.stocks.len(), opening.columns.len());
        let mut account = PaperAccount {
            desk: LiveDesk::new(run, opening.start)?,
            rows: Rows::new(stocks, columns, patience),
            journal: Journal::open(folder, opening, kept.as_ref())?,
            start: opening.start,
            traded: vec![None; stocks],
            date: None,
            has_new_rows: false,
            notices: Vec::new(),
        };
        let mut decided = Vec::new();
        if let Some(kept) = kept {
            for row in kept.rows {
                account.rows.decide(row.clone());
                decided.extend(account.decide(&row)?);
            }
            for belated in kept.belated {
                account.rows.know(belated);
                account.notice(&belated);
            }
        }
        Ok((account, decided))
    }

    /// Takes in bars and decides at all rows that are whole by then, in the order of time. They are
    /// in the journal, also after a failure of the machine, when this returns.
    ///
    /// Errors: the journal cannot be written; as [`LiveDesk::take`].
    pub(crate) fn take(&mut self, batch: Batch) -> Result<Vec<Decided>> {
        let (now, said) = (Instant::now(), self.notices.len());
        let mut decided = Vec::new();
        for new in batch.bars {
            if let Some(belated) = self.rows.add(new, now) {
                self.journal.belated(&belated)?;
                self.notice(&belated);
            }
            // A line decides what came before it, however many lines are read at once.
            while let Some(row) = self.rows.ended() {
                self.carry_out(&row, &mut decided)?;
            }
        }
        while let Some(row) = self.rows.next(now, batch.is_over) {
            self.carry_out(&row, &mut decided)?;
        }
        if self.has_new_rows || self.notices.len() > said {
            self.journal.sync()?;
            self.has_new_rows = false;
        }
        Ok(decided)
    }

    fn carry_out(&mut self, row: &Row, decided: &mut Vec<Decided>) -> Result<()> {
        self.has_new_rows = true;
        self.journal.row(row)?;
        decided.extend(self.decide(row)?);
        Ok(())
    }

    fn decide(&mut self, row: &Row) -> Result<Option<Decided>> {
        let date = market_date(row.end_s);
        if self.date.is_some_and(|before| before != date) {
            let about_it = self.about_today();
            self.notices.extend(about_it);
        }
        self.date = Some(date);
        for (traded, bar) in self.traded.iter_mut().zip(&row.bars) {
            *traded = bar.map_or(*traded, |_| Some(date));
        }
        let is_open = self.desk.take(row)?;
        Ok(is_open.then(|| Decided(self.desk.next_orders().to_vec())))
    }

    /// What is to be said of the bars of the last row's day: stocks that had bars within a week before
    /// and none on it, and bars that are doubtful.
    pub(crate) fn about_today(&self) -> Vec<String> {
        let Some(today) = self.date.filter(|&today| today >= self.start) else { return Vec::new() };
        let mut sentences = self.absent_on(today);
        for (stock, symbol) in self.desk.mandate().stocks.iter().enumerate() {
            let mut findings = judge(&self.rows.lately(stock, symbol, JUDGED_DAYS));
            findings.retain(|one| one.kind.is_of_prices() && market_date(one.until_s) == today);
            let lines = judge::lines(&findings);
            sentences.extend(lines.iter().map(|line| format!("{symbol}: {line}")));
        }
        sentences
    }

    fn absent_on(&self, today: NaiveDate) -> Vec<String> {
        let is_absent = |traded: &Option<NaiveDate>| {
            traded.is_some_and(|last| (1..=7).contains(&(today - last).num_days()))
        };
        let stocks = self.desk.mandate().stocks.iter().zip(&self.traded);
        let absent = stocks.filter(|(_, traded)| is_absent(traded));
        absent.map(|(stock, _)| format!("{stock}: no bar on {today}")).collect()
    }

    fn notice(&mut self, belated: &Belated) {
        let stocks = &self.desk.mandate().stocks;
        self.notices.push(belated.line(stocks, &iso_market_time(belated.end_s)));
    }

    pub(crate) fn desk(&self) -> &LiveDesk {
        &self.desk
    }

    /// Sentences, in the order in which they came up.
    pub(crate) fn notices(&self) -> &[String] {
        &self.notices
    }

    /// End of the last row that was decided or only warmed up, UTC seconds.
    pub(crate) fn last_s(&self) -> Option<i64> {
        self.rows.last_s()
    }

    /// When a row is due although stocks lack a bar.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.rows.due()
    }

    /// First day of the account.
    pub(crate) fn start(&self) -> NaiveDate {
        self.start
    }
}

fn check_same(folder: &Path, kept: &Opening, asked: &Opening) -> Result<()> {
    let place = folder.display();
    if kept.start != asked.start {
        bail!(
            "--start {}: the account in {place} began on {}; leave --start out to go on with it, or \
             begin another with --output",
            asked.start,
            kept.start
        );
    }
    if kept != asked {
        bail!(
            "{place}: its account is traded by another model, or with other settings; begin another \
             with --output, or move it away"
        );
    }
    Ok(())
}
