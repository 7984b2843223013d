//! One component of a log price (the market factor, or a stock's idiosyncratic part): a daily
//! skeleton that is cheap to generate from a fixed epoch, and the minutes between a day's open and
//! close.
//!
//! # Why a predetermined close does not leak
//!
//! The skeleton draws a session's return before its minutes. A path that is forced to a given close
//! could reveal it; this one does not. Given a session's variances `v_t` and autocorrelations
//! `phi_t`, which are drawn independently of direction, the minutes' shocks `e_t` are independent
//! N(0, v_t), so the session's return `S = sum w_t e_t` is N(0, sum w_t^2 v_t). So S is drawn from
//! that distribution first (variances are scaled so that the sum is the day's GARCH variance), and
//! the shocks from their conditional distribution given S. The joint distribution is that of
//! unconstrained shocks: the construction of a Brownian motion by a Brownian bridge (Glasserman
//! 2003, section 3.1). A shock cannot be predicted from earlier ones. Only the size of a minute is
//! slightly predictable, since the variances add up to the day's.

use chrono::NaiveDate;

use super::stream::Draws;

pub(crate) const SESSIONS_PER_YEAR: f64 = 252.0;
const MINUTES_PER_SESSION: f64 = 390.0;

/// Parameters of a component. Volatility is passed to [`Process::new`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessParameters {
    /// Expected log return per year of 252 sessions, earned during sessions.
    pub(crate) drift_per_year: f64,
    /// Fraction of a day's variance between the close and the next open.
    pub(crate) overnight: f64,
    /// GARCH(1,1) of daily variance: weights of yesterday's squared return and of yesterday's
    /// variance.
    pub(crate) garch_shock: f64,
    pub(crate) garch_memory: f64,
    /// Log volatility within a session is AR(1) per minute: its standard deviation and coefficient.
    pub(crate) wander_std: f64,
    pub(crate) wander_memory: f64,
    /// U-shape: excess volatility at the open and at the close over 1 at midday, and how fast each
    /// decays, in sessions.
    pub(crate) open_rise: f64,
    pub(crate) open_fade: f64,
    pub(crate) close_rise: f64,
    pub(crate) close_fade: f64,
    /// Autocorrelation of minutes in the trending regime, and minus that in the reverting one.
    pub(crate) regime: f64,
    /// Mean length of a regime, minutes.
    pub(crate) regime_minutes: f64,
}

/// One trading session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SyntheticSession {
    pub(crate) date: NaiveDate,
    /// UTC seconds.
    pub(crate) open_s: i64,
    pub(crate) minutes: usize,
}

/// One session of a component's skeleton, in logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SessionPath {
    pub(crate) session: SyntheticSession,
    /// Level at the previous close.
    start: f64,
    /// Return from the previous close to the open.
    gap: f64,
    /// Return from open to close, and its conditional variance and mean.
    change: f64,
    variance: f64,
    mean: f64,
}

/// A session minute by minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    /// Log level at the open.
    pub(crate) open: f64,
    /// Log level at the end of each minute.
    pub(crate) close: Vec<f64>,
    /// Variance of each minute's shock.
    pub(crate) variance: Vec<f64>,
    /// Autocorrelation in each minute.
    phi: Vec<f64>,
    /// Contribution of a minute's shock to the session's return, through the autocorrelation.
    weight: Vec<f64>,
    shock: Vec<f64>,
}

pub(crate) struct Process {
    parameters: ProcessParameters,
    variance_per_day: f64,
    daily: Draws,
    minutely: Draws,
    /// Relative variance of the minutes of a session of this length.
    shape: Vec<f64>,
}

impl Process {
    /// `annual_volatility`: standard deviation of a year's log return. `key` identifies the
    /// component, e.g. a symbol.
    pub(crate) fn new(
        p: ProcessParameters,
        annual_volatility: f64,
        seed: u64,
        key: &str,
    ) -> Process {
        assert!(p.garch_shock + p.garch_memory < 1.0 && p.regime.abs() < 1.0);
        Process {
            parameters: p,
            variance_per_day: annual_volatility.powi(2) / SESSIONS_PER_YEAR,
            daily: Draws::new(seed, "days", key),
            minutely: Draws::new(seed, "minutes", key),
            shape: Vec::new(),
        }
    }

    /// Skeleton over consecutive sessions that cover the epoch and the requested days. The level is
    /// 0 at the epoch; later days are generated forwards and earlier ones backwards from there.
    pub(crate) fn days(
        &mut self,
        sessions: &[SyntheticSession],
        epoch: NaiveDate,
    ) -> Vec<SessionPath> {
        let first = sessions.partition_point(|s| s.date < epoch);
        let mut days = Vec::with_capacity(sessions.len());
        let (mut level, mut variance) = (0.0, self.variance_per_day);
        for session in sessions[..first].iter().rev() {
            let mut day = self.day(session, &mut variance);
            level -= day.gap + day.change;
            day.start = level;
            days.push(day);
        }
        days.reverse();
        (level, variance) = (0.0, self.variance_per_day);
        for session in &sessions[first..] {
            let mut day = self.day(session, &mut variance);
            day.start = level;
            level += day.gap + day.change;
            days.push(day);
        }
        days
    }

    /// Generates a day from its variance, which is updated to the next one's. Bollerslev (1986),
    /// eq. 1 with p = q = 1.
    fn day(&mut self, session: &SyntheticSession, variance: &mut f64) -> SessionPath {
        let p = &self.parameters;
        self.daily.seek(session.date);
        let in_session = (1.0 - p.overnight) * *variance;
        let surprise = in_session.sqrt() * self.daily.normal();
        let gap_variance = p.overnight * *variance * self.daily.t6_variance();
        let gap = gap_variance.sqrt() * self.daily.normal();
        *variance = (1.0 - p.garch_shock - p.garch_memory) * self.variance_per_day
            + p.garch_shock * (surprise + gap).powi(2)
            + p.garch_memory * *variance;
        let mean = p.drift_per_year / SESSIONS_PER_YEAR;
        let change = mean + surprise;
        SessionPath { session: *session, start: 0.0, gap, change, variance: in_session, mean }
    }

    /// Long-run variance of a minute.
    pub(crate) fn variance_per_minute(&self) -> f64 {
        (1.0 - self.parameters.overnight) * self.variance_per_day / MINUTES_PER_SESSION
    }

    /// Replaces `path` with the day's minutes.
    pub(crate) fn path(&mut self, day: &SessionPath, path: &mut Path) {
        let p = self.parameters;
        let n = day.session.minutes;
        self.shape_for(n);
        self.minutely.seek(day.session.date);
        let draws = &mut self.minutely;

        // Regimes and sizes, independent of direction.
        path.phi.clear();
        path.variance.clear();
        let mut regime = if draws.uniform() <= 0.5 { p.regime } else { -p.regime };
        let mut wander = p.wander_std * draws.normal();
        let wander_step = p.wander_std * (1.0 - p.wander_memory.powi(2)).sqrt();
        for shape in &self.shape {
            if draws.uniform() <= 1.0 / p.regime_minutes {
                regime = -regime;
            }
            path.phi.push(regime);
            path.variance.push(shape * (2.0 * wander).exp() * draws.t6_variance());
            wander = p.wander_memory * wander + wander_step * draws.normal();
        }

        // A shock contributes itself and phi times the contribution of the next minute.
        path.weight.clear();
        path.weight.resize(n, 1.0);
        for t in (0..n - 1).rev() {
            path.weight[t] = 1.0 + path.phi[t + 1] * path.weight[t + 1];
        }
        let total: f64 = path.weight.iter().zip(&path.variance).map(|(w, v)| w * w * v).sum();
        path.variance.iter_mut().for_each(|v| *v *= day.variance / total);

        // Shocks conditional on the day's change.
        path.shock.clear();
        path.shock.extend(path.variance.iter().map(|v| v.sqrt() * draws.normal()));
        let sum: f64 = path.weight.iter().zip(&path.shock).map(|(w, e)| w * e).sum();
        let missing = (day.change - day.mean - sum) / day.variance;

        path.open = day.start + day.gap;
        path.close.clear();
        let (mut level, mut change) = (path.open, 0.0);
        for t in 0..n {
            path.shock[t] += path.weight[t] * path.variance[t] * missing;
            change = path.phi[t] * change + path.shock[t];
            level += change + day.mean / n as f64;
            path.close.push(level);
        }
    }

    /// U-shaped intraday volatility: high at the open, low at midday, rising to the close. Wood,
    /// McInish & Ord (1985).
    fn shape_for(&mut self, minutes: usize) {
        if self.shape.len() == minutes {
            return;
        }
        let p = &self.parameters;
        let rise = |t: usize| {
            let x = (t as f64 + 0.5) / minutes as f64;
            let open = p.open_rise * (-x / p.open_fade).exp();
            let close = p.close_rise * (-(1.0 - x) / p.close_fade).exp();
            (1.0 + open + close).powi(2)
        };
        self.shape = (0..minutes).map(rise).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Days;

    const PLAIN: ProcessParameters = ProcessParameters {
        drift_per_year: 0.0,
        overnight: 0.2,
        garch_shock: 0.06,
        garch_memory: 0.92,
        wander_std: 0.3,
        wander_memory: 0.98,
        open_rise: 1.5,
        open_fade: 0.08,
        close_rise: 0.7,
        close_fade: 0.06,
        regime: 0.2,
        regime_minutes: 60.0,
    };

    fn epoch() -> NaiveDate {
        NaiveDate::from_ymd_opt(2020, 1, 1).unwrap()
    }

    fn sessions(count: u64) -> Vec<SyntheticSession> {
        (0..count)
            .map(|i| SyntheticSession {
                date: epoch().checked_add_days(Days::new(i)).unwrap(),
                open_s: 0,
                minutes: 390,
            })
            .collect()
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        let (a, b) = (mean(&|p| p.0), mean(&|p| p.1));
        let covariance = mean(&|p| (p.0 - a) * (p.1 - b));
        covariance / (mean(&|p| (p.0 - a).powi(2)) * mean(&|p| (p.1 - b).powi(2))).sqrt()
    }

    #[test]
    fn a_session_ends_where_the_skeleton_says() {
        let mut process = Process::new(PLAIN, 0.3, 1, "A");
        let days = process.days(&sessions(50), epoch());
        let mut path = Path::default();
        for pair in days.windows(2) {
            process.path(&pair[0], &mut path);
            assert!((path.close[389] - pair[1].start).abs() < 1e-12);
        }
        assert_eq!(days[0].start, 0.0);
    }

    /// The standardised shocks are independent standard normals: their squares average 1,
    /// neighbours are uncorrelated, the minutes before a point do not predict those after it, and
    /// the close does not show in the drift.
    #[test]
    fn the_drawn_close_leaves_no_trace_in_the_minutes() {
        let mut process = Process::new(PLAIN, 0.3, 2, "A");
        let days = process.days(&sessions(2_000), epoch());
        let mut path = Path::default();
        let (mut squares, mut fourths, mut next, mut rest) = (0.0, 0.0, vec![], vec![vec![]; 3]);
        for day in &days {
            process.path(day, &mut path);
            let z: Vec<f64> =
                path.shock.iter().zip(&path.variance).map(|(e, v)| e / v.sqrt()).collect();
            squares += z.iter().map(|z| z * z).sum::<f64>();
            fourths += z.iter().map(|z| z.powi(4)).sum::<f64>();
            next.extend(z.windows(2).map(|z| (z[0], z[1])));
            for (rest, at) in rest.iter_mut().zip([60, 195, 330]) {
                let sum = |part: &[f64]| part.iter().sum::<f64>() / (part.len() as f64).sqrt();
                rest.push((sum(&z[..at]), sum(&z[at..])));
            }
        }
        let n = (days.len() * 390) as f64;
        // Four standard errors each.
        assert!((squares / n - 1.0).abs() < 4.0 * (2.0 / n).sqrt(), "{}", squares / n);
        assert!((fourths / n - 3.0).abs() < 4.0 * (96.0 / n).sqrt(), "{}", fourths / n);
        assert!(correlation(&next).abs() < 4.0 / n.sqrt());
        for rest in rest {
            assert!(correlation(&rest).abs() < 4.0 / (days.len() as f64).sqrt());
        }
    }

    /// The regression of a minute on the previous one recovers the regime's autocorrelation.
    #[test]
    fn regimes_trend_and_revert_as_much_as_they_should() {
        let mut process = Process::new(PLAIN, 0.3, 3, "A");
        let days = process.days(&sessions(250), epoch());
        let mut path = Path::default();
        let (mut trending, mut reverting) = (vec![], vec![]);
        let mut switches = 0;
        for day in &days {
            process.path(day, &mut path);
            let scale = day.variance.sqrt();
            let minutes: Vec<f64> = path.close.windows(2).map(|c| (c[1] - c[0]) / scale).collect();
            for (pair, phi) in minutes.windows(2).zip(&path.phi[2..]) {
                let regime = if *phi > 0.0 { &mut trending } else { &mut reverting };
                regime.push((pair[0], pair[1]));
            }
            switches += path.phi.windows(2).filter(|phi| phi[0] != phi[1]).count();
        }
        // About 48,000 pairs with fat tails: a standard error of about 0.01.
        assert!((correlation(&trending) - 0.2).abs() < 0.04, "{}", correlation(&trending));
        assert!((correlation(&reverting) + 0.2).abs() < 0.04, "{}", correlation(&reverting));
        let expected = 250.0 * 389.0 / 60.0;
        assert!((switches as f64 - expected).abs() < 4.0 * f64::sqrt(expected), "{switches}");
    }

    #[test]
    fn days_keep_their_long_run_variance_and_cluster() {
        let mut process = Process::new(PLAIN, 0.3, 4, "A");
        let days = process.days(&sessions(20_000), epoch());
        let returns: Vec<f64> = days.iter().map(|d| d.gap + d.change).collect();
        let variance = returns.iter().map(|r| r * r).sum::<f64>() / returns.len() as f64;
        let annual = (variance * SESSIONS_PER_YEAR).sqrt();
        assert!((annual - 0.3).abs() < 0.03, "{annual}");
        let sizes: Vec<(f64, f64)> = returns.windows(2).map(|r| (r[0].abs(), r[1].abs())).collect();
        assert!(correlation(&sizes) > 0.05, "{}", correlation(&sizes));
        let signs: Vec<(f64, f64)> = returns.windows(2).map(|r| (r[0], r[1])).collect();
        assert!(correlation(&signs).abs() < 0.04, "{}", correlation(&signs));
    }
}
