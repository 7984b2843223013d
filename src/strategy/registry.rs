//! Strategies by name.

use super::StrategyError;
use super::kind::Kind;
use super::names::{nearest, plain};
use super::{
    arbitrage, autoregression, bollinger_bands, constant, macd, mean_reversion, momentum, pairs,
    rsi,
};

/// All kinds of strategies there are.
#[derive(Clone)]
pub struct Registry {
    kinds: Vec<Kind>,
}

impl Registry {
    /// Those of this program.
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

    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Adds a kind; none of its names may be taken.
    pub fn register(&mut self, kind: Kind) -> Result<(), StrategyError> {
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

    /// By name or alias; case, spaces, hyphens and underscores do not matter, nor does "strategy"
    /// at its end.
    pub fn find(&self, name: &str) -> Result<&Kind, StrategyError> {
        let asked = plain(name);
        let called = |asked: &str| {
            self.kinds.iter().find(|kind| kind.names().any(|known| plain(known) == asked))
        };
        let shorter = || called(asked.strip_suffix("strategy")?);
        called(&asked).or_else(shorter).ok_or_else(|| {
            let names = self.kinds.iter().flat_map(Kind::names);
            let meant =
                nearest(name, names).map_or(String::new(), |near| format!("did you mean {near}? "));
            let all: Vec<&str> = self.kinds.iter().map(|kind| &*kind.name).collect();
            let hint = format!("{meant}there are {}", all.join(", "));
            StrategyError::Name { name: name.into(), what: "is unknown".into(), hint }
        })
    }
}
