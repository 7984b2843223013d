//! The page of an account on paper while it trades: what it holds, what it would order, and how it
//! came there. It looks for a newer one by itself.

use serde_json::{Value, json};

use super::format::{amount, counted, minus, percent, signed_percent};
use super::orders::side;
use super::page::{escape, figure, names, page, table};
use super::plot::{EquityCurves, Scale, equity_svg};
use crate::eval::metrics::BacktestRecord;
use crate::market::Symbol;
use crate::market::calendar::{iso_market_time, iso_utc, market_date};
use crate::train::evaluation::NextOrder;

/// Replaces the content when the server has a newer one.
const SCRIPT: &str = "\
let seen = null;
async function look() {
  try {
    const version = await (await fetch('/version')).text();
    if (seen !== null && version !== seen) {
      const text = await (await fetch('/')).text();
      const next = new DOMParser().parseFromString(text, 'text/html');
      document.querySelector('main').replaceWith(next.querySelector('main'));
    }
    seen = version;
    document.documentElement.classList.remove('gone');
  } catch {
    document.documentElement.classList.add('gone');
  }
}
setInterval(look, 1000);
look();
";

/// An account at the close of its last bar.
pub(crate) struct LiveView<'a> {
    pub(crate) stocks: &'a [Symbol],
    /// The account and buy-and-hold bar by bar; None before the account is open.
    pub(crate) records: Option<[&'a BacktestRecord; 2]>,
    /// For the next open.
    pub(crate) orders: &'a [NextOrder],
    /// What a reader must know.
    pub(crate) notices: &'a [&'a String],
}

impl LiveView<'_> {
    /// The whole page.
    pub(crate) fn page(&self) -> String {
        let content = match self.records {
            Some([record, benchmark]) => self.open(record, benchmark),
            None => format!(
                "<header>\n<h1>Waiting for the first bar</h1>\n{}</header>\n",
                self.notices()
            ),
        };
        let gone = "<p class=\"note lost\">The program does not answer: this page is as it was \
                    last.</p>\n";
        let title = format!("{} on paper", names(self.stocks));
        page(&title, &(gone.to_string() + &content))
            .replace("</body>", &format!("<script>\n{SCRIPT}</script>\n</body>"))
    }

    fn open(&self, record: &BacktestRecord, benchmark: &BacktestRecord) -> String {
        let last = record.end_s.len() - 1;
        let equity = record.equity[last];
        let since = |equity: &[f64]| signed_percent(equity[last] / equity[0] - 1.0);
        let curves = EquityCurves { portfolio: record, benchmark, dqn: None };
        let headline = format!("{}, {} since the start", amount(equity), since(&record.equity));
        let text = format!(
            "On {} the account began with {}; buy and hold has {} since. Today {}. \
             Drawdown {}.",
            market_date(record.end_s[0]),
            amount(record.equity[0]),
            since(&benchmark.equity),
            signed_percent(equity / self.yesterday(record) - 1.0),
            percent(-record.drawdown[last]),
        );
        format!(
            "<header>\n<p class=\"over\">dqn-trader: {}, on paper; last bar {}</p>\n\
             <h1>{}</h1>\n<p>{}</p>\n{}</header>\n{}{}{}",
            escape(&names(self.stocks)),
            iso_market_time(record.end_s[last]),
            minus(&headline),
            minus(&text),
            self.notices(),
            self.order_table(),
            self.positions(record),
            figure(
                "Equity and drawdown",
                "Return and drawdown of the account and of buy and hold",
                "The benchmark buys and holds the same stocks in equal parts at the same costs.",
                |screen| equity_svg(curves, Scale::Linear, screen),
            ),
        )
    }

    /// Equity at the end of the session before the last bar's, or at the start.
    fn yesterday(&self, record: &BacktestRecord) -> f64 {
        let today = record.end_s.last().map(|&end_s| market_date(end_s));
        let before = record.end_s.iter().rposition(|&end_s| Some(market_date(end_s)) != today);
        record.equity[before.unwrap_or(0)]
    }

    fn notices(&self) -> String {
        let note = |notice: &&String| format!("<p class=\"note\">{}</p>\n", escape(notice));
        self.notices.iter().map(note).collect()
    }

    fn order_table(&self) -> String {
        let heading = "<h2>Orders for the next open</h2>\n";
        let nowhere = "<p class=\"explained\">No order is sent anywhere.</p>\n";
        if self.orders.is_empty() {
            return format!("{heading}<p>Nothing is to be traded.</p>\n{nowhere}");
        }
        let head = ["", "side", "shares", "reference price", "position after"].map(String::from);
        let cells = |order: &NextOrder| {
            vec![
                self.stocks[order.stock].to_string(),
                side(order).into(),
                amount(order.shares.abs()),
                format!("{:.4}", order.reference_price),
                amount(order.position_after),
            ]
        };
        let rows: Vec<Vec<String>> = self.orders.iter().map(cells).collect();
        format!("{heading}{}{nowhere}", table("Orders for the next open", &head, &rows))
    }

    fn positions(&self, record: &BacktestRecord) -> String {
        let equity = record.equity.last().copied().unwrap_or(f64::NAN);
        let cash = record.cash.last().copied().unwrap_or(f64::NAN);
        let head = ["", "shares", "price", "value", "of equity"].map(String::from);
        let row = |(stock, shares, price): (usize, f64, f64)| {
            vec![
                self.stocks[stock].to_string(),
                amount(shares),
                format!("{price:.4}"),
                amount(shares * price),
                percent(shares * price / equity),
            ]
        };
        let mut rows: Vec<Vec<String>> = self.held(record).map(row).collect();
        let [shares, price] = [String::new(), String::new()];
        rows.push(vec!["Cash".into(), shares, price, amount(cash), percent(cash / equity)]);
        let fills: usize = record.trades.iter().map(|&fills| fills as usize).sum();
        format!(
            "<h2>Positions</h2>\n{}<p class=\"explained\">{} so far.</p>\n",
            table("Positions", &head, &rows),
            counted(fills, "fill")
        )
    }

    /// Stock, shares and price of what is held at the last bar.
    fn held<'a>(
        &self,
        record: &'a BacktestRecord,
    ) -> impl Iterator<Item = (usize, f64, f64)> + use<'a> {
        let stocks = record.stocks.len();
        let first = record.position.len() - stocks;
        let held =
            (0..stocks).map(move |i| (i, record.position[first + i], record.price[first + i]));
        held.filter(|(_, shares, _)| *shares != 0.0)
    }

    /// The same as JSON, for programs.
    pub(crate) fn json(&self) -> Value {
        let Some([record, benchmark]) = self.records else {
            return json!({ "last_bar": null, "notices": self.notices });
        };
        let of_order = |order: &NextOrder| {
            json!({
                "stock": self.stocks[order.stock],
                "side": side(order),
                "shares": order.shares.abs(),
                "reference_price": order.reference_price,
                "position_after": order.position_after,
                "reason": order.reason,
            })
        };
        let of_held = |(stock, shares, price): (usize, f64, f64)| json!({ "stock": self.stocks[stock], "shares": shares, "price": price });
        json!({
            "last_bar": record.end_s.last().map(|&end_s| iso_utc(end_s)),
            "equity": record.equity.last(),
            "cash": record.cash.last(),
            "benchmark_equity": benchmark.equity.last(),
            "positions": self.held(record).map(of_held).collect::<Vec<Value>>(),
            "orders_for_next_open": self.orders.iter().map(of_order).collect::<Vec<Value>>(),
            "notices": self.notices,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn it_shows_what_is_held_and_what_is_to_be_ordered() {
        let example = example::run(2, 40);
        let benchmark =
            BacktestRecord { equity: example.benchmark_equity.clone(), ..example.record.clone() };
        let order = NextOrder {
            end_s: 0,
            stock: 1,
            shares: -3.5,
            reference_price: 12.25,
            position_after: -1.5,
            reason: None,
        };
        let notice = "AAPL: <late>".to_string();
        let view = LiveView {
            stocks: &example.config.stocks,
            records: Some([&example.record, &benchmark]),
            orders: &[order],
            notices: &[&notice],
        };
        let page = view.page();
        let cells = [("side", "sell"), ("shares", "3.50"), ("reference price", "12.2500")];
        for (name, value) in cells {
            let cell = format!("<td data-label=\"{name}\">{value}</td>");
            assert!(page.contains(&cell), "{cell} in {page}");
        }
        assert!(page.contains("<td data-label=\"position after\">−1.50</td>"));
        assert!(page.contains("AAPL: &lt;late&gt;") && page.contains("No order is sent anywhere."));
        let json = view.json();
        assert_eq!(json["orders_for_next_open"][0]["position_after"], -1.5);
        assert_eq!(json["equity"], *example.record.equity.last().unwrap());
        let early = LiveView { records: None, orders: &[], ..view };
        assert!(early.page().contains("Waiting for the first bar"));
        assert!(early.json()["last_bar"].is_null());
    }
}
