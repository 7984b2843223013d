//! The result of a run in plain words.

use crate::eval::inference::{Inference, Verdict as Judged};
use crate::eval::metrics::Metrics;
use crate::market::Period;

use super::format::{counted, growth, multiple, percent, ratio};
use super::significance;

pub(super) struct VerdictText {
    pub(super) headline: String,
    pub(super) text: String,
}

/// Returns within half a tenth of a percentage point of each other count as equal.
pub(super) fn verdict(
    period: Period,
    eval: &Metrics,
    benchmark: &Metrics,
    inference: &Inference,
) -> VerdictText {
    let ours = growth(eval.portfolio_return);
    let theirs = growth(benchmark.portfolio_return);
    let lead = eval.portfolio_return - benchmark.portfolio_return;
    let points = format!("{:.1} percentage points", 100.0 * lead.abs());
    let factor = (1.0 + eval.portfolio_return) / (1.0 + benchmark.portfolio_return);
    let ending = if lead.abs() >= 9.0 && factor > 0.0 {
        format!("{} as much", multiple(factor))
    } else if (100.0 * lead).abs() < 0.05 {
        "less than 0.1 percentage points apart".to_string()
    } else if lead > 0.0 {
        format!("{points} more")
    } else {
        format!("{points} less")
    };
    let headline = match inference.verdict {
        Judged::Evidence => "Evidence of an edge",
        Judged::NoEvidence => "No evidence of an edge",
        Judged::Worse => "Worse than doing nothing",
        Judged::InSample => "In sample, no verdict",
    };
    // Where both returned something, the verb is said once.
    let [ours, theirs] = match [eval, benchmark].map(|of| of.portfolio_return >= 9.0) {
        [false, false] => [format!("returned {ours}"), theirs],
        [true, false] => [format!("grew to {ours} its start"), format!("returned {theirs}")],
        [false, true] => [format!("returned {ours}"), format!("grew to {theirs} its start")],
        [true, true] => [format!("grew to {ours} its start"), theirs],
    };
    let mut text = format!(
        "From {period}, after costs, the portfolio {ours} and the benchmark (buy and \
         hold, in equal parts) {theirs}: {ending}. Its maximum drawdown was {} against {}",
        percent(-eval.max_drawdown),
        percent(-benchmark.max_drawdown),
    );
    if let (Some(ours), Some(theirs)) = (eval.sharpe, benchmark.sharpe) {
        text += &format!(", its Sharpe ratio {} against {}", ratio(ours), ratio(theirs));
    }
    text += &match eval.trades {
        0 => ". It never traded.".to_string(),
        trades => format!(
            ". It made {}, and its average exposure was {} of its equity.",
            counted(trades as usize, "trade"),
            percent(eval.exposure),
        ),
    };
    text.push(' ');
    text += &significance::reason(inference);
    VerdictText { headline: headline.into(), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    fn between(ours: f64, theirs: f64) -> VerdictText {
        let example = example::run(2, 50);
        let eval = Metrics {
            portfolio_return: ours,
            max_drawdown: -0.08,
            sharpe: Some(1.0),
            trades: 1,
            exposure: 0.5,
            ..example.eval.clone()
        };
        let benchmark = Metrics {
            portfolio_return: theirs,
            max_drawdown: -0.1,
            sharpe: Some(0.5),
            ..example.benchmark
        };
        verdict(example.config.eval_period(), &eval, &benchmark, &example.inference)
    }

    #[test]
    fn the_text_compares_the_portfolio_with_the_benchmark() {
        let won = between(0.123, 0.081);
        assert_eq!(won.headline, "No evidence of an edge");
        let expected = "From 2020-01-01 to 2020-12-31, after costs, the portfolio returned +12.3% \
            and the benchmark (buy and hold, in equal parts) +8.1%: 4.2 percentage points more. \
            Its maximum drawdown was 8.0% against 10.0%, its Sharpe ratio 1.00 against 0.50. It \
            made 1 trade, and its average exposure was 50.0% of its equity. Fewer than 20 days \
            are too few to tell skill from luck.";
        assert_eq!(won.text, expected);
        let lost = between(-0.02, -0.01);
        assert!(lost.text.contains("-2.0%") && lost.text.contains("1.0 percentage points less"));
        // 1,234.4 / 1.029 = 1,199.6.
        let large = between(1_233.4, 0.029);
        let expected = "the portfolio grew to 1,234x its start and the benchmark (buy and hold, in \
            equal parts) returned +2.9%: 1,200x as much.";
        assert!(large.text.contains(expected), "{}", large.text);
        assert!(between(-0.0044, -0.0047).text.contains("less than 0.1 percentage points apart"));
    }
}
