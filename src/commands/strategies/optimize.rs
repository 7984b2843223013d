//! A search over parameters.

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::bars::StrategyMarket;
use super::{agreed, bars, given, on_root, registry};
use crate::cli::{Format, GlobalArgs, OptimizeArgs};
use crate::comm::Comm;
use crate::comm::heartbeat::PULSE;
use crate::commands::say;
use crate::eval::metrics::BacktestRecord;
use crate::market::calendar::market_date;
use crate::report::strategies::optimized;
use crate::report::{FolderLock, Progress, ResultsFolder};
use crate::rl::rng::{Purpose, stream};
use crate::runner::optimize::{
    Optimization, OptimizationResult, ParameterRange, PlanShare, SetResult,
};
use crate::strategy::{GivenParameters, StrategyKind};

/// How often progress is told during a search.
const TOLD: usize = 10;

pub(crate) fn optimize(
    comm: &dyn Comm,
    args: &OptimizeArgs,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<()> {
    let (kind, ranges) = agreed(comm, asked(args))?;
    let lock = || args.output.as_deref().map(FolderLock::take).transpose().map_err(Into::into);
    let _lock = on_root(comm, lock)?;
    // A range is of numbers, and only a text names a model.
    let columns = agreed(comm, kind.resolve(&GivenParameters::new()).map_err(Into::into))
        .map(|parameters| kind.columns(&parameters))?;
    let market = bars::read(comm, &args.market, columns, global, progress)?;
    let search = Optimization {
        ranges,
        search: args.search,
        trials: args.trials,
        folds: args.folds,
        env: market.env.clone(),
    };
    let mut rng = stream(args.seed, Purpose::Inference, 0);
    let (progress, data) = (&market.progress, &market.data);
    let plan = agreed(comm, search.plan(&kind, data, &mut rng).map_err(Into::into))?;
    let all = plan.sets.len();
    let share = PlanShare { rank: comm.rank(), ranks: comm.size() };
    let mine = search.run_share(&kind, data, &plan, share, &|done, total| {
        // A rank whose watch sees it move is not taken for hung.
        PULSE.work();
        if done.is_multiple_of(total.div_ceil(TOLD)) || done == total {
            // The other ranks are about as far.
            let done = done * all / total;
            progress.line(&format!("{}: {done} of {all} parameter sets tried", kind.name));
        }
    });
    let tried = gathered(comm, agreed(comm, mine.map_err(Into::into))?)?;
    on_root(comm, || {
        let earlier = |benchmark: &BacktestRecord| market.ledger.trials(benchmark);
        let mut found = search.assess(&kind, data, plan, tried, &earlier, &mut rng)?;
        let noted = [&found.walk_forward, &found.best_in_hindsight].map(|judged| {
            let what = format!("strategies optimize {}", kind.name);
            (&judged.benchmark, &judged.inference.trials.own[..], what)
        });
        market.ledger.note(noted)?;
        let first = market_date(data.row(0).end_s());
        let until = kind.fitted_until(&found.best.parameters);
        found.in_sample_if(until.is_some_and(|until| first <= until));
        progress.finish();
        finish(args, &market, &found)
    })?;
    Ok(())
}

/// The strategy, and what is to be tried of it.
fn asked(args: &OptimizeArgs) -> Result<(StrategyKind, Vec<(String, ParameterRange)>)> {
    let (registry, parameters) = registry(args.params.as_deref(), args.model.as_deref())?;
    let kind = registry.find(&args.strategy)?;
    // What is not searched is as the file has it.
    let kind = kind.with_defaults(&kind.resolve(&given(&registry, &parameters, kind))?);
    let ranges = args.range.iter().map(|text| range(text)).collect::<Result<Vec<_>>>()?;
    for (i, (name, _)) in ranges.iter().enumerate() {
        kind.parameter(name)?;
        if ranges[..i].iter().any(|(other, _)| other == name) {
            return Err(anyhow!("--range: {name} is given twice; give each parameter once"));
        }
    }
    Ok((kind, ranges))
}

/// On rank 0: what all ranks tried.
fn gathered(comm: &dyn Comm, mine: Vec<SetResult>) -> Result<Vec<SetResult>> {
    if comm.size() == 1 {
        return Ok(mine);
    }
    let parts = comm.gather_bytes(&postcard::to_stdvec(&mine)?);
    let read = |bytes: &Vec<u8>| postcard::from_bytes::<Vec<SetResult>>(bytes);
    let all = parts.iter().map(read).collect::<Result<Vec<_>, _>>();
    Ok(agreed(comm, all.context("a rank sent a damaged message"))?.concat())
}

/// Writes and prints.
fn finish(args: &OptimizeArgs, market: &StrategyMarket, found: &OptimizationResult) -> Result<()> {
    let mut json = serde_json::to_value(found)?;
    json["data"] = market.described.clone();
    json["notices"] = serde_json::json!(market.notices);
    let text = serde_json::to_string_pretty(&json)? + "\n";
    let mut written = Vec::new();
    if let Some(output) = &args.output {
        let folder = ResultsFolder::create(output)?;
        written.push(folder.write_whole("optimization.json", text.as_bytes())?);
    }
    say(&match args.format {
        Format::Table => optimized(found, &written),
        Format::Json => text,
    });
    if args.format == Format::Table {
        let new = &market.notices[market.told..];
        new.iter().for_each(|notice| say(&format!("\n{notice}\n")));
    }
    Ok(())
}

/// NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C.
fn range(text: &str) -> Result<(String, ParameterRange)> {
    let wrong = || {
        anyhow!(
            "--range: {text:?} cannot be parsed; \
             write NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C"
        )
    };
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let split = |separator| values.split(separator).map(number).collect::<Option<Vec<f64>>>();
    let range = if values.contains(':') {
        match split(':').ok_or_else(wrong)?[..] {
            [low, high] => ParameterRange::Span { low, high, step: None },
            [low, high, step] => ParameterRange::Span { low, high, step: Some(step) },
            _ => return Err(wrong()),
        }
    } else {
        let values = split(',').ok_or_else(wrong)?;
        ParameterRange::Values(values.into_iter().map(Value::from).collect())
    };
    Ok((name.trim().to_string(), range))
}
