//! Does it find what is there, and nothing where nothing is?

mod rows;
mod trial;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use chrono::NaiveDate;

use crate::cli::ValidateArgs;
use crate::config::RunConfig;
use crate::market::Symbol;
use crate::report::Progress;
use crate::rl::network::single_thread;
use rows::{ROWS, Row};
use trial::Trial;

/// Returns whether every bar was reached.
pub fn validate(args: &ValidateArgs, progress: &Progress) -> Result<bool> {
    let chosen: Vec<&Row> = ROWS
        .iter()
        .filter(|row| args.rows.is_empty() || args.rows.iter().any(|name| name == row.name))
        .collect();
    let seeds = args.seeds.unwrap_or(if args.quick { 2 } else { 5 });
    let mut jobs = Vec::new();
    for row in &chosen {
        for seed in 1..=seeds {
            jobs.push((*row, config(row, seed, args)?));
        }
    }
    let cache = tempfile::tempdir()?;
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Trial>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..rayon::current_num_threads() {
            scope.spawn(|| {
                let one = rayon::ThreadPoolBuilder::new()
                    .num_threads(1)
                    .start_handler(|_| single_thread())
                    .build()
                    .expect("a thread");
                while let Some((row, config)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trial = one.install(|| trial::run(row, config, cache.path()));
                    if let Ok(t) = &trial {
                        progress.line(&format!(
                            "{:24} {} oracle {:6.2} ({:6.2}) trained {:6.2} = {:5.3}, random {:6.2}, hold {:5.2}, turnover {:.3} of {:.3} (oracle {:.3}), {:?}, edge {:?}, {} steps, {:.1} of {:.1} s",
                            row.name, t.seed, t.oracle_bps, t.oracle_expected_bps, t.trained_bps, t.fraction(), t.random_bps, t.buy_and_hold_bps,
                            t.trained_turnover, t.random_turnover, t.oracle_turnover, t.verdict, t.last_true_edge, t.env_steps, t.train_s, t.all_s
                        ));
                    } else if let Err(e) = &trial { progress.line(&format!("{e:#}")); }
                    let index = jobs.iter().position(|(r, c)| r.name == row.name && c.seed == config.seed);
                    done.lock().expect("no panic").push((index.unwrap_or(0), trial));
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| anyhow!("a training panicked"))?;
    done.sort_by_key(|(index, _)| *index);
    for row in chosen {
        let of: Vec<f64> = done.iter().filter(|(i, _)| jobs[*i].0.name == row.name).filter_map(|(_, t)| t.as_ref().ok().map(Trial::fraction)).collect();
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        progress.line(&format!("{:24} {mean:.3} {:?}", row.name, row.bar));
    }
    Ok(true)
}

fn config(row: &Row, seed: u64, args: &ValidateArgs) -> Result<RunConfig> {
    let date = |y| NaiveDate::from_ymd_opt(y, 1, 1).expect("a date");
    let stocks: Result<Vec<Symbol>, _> = (0..row.stocks).map(|i| format!("S{i}").parse()).collect();
    let mut config = RunConfig {
        stocks: stocks.map_err(|e| anyhow!("{e}"))?,
        seed,
        start_date: date(1990),
        end_date: NaiveDate::from_ymd_opt(2004, 12, 31).expect("a date"),
        eval_start: date(2005),
        eval_end: NaiveDate::from_ymd_opt(2012, 12, 31).expect("a date"),
        episodes: 1,
        ..RunConfig::default()
    };
    config.data.source = Some(format!("synthetic:{}:{}", row.market, 1_000 + seed));
    config.data.bar_minutes = Some(30);
    for assignment in row.set.iter().copied().chain(args.set.iter().map(String::as_str)) {
        config = config.with(assignment)?;
    }
    config.validate()?;
    Ok(config)
}
