//! Skill or luck, in words: lines below the closing table, and a section of the report.

use std::fmt::Write;

use crate::eval::inference::{CONFIDENCE, Inference, MIN_DAYS, SharpeEstimate, THRESHOLD, Verdict};

use super::format::{count, counted, percent, ratio};
use super::page::wide;

/// Three lines for the end of the program, at most 80 columns wide.
pub(super) fn lines(inference: &Inference) -> String {
    format!(
        "Sharpe ratio: {}\ninformation ratio over the benchmark: {}\nverdict: {}{}\n",
        with_interval(&inference.sharpe),
        with_interval(&inference.excess_sharpe),
        inference.verdict.words(),
        match inference.p_value {
            Some(p) => format!(
                " (p = {p:.3}, at most {THRESHOLD} needed; {})",
                trials(inference.trials.count)
            ),
            None => String::new(),
        }
    )
}

/// A sentence or two on why the verdict is what it is.
pub(super) fn reason(inference: &Inference) -> String {
    if inference.verdict == Verdict::InSample {
        return "What traded was fitted on these days, or on later ones: the figures say nothing \
                about other days."
            .into();
    }
    if inference.days < MIN_DAYS {
        return format!("Fewer than {MIN_DAYS} days are too few to tell skill from luck.");
    }
    let tests = match (inference.deflated_sharpe, inference.timing_p_value()) {
        (Some(deflated), Some(timing)) => {
            let count = inference.trials.count;
            let allowance = match count {
                0 | 1 => String::new(),
                _ => format!(" Both figures allow for the best of {} being picked.", trials(count)),
            };
            format!(
                "Luck alone earns this much {} times in 100, and its timing is this good {} times \
                 in 100; we say \u{201c}edge\u{201d} when both are at most {}.{allowance}",
                times_in_100(1.0 - deflated),
                times_in_100(timing),
                times_in_100(THRESHOLD),
            )
        }
        (Some(_), None) => "Its positions never changed, so it cannot have timed anything.".into(),
        (None, _) => "Its equity did not change.".into(),
    };
    match (inference.verdict, inference.probabilistic_sharpe) {
        (Verdict::Worse, Some(probability)) => format!(
            "The probability that its true Sharpe ratio is above 0 is {}. {tests}",
            percent(probability)
        ),
        _ => tests,
    }
}

/// `0.315` as `32`, and `0.0315` as `3.2`.
fn times_in_100(probability: f64) -> String {
    let times = 100.0 * probability;
    match times {
        ..0.05 => "less than 0.1".into(),
        9.95.. => format!("{times:.0}"),
        _ => format!("{times:.1}").trim_end_matches(".0").into(),
    }
}

/// The report's section.
pub(super) fn section(inference: &Inference) -> String {
    let percents = |value: Option<f64>| value.map_or("–".into(), percent);
    let timing = inference.timing.as_ref();
    let timing_meaning = timing.map_or(String::new(), |timing| {
        format!("how often luck does as well, given the drift ({} shifts)", timing.placebos)
    });
    let clock = inference.clock.as_ref();
    let clock_meaning = "that habits by the time of day earn as much by luck; a tenth of the level";
    let level = level();
    let hurdle = ratio(inference.trials.sharpe_hurdle);
    let rows = [
        (
            "Sharpe ratio".into(),
            with_interval(&inference.sharpe),
            format!("{level} interval: stationary bootstrap of {}", counted(inference.days, "day")),
        ),
        (
            "Information ratio".into(),
            with_interval(&inference.excess_sharpe),
            "Sharpe ratio of the daily returns in excess of the benchmark".into(),
        ),
        (
            "True Sharpe ratio above 0".into(),
            percents(inference.probabilistic_sharpe),
            "the probability of it (probabilistic Sharpe ratio)".into(),
        ),
        (
            format!("True Sharpe ratio above {hurdle}"),
            percents(inference.deflated_sharpe),
            "the same for what luck gives the best of the trials (deflated Sharpe ratio)".into(),
        ),
        (
            "p-value of the timing".into(),
            percents(timing.map(|timing| timing.p_value)),
            timing_meaning,
        ),
        (
            "p-value of the time of day".into(),
            percents(clock.map(|clock| clock.p_value)),
            clock_meaning.into(),
        ),
        (
            "p-value of both together".into(),
            percents(inference.timing_p_value()),
            "the smaller of the two, each over its share of the level".into(),
        ),
        (
            "Trials".into(),
            count(inference.trials.count as u64),
            format!("evaluations, {} of them from earlier runs", inference.trials.earlier),
        ),
    ];
    let mut body = String::new();
    for (name, value, meaning) in rows {
        let value = value.replace('-', "−");
        // Writing to a String does not fail.
        let _ = writeln!(
            body,
            "<tr><th scope=\"row\">{name}</th><td>{value}</td>\
             <td class=\"explained\">{meaning}</td></tr>",
        );
    }
    let content = format!("<tbody>\n{body}</tbody>\n");
    format!("<h2>Skill or luck</h2>\n{}", wide("Skill or luck", "", &content))
}

fn level() -> String {
    format!("{:.0}%", 100.0 * CONFIDENCE)
}

fn trials(number: usize) -> String {
    counted(number, "trial")
}

/// `1.26, 95% interval -0.70 to 3.10`
fn with_interval(estimate: &SharpeEstimate) -> String {
    let Some(value) = estimate.value else { return "undefined".into() };
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => {
            format!("{}, {} interval {} to {}", ratio(value), level(), ratio(low), ratio(high))
        }
        _ => format!("{}, interval undefined", ratio(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::inference::{TimingTest, TrialsCounted};
    use crate::report::example;

    fn inference() -> Inference {
        let found = example::run(2, 1_764).inference;
        let estimate = |value, low, high| SharpeEstimate {
            value: Some(value),
            low,
            high,
            block_days: Some(2.0),
        };
        Inference {
            verdict: Verdict::NoEvidence,
            p_value: Some(0.31),
            sharpe: estimate(1.256, Some(-0.7), Some(3.104)),
            excess_sharpe: estimate(-0.2, None, None),
            probabilistic_sharpe: Some(0.9),
            deflated_sharpe: Some(0.88),
            timing: Some(TimingTest { score: 0.5, p_value: 0.31, placebos: 251 }),
            clock: None,
            ..found
        }
    }

    #[test]
    fn lines_give_the_figures_and_what_would_be_evidence() {
        let expected = "\
Sharpe ratio: 1.26, 95% interval -0.70 to 3.10
information ratio over the benchmark: -0.20, interval undefined
verdict: no evidence of an edge (p = 0.310, at most 0.04 needed; 1 trial)
";
        assert_eq!(lines(&inference()), expected);
        let idle = Inference { p_value: None, sharpe: SharpeEstimate::default(), ..inference() };
        let said = lines(&idle);
        assert!(said.starts_with("Sharpe ratio: undefined\n"), "{said}");
        assert!(said.ends_with("verdict: no evidence of an edge\n"), "{said}");
    }

    #[test]
    fn reasons_name_both_tests_or_why_there_is_none() {
        let found = inference();
        let said = reason(&found);
        let expected = "Luck alone earns this much 12 times in 100, and its timing is this good \
                        34 times in 100; we say \u{201c}edge\u{201d} when both are at most 4.";
        assert_eq!(said, expected);
        let trials = TrialsCounted { count: 12, ..found.trials.clone() };
        let said = reason(&Inference { trials, ..found.clone() });
        assert!(said.ends_with(" Both figures allow for the best of 12 trials being picked."));
        let times = [0.315, 0.099, 0.044, 0.0996, 0.0001].map(times_in_100);
        assert_eq!(times, ["32", "9.9", "4.4", "10", "less than 0.1"]);
        let worse = Inference {
            verdict: Verdict::Worse,
            probabilistic_sharpe: Some(0.01),
            ..found.clone()
        };
        assert!(reason(&worse).starts_with("The probability that its true Sharpe ratio is above"));
        let held = Inference { timing: None, ..found.clone() };
        assert!(reason(&held).contains("never changed"));
        let idle = Inference { deflated_sharpe: None, timing: None, ..found.clone() };
        assert!(reason(&idle).contains("did not change"));
        assert!(reason(&Inference { days: 19, ..found }).starts_with("Fewer than 20 days"));
    }

    #[test]
    fn the_section_has_every_figure() {
        let text = section(&inference());
        for shown in ["1.26, 95% interval −0.70 to 3.10", "88.0%", "(251 shifts)", "<td>1</td>"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        assert_eq!(text.matches("<tr>").count(), 8);
    }
}
