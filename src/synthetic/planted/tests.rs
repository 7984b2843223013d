//! Every market has the planted relation where it is planted, and no other.

use super::*;
use crate::synthetic::{MarketKind, ReturnProcess};

fn symbols(count: usize) -> Vec<Symbol> {
    (0..count).map(|i| format!("S{i}").parse().unwrap()).collect()
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn spec(name: &str) -> SyntheticMarket {
    SyntheticMarket::parse(name).unwrap()
}

/// Thirty years of half hours: 98,000 bars, for which a correlation has a standard error of 0.0032.
const LONG: Period = Period {
    start: NaiveDate::from_ymd_opt(1990, 1, 1).unwrap(),
    end: NaiveDate::from_ymd_opt(2019, 12, 31).unwrap(),
};
const FIVE_ERRORS: f64 = 0.016;

fn market(name: &str, count: usize) -> Vec<BarSeries> {
    let stocks = symbols(count);
    stocks.iter().map(|symbol| bars(&spec(name), &stocks, symbol, &LONG, 30)).collect()
}

/// Simple returns from bar to bar.
fn returns(series: &BarSeries) -> Vec<f64> {
    series.close.windows(2).map(|close| close[1] / close[0] - 1.0).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let center = mean(values);
    mean(&values.iter().map(|v| (v - center).powi(2)).collect::<Vec<f64>>()).sqrt()
}

/// Correlation of `a` with `b` lagged by `lag`.
fn correlation(a: &[f64], b: &[f64], lag: usize) -> f64 {
    let (a, b) = (&a[lag..], &b[..b.len() - lag]);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).collect();
    mean(&products) / (deviation(a) * deviation(b))
}

fn assert_near(what: &str, found: f64, expected: f64, within: f64) {
    assert!((found - expected).abs() < within, "{what}: {found} is not {expected} +- {within}");
}

/// The price of an unpredictable stock is a martingale: asserts a mean within a few standard errors
/// of 0.
fn assert_earns_nothing(returns: &[f64]) {
    let error = deviation(returns) / (returns.len() as f64).sqrt();
    assert!(mean(returns).abs() < 3.5 * error, "{} +- {error}", mean(returns));
}

#[test]
fn momentum_and_reversion_are_autoregressions() {
    for (name, phi) in [("momentum", 0.4), ("mean_reversion", -0.4), ("weak", 0.05_f64)] {
        let series = market(name, 2);
        let r = [returns(&series[0]), returns(&series[1])];
        for r in &r {
            for lag in 1..=4 {
                let expected = f64::powi(phi, lag);
                assert_near(name, correlation(r, r, lag as usize), expected, FIVE_ERRORS);
            }
            let sigma = 65e-4 / (1.0 - phi * phi).sqrt();
            assert_near(name, deviation(r) / sigma, 1.0, 0.02);
        }
        assert_near("between stocks", correlation(&r[0], &r[1], 0), 0.0, FIVE_ERRORS);
        assert_near("between stocks", correlation(&r[0], &r[1], 1), 0.0, FIVE_ERRORS);
    }
}

#[test]
fn followers_follow_their_leader_only_and_alone_say_nothing() {
    let r: Vec<Vec<f64>> = market("lead_lag-2", 6).iter().map(returns).collect();
    for i in 0..6 {
        for j in 0..6 {
            let planted = matches!((i, j), (1, 0) | (3, 2));
            // gain / sqrt(1 + gain^2).
            let expected = if planted { 0.5 / 1.25_f64.sqrt() } else { 0.0 };
            assert_near(&format!("{i} after {j}"), correlation(&r[i], &r[j], 1), expected, 0.016);
            if i != j {
                assert_near("at once", correlation(&r[i], &r[j], 0), 0.0, FIVE_ERRORS);
            }
        }
        assert_near("two bars before", correlation(&r[i], &r[i & !1], 2), 0.0, FIVE_ERRORS);
        assert_earns_nothing(&r[i]);
    }
}

#[test]
fn a_pair_shares_a_walk_and_its_spread_reverts() {
    let series = market("pairs-1", 4);
    let spread = |i: usize, j: usize| -> Vec<f64> {
        series[i].close.iter().zip(&series[j].close).map(|(a, b)| (a / b).ln()).collect()
    };
    let planted = spread(0, 1);
    for lag in [1, 2, 5] {
        let expected = 0.75_f64.powi(lag);
        assert_near("spread", correlation(&planted, &planted, lag as usize), expected, 0.03);
    }
    // The half-life is ln(1/2) / ln(0.75) = 2.41 bars.
    let per_bar = correlation(&planted, &planted, 1);
    assert_near("half-life", 0.5_f64.ln() / per_bar.ln(), 2.41, 0.1);
    assert_near("size", deviation(&planted) / (106e-4 / (1.0 - 0.5625_f64).sqrt()), 1.0, 0.03);
    let (a, b) = (returns(&series[0]), returns(&series[1]));
    // Variance of the walk minus a quarter of the variance of the spread's change, of which the
    // fraction (1 - memory)^2 is predictable.
    let change = 106e-4_f64.powi(2) * (1.0 + 0.25_f64.powi(2) / (1.0 - 0.5625)) / 4.0;
    let walk = 70e-4_f64.powi(2);
    assert_near("together", correlation(&a, &b, 0), (walk - change) / (walk + change), 0.02);
    let (c, d) = (returns(&series[2]), returns(&series[3]));
    assert_near("not planted", correlation(&c, &d, 0), 0.0, FIVE_ERRORS);
    assert_near("not planted", correlation(&c, &d, 1), 0.0, FIVE_ERRORS);
    assert!(deviation(&spread(2, 3)) > 10.0 * deviation(&planted));
}

/// Regimes are identified by the size of returns here: calm ones trend, volatile ones revert.
#[test]
fn regimes_last_as_long_as_they_should() {
    let law = spec("regimes").law(1, 0, 30).unwrap();
    let stocks = symbols(1);
    let mut hidden = Returns::new(law, &spec("regimes"), &stocks, 0, 30);
    let (mut regimes, mut r) = (Vec::new(), Vec::new());
    for (day, session) in sessions(&LONG) {
        let count = ((session.close_s - session.open_s) / 1_800) as usize;
        hidden.begin(day, count);
        for i in 0..count {
            r.push(hidden.step(i).log_return.exp_m1());
            regimes.push(hidden.regime);
        }
    }
    let changes = regimes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // 750 stays of 130 bars, each with a standard deviation of about its mean.
    let stay = regimes.len() as f64 / changes as f64;
    assert_near("mean stay", stay / 130.0, 1.0, 4.0 / (changes as f64).sqrt());
    for (regime, phi, sigma) in [(0, 0.4, 45e-4), (1, -0.4, 90e-4)] {
        let within: Vec<(f64, f64)> = (1..r.len())
            .filter(|&t| regimes[t] == regime && regimes[t - 1] == regime)
            .map(|t| (r[t], r[t - 1]))
            .collect();
        let (new, last): (Vec<f64>, Vec<f64>) = within.into_iter().unzip();
        assert_near("autocorrelation", correlation(&new, &last, 0), phi, 0.03);
        assert_near("size", deviation(&new) / (sigma / (1.0 - 0.16_f64).sqrt()), 1.0, 0.03);
    }
    // The regimes belong to the bars of the market.
    let series = bars(&spec("regimes"), &stocks, &stocks[0], &LONG, 30);
    let seen = returns(&series);
    assert!(seen.iter().zip(&r[1..]).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn a_random_walk_clusters_and_smiles_but_tells_nothing() {
    let series = market("random_walk", 2);
    let r = [returns(&series[0]), returns(&series[1])];
    for (series, r) in series.iter().zip(&r) {
        // Volatility clusters and fat tails widen the standard error of correlations; a factor of
        // two covers them.
        for lag in 1..=3 {
            assert_near("autocorrelation", correlation(r, r, lag), 0.0, 2.0 * FIVE_ERRORS);
        }
        assert_earns_nothing(r);
        let second = mean(&r.iter().map(|x| x * x).collect::<Vec<f64>>());
        let kurtosis = mean(&r.iter().map(|x| x.powi(4)).collect::<Vec<f64>>()) / second.powi(2);
        assert!((5.0..60.0).contains(&kurtosis), "kurtosis {kurtosis}");
        assert_near("a year's volatility", (second * 13.0 * 252.0).sqrt(), 0.25, 0.04);
        let sizes: Vec<f64> = r.iter().map(|x| x.abs()).collect();
        let later = correlation(&sizes, &sizes, 13);
        assert!(later > 0.06, "size a day later: {later}");
        // Half hours of the session: the first, the seventh, the last.
        let full = series
            .end_s
            .windows(14)
            .enumerate()
            .filter(|(_, w)| w[12] - w[0] == 12 * 1_800 && w[13] - w[12] > 1_800);
        let starts: Vec<usize> = full.map(|(i, _)| i).filter(|&i| i > 0).collect();
        let size = |k: usize| {
            let of_day = |&i: &usize| (series.close[i + k] / series.open[i + k]).ln().abs();
            starts.iter().map(of_day).sum::<f64>() / starts.len() as f64
        };
        let (open, midday, close) = (size(0), size(6), size(12));
        assert!(open > 1.5 * midday && close > 1.1 * midday && open > close);
    }
    assert_near("between stocks", correlation(&r[0], &r[1], 0), 0.0, 2.0 * FIVE_ERRORS);
}

#[test]
fn a_leaked_volume_is_the_next_return_and_prices_alone_tell_nothing() {
    let series = market("leaked", 1);
    let r = returns(&series[0]);
    let revealed: Vec<f64> =
        series[0].volume.iter().map(|v| ((v / LEAK_SHARES).ln() * 60e-4 / LEAK).exp_m1()).collect();
    assert!(revealed.iter().zip(&r).all(|(revealed, r)| (revealed - r).abs() < 1e-7));
    assert_near("autocorrelation", correlation(&r, &r, 1), 0.0, FIVE_ERRORS);
    assert_earns_nothing(&r);
    // In most other markets volume is uninformative.
    let other = &market("momentum", 1)[0];
    let volumes: Vec<f64> = other.volume.iter().map(|v| v.ln()).collect();
    let r = returns(other);
    assert_near("volume", correlation(&r, &volumes[..r.len()], 0), 0.0, FIVE_ERRORS);
}

/// `[session][bar]`: log return from open to close.
fn by_session(series: &BarSeries) -> Vec<Vec<f64>> {
    let mut sessions: Vec<Vec<f64>> = Vec::new();
    let mut day = None;
    for bar in series.bars() {
        let date = Some(calendar::market_date(bar.end_s));
        if day != date {
            (day, _) = (date, sessions.push(Vec::new()));
        }
        sessions.last_mut().unwrap().push((bar.close / bar.open).ln());
    }
    sessions
}

/// 30 years are 7,560 sessions: a bar's mean of 20 basis points has a standard error of 0.23.
#[test]
fn a_clock_rises_until_noon_and_falls_after_it() {
    let series = market("clock", 2);
    let sessions = by_session(&series[0]);
    let of = |bars: usize| sessions.iter().filter(move |session| session.len() == bars);
    for bar in 0..13 {
        let at: Vec<f64> = of(13).map(|session| session[bar] * 1e4).collect();
        let drift = if bar <= 6 { 5.0 } else { -5.0 };
        // The mean of the log return is half a variance below that of the return.
        assert_near(&format!("bar {bar}"), mean(&at) + 0.02, drift, 1.0);
        assert_near("deviation", deviation(&at), 20.0, 0.7);
    }
    let short: Vec<&Vec<f64>> = of(7).collect();
    assert!(short.len() > 50, "{} short sessions", short.len());
    for (bars, drift) in [(0..4, 5.0), (4..7, -5.0)] {
        let half = short.iter().flat_map(|session| &session[bars.clone()]).map(|r| r * 1e4);
        let half: Vec<f64> = half.collect();
        assert_near("short", mean(&half), drift, 3.5 * 20.0 / (half.len() as f64).sqrt());
    }
    // Beyond the clock nothing is told.
    let surprise: Vec<f64> = of(13)
        .flat_map(|session| session.iter().enumerate())
        .map(|(bar, r)| r - if bar <= 6 { 5e-4 } else { -5e-4 })
        .collect();
    for lag in 1..=3 {
        let found = correlation(&surprise, &surprise, lag);
        assert_near("autocorrelation", found, 0.0, FIVE_ERRORS);
    }
    let volumes: Vec<f64> = series[0].volume.iter().map(|volume| volume.ln()).collect();
    let r = returns(&series[0]);
    assert_near("volume", correlation(&r, &volumes[..r.len()], 0), 0.0, FIVE_ERRORS);
    let both = correlation(&r, &returns(&series[1]), 0);
    // Both follow the same clock: 25 of 425 parts of their variance.
    assert_near("between stocks", both, 25.0 / 425.0, FIVE_ERRORS);
}

/// Log volume is 0.5 s + 0.4 times noise, of a variance of 0.25 + 0.16; the next return is 6 s + 40
/// times noise, in basis points.
#[test]
fn a_hidden_signal_persists_and_volume_tells_it() {
    let series = market("persistent", 2);
    let r = returns(&series[0]);
    let volumes: Vec<f64> = series[0].volume.iter().map(|volume| volume.ln()).collect();
    for lag in [1, 2, 5, 10] {
        let expected = 0.25 * 0.9_f64.powi(lag) / 0.41;
        let found = correlation(&volumes, &volumes, lag as usize);
        assert_near("volume", found, expected, 0.03);
    }
    assert_near("size of volume", deviation(&volumes), 0.41_f64.sqrt(), 0.02);
    assert_near("mean volume", mean(&series[0].volume) / 1e6, 1.0, 0.04);
    let size = (36.0_f64 + 1_600.0).sqrt();
    assert_near("size", deviation(&r) * 1e4 / size, 1.0, 0.02);
    // r[t] is the return of bar t + 1.
    for lag in [0, 1, 5] {
        let expected = 3.0 * 0.9_f64.powi(lag) / (0.41_f64.sqrt() * size);
        let found = correlation(&r, &volumes[..r.len()], lag as usize);
        assert_near("told", found, expected, FIVE_ERRORS);
        let expected = 36.0 * 0.9_f64.powi(lag + 1) / (size * size);
        let found = correlation(&r, &r, lag as usize + 1);
        assert_near("autocorrelation", found, expected, FIVE_ERRORS);
    }
    // The signal leads; it does not follow: a volume has 0.9 of the signal before it.
    let at_once = correlation(&r, &volumes[1..], 0);
    assert_near("at once", at_once, 2.7 / (0.41_f64.sqrt() * size), FIVE_ERRORS);
    let other = returns(&series[1]);
    assert_near("between stocks", correlation(&r, &other, 0), 0.0, FIVE_ERRORS);
    assert_near("between stocks", correlation(&other, &volumes[..r.len()], 0), 0.0, FIVE_ERRORS);
}

#[test]
fn bars_are_well_formed() {
    for kind in MarketKind::ALL.into_iter().filter(|&kind| kind != MarketKind::Sample) {
        for minutes in [1, 5, 30, 60, 390] {
            let stocks = symbols(2);
            let spec = SyntheticMarket { kind, seed: 3 };
            let year = Period { start: date(2019, 1, 1), end: date(2019, 12, 31) };
            let series = bars(&spec, &stocks, &stocks[1], &year, minutes);
            // 252 sessions, three of which have 210 minutes.
            let per_day = |length: u32| length.div_ceil(minutes) as usize;
            assert_eq!(series.len(), 249 * per_day(390) + 3 * per_day(210), "{kind} {minutes}");
            assert!(series.end_s.is_sorted_by(|a, b| a < b));
            assert!(series.close[..series.len() - 1] == series.open[1..]);
            for bar in series.bars() {
                assert!(bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high);
                assert!((1.0..10_000.0).contains(&bar.low), "{kind} {minutes}: {}", bar.low);
                assert!(bar.volume >= 1.0 && bar.volume.fract() == 0.0);
            }
            // Parkinson (1980): the mean squared log range is 4 ln 2 times the variance.
            let squares = |of: &dyn Fn(&Bar) -> f64| {
                mean(&series.bars().map(|bar| of(&bar).powi(2)).collect::<Vec<f64>>())
            };
            if let (Some(ReturnProcess::Leaked { .. }), true) =
                (spec.law(2, 1, minutes), minutes <= 60)
            {
                let range = squares(&|bar| (bar.high / bar.low).ln());
                let change = squares(&|bar| (bar.close / bar.open).ln());
                assert_near("range", range / (4.0 * 2.0_f64.ln()) / change, 1.0, 0.12);
            }
        }
    }
}

#[test]
fn a_day_is_the_same_in_every_period_and_a_stock_in_every_company_it_does_not_depend_on() {
    let stocks = symbols(4);
    for kind in MarketKind::ALL.into_iter().filter(|&kind| kind != MarketKind::Sample) {
        let spec = SyntheticMarket { kind, seed: 5 };
        for (first, last) in [((2007, 3, 1), (2007, 8, 31)), ((2021, 3, 1), (2021, 8, 31))] {
            let long = Period { start: date(first.0, 1, 1), end: date(last.0 + 1, 6, 30) };
            let short = Period {
                start: date(first.0, first.1, first.2),
                end: date(last.0, last.1, last.2),
            };
            let long = bars(&spec, &stocks, &stocks[1], &long, 60);
            let short = bars(&spec, &stocks, &stocks[1], &short, 60);
            let at = long.end_s.iter().position(|&t| t == short.end_s[0]).unwrap();
            assert!(short.bars().eq((at..at + short.len()).map(|i| long.bar(i))), "{kind}");
        }
        let day = Period { start: date(2020, 3, 2), end: date(2020, 3, 2) };
        let of = |spec: &SyntheticMarket, list: &[Symbol]| bars(spec, list, &stocks[1], &day, 30);
        assert_eq!(of(&spec, &stocks), of(&spec, &stocks[..2]), "{kind}");
        assert_ne!(of(&spec, &stocks), of(&SyntheticMarket { seed: 6, ..spec.clone() }, &stocks));
    }
    let alone = [stocks[1].clone()];
    let day = Period { start: date(2020, 3, 2), end: date(2020, 3, 2) };
    for kind in [
        MarketKind::Momentum,
        MarketKind::MeanReversion,
        MarketKind::Regimes,
        MarketKind::RandomWalk,
        MarketKind::Leaked,
        MarketKind::Clock,
        MarketKind::Persistent,
        MarketKind::Weak,
        MarketKind::Trend,
    ] {
        let spec = SyntheticMarket { kind, seed: 5 };
        let of = |list: &[Symbol]| bars(&spec, list, &stocks[1], &day, 30);
        assert_eq!(of(&stocks), of(&alone), "{kind}");
    }
}

/// Bars of an hour: E forgets a quarter of itself a session and its mean return is a tenth of it.
#[test]
fn a_trend_goes_on() {
    let series = market("trend", 2);
    for stock in &series {
        let (mut trend, mut told, mut came) = (0.0, Vec::new(), Vec::new());
        for r in returns(stock) {
            told.push(trend);
            came.push(r);
            trend = (-0.25_f64 / 13.0).exp() * trend + r.exp_m1();
        }
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let squares = product(&told, &told);
        let slope = product(&told, &came) / squares;
        let error = 44e-4 / squares.sqrt();
        assert_near("slope", slope, 0.1 / 13.0, 4.0 * error);
        assert!(error < 0.25 * slope, "{error} of {slope}");
    }
}

/// 30 years of Sharpe ratios of 0.5, 1 and 1.5 a year at 25.2 % volatility; stocks share 0.6 of
/// their variance.
#[test]
fn a_drift_is_the_same_at_all_times_and_moves_are_shared() {
    let series = market("drift", 3);
    let all: Vec<Vec<f64>> = series.iter().map(returns).collect();
    for (stock, sharpe) in all.iter().zip([0.5, 1.0, 1.5]) {
        let yearly = mean(stock) / deviation(stock) * (252.0 * 13.0_f64).sqrt();
        // The mean of the log return is half a variance below that of the return.
        assert_near("Sharpe ratio", yearly + 0.126, sharpe, 4.0 / 30.0_f64.sqrt());
        assert_near("autocorrelation", correlation(stock, stock, 1), 0.0, FIVE_ERRORS);
    }
    assert_near("between stocks", correlation(&all[0], &all[2], 0), 0.6, FIVE_ERRORS);
}

/// Prices are 100 at the epoch, whatever came before.
#[test]
fn the_price_at_the_epoch_is_the_stated_one() {
    let stocks = symbols(2);
    let start = Period { start: date(2015, 1, 1), end: date(2015, 1, 9) };
    for kind in MarketKind::ALL
        .into_iter()
        .filter(|kind| !matches!(kind, MarketKind::Sample | MarketKind::Pairs(_)))
    {
        let spec = SyntheticMarket { kind, seed: 2 };
        let series = bars(&spec, &stocks, &stocks[0], &start, 30);
        assert_near("open", series.open[0], 100.0, 1e-9);
    }
}
