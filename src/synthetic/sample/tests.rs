//! The sample market has the stylised facts of stocks and the planted relations, and no others.

use super::*;
use std::sync::LazyLock;
use std::time::Instant;

const YEARS: std::ops::RangeInclusive<i32> = 2021..=2023;

fn symbols(names: &[&str]) -> Vec<Symbol> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn five() -> Vec<Symbol> {
    symbols(&["AAPL", "MSFT", "GOOGL", "AMZN", "META"])
}

/// Five stocks over three years, generated once.
static MARKET: LazyLock<Vec<BarSeries>> = LazyLock::new(|| {
    let period = Period { start: date(*YEARS.start(), 1, 1), end: date(*YEARS.end(), 12, 31) };
    let start = Instant::now();
    let market: Vec<BarSeries> =
        five().iter().map(|symbol| bars(1, &five(), symbol, &period)).collect();
    println!("5 stocks x 3 years, {} bars each: {:?}", market[0].len(), start.elapsed());
    market
});

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for value in values {
        sum += value;
        n += 1;
    }
    sum / n as f64
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let (ma, mb) = (mean(a.iter().copied()), mean(b.iter().copied()));
    let moment = |x: &[f64], mx: f64, y: &[f64], my: f64| {
        mean(x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)))
    };
    moment(a, ma, b, mb) / (moment(a, ma, a, ma) * moment(b, mb, b, mb)).sqrt()
}

/// Log returns of the minutes from the open on, per session.
fn session_returns(series: &BarSeries) -> Vec<Vec<f64>> {
    let bars: Vec<Bar> = series.bars().collect();
    bars.chunk_by(|a, b| b.end_s - a.end_s == 60)
        .map(|day| {
            let first = (day[0].close / day[0].open).ln();
            let rest = day.windows(2).map(|b| (b[1].close / b[0].close).ln());
            std::iter::once(first).chain(rest).collect()
        })
        .collect()
}

fn minutes(series: &BarSeries) -> Vec<f64> {
    session_returns(series).concat()
}

#[test]
fn bars_are_well_formed_and_fill_the_sessions() {
    for series in MARKET.iter() {
        let sessions = session_returns(series);
        assert!((750..=785).contains(&sessions.len()), "{}", sessions.len());
        assert!(sessions.iter().all(|day| day.len() == 390 || day.len() == 210));
        for bar in series.bars() {
            assert!(bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high);
            assert!(bar.low > 0.0 && bar.volume >= 1.0 && bar.volume.fract() == 0.0);
            assert_eq!((bar.close * TICKS).round() / TICKS, bar.close);
            assert!((1.0..50_000.0).contains(&bar.close), "{} {}", series.symbol, bar.close);
        }
    }
    // 4 January 2021, a Monday in winter: 09:31 to 16:00 New York is 14:31 to 21:00 UTC.
    let times = &MARKET[0].end_s;
    let monday = times.iter().position(|&t| t > 1_609_718_400).unwrap();
    assert_eq!(times[monday], 1_609_770_660);
    assert_eq!(times[monday + 389], 1_609_794_000);
}

#[test]
fn returns_have_the_marks_of_stocks() {
    for series in MARKET.iter() {
        let name = &series.symbol;
        let minutes = minutes(series);
        let second = mean(minutes.iter().map(|r| r * r));
        let kurtosis = mean(minutes.iter().map(|r| r.powi(4))) / second.powi(2);
        assert!((5.0..60.0).contains(&kurtosis), "{name}: kurtosis {kurtosis}");
        let sizes: Vec<f64> = minutes.iter().map(|r| r.abs()).collect();
        let clustering = correlation(&sizes[1..], &sizes[..sizes.len() - 1]);
        assert!(clustering > 0.1, "{name}: |r| autocorrelation {clustering}");

        let closes: Vec<f64> = series
            .bars()
            .collect::<Vec<_>>()
            .chunk_by(|a, b| b.end_s - a.end_s == 60)
            .map(|day| day[day.len() - 1].close)
            .collect();
        let daily = mean(closes.windows(2).map(|c| (c[1] / c[0]).ln().powi(2)));
        let annual = (daily * 252.0).sqrt();
        assert!((0.18..0.60).contains(&annual), "{name}: volatility {annual}");
        let in_range = mean(series.bars().map(|b| (b.high / b.low).ln().powi(2)));
        // Parkinson (1980): the mean squared log range is 4 ln 2 times the variance.
        let parkinson = in_range / (4.0 * std::f64::consts::LN_2) / second;
        assert!((0.85..1.05).contains(&parkinson), "{name}: range variance {parkinson}");
        println!(
            "{name}: annual volatility {annual:.3}, kurtosis of minutes {kurtosis:.1}, \
             |r| autocorrelation {clustering:.3}, range variance {parkinson:.3}"
        );
    }
}

#[test]
fn the_day_has_its_u_shape() {
    for series in MARKET.iter() {
        let days = session_returns(series);
        let full = days.iter().filter(|day| day.len() == 390);
        let of_day: Vec<&[f64]> = full.map(Vec::as_slice).collect();
        let size = |span: std::ops::Range<usize>| {
            mean(of_day.iter().flat_map(|day| &day[span.clone()]).map(|r| r.abs()))
        };
        let (open, midday, close) = (size(0..30), size(180..210), size(360..390));
        assert!(open > 1.5 * midday && close > 1.15 * midday && open > close);

        let bars: Vec<Bar> = series.bars().collect();
        let volume = |span: std::ops::Range<usize>| {
            let days = bars.chunk_by(|a, b| b.end_s - a.end_s == 60);
            mean(days.flat_map(|day| &day[span.clone()]).map(|bar| bar.volume))
        };
        let (open, midday) = (volume(0..30), volume(100..130));
        assert!(open > 1.4 * midday, "{}: volume {open} {midday}", series.symbol);
    }
}

#[test]
fn stocks_move_together_and_followers_follow() {
    let minutes: Vec<Vec<f64>> = MARKET.iter().map(minutes).collect();
    let standard_error = 1.0 / (minutes[0].len() as f64).sqrt();
    for i in 0..5 {
        for j in 0..i {
            let together = correlation(&minutes[i], &minutes[j]);
            assert!((0.1..0.65).contains(&together), "{i} {j}: {together}");
        }
        for j in (0..5).filter(|&j| j != i) {
            let n = minutes[i].len();
            let led = correlation(&minutes[i][1..], &minutes[j][..n - 1]);
            let planted = i == j + 1;
            // Coinciding fat tails widen the standard error; a factor of three covers them.
            let bound =
                if planted { 0.02..0.15 } else { -9.0 * standard_error..9.0 * standard_error };
            assert!(bound.contains(&led), "{i} after {j}: {led}");
            if planted {
                println!("{} follows {}: {led:.4}", MARKET[i].symbol, MARKET[j].symbol);
            }
        }
    }
}

/// Nothing else is predictable: a morning does not predict its afternoon, nor a day the next gap,
/// and minutes are uncorrelated beyond what alternating regimes leave.
#[test]
fn nothing_else_foretells_returns() {
    for series in MARKET.iter() {
        let minutes = minutes(series);
        let n = minutes.len();
        let next = correlation(&minutes[1..], &minutes[..n - 1]);
        assert!(next.abs() < 0.03, "{}: {next}", series.symbol);
        let days = session_returns(series);
        let bound = 4.0 / (days.len() as f64).sqrt();
        for at in [30, 100, 200] {
            let part = |f: &dyn Fn(&Vec<f64>) -> f64| days.iter().map(f).collect::<Vec<f64>>();
            let before = part(&|day| day[..at].iter().sum());
            let after = part(&|day| day[at..].iter().sum());
            let predicted = correlation(&before, &after);
            assert!(predicted.abs() < bound, "{} at {at}: {predicted}", series.symbol);
        }
    }
}

#[test]
fn a_day_is_the_same_in_every_period_and_for_every_list_with_the_same_leader() {
    let market = five();
    let day = Period { start: date(2022, 3, 14), end: date(2022, 3, 14) };
    for (i, symbol) in market.iter().enumerate() {
        let alone = bars(1, &market, symbol, &day);
        assert_eq!(alone.len(), 390);
        let long = &MARKET[i];
        let at = long.end_s.iter().position(|&t| t == alone.end_s[0]).unwrap();
        assert!(alone.bars().eq((at..at + 390).map(|k| long.bar(k))));
    }
    assert_eq!(bars(1, &market[..2], &market[1], &day), bars(1, &market, &market[1], &day));
    assert_eq!(bars(1, &market[..1], &market[0], &day), bars(1, &market, &market[0], &day));
    assert_ne!(bars(2, &market, &market[0], &day), bars(1, &market, &market[0], &day));
    assert_ne!(bars(1, &market[1..], &market[1], &day), bars(1, &market, &market[1], &day));
}

#[test]
fn days_before_the_epoch_exist_and_join_it() {
    let market = symbols(&["SPY"]);
    let long = Period { start: date(2010, 5, 3), end: date(2015, 2, 27) };
    let short = Period { start: date(2012, 6, 4), end: date(2012, 6, 8) };
    let (long, short) = (bars(3, &market, &market[0], &long), bars(3, &market, &market[0], &short));
    let at = long.end_s.iter().position(|&t| t == short.end_s[0]).unwrap();
    assert!(short.bars().eq((at..at + short.len()).map(|k| long.bar(k))));
    let jump = |k: usize| (long.open[k] / long.close[k - 1]).ln().abs();
    assert!((1..long.len()).all(|k| jump(k) < 0.2), "a gap of more than 20 %");
}
