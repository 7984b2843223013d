//! `report.html` of several accounts side by side, as strategies and agents have: the table, all
//! courses in one picture, and the sections of each account.

use std::path::PathBuf;

use super::account::{Account, MAX_PRICES};
use super::folder::{ReportError, ResultsFolder};
use super::format::minus;
use super::html::HtmlReport;
use super::members::EnsembleMembers;
use super::page::{escape, figure, page, table};
use super::plot::compared_svg;
use super::portfolio_csv::EquityRow;
use super::trades::{DecidedBy, Trades};
use crate::env::costs::Costs;
use crate::eval::metrics::BacktestRecord;
use crate::eval::trades::RoundTrip;

/// Accounts whose sections are on the page; the table has all.
const MAX_ACCOUNTS: usize = 12;

/// Courses in one picture, which are told apart.
const MAX_COURSES: usize = 4;

/// One account and what stands beside it.
pub(crate) struct AccountOnPage<'a> {
    pub(crate) name: String,
    /// A sentence or more on what is to be thought of it; may be empty.
    pub(crate) said: String,
    pub(crate) record: &'a BacktestRecord,
    /// Buy and hold over the same bars.
    pub(crate) benchmark: &'a BacktestRecord,
    /// Its round trips, in the order of their exits, where they are not those of the record's
    /// positions.
    pub(crate) trips: Option<Vec<RoundTrip>>,
    /// Of an ensemble with weights.
    pub(crate) members: Option<EnsembleMembers<'a>>,
}

/// All that the page shows.
pub(crate) struct AccountsReport<'a> {
    pub(crate) title: String,
    /// What was run on what, and the answer.
    pub(crate) over: String,
    pub(crate) headline: String,
    pub(crate) notices: &'a [String],
    pub(crate) head: Vec<String>,
    /// A row for each account, failed ones included.
    pub(crate) rows: Vec<Vec<String>>,
    /// What the columns are.
    pub(crate) explained: String,
    /// The first ones are shown.
    pub(crate) accounts: Vec<AccountOnPage<'a>>,
    pub(crate) costs: Costs,
    /// As it is to be run again; may be empty.
    pub(crate) settings: String,
}

impl AccountsReport<'_> {
    /// Writes the page, and the trades of all accounts.
    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<[PathBuf; 2], ReportError> {
        let of = |one| self.of("", one).round_trips();
        let trades: Vec<Trades<'_>> = self.accounts.iter().map(of).collect();
        Ok([
            Trades::write(&trades, folder)?,
            folder.write_whole(HtmlReport::NAME, self.page().as_bytes())?,
        ])
    }

    fn page(&self) -> String {
        let notice = |line: &String| format!("<p class=\"note\">{}</p>\n", escape(line));
        let notices: String = self.notices.iter().map(notice).collect();
        let shown = &self.accounts[..self.accounts.len().min(MAX_ACCOUNTS)];
        let prices = MAX_PRICES / shown.len().max(1);
        let each = |(i, account): (usize, &AccountOnPage<'_>)| self.account(i, account, prices);
        let each: String = shown.iter().enumerate().map(each).collect();
        let rest = match self.accounts.len() - shown.len() {
            0 => String::new(),
            _ => format!("<p class=\"explained\">The first {MAX_ACCOUNTS} are shown.</p>\n"),
        };
        let settings = match self.settings.as_str() {
            "" => String::new(),
            text => format!(
                "<h2>Settings</h2>\n<details><summary>All settings</summary>\n<pre \
                 tabindex=\"0\">{}</pre></details>\n",
                escape(text)
            ),
        };
        let content = format!(
            "<header>\n<p class=\"over\">{}</p>\n<h1>{}</h1>\n{notices}</header>\n{}\
             <h2>All accounts</h2>\n{}<p class=\"explained\">{}</p>\n{each}{rest}{settings}",
            escape(&self.over),
            minus(&escape(&self.headline)),
            self.courses(shown),
            table("All accounts", &self.head, &self.rows),
            escape(&self.explained),
        );
        page(&self.title, &content)
    }

    /// Of those that ended highest, in the order of the page.
    fn courses(&self, shown: &[AccountOnPage<'_>]) -> String {
        let earned = |one: &AccountOnPage<'_>| {
            let (first, last) = (one.record.equity.first(), one.record.equity.last());
            first.zip(last).map_or(0.0, |(first, last)| last / first)
        };
        let mut ranked: Vec<usize> = (0..shown.len()).collect();
        ranked.sort_by(|&a, &b| earned(&shown[b]).total_cmp(&earned(&shown[a])));
        ranked.truncate(MAX_COURSES);
        ranked.sort_unstable();
        let rows: Vec<Vec<EquityRow>> = ranked.iter().map(|&i| shown[i].by_day()).collect();
        let curves: Vec<(&str, &[EquityRow])> =
            ranked.iter().zip(&rows).map(|(&i, rows)| (&*shown[i].name, &rows[..])).collect();
        let which = match shown.len() > ranked.len() {
            true => format!("The {MAX_COURSES} accounts that ended highest"),
            false => "All accounts".into(),
        };
        let caption = format!("{which} and, thin, buy and hold.");
        let label = format!("{which}: return over time");
        let svg = |screen| compared_svg(&curves, screen);
        format!("<h2>Equity</h2>\n{}", figure("", &label, &caption, svg))
    }

    fn of<'b>(&self, id: &'b str, one: &'b AccountOnPage<'_>) -> Account<'b> {
        Account {
            id,
            record: one.record,
            benchmark: one.benchmark,
            dqn: None,
            decided_by: DecidedBy::Owner(&one.name),
            trips: one.trips.as_deref(),
            costs: self.costs,
        }
    }

    fn account(&self, i: usize, one: &AccountOnPage<'_>, prices: usize) -> String {
        let id = format!("account-{}", i + 1);
        let account = self.of(&id, one);
        let sections = [
            account.equity(),
            account.months(),
            one.members.as_ref().map_or(String::new(), |members| members.section(one.record)),
            account.activity(),
            account.drawdowns(),
            account.trades(),
            account.prices(prices),
        ];
        // A level below the account's own heading.
        let sections = ["h3", "h2"].into_iter().fold(sections.concat(), |text, level| {
            let below = if level == "h3" { "h4" } else { "h3" };
            text.replace(&format!("<{level}>"), &format!("<{below}>"))
                .replace(&format!("</{level}>"), &format!("</{below}>"))
        });
        // Every account has these tables and pictures: their names must tell them apart.
        let named = format!("aria-label=\"{}: ", escape(&one.name));
        let sections = sections.replace("aria-label=\"", &named);
        let said = match one.said.as_str() {
            "" => String::new(),
            said => format!("<p>{}</p>\n", minus(&escape(said))),
        };
        let open = if i == 0 { " open" } else { "" };
        format!(
            "<h2>{}</h2>\n{said}<details{open}><summary>Equity, months, drawdowns and \
             trades</summary>\n{sections}</details>\n",
            escape(&one.name)
        )
    }
}

impl AccountOnPage<'_> {
    /// The start, and each day's last equity.
    fn by_day(&self) -> Vec<EquityRow> {
        let start = |record: &BacktestRecord| record.equity.first().copied().unwrap_or(1.0);
        let held = self.benchmark.daily_closes();
        let mut rows = Vec::new();
        for (date, equity) in self.record.daily_closes() {
            if rows.is_empty() {
                rows.push(EquityRow {
                    date: date.pred_opt().unwrap_or(date),
                    equity: start(self.record),
                    benchmark: start(self.benchmark),
                });
            }
            let known = held.iter().rfind(|(day, _)| *day <= date);
            let benchmark = known.map_or(start(self.benchmark), |(_, equity)| *equity);
            rows.push(EquityRow { date, equity, benchmark });
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn every_account_has_its_sections_a_level_below_its_name() {
        let example = example::run(2, 400);
        let account = |name: &str, said: &str| AccountOnPage {
            name: name.into(),
            said: said.into(),
            record: &example.record,
            benchmark: &example.held,
            trips: None,
            members: None,
        };
        let report = AccountsReport {
            title: "strategies".into(),
            over: "two <strategies>".into(),
            headline: "No evidence".into(),
            notices: &["made up & known".into()],
            head: ["", "return"].map(String::from).into(),
            rows: vec![["RSI", "-1.0%"].map(String::from).into()],
            explained: "what it is".into(),
            accounts: vec![account("RSI", "lost -1.0%"), account("<b>", "")],
            costs: Costs::new(&example.config.env),
            settings: "a = 1".into(),
        };
        let page = report.page();
        for part in [
            "two &lt;strategies&gt;",
            "made up &amp; known",
            ">−1.0%</td>",
            "<p>lost −1.0%</p>",
            "<h2>&lt;b&gt;</h2>",
            "name=\"account-2\"",
            "<pre tabindex=\"0\">a = 1</pre>",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<h3>Monthly returns</h3>").count(), 2);
        assert_eq!(page.matches("<h3>Worst drawdowns</h3>").count(), 2);
        assert_eq!(page.matches("<details open>").count(), 1);
        let tables = ["RSI: Monthly returns", "&lt;b&gt;: Monthly returns"];
        assert!(tables.iter().all(|name| page.contains(&format!("aria-label=\"{name}\""))));
        // All courses; equity on two axes and two prices of each.
        assert_eq!(page.matches("<svg ").count(), 2 * (1 + 2 * (2 + 2)), "for two screens");
        assert!(!page.contains("<script"));
    }

    #[test]
    fn a_course_begins_at_its_start_and_has_every_day() {
        let example = example::run(2, 15);
        let (record, benchmark) = (&example.record, &example.held);
        let one = AccountOnPage {
            name: "A".into(),
            said: String::new(),
            record,
            benchmark,
            trips: None,
            members: None,
        };
        let rows = one.by_day();
        // Seven bars a day: two whole days and the first bar of a third.
        assert_eq!(rows.len(), 1 + 3);
        assert_eq!([rows[0].equity, rows[1].equity], [record.equity[0], record.equity[6]]);
        assert_eq!(rows[3].benchmark, benchmark.equity[14]);
    }
}
