//! The tools of a model: it can read prices up to now and its account, and place orders. A call
//! that fails is answered with the reason, so that the model can correct it.

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, symbol_forms, tool_name};
use super::protocol::ToolCall;
use crate::agents::ledger::{Ledger, Refusal, ShareOrder, Side};
use crate::market::Symbol;
use crate::market::calendar::{MarketClock, iso_market_time};
use crate::market::panel::MarketView;

/// Maximum number of bars per stock in one answer.
const MAX_BARS: u64 = 200;
const STANDARD_BARS: u64 = 10;
/// Maximum number of orders per session.
const MAX_ORDERS: usize = 200;

/// The account during a session. Orders are filled only after the session.
pub(crate) struct TradingTools<'a> {
    pub(crate) stocks: &'a [Symbol],
    /// The last known bar.
    pub(crate) view: MarketView<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) orders: Vec<ShareOrder>,
    pub(crate) by_bar: bool,
    pub(crate) is_finished: bool,
    /// How many calls were understood, whether or not they could be done, and how many were not.
    pub(crate) understood: u64,
    pub(crate) misread: u64,
}

/// Why a call is not done.
enum CallError {
    /// It says nothing that can be done.
    Misread(String),
    /// The account does not allow it.
    Refused(String),
}

impl From<String> for CallError {
    fn from(what: String) -> CallError {
        CallError::Misread(what)
    }
}

/// The tools' descriptions in the format of the protocol.
pub(crate) fn described() -> Value {
    let symbol = json!({ "type": "string", "description": "as in AAPL" });
    let amount = json!({ "type": "integer", "minimum": 1, "description": "whole shares" });
    let order = json!({
        "type": "object",
        "properties": { "symbol": symbol, "amount": amount },
        "required": ["symbol", "amount"],
    });
    let prices = json!({
        "type": "object",
        "properties": {
            "symbol": { "type": "string", "description": "all stocks where it is left out" },
            "count": { "type": "integer", "minimum": 1, "maximum": MAX_BARS },
            "interval": { "type": "string", "enum": ["day", "bar"] },
        },
    });
    let none = json!({ "type": "object", "properties": {} });
    let tool = |name: &str, description: &str, parameters: &Value| {
        json!({
            "type": "function",
            "function": { "name": name, "description": description, "parameters": parameters },
        })
    };
    json!([
        tool("get_prices", "The last prices up to now, oldest first", &prices),
        tool("get_positions", "Cash, shares, their value, and what was ordered", &none),
        tool("buy", "Order shares, to be bought at the next open", &order),
        tool("sell", "Order shares that are held to be sold at the next open", &order),
        tool("finish", "End this session", &none),
    ])
}

impl TradingTools<'_> {
    /// The reply to a call.
    pub(crate) fn answer(&mut self, call: &ToolCall) -> Value {
        let reply = match &call.arguments {
            Ok(arguments) => self.call(&call.name, arguments),
            Err(what) => Err(what.clone().into()),
        };
        let is_misread = matches!(reply, Err(CallError::Misread(_)));
        self.misread += u64::from(is_misread);
        self.understood += u64::from(!is_misread);
        reply.unwrap_or_else(|error| {
            let (CallError::Misread(what) | CallError::Refused(what)) = error;
            json!({ "error": what })
        })
    }

    fn call(&mut self, name: &str, arguments: &Value) -> Result<Value, CallError> {
        let arguments = Arguments(arguments);
        match tool_name(name) {
            Some("get_prices") => self.prices(&arguments),
            Some("get_positions") => Ok(self.positions()),
            Some("buy") => self.order(Side::Buy, &arguments),
            Some("sell") => self.order(Side::Sell, &arguments),
            Some("finish") => {
                self.is_finished = true;
                Ok(json!({ "finished": true }))
            }
            _ => Err(CallError::Misread(format!(
                "there is no tool {name:?}; there are get_prices, get_positions, buy, sell and \
                 finish"
            ))),
        }
    }

    fn stock(&self, name: &str) -> Result<usize, String> {
        let is_known = |form: &String| {
            self.stocks.iter().position(|known| known.as_str().eq_ignore_ascii_case(form))
        };
        symbol_forms(name).iter().find_map(is_known).ok_or_else(|| {
            let known: Vec<&str> = self.stocks.iter().map(Symbol::as_str).collect();
            format!("{name:?} is not traded here; there are {}", known.join(", "))
        })
    }

    fn order(&mut self, side: Side, arguments: &Arguments<'_>) -> Result<Value, CallError> {
        let stock = match &arguments.symbols()?[..] {
            [name] => self.stock(name)?,
            [] => return Err("symbol is missing, or no text".to_string().into()),
            _ => return Err("several symbols; order one stock at a time".to_string().into()),
        };
        let shares = arguments.amount()?;
        if self.orders.len() == MAX_ORDERS {
            let what = format!("{MAX_ORDERS} orders are as many as a session takes");
            return Err(CallError::Refused(what));
        }
        self.orders.push(ShareOrder::at(&self.view, stock, side, shares));
        match self.ledger.after(&self.view, &self.orders) {
            Ok(after) => {
                let each = self.ledger.expected_price(&self.view, stock, side);
                Ok(json!({
                    "accepted": order_json(&self.orders[self.orders.len() - 1], self.stocks),
                    "expected_price": each.map(round),
                    "expected_cash_after_all_orders": round(after.cash()),
                    "note": "filled at the next open, whose price is not known yet",
                }))
            }
            Err(refusal) => {
                self.orders.pop();
                Err(CallError::Refused(self.describe(stock, &refusal)))
            }
        }
    }

    fn describe(&self, stock: usize, refusal: &Refusal) -> String {
        let symbol = &self.stocks[stock];
        match refusal {
            Refusal::NoPrice => format!("{symbol} has no price yet"),
            Refusal::NotHeld { held } => {
                format!("{held} of {symbol} are left to sell; short sales are not allowed")
            }
            Refusal::NoCash { needed, cash } => format!(
                "it would take about {:.2}, and after the other orders {cash:.2} of cash are left",
                needed
            ),
        }
    }

    /// The current account; orders have not been filled yet.
    pub(crate) fn positions(&self) -> Value {
        let one = |(stock, symbol): (usize, &Symbol)| {
            let (shares, close) = (self.ledger.shares(stock), self.view.bar(stock).close);
            let close = (!close.is_nan()).then_some(close);
            let value = close.map(|close| round(shares as f64 * close));
            (symbol.to_string(), json!({ "shares": shares, "close": close, "value": value }))
        };
        let orders = self.orders.iter().map(|order| order_json(order, self.stocks));
        json!({
            "as_of": iso_market_time(self.view.end_s()),
            "cash": round(self.ledger.cash()),
            "equity": round(self.ledger.equity(&self.view)),
            "positions": self.stocks.iter().enumerate().map(one).collect::<Map<_, _>>(),
            "orders": orders.collect::<Vec<_>>(),
        })
    }

    fn prices(&self, arguments: &Arguments<'_>) -> Result<Value, CallError> {
        let named = arguments.symbols()?;
        let stocks = match named.is_empty() {
            true => (0..self.stocks.len()).collect(),
            false => named.iter().map(|name| self.stock(name)).collect::<Result<Vec<_>, _>>()?,
        };
        let count = arguments.count()?.unwrap_or(STANDARD_BARS).min(MAX_BARS) as usize;
        let by_bar = arguments.by_bar()?.unwrap_or(self.by_bar);
        let one = |stock: usize| {
            let last = last_bars(&self.view, stock, count, by_bar);
            (self.stocks[stock].to_string(), last.iter().map(BarSummary::json).collect())
        };
        Ok(Value::Object(stocks.into_iter().map(one).collect()))
    }
}

/// A bar, or a day's bars aggregated.
struct BarSummary {
    end_s: i64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: f64,
}

impl BarSummary {
    fn json(&self) -> Value {
        json!({
            "until": iso_market_time(self.end_s), "open": self.open, "high": self.high,
            "low": self.low, "close": self.close, "volume": self.volume,
        })
    }
}

/// The last `count` bars or days of a stock up to `view`, oldest first.
fn last_bars(view: &MarketView<'_>, stock: usize, count: usize, by_bar: bool) -> Vec<BarSummary> {
    let mut clock = MarketClock::new();
    let (mut found, mut day): (Vec<BarSummary>, _) = (Vec::new(), None);
    for back in 0.. {
        let Some(view) = view.back(back) else { break };
        let bar = view.bar(stock);
        if !bar.tradable {
            continue;
        }
        let (date, _) = clock.at(view.end_s() - 1);
        let is_full = found.len() == count;
        match found.last_mut() {
            // An earlier bar of the same day.
            Some(shown) if !by_bar && day == Some(date) => {
                shown.open = bar.open;
                shown.high = shown.high.max(bar.high);
                shown.low = shown.low.min(bar.low);
                shown.volume += bar.volume;
            }
            _ if is_full => break,
            _ => {
                day = Some(date);
                let (end_s, close, volume) = (view.end_s(), bar.close, bar.volume);
                let (open, high, low) = (bar.open, bar.high, bar.low);
                found.push(BarSummary { end_s, open, high, low, close, volume });
            }
        }
    }
    found.reverse();
    found
}

fn order_json(order: &ShareOrder, stocks: &[Symbol]) -> Value {
    let action = if order.side == Side::Buy { "buy" } else { "sell" };
    json!({ "action": action, "symbol": stocks[order.stock], "amount": order.shares })
}

/// Rounds money to a hundredth of a cent.
fn round(money: f64) -> f64 {
    (money * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::bars::tests::bars;
    use crate::env::costs::Costs;

    fn call(name: &str, arguments: Value) -> ToolCall {
        ToolCall::new(name, Ok(arguments))
    }

    /// Three bars a day; the fourth row is the first of the second day.
    #[test]
    fn prices_end_now_and_days_are_aggregated() {
        let closes = [101.0, 103.0, 99.0, 104.0, 500.0].map(|close| [close, 50.0]);
        let (bars, ledger) = (bars(&closes), Ledger::new(vec![0, 0], 1e4, FREE));
        let mut broker = broker(&bars, 3, &ledger);
        let days = broker.answer(&call("get_prices", json!({ "symbol": "aaa" })));
        let days = days["AAA"].as_array().unwrap();
        assert_eq!(days.len(), 2);
        let first = json!({
            "until": "2020-01-02T16:00:00-05:00", "open": 100.0, "high": 103.0, "low": 99.0,
            "close": 99.0, "volume": 3.0,
        });
        assert_eq!((&days[0], &days[1]["close"]), (&first, &json!(104.0)));
        let last = json!({ "count": 2, "interval": "bar" });
        let last = broker.answer(&call("get_prices", last));
        assert_eq!(last["AAA"][1]["close"], 104.0);
        assert_eq!(last["AAA"][0]["until"], "2020-01-02T16:00:00-05:00");
        assert_eq!(last["BBB"].as_array().unwrap().len(), 2);
        assert!(!last.to_string().contains("500"));
    }

    const FREE: Costs = Costs { fee_bps: 0.0, slippage_bps: 0.0 };

    fn broker<'a>(
        bars: &'a crate::agents::bars::AgentBars,
        t: usize,
        ledger: &'a Ledger,
    ) -> TradingTools<'a> {
        let view = bars.view(t);
        let orders = Vec::new();
        TradingTools {
            stocks: bars.stocks(),
            view,
            ledger,
            orders,
            by_bar: false,
            is_finished: false,
            understood: 0,
            misread: 0,
        }
    }

    #[test]
    fn orders_are_accepted_or_rejected_with_a_reason() {
        let (bars, ledger) = (bars(&[[100.0, 50.0]; 2]), Ledger::new(vec![4, 0], 1_000.0, FREE));
        let mut broker = broker(&bars, 0, &ledger);
        let order = json!({ "ticker": "$bbb", "quantity": "15" });
        let bought = broker.answer(&call("functions.Buy", order));
        assert_eq!(bought["expected_cash_after_all_orders"], 250.0);
        for (name, arguments, part) in [
            (
                "buy",
                json!({ "symbol": "AAA", "amount": 3 }),
                "300.00, and after the other orders 250",
            ),
            ("sell", json!({ "symbol": "AAA", "amount": 5 }), "4 of AAA are left to sell"),
            ("sell", json!({ "symbol": "ZZZ", "amount": 5 }), "there are AAA, BBB"),
            ("buy", json!({ "symbol": "AAA", "amount": 1.5 }), "not whole"),
            ("buy", json!({ "symbol": "AAA", "amount": "1,0" }), "has a comma"),
            ("buy", json!({ "amount": 1 }), "symbol is missing"),
            ("get_prices", json!({ "count": 0 }), "count"),
            ("get_prices", json!({ "interval": "hour" }), "interval"),
            ("short", json!({}), "there is no tool \"short\""),
        ] {
            let reply = broker.answer(&call(name, arguments.clone()));
            let error = reply["error"].as_str().unwrap_or_default();
            assert!(error.contains(part), "{name} {arguments}: {reply}");
        }
        let sold = broker.answer(&call("sell", json!({ "symbol": "AAA", "amount": 4 })));
        assert_eq!(sold["expected_cash_after_all_orders"], 650.0);
        assert_eq!((broker.orders.len(), broker.is_finished), (2, false));
        let held = broker.positions();
        assert_eq!((&held["cash"], &held["equity"]), (&json!(1_000.0), &json!(1_400.0)));
        assert_eq!(held["orders"][1]["action"], "sell");
        broker.answer(&call("finish", json!({})));
        assert!(broker.is_finished);
        let malformed = ToolCall::new("buy", Err("no JSON".into()));
        assert_eq!(broker.answer(&malformed), json!({ "error": "no JSON" }));
        // Refused for lack of cash or shares: two. Accepted: buy, sell, finish.
        assert_eq!((broker.understood, broker.misread), (5, 8));
    }
}
