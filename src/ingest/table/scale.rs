//! Prices that are stored as whole numbers of some part of a unit.

use super::{TableOptions, TablePart, file_error};
use crate::market::error::MarketError;

/// Whole prices from this on are refused unless it is said what they count.
const SUSPICIOUS: f64 = 1e6;
const SAY_IT: &str = "say what they count with --price-scale: 10000 for ten-thousandths, 1 for whole \
                      units";

/// What a file's layout says of its prices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum PriceScale {
    /// Nothing.
    #[default]
    None,
    /// They count this many parts of a unit; in words.
    Certain(f64, &'static str),
    /// They may; why.
    Doubtful(&'static str),
}

impl PriceScale {
    /// Divides the prices by what the user says, or the layout. Returns what was done, to follow the
    /// rest of the summary.
    ///
    /// # Errors
    /// If they are most likely no units of money, and it is unknown what they are.
    pub(super) fn apply(
        self,
        parts: &mut [TablePart],
        file: &str,
        options: &TableOptions,
    ) -> Result<String, MarketError> {
        let (scale, told) = match (options.price_scale, self) {
            (Some(1.0), _) => return Ok("; prices as they stand".into()),
            (Some(scale), _) => (scale, format!("; prices divided by {scale}")),
            (None, PriceScale::Certain(scale, words)) => (scale, format!("; prices in {words}")),
            (None, PriceScale::Doubtful(why)) => {
                return Err(file_error(file, why.into(), SAY_IT));
            }
            (None, PriceScale::None) if is_suspicious(parts) => {
                let what = "all prices are whole numbers above 1,000,000: perhaps fixed-point ones";
                return Err(file_error(file, what.into(), SAY_IT));
            }
            (None, PriceScale::None) => return Ok(String::new()),
        };
        parts.iter_mut().for_each(|part| part.rows.divide_prices(scale));
        Ok(told)
    }
}

fn is_suspicious(parts: &[TablePart]) -> bool {
    let all = || {
        let rows = parts.iter().map(|part| &part.rows);
        let prices = rows.flat_map(|rows| [&rows.open, &rows.high, &rows.low, &rows.close]);
        prices.flatten().filter(|price| price.is_finite())
    };
    all().next().is_some() && all().all(|price| price.fract() == 0.0 && *price > SUSPICIOUS)
}
