//! `allocations.csv`: what each expert counted for in the last evaluation, and what was ordered.

use std::fmt::Write;
use std::path::PathBuf;

use super::folder::{ReportError, ResultsFolder};
use super::portfolio_csv::{push_number, time_and_date};
use crate::market::Symbol;
use crate::portfolio::allocation::{Allocation, Allocations};

/// Rows that are made into text at once.
const PART_ROWS: usize = 4_096;

pub(crate) const NAME: &str = "allocations.csv";

pub(crate) fn write(
    folder: &ResultsFolder,
    stocks: &[Symbol],
    allocations: &Allocations,
) -> Result<PathBuf, ReportError> {
    folder.write_parts(NAME, parts(stocks, allocations))
}

/// One row per stock and bar at which something changed.
fn parts(stocks: &[Symbol], allocations: &Allocations) -> impl Iterator<Item = String> {
    let mut head = String::from("timestamp,date,stock");
    for expert in &allocations.experts {
        // Writing to a String does not fail.
        let _ = write!(head, ",{}_weight", column(expert));
    }
    for expert in &allocations.experts {
        let _ = write!(head, ",{}_profit", column(expert));
    }
    head.push_str(",capital,proposed,approved,changed,reason\n");
    let parts = allocations.rows.chunks(PART_ROWS).map(move |rows| of_rows(stocks, rows));
    std::iter::once(head).chain(parts)
}

fn of_rows(stocks: &[Symbol], rows: &[Allocation]) -> String {
    let mut text = String::new();
    let mut at = (i64::MIN, String::new());
    for row in rows {
        if at.0 != row.end_s {
            at = (row.end_s, time_and_date(row.end_s));
        }
        let _ = write!(text, "{},{}", at.1, stocks[row.stock]);
        row.weights.iter().for_each(|&weight| push_number(&mut text, weight));
        for profit in &row.profits {
            let _ = write!(text, ",{profit:.2}");
        }
        let numbers = [row.capital, row.proposed, row.approved];
        numbers.into_iter().for_each(|number| push_number(&mut text, number));
        let changed: Vec<&str> = row.changed.iter().map(|change| change.word()).collect();
        let _ = write!(text, ",{}", changed.join(" "));
        let reason = row.reason.and_then(|reason| serde_json::to_value(reason).ok());
        let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or_default();
        let _ = writeln!(text, ",{reason}");
    }
    text
}

/// A strategy's name in small letters without spaces.
fn column(expert: &str) -> String {
    expert.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "_")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;
    use crate::config::{EnvConfig, PortfolioConfig};
    use crate::market::panel::{Panel, PanelData};
    use crate::portfolio::desk::Desk;
    use crate::portfolio::limits::Limits;
    use crate::portfolio::mandate::Mandate;
    use crate::portfolio::meta_policy::{CapitalPlan, DqnProposal, MetaPolicy};

    /// Two stocks whose prices stand still, three bars on each of two days.
    fn panel(folder: &std::path::Path) -> Panel {
        let start = DateTime::parse_from_rfc3339("2020-01-02T10:00:00-05:00").unwrap().timestamp();
        let prices = vec![100.0; 12];
        let data = PanelData {
            stocks: ["A", "B"].map(|name| name.parse().unwrap()).to_vec(),
            feature_names: vec!["nothing".into()],
            end_s: (0..6).map(|i| start + 86_400 * (i / 3) + 1_800 * (i % 3)).collect(),
            open: prices.clone(),
            high: prices.clone(),
            low: prices.clone(),
            close: prices,
            volume: vec![1.0; 12],
            tradable: vec![true; 12],
            features: vec![0.0; 12],
            note: String::new(),
        };
        let path = folder.join("panel.arrow");
        Panel::write(&path, &data).unwrap();
        Panel::open(&path).unwrap()
    }

    /// B may not be held against A; the fourth bar begins a day after one on which no stock moved,
    /// so that no capital is allocated.
    #[test]
    fn a_row_stands_where_something_changed() {
        let place = tempfile::tempdir().unwrap();
        let panel = panel(place.path());
        let stocks: Vec<Symbol> = panel.stocks().to_vec();
        let mut mandate = Mandate::new(&stocks, &EnvConfig::default(), &PortfolioConfig::default());
        let meta = &mut mandate.portfolio.meta_policy;
        meta.enabled = true;
        meta.strategies = vec!["buy and hold".into(), "flat".into()];
        (meta.dqn_prior, meta.priors) = (0.5, Default::default());
        let portfolio = PortfolioConfig { name_limit: Some(0.5), ..PortfolioConfig::default() };
        let correlation = vec![vec![None, Some(0.99)], vec![Some(0.99), None]];
        let limits = Limits::new(&portfolio, &stocks, &correlation);
        let meta = MetaPolicy::new(&mandate, &panel).unwrap().map(Arc::new);
        let plan = CapitalPlan::new(&panel, 2, &portfolio);
        let mut desk = Desk::new(1, plan, &portfolio, limits).with_meta_policy(meta, &[]);
        let mut allocations = Allocations::new(&desk, 2);
        // Nothing is earned that would change a weight.
        let wanted = [[1.0, 0.0], [1.0, 0.0], [1.0, -1.0], [1.0, -1.0], [0.0; 2], [0.0; 2]];
        for (row, wanted) in wanted.into_iter().enumerate() {
            let view = panel.view(row);
            desk.decide(0, &view, 0.0, wanted.into_iter().map(|d| DqnProposal::plain((d, 0.5))));
            allocations.note(view.end_s(), &desk, 1e6);
        }
        let expected = "\
timestamp,date,stock,buy_and_hold_weight,flat_weight,dqn_weight,\
buy_and_hold_profit,flat_profit,dqn_profit,capital,proposed,approved,changed,reason
2020-01-02T15:00:00Z,2020-01-02,A,0.25,0.25,0.5,0.00,0.00,0.00,0.5,0.375,0.375,,
2020-01-02T15:00:00Z,2020-01-02,B,0.25,0.25,0.5,0.00,0.00,0.00,0.5,0.125,0.125,,
2020-01-02T16:00:00Z,2020-01-02,B,0.25,0.25,0.5,-25.00,0.00,0.00,0.5,-0.125,0,positions limits,opposite_twin
2020-01-03T15:00:00Z,2020-01-03,A,0.25,0.25,0.5,-25.00,0.00,-50.00,0,0,0,capital,
2020-01-03T15:00:00Z,2020-01-03,B,0.25,0.25,0.5,-25.00,0.00,-50.00,0,0,0,capital,opposite_twin
2020-01-03T15:30:00Z,2020-01-03,B,0.25,0.25,0.5,-25.00,0.00,-50.00,0,0,0,positions limits,
";
        assert_eq!(parts(&stocks, &allocations).collect::<String>(), expected);
    }
}
