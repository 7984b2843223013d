//! What a run was made with, in the report.

use super::format::counted;
use super::page::{escape, names};
use crate::config::RunConfig;

/// The report's section.
pub(super) fn section(config: &RunConfig) -> String {
    let learner = &config.learner;
    let found = "Azure if a connection string was set, else the sample market";
    let data = config.data.source.as_deref().unwrap_or(found);
    let rows = [
        ("Stocks", names(&config.stocks)),
        ("Data", data.to_string()),
        (
            "Training",
            format!("{}, {}", config.train_period(), counted(config.episodes as usize, "episode")),
        ),
        ("Evaluation", config.eval_period().to_string()),
        (
            "Costs",
            format!(
                "fee {} and slippage {} basis points of the value traded",
                config.env.fee_bps, config.env.slippage_bps
            ),
        ),
        ("Positions", positions(config).into()),
        (
            "Learner",
            format!(
                "{}DQN, windows of {}, {} replay, batches of {}, \
                 learning rate {}, discount {}",
                if learner.double { "double " } else { "" },
                counted(learner.window_bars, "bar"),
                if learner.prioritized { "prioritized" } else { "uniform" },
                counted(learner.batch_size, "bar"),
                learner.learning_rate,
                learner.gamma,
            ),
        ),
        ("Seed", config.seed.to_string()),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(value))
        })
        .collect();
    // A configuration that was read and validated can be written again; else the summary above
    // stands alone.
    let all = toml::to_string_pretty(config).unwrap_or_default();
    format!(
        "<h2>Settings</h2>\n<table class=\"settings\">\n<tbody>\n{rows}</tbody>\n</table>\n\
         <details><summary>All settings (config.toml)</summary>\n<pre tabindex=\"0\">{}</pre></details>\n",
        escape(&all)
    )
}

fn positions(config: &RunConfig) -> &'static str {
    if config.env.long_only { "flat or long" } else { "short, flat or long" }
}
