//! What the experts counted for over time, and how much of the equity was in stocks.

use plotters::prelude::*;

use super::axis::{self, Axis};
use super::header::Header;
use super::{
    AGENT, Area, BENCHMARK, Drawn, INK, MUTED, SCALE, Screen, downsample, line, max_points,
};
use crate::market::calendar::market_date;
use crate::portfolio::allocation::Allocations;

const WIDTH: u32 = 980;
/// Of weights and of orders, by screen.
const UPPER: [u32; 2] = [290, 230];
const LOWER: [u32; 2] = [180, 150];
/// Experts that have a curve of their own; the others have one together.
const SHOWN: usize = 3;

/// One value per day that had a decision.
struct Days {
    /// Bar end of each day's last decision, UTC seconds.
    end_s: Vec<i64>,
    /// `[day][expert]`: mean weight over stocks.
    weights: Vec<Vec<f64>>,
    /// `[day]`: sums of signed and of absolute orders, as fractions of equity.
    net: Vec<f64>,
    gross: Vec<f64>,
}

/// Mean weights over stocks above, orders below; a whole SVG document.
pub(crate) fn weights_svg(allocations: &Allocations, stocks: usize, screen: Screen) -> String {
    let days = Days::new(allocations, stocks);
    let width = screen.width(WIDTH);
    let x = Axis::bars(&days.end_s, width);
    let mean = |expert: usize| days.weights.iter().map(|day| day[expert]).sum::<f64>();
    let mut order: Vec<usize> = (0..allocations.experts.len()).collect();
    order.sort_by(|&a, &b| mean(b).total_cmp(&mean(a)));
    let rest = order.split_off(SHOWN.min(order.len()));
    let colours = [AGENT, BENCHMARK, INK, MUTED];
    let mut curves: Vec<(String, Vec<f64>)> = Vec::new();
    for &expert in &order {
        let weights = days.weights.iter().map(|day| day[expert]).collect();
        curves.push((allocations.experts[expert].clone(), weights));
    }
    if !rest.is_empty() {
        let all = |day: &Vec<f64>| rest.iter().map(|&expert| day[expert]).sum();
        let name = if rest.len() == 1 { "one more" } else { "others" };
        curves.push((name.into(), days.weights.iter().map(all).collect()));
    }
    let upper: Vec<_> = curves.iter().map(|(_, y)| &y[..]).zip(colours).collect();
    let lower = [(&days.gross[..], MUTED), (&days.net[..], AGENT)];
    let names = curves.iter().map(|(name, _)| name.as_str()).zip(colours);
    let weights = Header::with_names("Weight of each expert, mean over stocks", names);
    let names = [("net", AGENT), ("gross", MUTED)];
    let orders = Header::with_names("Ordered, as a part of the equity", names);
    let [above, below] = [UPPER, LOWER].map(|[wide, narrow]| screen.pick(wide, narrow));
    let above = above + weights.added_height(width);
    let height = above + below + orders.added_height(width);
    super::document(width, height, |area| {
        let (above, below) = area.split_vertically(super::units(above));
        draw(&above, &weights, &x, 5, &upper)?;
        draw(&below, &orders, &x, 3, &lower)
    })
}

fn draw(
    area: &Area,
    header: &Header,
    x: &Axis,
    ticks: usize,
    curves: &[(&[f64], RGBColor)],
) -> Drawn<()> {
    let heights = curves.iter().flat_map(|(values, _)| values.iter().copied());
    let y = Axis::around(heights.chain([0.0]), ticks, axis::percent);
    let mut chart = axis::chart(area, header, x, &y)?;
    let most = max_points(area.dim_in_pixel().0 / SCALE);
    for (values, colour) in curves {
        let points: Vec<(f64, f64)> =
            values.iter().enumerate().map(|(day, &y)| (day as f64, y)).collect();
        let points = downsample(&points, most);
        chart.draw_series(LineSeries::new(points, line(colour, 15)))?;
    }
    Ok(())
}

impl Days {
    fn new(allocations: &Allocations, stocks: usize) -> Days {
        let experts = allocations.experts.len();
        let mut days =
            Days { end_s: Vec::new(), weights: Vec::new(), net: Vec::new(), gross: Vec::new() };
        let (mut weights, mut orders) = (vec![vec![0.0; experts]; stocks], vec![0.0; stocks]);
        let rows = allocations.rows.chunk_by(|a, b| a.end_s == b.end_s);
        let mut last = None;
        for rows in rows {
            for row in rows {
                weights[row.stock].clone_from(&row.weights);
                orders[row.stock] = row.approved;
            }
            let date = market_date(rows[0].end_s);
            if last != Some(date) {
                days.end_s.push(0);
                days.weights.push(Vec::new());
                days.net.push(0.0);
                days.gross.push(0.0);
                last = Some(date);
            }
            let day = days.end_s.len() - 1;
            days.end_s[day] = rows[0].end_s;
            let mean = |expert: usize| {
                weights.iter().map(|of| of[expert]).sum::<f64>() / stocks.max(1) as f64
            };
            days.weights[day] = (0..experts).map(mean).collect();
            days.net[day] = orders.iter().sum();
            days.gross[day] = orders.iter().map(|order: &f64| order.abs()).sum();
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_curve_for_the_largest_weights_and_one_for_the_rest() {
        let example = example::run(2, 1_764);
        for screen in Screen::ALL {
            let svg = weights_svg(&example.allocations, 2, screen);
            for name in ["Buy and Hold", "DQN", "RSI", "others", "net", "gross"] {
                assert!(svg.contains(&format!("\n{name}\n")), "{name}");
            }
            assert!(!svg.contains("NaN") && svg.len() < 200_000, "{} bytes", svg.len());
        }
    }

    #[test]
    fn a_day_is_as_its_last_decision_left_it() {
        let example = example::run(2, 1_764);
        let days = Days::new(&example.allocations, 2);
        let last = example.allocations.rows.last().unwrap();
        assert_eq!(*days.end_s.last().unwrap(), last.end_s);
        assert!(days.end_s.windows(2).all(|pair| pair[0] < pair[1]));
        for (day, (net, gross)) in days.net.iter().zip(&days.gross).enumerate() {
            let sum: f64 = days.weights[day].iter().sum();
            assert!((sum - 1.0).abs() < 1e-9 && net.abs() <= gross + 1e-12, "day {day}");
        }
    }
}
