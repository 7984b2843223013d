//! Return processes of the planted markets and their parameters, shared by generator and oracle.
//!
//! In every process the simple return of the next bar has the stated conditional mean `m` exactly:
//! its logarithm is normal with mean ln(1 + m) - v / 2 and variance v. Rewards are simple returns,
//! so a stock with m = 0 earns nothing in either direction. A bar opens at the previous close,
//! overnight too: an order decided at a close is filled at the price it was decided on and earns
//! the whole predicted return.

use super::MarketKind;

/// Return process of one stock. Standard deviations are per bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReturnProcess {
    /// m = 0, constant variance.
    Noise {
        /// Standard deviation.
        sigma: f64,
    },
    /// m = 0. Variance is GARCH(1,1) per session, distributed over its bars by the U-shape, times a
    /// factor of mean 1 that gives Student's t tails.
    Garch {
        /// Long-run standard deviation.
        sigma: f64,
    },
    /// m = phi R, with R the stock's own last return: AR(1).
    Own(Ar1),
    /// m = gain R, with R the leader's last return, which is white noise with standard deviation
    /// `lead`.
    Follower {
        /// Index of the stock that is followed.
        leader: usize,
        /// Expected return per return of the leader.
        gain: f64,
        /// Standard deviation of the leader's returns.
        lead: f64,
        /// Standard deviation of the follower's own shocks.
        sigma: f64,
    },
    /// The log price is walk + side * spread / 2, the partner's is walk - side * spread / 2. The
    /// random walk has increments of standard deviation `walk`; the spread is AR(1) with
    /// coefficient `memory` and shocks of standard deviation `shock`.
    Spread {
        /// Index of the other stock of the pair.
        partner: usize,
        /// 1 for the first stock of the pair, -1 for the second.
        side: f64,
        /// Standard deviation of the walk's increments.
        walk: f64,
        /// Coefficient of the spread from one bar to the next.
        memory: f64,
        /// Standard deviation of the spread's shocks.
        shock: f64,
    },
    /// Two AR(1) regimes; each bar switches regime with probability `change`.
    Regimes {
        /// The processes of the two regimes.
        components: [Ar1; 2],
        /// Probability of a switch per bar.
        change: f64,
    },
    /// m = 0 given prices alone. A bar's volume is 10^6 exp(r / (2 sigma)) shares, with r the log
    /// return of the next bar.
    Leaked {
        /// Standard deviation.
        sigma: f64,
    },
}

/// AR(1) process of returns: coefficient, and standard deviation of the shocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ar1 {
    /// Coefficient of the last return.
    pub phi: f64,
    /// Standard deviation of the shocks.
    pub sigma: f64,
}

pub(crate) const LEAK: f64 = 0.5;
pub(crate) const LEAK_SHARES: f64 = 1e6;

const BPS: f64 = 1e-4;

/// Standard deviations are per half hour; 70 basis points are 40 % a year.
#[derive(Debug)]
pub(super) struct Parameters {
    noise: f64,
    /// First-order autocorrelation of returns in `momentum`, and minus that in `mean_reversion`.
    phi: f64,
    echo: f64,
    /// `lead_lag`: the correlation of a follower's return with its leader's last one is gain /
    /// sqrt(1 + gain^2), since both have the shocks of `noise`.
    gain: f64,
    /// `pairs`: the half-life of the spread is ln(1/2) / ln(memory) bars.
    memory: f64,
    walk: f64,
    shock: f64,
    /// `regimes`: calm returns trend and volatile ones revert, as LeBaron (1992) found in daily
    /// returns.
    calm: f64,
    wild: f64,
    /// Mean length of a regime, bars.
    regime_bars: f64,
    /// `random_walk`: long-run standard deviation per half hour (25 % a year).
    garch: f64,
}

pub(super) const PARAMETERS: Parameters = Parameters {
    noise: 60.0 * BPS,
    phi: 0.4,
    echo: 65.0 * BPS,
    gain: 0.5,
    memory: 0.75,
    walk: 70.0 * BPS,
    shock: 106.0 * BPS,
    calm: 45.0 * BPS,
    wild: 90.0 * BPS,
    regime_bars: 130.0,
    garch: 44.0 * BPS,
};

impl ReturnProcess {
    /// None for the sample market.
    pub(super) fn for_stock(
        kind: MarketKind,
        stocks: usize,
        stock: usize,
        bar_minutes: u32,
    ) -> Option<ReturnProcess> {
        assert!(stock < stocks, "stock {stock} of {stocks}");
        let p = &PARAMETERS;
        let per_bar = (f64::from(bar_minutes) / 30.0).sqrt();
        let echo = |phi, sigma| Ar1 { phi, sigma: sigma * per_bar };
        let noise = p.noise * per_bar;
        let partner = |couples: Option<usize>| {
            let couple = stock / 2;
            (couple < couples.unwrap_or(usize::MAX) && stock ^ 1 < stocks).then_some(stock ^ 1)
        };
        Some(match kind {
            MarketKind::Sample => return None,
            MarketKind::LeadLag(couples) => match partner(couples) {
                Some(leader) if leader < stock => {
                    ReturnProcess::Follower { leader, gain: p.gain, lead: noise, sigma: noise }
                }
                _ => ReturnProcess::Noise { sigma: noise },
            },
            MarketKind::MeanReversion => ReturnProcess::Own(echo(-p.phi, p.echo)),
            MarketKind::Momentum => ReturnProcess::Own(echo(p.phi, p.echo)),
            MarketKind::Regimes => ReturnProcess::Regimes {
                components: [echo(p.phi, p.calm), echo(-p.phi, p.wild)],
                change: 1.0 / p.regime_bars,
            },
            MarketKind::Pairs(couples) => match partner(couples) {
                Some(partner) => ReturnProcess::Spread {
                    partner,
                    side: if partner > stock { 1.0 } else { -1.0 },
                    walk: p.walk * per_bar,
                    memory: p.memory,
                    shock: p.shock * per_bar,
                },
                None => ReturnProcess::Noise { sigma: noise },
            },
            MarketKind::RandomWalk => ReturnProcess::Garch { sigma: p.garch * per_bar },
            MarketKind::Leaked => ReturnProcess::Leaked { sigma: noise },
        })
    }

    /// Whether something observable predicts this stock's returns.
    pub fn has_edge(&self) -> bool {
        !matches!(self, ReturnProcess::Noise { .. } | ReturnProcess::Garch { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(kind: MarketKind, stocks: usize) -> Vec<bool> {
        let edge = |stock| ReturnProcess::for_stock(kind, stocks, stock, 30).unwrap().has_edge();
        (0..stocks).map(edge).collect()
    }

    #[test]
    fn followers_and_pairs_stand_where_they_should() {
        let (yes, no) = (true, false);
        assert_eq!(edges(MarketKind::LeadLag(None), 5), [no, yes, no, yes, no]);
        assert_eq!(edges(MarketKind::LeadLag(Some(1)), 5), [no, yes, no, no, no]);
        assert_eq!(edges(MarketKind::Pairs(None), 5), [yes, yes, yes, yes, no]);
        assert_eq!(edges(MarketKind::Pairs(Some(1)), 5), [yes, yes, no, no, no]);
        assert_eq!(edges(MarketKind::RandomWalk, 2), [no, no]);
        for kind in [
            MarketKind::MeanReversion,
            MarketKind::Momentum,
            MarketKind::Regimes,
            MarketKind::Leaked,
        ] {
            assert_eq!(edges(kind, 2), [yes, yes]);
        }
        assert_eq!(ReturnProcess::for_stock(MarketKind::Sample, 1, 0, 1), None);
    }

    /// Four times the length gives twice the standard deviation and the same autocorrelation.
    #[test]
    fn volatility_goes_with_the_root_of_a_bars_length() {
        let law = |minutes| ReturnProcess::for_stock(MarketKind::Momentum, 1, 0, minutes);
        let (Some(ReturnProcess::Own(short)), Some(ReturnProcess::Own(long))) = (law(15), law(60))
        else {
            panic!("momentum echoes")
        };
        assert!((long.sigma / short.sigma - 2.0).abs() < 1e-12);
        assert_eq!((long.phi, short.phi), (0.4, 0.4));
    }
}
