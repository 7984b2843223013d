//! `report.html`: the run on one self-contained page, for light and dark screens and for print.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::RunConfig;
use crate::env::costs::Costs;
use crate::eval::comparison::{Comparison, Contender};
use crate::eval::contributions::Contributions;
use crate::eval::inference::Inference;
use crate::eval::metrics::{BacktestRecord, Metrics};
use crate::eval::parts::PartResult;
use crate::portfolio::allocation::Allocations;
use crate::train::evaluation::{EvaluationResult, NextOrder};
use crate::train::importance::FeatureImportance;

use super::account::{Account, MAX_PRICES};
use super::folder::{ReportError, ResultsFolder};
use super::format::{counted, duration, minus};
use super::metrics_log::MetricsLine;
use super::page::{columns, escape, figure, names, page};
use super::plot::{learning_svg, smoothing};
use super::previous::PreviousRun;
use super::relationships::Relationships;
use super::significance;
use super::summary::RunSummary;
use super::trades::DecidedBy;
use super::verdict::verdict;
use super::{comparison, experts, figures, importance, orders, parts, relation_maps, settings};

/// All that the page shows.
#[derive(Clone, Copy)]
pub(crate) struct HtmlReport<'a> {
    pub(crate) config: &'a RunConfig,
    /// None if nothing was trained, as when a finished model is evaluated.
    pub(crate) run: Option<&'a RunSummary>,
    /// The last evaluation, and the benchmark over the same bars.
    pub(crate) eval: &'a Metrics,
    pub(crate) benchmark: &'a Metrics,
    pub(crate) inference: &'a Inference,
    pub(crate) record: &'a BacktestRecord,
    /// Buy and hold over the same bars.
    pub(crate) held: &'a BacktestRecord,
    /// The account of the DQN alone; None where it is not known.
    pub(crate) dqn: Option<&'a BacktestRecord>,
    /// Empty if nothing was trained.
    pub(crate) lines: &'a [MetricsLine],
    /// None where they were not measured.
    pub(crate) relationships: Option<&'a Relationships>,
    /// What decisions depend on; empty where it was not measured.
    pub(crate) importance: &'a [FeatureImportance],
    /// How far the network is believed; None where it is not known.
    pub(crate) belief: Option<f32>,
    /// All strategies on the same bars.
    pub(crate) everyone: &'a [Contender],
    /// Who counted for how much when, and what that brought.
    pub(crate) allocations: &'a Allocations,
    pub(crate) contributions: &'a Contributions,
    /// What would be traded after the last bar.
    pub(crate) next_orders: &'a [NextOrder],
    /// The DQN alone in each part of the data; empty if nothing was trained.
    pub(crate) parts: &'a [PartResult],
    /// The run before it in the same folder.
    pub(crate) previous: Option<&'a PreviousRun>,
    /// What a reader must know before believing a figure, such as that the prices are made up.
    pub(crate) notices: &'a [String],
}

impl<'a> HtmlReport<'a> {
    pub(crate) const NAME: &'static str = "report.html";

    /// Of an evaluation, without what is known of training.
    pub(crate) fn of_evaluation(
        config: &'a RunConfig,
        evaluated: &'a EvaluationResult,
        beside: &'a Comparison,
        inference: &'a Inference,
        notices: &'a [String],
    ) -> HtmlReport<'a> {
        HtmlReport {
            config,
            run: None,
            eval: &evaluated.metrics,
            benchmark: &evaluated.benchmark_metrics,
            inference,
            record: &evaluated.record,
            held: &evaluated.benchmark,
            dqn: Some(&beside.dqn),
            lines: &[],
            relationships: None,
            importance: &[],
            belief: None,
            everyone: &beside.contenders,
            allocations: &evaluated.allocations,
            contributions: &evaluated.contributions,
            next_orders: &evaluated.next_orders,
            parts: &[],
            previous: None,
            notices,
        }
    }

    pub(crate) fn write(&self, folder: &ResultsFolder) -> Result<PathBuf, ReportError> {
        folder.write_whole(HtmlReport::NAME, self.page().as_bytes())
    }

    pub(crate) fn page(&self) -> String {
        let title = names(&self.config.stocks);
        let account = Account {
            id: "equity",
            record: self.record,
            benchmark: self.held,
            dqn: self.dqn,
            decided_by: DecidedBy::Experts(self.allocations),
            trips: None,
            costs: Costs::new(&self.config.env),
        };
        let sections = [
            // The answer and its picture, then what explains them.
            self.header(),
            account.equity(),
            account.months(),
            orders::section(self.record, self.next_orders),
            columns([
                figures::section(self.eval, self.benchmark, account.costs_paid()),
                significance::section(self.inference),
            ]),
            comparison::section(self.everyone),
            parts::section(self.parts),
            experts::section(self.record, self.allocations, self.contributions, &self.config.env),
            account.activity(),
            columns([account.drawdowns(), account.trades()]),
            account.prices(MAX_PRICES),
            importance::section(&self.config.stocks, self.importance, self.belief),
            self.relationships.map_or(String::new(), |found| {
                let tests = self.run.map_or(String::new(), |run| run.pair_tests.sentence());
                relation_maps::section(found, &tests)
            }),
            self.learning(),
            self.previous.map_or(String::new(), |previous| {
                previous.section(self.config, self.eval, self.inference)
            }),
            settings::section(self.config),
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

    fn learning(&self) -> String {
        let (Some(run), false) = (self.run, self.lines.is_empty()) else {
            return String::new();
        };
        let wall = duration(Duration::try_from_secs_f64(run.wall_s).unwrap_or_default());
        let mut caption = format!(
            "By environment step. {} and {} in {wall}: {} per second.",
            counted(run.env_steps as usize, "step"),
            counted(run.gradient_steps as usize, "gradient step"),
            counted(run.env_steps_per_s.round() as usize, "step"),
        );
        let window = smoothing(self.lines.len());
        if window > 1 {
            caption +=
                &format!(" Bold: mean of the last {window} intervals; faint: each interval.");
        }
        let label = "Reward, loss and mean Q-value over environment steps";
        let svg = |screen| learning_svg(self.lines, screen);
        format!("<h2>Learning</h2>\n{}", figure("", label, &caption, svg))
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            page.matches("<svg ").count(),
            2 * 11 + 2,
            "for two screens equity twice, weights, profits, prices, learning; maps once"
        );
        let places: Vec<&str> = page.split("http").skip(1).map(|rest| &rest[..12]).collect();
        assert!(places.iter().all(|place| *place == "://www.w3.or"), "{places:?}");
        // Attributes may follow a tag's name.
        let opened = |tag: &str| page.matches(&format!("<{tag}")).count();
        let closed = |tag: &str| page.matches(&format!("</{tag}>")).count();
        for tag in ["main", "header", "tbody", "details", "pre", "style"] {
            assert_eq!(opened(tag), closed(tag), "{tag}");
        }
    }

    #[test]
    fn one_stock_that_was_only_evaluated_needs_no_learning_and_no_relationships() {
        let mut example = example::run(1, 30);
        example.lines.clear();
        let page = example.report(&[]).page();
        assert_eq!(page.matches("<svg ").count(), 12, "equity twice, weights, profits, price");
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
}
