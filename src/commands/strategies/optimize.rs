//! A search over parameters.

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::{bars, registry};
use crate::cli::{Format, OptimizeArgs, Surroundings};
use crate::commands::say;
use crate::report::strategies::optimized;
use crate::report::{FolderLock, Progress, ResultsFolder};
use crate::rl::rng::{Purpose, stream};
use crate::runner::optimize::{Optimization, Range};

/// How often progress is told during a search.
const TOLD: usize = 10;

pub fn optimize(
    args: &OptimizeArgs,
    surroundings: &Surroundings,
    progress: Progress,
) -> Result<()> {
    let (registry, _) = registry(args.params.as_deref())?;
    let kind = registry.find(&args.strategy)?;
    let ranges = args.range.iter().map(|text| range(text)).collect::<Result<Vec<_>>>()?;
    for (i, (name, _)) in ranges.iter().enumerate() {
        kind.parameter(name)?;
        if ranges[..i].iter().any(|(other, _)| other == name) {
            return Err(anyhow!("--range: {name} is given twice; name every parameter once"));
        }
    }
    let _lock = args.output.as_deref().map(FolderLock::take).transpose()?;
    let market = bars::read(&args.market, surroundings, progress)?;
    let search = Optimization {
        ranges,
        search: args.search,
        trials: args.trials,
        folds: args.folds,
        env: market.env.clone(),
    };
    let mut rng = stream(args.seed, Purpose::Inference, 0);
    let progress = &market.progress;
    let found = search.run(kind, &market.data, &mut rng, &|done, total| {
        if done.is_multiple_of(total.div_ceil(TOLD)) || done == total {
            progress.line(&format!("{}: {done} of {total} sets tried", kind.name));
        }
    })?;
    progress.finish();
    let mut json = serde_json::to_value(&found)?;
    json["data"] = market.described.clone();
    json["notices"] = serde_json::json!(market.notices);
    let text = serde_json::to_string_pretty(&json)? + "\n";
    let mut written = Vec::new();
    if let Some(output) = &args.output {
        let folder = ResultsFolder::create(output)?;
        written.push(folder.write_whole("optimization.json", text.as_bytes())?);
    }
    say(&match args.format {
        Format::Table => optimized(&found, &written),
        Format::Json => text,
    });
    Ok(())
}

/// NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C.
fn range(text: &str) -> Result<(String, Range)> {
    let wrong = || {
        anyhow!(
            "--range: {text:?} cannot be read; write NAME=LOW:HIGH, NAME=LOW:HIGH:STEP or NAME=A,B,C"
        )
    };
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let split = |separator| values.split(separator).map(number).collect::<Option<Vec<f64>>>();
    let range = if values.contains(':') {
        match split(':').ok_or_else(wrong)?[..] {
            [low, high] => Range::Span { low, high, step: None },
            [low, high, step] => Range::Span { low, high, step: Some(step) },
            _ => return Err(wrong()),
        }
    } else {
        let values = split(',').ok_or_else(wrong)?;
        Range::Values(values.into_iter().map(Value::from).collect())
    };
    Ok((name.trim().to_string(), range))
}
