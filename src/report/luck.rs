//! Skill or luck, in words: the closing table's lines and the report's section.

use std::fmt::Write;

use crate::eval::inference::{CONFIDENCE, Estimate, Inference, MIN_DAYS, THRESHOLD, Verdict};

use super::format::{count, percent, ratio};

/// Two lines for the end of the program.
pub(super) fn lines(inference: &Inference) -> String {
    format!(
        "Sharpe ratio with {} interval: agent {}, over buy-and-hold {}\nverdict: {}{}\n",
        level(),
        with_interval(&inference.sharpe),
        with_interval(&inference.excess_sharpe),
        inference.verdict.words(),
        match inference.p_value {
            Some(p) => format!(
                " (p = {p:.3}, evidence needs {THRESHOLD}; {})",
                trials(inference.trials.count)
            ),
            None => String::new(),
        }
    )
}

/// A sentence or two on why the verdict is what it is.
pub(super) fn reason(inference: &Inference) -> String {
    if inference.days < MIN_DAYS {
        return format!("Of fewer than {MIN_DAYS} days nothing can be said about skill.");
    }
    let tests = match (inference.deflated_sharpe, &inference.timing) {
        (Some(deflated), Some(timing)) => format!(
            "Without skill, so much profit after costs has a probability of {}, and positions \
             that stood so well of {}; both at {} or less would be evidence ({} counted).",
            percent(1.0 - deflated),
            percent(timing.p_value),
            percent(THRESHOLD),
            trials(inference.trials.count),
        ),
        (Some(_), None) => "Its positions did not change, so that it can have no timing.".into(),
        (None, _) => "Its equity did not move.".into(),
    };
    match (inference.verdict, inference.probabilistic_sharpe) {
        (Verdict::Worse, Some(probability)) => format!(
            "The probability that its true Sharpe ratio is above zero is {}. {tests}",
            percent(probability)
        ),
        _ => tests,
    }
}

/// The report's section.
pub(super) fn section(inference: &Inference) -> String {
    let percents = |value: Option<f64>| value.map_or("–".into(), percent);
    let timing = inference.timing.as_ref();
    let timing_meaning = timing.map_or(String::new(), |timing| {
        format!("chance that one of {} shifts of its days does as well", timing.placebos)
    });
    let level = level();
    let hurdle = ratio(inference.trials.sharpe_hurdle);
    let rows = [
        (
            format!("Sharpe ratio, {level} interval"),
            with_interval(&inference.sharpe),
            format!("stationary bootstrap of {} days", inference.days),
        ),
        (
            "Over buy-and-hold".into(),
            with_interval(&inference.excess_sharpe),
            "Sharpe ratio of the difference of daily returns".into(),
        ),
        (
            "Probability of skill".into(),
            percents(inference.probabilistic_sharpe),
            "that the true Sharpe ratio is above 0".into(),
        ),
        (
            "The same, trials counted".into(),
            percents(inference.deflated_sharpe),
            format!("above {hurdle}, which luck gives to the best of the trials"),
        ),
        ("Timing by luck".into(), percents(timing.map(|timing| timing.p_value)), timing_meaning),
        (
            "Trials".into(),
            count(inference.trials.count as u64),
            format!("evaluations, {} of them of earlier runs", inference.trials.earlier),
        ),
    ];
    let mut text = String::from("<h2>Skill or luck</h2>\n<div class=\"wide\"><table>\n<tbody>\n");
    for (name, value, meaning) in rows {
        let value = value.replace('-', "−");
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{name}</th><td>{value}</td>\
             <td class=\"explained\">{meaning}</td></tr>",
        );
    }
    text + "</tbody>\n</table></div>\n"
}

fn level() -> String {
    format!("{:.0}%", 100.0 * CONFIDENCE)
}

fn trials(number: usize) -> String {
    match number {
        1 => "1 trial".into(),
        number => format!("{} trials", count(number as u64)),
    }
}

/// `1.26 [-0.70, 3.10]`
fn with_interval(estimate: &Estimate) -> String {
    let Some(value) = estimate.value else { return "undefined".into() };
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", ratio(value), ratio(low), ratio(high)),
        _ => format!("{} [undefined]", ratio(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::inference::TimingTest;
    use crate::report::example;

    fn inference() -> Inference {
        let found = example::run(2, 1_764).inference;
        let estimate =
            |value, low, high| Estimate { value: Some(value), low, high, block_days: Some(2.0) };
        Inference {
            verdict: Verdict::NoEvidence,
            p_value: Some(0.31),
            sharpe: estimate(1.256, Some(-0.7), Some(3.104)),
            excess_sharpe: estimate(-0.2, None, None),
            probabilistic_sharpe: Some(0.9),
            deflated_sharpe: Some(0.88),
            timing: Some(TimingTest { score: 0.5, p_value: 0.31, placebos: 251 }),
            ..found
        }
    }

    #[test]
    fn lines_say_what_was_found_and_what_would_be_evidence() {
        let expected = "\
Sharpe ratio with 95% interval: agent 1.26 [-0.70, 3.10], over buy-and-hold -0.20 [undefined]
verdict: no evidence of an edge (p = 0.310, evidence needs 0.04; 1 trial)
";
        assert_eq!(lines(&inference()), expected);
        let idle = Inference { p_value: None, sharpe: Estimate::default(), ..inference() };
        let said = lines(&idle);
        assert!(said.contains("agent undefined, "), "{said}");
        assert!(said.ends_with("verdict: no evidence of an edge\n"), "{said}");
    }

    #[test]
    fn reasons_name_both_tests_or_why_there_is_none() {
        let found = inference();
        let said = reason(&found);
        assert!(said.contains("of 12.0%, and positions that stood so well of 31.0%;"), "{said}");
        let worse = Inference {
            verdict: Verdict::Worse,
            probabilistic_sharpe: Some(0.01),
            ..found.clone()
        };
        assert!(reason(&worse).starts_with("The probability that its true Sharpe ratio is above"));
        let held = Inference { timing: None, ..found.clone() };
        assert!(reason(&held).contains("did not change"));
        let idle = Inference { deflated_sharpe: None, timing: None, ..found.clone() };
        assert!(reason(&idle).contains("did not move"));
        assert!(reason(&Inference { days: 19, ..found }).contains("fewer than 20 days"));
    }

    #[test]
    fn the_section_has_every_figure() {
        let text = section(&inference());
        for shown in ["1.26 [−0.70, 3.10]", "88.0%", "one of 251 shifts", "<td>1</td>"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        assert_eq!(text.matches("<tr>").count(), 6);
    }
}
