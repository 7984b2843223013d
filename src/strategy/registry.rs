//! Strategies by name.

use super::StrategyError;
use super::kind::StrategyKind;
use super::names::{nearest, plain};
use super::{
    arbitrage, autoregression, bollinger_bands, constant, macd, mean_reversion, momentum, pairs,
    rsi,
};

/// All known kinds of strategies.
#[derive(Clone)]
pub struct Registry {
    kinds: Vec<StrategyKind>,
}

impl Registry {
    /// The built-in kinds.
    pub fn standard() -> Registry {
        let kinds = [
            rsi::kind(),
            macd::kind(),
            bollinger_bands::kind(),
            momentum::kind(),
            mean_reversion::kind(),
            pairs::kind(),
            arbitrage::kind(),
            autoregression::kind(),
            constant::buy_and_hold(),
            constant::flat(),
        ];
        Registry { kinds: kinds.into() }
    }

    /// In the order in which they are listed and searched.
    pub fn kinds(&self) -> &[StrategyKind] {
        &self.kinds
    }

    /// Adds a kind. Errors: one of its names is taken or empty.
    pub fn register(&mut self, kind: StrategyKind) -> Result<(), StrategyError> {
        for name in kind.names() {
            let taken = self
                .kinds
                .iter()
                .find(|known| known.names().any(|known| plain(known) == plain(name)));
            if plain(name).is_empty() || taken.is_some() {
                let what = match taken {
                    Some(known) => format!("has the name of {}", known.name),
                    None => "has neither letters nor digits".into(),
                };
                let hint = "choose another name".into();
                return Err(StrategyError::Name { name: name.into(), what, hint });
            }
        }
        self.kinds.push(kind);
        Ok(())
    }

    /// Finds a kind by name or alias; case, spaces, hyphens, underscores and the suffix "strategy"
    /// are ignored. Errors: it is unknown.
    pub fn find(&self, name: &str) -> Result<&StrategyKind, StrategyError> {
        let asked = plain(name);
        let called = |asked: &str| {
            self.kinds.iter().find(|kind| kind.names().any(|known| plain(known) == asked))
        };
        let shorter = || called(asked.strip_suffix("strategy")?);
        called(&asked).or_else(shorter).ok_or_else(|| {
            let names = self.kinds.iter().flat_map(StrategyKind::names);
            let meant =
                nearest(name, names).map_or(String::new(), |near| format!("did you mean {near}? "));
            let all: Vec<&str> = self.kinds.iter().map(|kind| &*kind.name).collect();
            let hint = format!("{meant}there are {}", all.join(", "));
            StrategyError::Name { name: name.into(), what: "is unknown".into(), hint }
        })
    }
}
