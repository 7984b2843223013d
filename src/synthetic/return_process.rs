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
        /// Standard deviation of log returns.
        sigma: f64,
    },
    /// m = `drift` in the first half of a session and -`drift` in the second (`clock_sign`).
    Clock {
        /// Expected simple return, of either sign.
        drift: f64,
        /// Standard deviation around it.
        sigma: f64,
        /// Length of a bar, minutes.
        bar_minutes: u32,
    },
    /// m = `drift` s, with s the hidden signal that the last bar's volume tells.
    Persistent(HiddenSignal),
    /// m = `gain` E, with E the exponential mean of the stock's past returns.
    Trend(Trend),
    /// m = `drift` at all times. A part of the variance is the same move of all stocks.
    Drift {
        /// Expected simple return.
        drift: f64,
        /// Standard deviation around it.
        sigma: f64,
        /// Part of the variance that all stocks share.
        shared: f64,
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

/// E' = `memory` E + R, with R the simple return of a bar, whose mean is `gain` E.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// What is left of E after a bar.
    pub memory: f64,
    /// Expected simple return of the next bar per unit of E.
    pub gain: f64,
    /// Standard deviation of the next bar's return around it.
    pub sigma: f64,
}

impl Trend {
    /// E after a bar with this simple return.
    pub fn next(&self, before: f64, change: f64) -> f64 {
        self.memory * before + change
    }
}

/// A hidden AR(1) signal s of mean 0 and variance 1, and what it shows in. The log of a bar's
/// volume over `shares` is normal with mean `tell` s - (`tell`^2 + `noise`^2) / 2 and standard
/// deviation `noise`, so that the mean volume is `shares`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HiddenSignal {
    /// Coefficient of s from bar to bar.
    pub memory: f64,
    /// Expected simple return of the next bar per unit of s.
    pub drift: f64,
    /// Standard deviation of the next bar's return around it.
    pub sigma: f64,
    /// Log volume per unit of s.
    pub tell: f64,
    /// Standard deviation of log volume around that.
    pub noise: f64,
    /// Mean volume.
    pub shares: f64,
}

pub(crate) const LEAK: f64 = 0.5;
pub(crate) const LEAK_SHARES: f64 = 1e6;
/// Mean volume per half hour, shares, and the standard deviation of its logarithm around what the
/// process says.
pub(super) const SHARES: f64 = 1e6;
pub(super) const VOLUME_NOISE: f64 = 0.4;

const SESSIONS_PER_YEAR: f64 = 252.0;
const SESSION_HALF_HOURS: f64 = 13.0;

const BPS: f64 = 1e-4;

/// Direction of `clock` in bar `bar` of a session of `bars`: 1 in the first half, which has the
/// middle bar if there is one, and -1 in the second; 0 if the session is a single bar.
pub(crate) fn clock_sign(bar: usize, bars: usize) -> f64 {
    match bars {
        ..=1 => 0.0,
        _ if 2 * bar < bars => 1.0,
        _ => -1.0,
    }
}

/// Standard deviations are per half hour; 70 basis points are 40 % a year.
#[derive(Debug)]
pub(super) struct Parameters {
    noise: f64,
    /// First-order autocorrelation of returns in `momentum`, and minus that in `mean_reversion`.
    phi: f64,
    /// Shocks of `momentum`, `mean_reversion` and `weak`.
    ar1_shock: f64,
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
    /// `clock`: expected return, and standard deviation.
    clock_drift: f64,
    clock_sigma: f64,
    /// `persistent`: coefficient of the hidden signal, expected return and log volume per unit of
    /// it, and the standard deviation of returns.
    hidden_memory: f64,
    hidden_drift: f64,
    hidden_tell: f64,
    hidden_sigma: f64,
    /// `weak`: first-order autocorrelation of returns, with the shocks `ar1_shock`: an R2 of 0.25 %.
    weak_phi: f64,
    /// `trend`: half hours over which past returns count, and the part of that sum that is expected
    /// to come again over as many; the shocks are those of `random_walk`.
    trend_half_hours: f64,
    trend_repeated: f64,
    /// `drift`: Sharpe ratios per year of the stocks, in turn, and the part of the variance that all
    /// stocks share.
    drift_sharpe: [f64; 3],
    drift_shared: f64,
}

pub(super) const PARAMETERS: Parameters = Parameters {
    noise: 60.0 * BPS,
    phi: 0.4,
    ar1_shock: 65.0 * BPS,
    gain: 0.5,
    memory: 0.75,
    walk: 70.0 * BPS,
    shock: 106.0 * BPS,
    calm: 45.0 * BPS,
    wild: 90.0 * BPS,
    regime_bars: 130.0,
    garch: 44.0 * BPS,
    clock_drift: 5.0 * BPS,
    clock_sigma: 20.0 * BPS,
    hidden_memory: 0.9,
    hidden_drift: 6.0 * BPS,
    hidden_tell: 0.5,
    hidden_sigma: 40.0 * BPS,
    weak_phi: 0.05,
    trend_half_hours: 4.0 * SESSION_HALF_HOURS,
    trend_repeated: 0.4,
    drift_sharpe: [0.5, 1.0, 1.5],
    drift_shared: 0.6,
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
        let half_hours = f64::from(bar_minutes) / 30.0;
        let per_bar = half_hours.sqrt();
        let ar1 = |phi, sigma| Ar1 { phi, sigma: sigma * per_bar };
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
            MarketKind::MeanReversion => ReturnProcess::Own(ar1(-p.phi, p.ar1_shock)),
            MarketKind::Momentum => ReturnProcess::Own(ar1(p.phi, p.ar1_shock)),
            MarketKind::Regimes => ReturnProcess::Regimes {
                components: [ar1(p.phi, p.calm), ar1(-p.phi, p.wild)],
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
            MarketKind::Clock => ReturnProcess::Clock {
                drift: p.clock_drift * half_hours,
                sigma: p.clock_sigma * per_bar,
                bar_minutes,
            },
            MarketKind::Persistent => ReturnProcess::Persistent(HiddenSignal {
                memory: p.hidden_memory,
                drift: p.hidden_drift * per_bar,
                sigma: p.hidden_sigma * per_bar,
                tell: p.hidden_tell,
                noise: VOLUME_NOISE,
                shares: SHARES * half_hours,
            }),
            MarketKind::Weak => ReturnProcess::Own(ar1(p.weak_phi, p.ar1_shock)),
            MarketKind::Trend => {
                let forgotten = half_hours / p.trend_half_hours;
                ReturnProcess::Trend(Trend {
                    memory: (-forgotten).exp(),
                    gain: p.trend_repeated * forgotten,
                    sigma: p.garch * per_bar,
                })
            }
            MarketKind::Drift => {
                let sharpe = p.drift_sharpe[stock % p.drift_sharpe.len()];
                let sigma = p.garch * per_bar;
                let bars = SESSIONS_PER_YEAR * SESSION_HALF_HOURS / half_hours;
                let drift = sharpe * sigma / bars.sqrt();
                ReturnProcess::Drift { drift, sigma, shared: p.drift_shared }
            }
        })
    }

    /// Whether something observable predicts this stock's returns.
    pub fn has_edge(&self) -> bool {
        !matches!(
            self,
            ReturnProcess::Noise { .. } | ReturnProcess::Garch { .. } | ReturnProcess::Drift { .. }
        )
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
            MarketKind::Clock,
            MarketKind::Persistent,
            MarketKind::Weak,
            MarketKind::Trend,
        ] {
            assert_eq!(edges(kind, 2), [yes, yes]);
        }
        assert_eq!(edges(MarketKind::Drift, 2), [no, no], "nothing tells more than the mean");
        assert_eq!(ReturnProcess::for_stock(MarketKind::Sample, 1, 0, 1), None);
    }

    /// Four times the length gives twice the standard deviation and the same autocorrelation.
    #[test]
    fn volatility_goes_with_the_root_of_a_bars_length() {
        let law = |minutes| ReturnProcess::for_stock(MarketKind::Momentum, 1, 0, minutes);
        let (Some(ReturnProcess::Own(short)), Some(ReturnProcess::Own(long))) = (law(15), law(60))
        else {
            panic!("momentum is an AR(1)")
        };
        assert!((long.sigma / short.sigma - 2.0).abs() < 1e-12);
        assert_eq!((long.phi, short.phi), (0.4, 0.4));
    }

    /// A trend is as long and as strong in bars of any length: what is left after a session, and the
    /// expected return of a session per unit of E.
    #[test]
    fn a_trend_goes_by_sessions() {
        for minutes in [1, 5, 30, 65] {
            let law = ReturnProcess::for_stock(MarketKind::Trend, 1, 0, minutes);
            let Some(ReturnProcess::Trend(trend)) = law else { panic!("a trend has its law") };
            let bars = 390.0 / f64::from(minutes);
            assert!((trend.memory.powf(bars) - (-0.25_f64).exp()).abs() < 1e-12);
            assert!((trend.gain * bars - 0.1).abs() < 1e-12);
            assert!((trend.sigma * bars.sqrt() - 44.0 * BPS * 13.0_f64.sqrt()).abs() < 1e-12);
        }
    }

    /// Sharpe ratios of 0.5, 1 and 1.5 a year in bars of any length.
    #[test]
    fn a_drift_has_its_sharpe_ratio() {
        for (stock, expected) in [0.5, 1.0, 1.5].into_iter().enumerate() {
            for minutes in [30, 390] {
                let law = ReturnProcess::for_stock(MarketKind::Drift, 3, stock, minutes);
                let Some(ReturnProcess::Drift { drift, sigma, .. }) = law else {
                    panic!("a drift has its law")
                };
                let bars = 252.0 * 390.0 / f64::from(minutes);
                assert!((drift / sigma * bars.sqrt() - expected).abs() < 1e-12);
            }
        }
    }

    /// 13 half hours: seven up, six down; the seven of a short session: four up, three down. The
    /// drift of a half is the same in bars of any length: 7 * 5 = 35 half-hour basis points.
    #[test]
    fn the_clock_turns_at_half_of_the_session() {
        let ups = |bars| (0..bars).filter(|&bar| clock_sign(bar, bars) > 0.0).count();
        assert_eq!([13, 7, 390, 1].map(ups), [7, 4, 195, 0]);
        assert_eq!(clock_sign(0, 1), 0.0);
        let law = |minutes| ReturnProcess::for_stock(MarketKind::Clock, 1, 0, minutes);
        for (minutes, expected, deviation) in [(30, 5.0, 20.0), (120, 20.0, 40.0)] {
            let Some(ReturnProcess::Clock { drift, sigma, .. }) = law(minutes) else {
                panic!("the clock has its law")
            };
            assert!((drift / BPS - expected).abs() < 1e-9);
            assert!((sigma / BPS - deviation).abs() < 1e-9);
        }
    }
}
