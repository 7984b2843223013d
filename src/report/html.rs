//! `report.html`: the run on one self-contained page, for light and dark screens and for print.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::comparison::Contender;
use crate::eval::contributions::Contributions;
use crate::eval::inference::Inference;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::parts::PartResult;
use crate::market::Symbol;
use crate::portfolio::allocation::Allocations;

use super::folder::{ReportError, ResultsFolder};
use super::format::{count, duration, minus, percent, ratio, signed_percent};
use super::metrics_log::MetricsLine;
use super::plot::{equity_svg, heat_map_svg, learning_svg, smoothing, weights_svg};
use super::relationships::Relationships;
use super::significance;
use super::summary::RunSummary;
use super::trades::Trades;
use super::verdict::verdict;
use super::{comparison, contributions, parts, quarters};

/// The relationships of more stocks than this would be too fine to see and too many to load.
const MAX_MAPPED: usize = 60;

/// All that the page shows.
#[derive(Clone, Copy)]
pub(crate) struct HtmlReport<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) run: &'a RunSummary,
    /// The last evaluation, and the benchmark over the same bars.
    pub(crate) eval: &'a Metrics,
    pub(crate) benchmark: &'a Metrics,
    pub(crate) inference: &'a Inference,
    pub(crate) record: &'a BacktestRecord,
    pub(crate) benchmark_equity: &'a [f64],
    /// Empty if nothing was trained, as when a finished model is evaluated.
    pub(crate) lines: &'a [MetricsLine],
    pub(crate) relationships: &'a Relationships,
    /// All strategies on the same bars.
    pub(crate) everyone: &'a [Contender],
    /// Who counted for how much when, and what that brought.
    pub(crate) allocations: &'a Allocations,
    pub(crate) contributions: &'a Contributions,
    /// The DQN alone in each part of the data; empty if nothing was trained.
    pub(crate) parts: &'a [PartResult],
    /// What a reader must know before believing a figure, such as that the prices are made up.
    pub(crate) notices: &'a [String],
}

impl HtmlReport<'_> {
    pub(crate) const NAME: &'static str = "report.html";

    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        folder.write_whole(HtmlReport::NAME, self.page().as_bytes())
    }

    pub(crate) fn page(&self) -> String {
        let title = names(&self.config.stocks);
        let sections = [
            // The answer and its picture, then what explains them.
            self.header(),
            self.record(),
            self.figures(),
            significance::section(self.inference),
            comparison::section(self.everyone),
            parts::section(self.parts),
            self.experts(),
            self.trades(),
            self.learning(),
            self.relations(),
            self.settings(),
        ];
        page(&title, &sections.concat())
    }

    fn header(&self) -> String {
        let period = self.config.eval_period();
        let said = verdict(period, self.eval, self.benchmark, self.inference);
        let notices: String = self
            .notices
            .iter()
            .map(|notice| format!("<p class=\"note\">{}</p>\n", escape(notice)))
            .collect();
        format!(
            "<header>\n<p class=\"over\">dqn-trader: {}, evaluated from {period}</p>\n\
             <h1>{}</h1>\n<p>{}</p>\n{notices}</header>\n",
            escape(&names(&self.config.stocks)),
            escape(&said.headline),
            minus(&escape(&said.text)),
        )
    }

    fn figures(&self) -> String {
        type Row = (&'static str, fn(&Metrics) -> Option<String>, &'static str);
        let rows: [Row; 10] = [
            (
                "Return",
                |m| Some(signed_percent(m.portfolio_return)),
                "final over initial equity, less 1, after costs",
            ),
            (
                "Sharpe ratio",
                |m| m.sharpe.map(ratio),
                "of daily returns, annualised by the trading days of a year",
            ),
            ("Sortino ratio", |m| m.sortino.map(ratio), "the same over downside deviation"),
            ("Calmar ratio", |m| m.calmar.map(ratio), "annual return over maximum drawdown"),
            (
                "Maximum drawdown",
                |m| Some(percent(m.max_drawdown)),
                "largest fall below a previous peak",
            ),
            ("Volatility", |m| m.volatility.map(percent), "of daily returns, annualised"),
            ("Exposure", |m| Some(percent(m.exposure)), "mean gross exposure over equity"),
            ("Turnover per day", |m| Some(ratio(m.turnover)), "value traded over equity"),
            ("Trades", |m| Some(count(m.trades)), "fills"),
            (
                "Sum of rewards",
                |m| Some(format!("{:.4}", m.total_reward)),
                "sum of the simple returns per bar",
            ),
        ];
        let mut text = String::from(
            "<h2>Results</h2>\n<div class=\"wide\"><table>\n<thead><tr><th></th><th>Portfolio</th>\
             <th>Benchmark</th><th></th></tr></thead>\n<tbody>\n",
        );
        for (name, value, meaning) in rows {
            let cell = |metrics| value(metrics).map_or("–".into(), |shown| minus(&shown));
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{}</td>\
                 <td class=\"explained\">{meaning}</td></tr>",
                cell(self.eval),
                cell(self.benchmark),
            );
        }
        text + "</tbody>\n</table></div>\n"
    }

    fn record(&self) -> String {
        let svg = equity_svg(self.record, self.benchmark_equity);
        let caption = format!(
            "{} bars. The benchmark buys and holds: it invests the same cash in the same stocks in \
             equal parts at the first bar, at the same costs, and never trades again.",
            count(self.record.end_s.len() as u64)
        );
        let label = "Return and drawdown of the portfolio and of the benchmark";
        format!("<h2>Equity and drawdown</h2>\n{}", figure("plot", "", label, &svg, &caption))
    }

    /// Nothing where the DQN is the only expert.
    fn experts(&self) -> String {
        if self.contributions.experts.len() < 2 {
            return String::new();
        }
        let svg = weights_svg(self.allocations, self.config.stocks.len());
        let caption = "Above: what each expert counts for; the account holds the weighted mean of \
                       their positions. Below: what was ordered, net and gross. It is flat where \
                       the experts with the weight want nothing, where they cancel, or where a \
                       limit or the drawdown stop binds; allocations.csv says which, by stock and \
                       bar.";
        let label = "Weights of the experts and orders over time";
        let capital = self.record.equity.first().copied().unwrap_or(1.0);
        format!(
            "<h2>Experts</h2>\n{}{}",
            figure("plot", "", label, &svg, caption),
            contributions::section(self.contributions, capital)
        )
    }

    fn trades(&self) -> String {
        let costs = Costs::new(&self.config.env);
        Trades::new(self.record, self.allocations, &costs).section()
    }

    fn learning(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let run = self.run;
        let wall = duration(Duration::try_from_secs_f64(run.wall_s).unwrap_or_default());
        let mut caption = format!(
            "By environment step. {} steps and {} gradient steps in {wall}: {} steps per second.",
            count(run.env_steps),
            count(run.gradient_steps),
            count(run.env_steps_per_s.round() as u64),
        );
        let window = smoothing(self.lines.len());
        if window > 1 {
            caption +=
                &format!(" Bold: mean of the last {window} intervals; faint: each interval.");
        }
        let svg = learning_svg(self.lines);
        let label = "Reward, loss and mean Q-value over environment steps";
        format!("<h2>Learning</h2>\n{}", figure("plot", "", label, &svg, &caption))
    }

    fn relations(&self) -> String {
        let Relationships { stocks, attention, correlation, .. } = self.relationships;
        if stocks.len() < 2 {
            return String::new();
        }
        let shown = stocks.len().min(MAX_MAPPED);
        let map = |matrix: &[Vec<Option<f64>>]| {
            let rows: Vec<_> = matrix[..shown].iter().map(|row| row[..shown].to_vec()).collect();
            heat_map_svg(&stocks[..shown], &rows)
        };
        let rest = if shown < stocks.len() {
            format!("<p>The first {shown} stocks; relationships.csv has all.</p>\n")
        } else {
            String::new()
        };
        let maps = [
            figure(
                "",
                "Attention",
                "Attention of each stock to each peer",
                &map(attention),
                "Weight that the row's stock gives to the column's, averaged over time.",
            ),
            figure(
                "",
                "Correlation",
                "Correlation of the returns of each pair of stocks",
                &map(&without_diagonal(correlation)),
                "Of bar returns over the training period; negative values have the other hue.",
            ),
        ];
        let maps = maps.concat();
        let tests = self.run.pair_tests.sentence();
        format!(
            "<h2>Relationships</h2>\n{rest}<div class=\"pair\">\n{maps}</div>\n{}\
             <p class=\"explained\">{tests}</p>\n",
            quarters::section(self.relationships)
        )
    }

    fn settings(&self) -> String {
        let config = self.config;
        let learner = &config.learner;
        let found = "Azure if a connection string was set, else the sample market";
        let data = config.data.source.as_deref().unwrap_or(found);
        let rows = [
            ("Stocks", names(&config.stocks)),
            ("Data", data.to_string()),
            ("Training", format!("{}, {} episodes", config.train_period(), config.episodes)),
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
                    "{}DQN, windows of {} bars, {} replay, batches of {} bars, \
                     learning rate {}, discount {}",
                    if learner.double { "double " } else { "" },
                    learner.window_bars,
                    if learner.prioritized { "prioritized" } else { "uniform" },
                    learner.batch_size,
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
             <details><summary>All settings (config.toml)</summary>\n<pre>{}</pre></details>\n",
            escape(&all)
        )
    }
}

/// A whole self-contained page, `title` as plain text.
pub(super) fn page(title: &str, content: &str) -> String {
    let style = include_str!("report.css");
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: dqn-trader</title>\n<style>\n{style}</style>\n</head>\n\
         <body>\n<main>\n{content}</main>\n</body>\n</html>\n"
    )
}

fn positions(config: &RunConfig) -> &'static str {
    if config.env.long_only { "flat or long" } else { "short, flat or long" }
}

pub(super) fn figure(class: &str, heading: &str, label: &str, svg: &str, caption: &str) -> String {
    let heading =
        if heading.is_empty() { String::new() } else { format!("<h3>{}</h3>\n", escape(heading)) };
    let labelled = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(label));
    let svg = svg.replacen("<svg ", &labelled, 1);
    let caption = escape(caption);
    format!(
        "<figure class=\"{class}\">\n{heading}{svg}<figcaption>{caption}</figcaption>\n</figure>\n"
    )
}

/// Up to six names, then how many more.
pub(super) fn names(stocks: &[Symbol]) -> String {
    let shown: Vec<&str> = stocks.iter().map(Symbol::as_str).collect();
    match shown.as_slice() {
        [] => "no stocks".into(),
        [one] => one.to_string(),
        [few @ .., last] if few.len() < 6 => format!("{} and {last}", few.join(", ")),
        many => format!("{} and {} more", many[..5].join(", "), many.len() - 5),
    }
}

/// A stock's correlation with itself says nothing and would outshine the others.
fn without_diagonal(matrix: &[Vec<Option<f64>>]) -> Vec<Vec<Option<f64>>> {
    let mut matrix = matrix.to_vec();
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] = None;
    }
    matrix
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_page_is_whole_escaped_and_self_contained() {
        let mut example = example::run(5, 1_764);
        example.config.data.source = Some("<script>alert(1)</script>".into());
        example.eval.sharpe = None;
        let notices = ["These prices are made up & say <nothing>.".to_string()];
        let page = example.report(&notices).page();
        assert!(page.contains("made up &amp; say &lt;nothing&gt;."));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"));
        assert!(page.contains("<th scope=\"row\">Sharpe ratio</th><td>–</td>"));
        assert!(page.contains("learning_rate = 0.002"), "the whole configuration is there");
        assert_eq!(page.matches("<svg ").count(), 5);
        let places: Vec<&str> = page.split("http").skip(1).map(|rest| &rest[..12]).collect();
        assert!(places.iter().all(|place| *place == "://www.w3.or"), "{places:?}");
        let opened = |tag: &str| page.matches(&format!("<{tag}>")).count();
        for tag in ["main", "header", "tbody", "details", "pre", "style"] {
            assert_eq!(opened(tag), opened(&format!("/{tag}")), "{tag}");
        }
    }

    #[test]
    fn one_stock_that_was_only_evaluated_needs_no_learning_and_no_relationships() {
        let mut example = example::run(1, 30);
        example.lines.clear();
        let page = example.report(&[]).page();
        assert_eq!(page.matches("<svg ").count(), 2, "equity, and weights of the experts");
        assert!(!page.contains("<h2>Learning") && !page.contains("<h2>Relationships"));
    }

    #[test]
    fn many_stocks_stay_readable() {
        let page = example::run(500, 2).report(&[]).page();
        assert!(page.contains("The first 60 stocks;"));
        assert!(page.len() < 2_000_000, "{} bytes", page.len());
    }

    #[test]
    fn every_role_of_colour_is_themed() {
        let example = example::run(5, 100);
        let page = example.report(&[]).page();
        let figures = &page[page.find("<svg ").unwrap()..];
        let style = include_str!("report.css");
        for attribute in ["fill=\"#", "stroke=\"#"] {
            for rest in figures.split(attribute).skip(1) {
                let colour = &rest[..6];
                assert!(
                    style.contains(&format!("svg [{attribute}{colour}\"]")),
                    "{attribute}{colour}"
                );
            }
        }
    }

    #[test]
    fn text_reads_well() {
        assert_eq!(
            minus("from 2020-01-02, -3.5% buy-and-hold"),
            "from 2020-01-02, −3.5% buy-and-hold"
        );
        let stocks = |n: usize| example::run(n, 1).config.stocks;
        assert_eq!(names(&stocks(1)), "AAPL");
        assert_eq!(names(&stocks(3)), "AAPL, MSFT and GOOGL");
        assert_eq!(names(&stocks(9)), "AAPL, MSFT, GOOGL, AMZN, META and 4 more");
    }
}
