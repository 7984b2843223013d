//! A trained model on a period of its own.

use anyhow::{Context, Result};

use super::{Setting, device, everyone, say};
use crate::cli::{EvaluateArgs, GlobalArgs};
use crate::comm::local::LocalComm;
use crate::eval::inference::{Inference, Trial, Trials};
use crate::market::Symbol;
use crate::report::folder::ResultsFolder;
use crate::report::summary::{trials_before, trials_of};
use crate::report::{FolderLock, Progress, allocations_csv, portfolio_csv, table};
use crate::rl::agent::Agent;
use crate::rl::networks::Networks;
use crate::rl::rng::{Purpose, stream};
use crate::train::evaluation::{Policy, evaluate as run_evaluation};
use crate::train::model::{Model, untrained_shape};

/// Evaluates the model of a results folder, exactly as the training run itself did at its end.
pub fn evaluate(args: &EvaluateArgs, global: &GlobalArgs, progress: Progress) -> Result<()> {
    let config = args.resolve()?;
    let comm = LocalComm;
    let model = Model::read(&args.model.join("trained_model.pth"), untrained_shape(&config))?;
    let device = device(&config.device)?;
    let _lock = FolderLock::take(&config.output)?;
    let mut setting = Setting::new(&comm, config, global, progress)?;
    let bar_minutes = setting
        .config
        .data
        .bar_minutes
        .context("the run's config.toml has no data.bar_minutes; give it with --bar-minutes")?;
    let eval = setting.with_plan(|plan, progress| {
        let mut on_days = |symbol: &Symbol, done: usize, total: usize| {
            progress.data(symbol.as_str(), done, total)
        };
        plan.eval(&model.fit, bar_minutes, &mut on_days)
    })?;
    let Setting { config, progress, notices, .. } = setting;
    let agent = |stock: usize| {
        let return_std = model.fit.scaler.return_std[stock];
        Agent::new(stock, &model.shape, return_std, &config.learner)
    };
    let mut agents: Vec<Agent> = (0..config.stocks.len()).map(agent).collect();
    let (shape, weights) = (&model.shape, &model.weights[..]);
    let networks = Networks::new(shape, weights, &config.learner, Some(device))?;
    let standing = model.standing.as_ref();
    let policy = Policy { shape, weights, networks: &networks, standing };
    let evaluated = run_evaluation(&comm, &config, &eval, policy, agents.iter_mut().collect())?
        .context("rank 0 has the outcome")?;
    progress.finish();
    let folder = ResultsFolder::create(&config.output)?;
    let benchmark = &evaluated.benchmark.equity;
    let csv = portfolio_csv::csv(&evaluated.course, benchmark);
    let portfolio = folder.write_whole("portfolio.csv", csv.as_bytes())?;
    let allocations = allocations_csv::write(&folder, &config.stocks, &evaluated.allocations)?;
    // The model was chosen by what its run saw; an evaluation that only repeats that is no new one.
    let own = vec![Trial::of(None, &evaluated.course)];
    let seen = [trials_of(&args.model), trials_before(&args.model), trials_before(&config.output)];
    let trials = Trials { own, earlier: seen.concat() };
    let mut rng = stream(config.seed, Purpose::Inference, 0);
    let inference = Inference::of(&evaluated.course, &evaluated.benchmark, &trials, &mut rng);
    let everyone = everyone::beside(&config, &eval, &evaluated, &inference);
    let summary = serde_json::json!({
        "model": args.model,
        "period": { "start": config.eval_start, "end": config.eval_end },
        "eval": evaluated.metrics,
        "benchmark": evaluated.benchmark_metrics,
        "inference": inference,
        "everyone": everyone,
    });
    let text = serde_json::to_string_pretty(&summary)?;
    let summary = folder.write_whole("summary.json", text.as_bytes())?;
    let metrics = (&evaluated.metrics, &evaluated.benchmark_metrics);
    let written = [portfolio, allocations, summary];
    say(&table::closing(metrics, &inference, &everyone, &written));
    notices.iter().for_each(|notice| say(&format!("\n{notice}\n")));
    Ok(())
}
