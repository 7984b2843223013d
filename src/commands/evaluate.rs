//! A trained model on a period of its own.

use anyhow::Result;

use super::outputs::relationships;
use super::{CommandContext, comparison, in_sample_notice, is_in_sample, report_data, say};
use crate::cli::{EvaluateArgs, GlobalArgs};
use crate::comm::local::LocalComm;
use crate::env::costs::Costs;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::market::options::doubts;
use crate::market::{Period, Symbol};
use crate::portfolio::mandate::Mandate;
use crate::report::folder::ResultsFolder;
use crate::report::html::HtmlReport;
use crate::report::summary::{trials_before, trials_of};
use crate::report::trades::{DecidedBy, Trades};
use crate::report::{
    FolderLock, Progress, allocations_csv, importance, orders, portfolio_csv, table,
};
use crate::rl::rng::{Purpose, stream};
use crate::train::callbacks::Callbacks;
use crate::train::dataset::PreparedData;
use crate::train::model::MODEL_FILE;
use crate::train::trained::{SavedRun, saved_settings};

/// Evaluates the model of a results folder, exactly as the training run itself did at its end.
pub(crate) fn evaluate(args: &EvaluateArgs, global: &GlobalArgs, progress: Progress) -> Result<()> {
    let mut run = SavedRun::with_settings(args.resolve()?, &args.model.join(MODEL_FILE))?;
    let unknown_experts = run.adopt_experts(&saved_settings(&args.model)?)?;
    let _lock = FolderLock::take(&run.config.output)?;
    let setting = CommandContext::new(&LocalComm, run.config, global, progress)?;
    run.config = setting.config.clone();
    let mut watch = EvaluateCallbacks { progress: &setting.progress };
    let (eval, evaluated) = run.evaluate(setting.data(), &mut watch, &mut |_| {})?;
    let explanation = run.explanation(&eval)?;
    let CommandContext { config, progress, mut notices, ledger, .. } = setting;
    notices.extend(unknown_experts);
    notices.extend(doubts(&eval.note.reports));
    notices.extend(in_sample_notice(&config));
    progress.finish();
    let folder = ResultsFolder::create(&config.output)?;
    let benchmark = &evaluated.benchmark.equity;
    let portfolio = portfolio_csv::write(&folder, "portfolio.csv", &evaluated.record, benchmark)?;
    let allocations = allocations_csv::write(&folder, &config.stocks, &evaluated.allocations)?;
    let costs = Costs::new(&config.env);
    let decided_by = DecidedBy::Experts(&evaluated.allocations);
    let trades = Trades::write(&[Trades::new(&evaluated.record, decided_by, &costs)], &folder)?;
    let relationships = relationships(&config.stocks, &run.model, &explanation);
    let relations = relationships.write(&folder)?;
    let influences = importance::write(&folder, &config.stocks, &explanation.importance)?;
    let next = orders::write(&folder, &config.stocks, &evaluated.next_orders)?;
    // The model was chosen by what its run saw; an evaluation that only repeats that is no new one.
    let own = vec![Trial::new(None, &evaluated.record)];
    let seen = [
        trials_of(&args.model),
        trials_before(&args.model),
        trials_before(&config.output),
        ledger.trials(&evaluated.record),
    ];
    let what = format!("evaluate {}", args.model.display());
    ledger.note([(&evaluated.record, &own[..], what)])?;
    let trials = Trials { own, earlier: seen.concat() };
    let mut rng = stream(config.seed, Purpose::Inference, 0);
    let inference = Inference::new(&evaluated.record, &evaluated.benchmark, &trials, &mut rng)
        .in_sample_if(is_in_sample(&config));
    let mandate = Mandate::new(&config.stocks, &config.env, &config.portfolio);
    let beside = comparison::beside(&mandate, &config, &eval, &evaluated, &inference);
    let everyone = &beside.contenders;
    let page = HtmlReport {
        relationships: Some(&relationships),
        importance: &explanation.importance,
        belief: Some(run.model.belief.share),
        ..HtmlReport::of_evaluation(&config, &evaluated, &beside, &inference, &notices)
    };
    let page = page.write(&folder)?;
    let summary = serde_json::json!({
        "model": args.model,
        "period": { "start": config.eval_start, "end": config.eval_end },
        "eval": evaluated.metrics,
        "benchmark": evaluated.benchmark_metrics,
        "inference": inference,
        "everyone": everyone,
        "contributions": evaluated.contributions,
        "notices": notices,
    });
    let text = serde_json::to_string_pretty(&summary)?;
    let summary = folder.write_whole("summary.json", text.as_bytes())?;
    let metrics = (&evaluated.metrics, &evaluated.benchmark_metrics);
    let [graph, quarters] = relations;
    let written =
        [portfolio, allocations, trades, next, graph, quarters, influences, summary, page];
    let tables = (&[][..], &everyone[..], Some(&evaluated.contributions));
    say(&table::closing(metrics, &inference, tables, config.env.initial_cash, &written));
    say(&format!("\n{}", orders::lines(&config.stocks, &evaluated.next_orders)));
    notices.iter().for_each(|notice| say(&format!("\n{notice}\n")));
    Ok(())
}

/// Tells how far reading has come.
struct EvaluateCallbacks<'a> {
    progress: &'a Progress,
}

impl Callbacks for EvaluateCallbacks<'_> {
    fn on_days(&mut self, symbol: &Symbol, done: usize, total: usize) {
        self.progress.data(symbol.as_str(), done, total);
    }

    fn on_data(&mut self, _period: Period, data: &PreparedData) {
        report_data(data, self.progress);
    }
}
