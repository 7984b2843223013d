//! Parses the command line, dispatches, and turns what happened into an exit code.

use std::process::ExitCode;

use super::ranks::{
    EXIT_LOST, EXIT_STOPPED, EXIT_WRONG, code_of_rank, compute_on, follows_rank_0,
    install_panic_line, over_ranks, parallel, train,
};
use super::{all_was_said, keys};
use crate::cli::{
    AgentsArgs, Cli, Command, GlobalArgs, StrategiesArgs, StudyArgs, one_line, usage_error,
};
use crate::comm::Comm;
use crate::comm::launch::{LaunchInfo, launch_info, set_transport, unknown_tasks};
use crate::comm::local::LocalComm;
use crate::compute::process;
use crate::config::Mode;
use crate::errors::{message, switch_off, tell};
use crate::files::parsing;
use crate::report::{Progress, Verbosity};
use crate::train::callbacks::Ending;
use anyhow::{Result, anyhow};
use clap::Parser;

/// Some agents failed.
const EXIT_FAILED: u8 = 1;

/// Runs the command of the process's arguments. The exit codes stand in the program's help.
pub fn main() -> ExitCode {
    let launched = launch_info(|name| std::env::var(name).ok());
    let tasks = unknown_tasks(|name| std::env::var(name).ok()).filter(|_| launched.is_none());
    let rank = launched.or(tasks).map_or(0, |launched| launched.rank);
    if launched.is_some() {
        switch_off();
        set_transport();
        process::when_parent_ends(move || lose_launcher(rank));
    }
    parsing::end_when_over(|file| {
        let what = "takes too long to parse: it is damaged, or not what its name says; replace it";
        tell(&format!("error: {file}: {what}"));
        signal_hook::low_level::exit(i32::from(EXIT_WRONG));
    });
    let outcome = one_job(tasks)
        .and_then(|()| keys::read(rank))
        .and_then(|()| parse(rank))
        .and_then(|cli| run(cli, launched))
        .and_then(|code| all_was_said().map(|()| code));
    let code = match outcome {
        Ok(code) => code,
        Err(error) => {
            if rank == 0 {
                tell(&format!("error: {}", one_line(&message(&error))));
            } else {
                // The launcher ends all ranks when one fails; rank 0 prints its error first.
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            EXIT_WRONG
        }
    };
    ExitCode::from(code)
}

/// Errors: this is one of several processes that know nothing of each other.
fn one_job(tasks: Option<LaunchInfo>) -> Result<()> {
    tasks.map_or(Ok(()), |LaunchInfo { size, .. }| {
        Err(anyhow!(
            "srun started {size} processes that do not know each other, each of which would do all \
             of the work; use srun --mpi=pmix, mpirun, or srun -n 1"
        ))
    })
}

/// Without its launcher a rank would wait for messages, or go on without being seen.
fn lose_launcher(rank: usize) {
    if rank == 0 {
        tell("error: the launcher has ended; so do its ranks; --resume goes on from a checkpoint");
    }
    signal_hook::low_level::exit(EXIT_LOST);
}

/// Rank 0 prints help and version; a wrong flag becomes one line.
fn parse(rank: usize) -> Result<Cli> {
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() {
            if rank == 0 {
                // Whoever closed the pipe does not want the rest.
                let _ = error.print();
            }
            std::process::exit(0);
        }
        let words: Vec<String> = std::env::args().skip(1).collect();
        anyhow!(usage_error(&error, &words))
    })
}

fn run(cli: Cli, launched: Option<LaunchInfo>) -> Result<u8> {
    // The configuration of agents may hold keys, too.
    if keys::are_there() || matches!(cli.command, Some(Command::Agents(_))) {
        process::forbid_core_dumps();
    }
    // Exceeding the limit on file sizes is an error of the write, not the end of the process.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Default::default())?;
    let global = match &cli.command {
        Some(Command::Evaluate(args)) => args.global.clone(),
        Some(Command::Trade(args)) => args.global.clone(),
        Some(Command::Compare(_) | Command::Completions(_) | Command::Man(_)) => {
            GlobalArgs { quiet: true, ..GlobalArgs::default() }
        }
        Some(Command::Synth(args)) => GlobalArgs { quiet: args.quiet, ..GlobalArgs::default() },
        Some(Command::Validate(args)) => {
            GlobalArgs { threads: args.threads, quiet: args.quiet, ..GlobalArgs::default() }
        }
        Some(Command::Strategies(args)) => args.global(),
        Some(Command::Study(args)) => args.train.global.clone(),
        Some(Command::Agents(args)) => args.global.clone(),
        Some(Command::Fetch(args)) => {
            GlobalArgs { cache: args.cache.clone(), quiet: args.quiet, ..GlobalArgs::default() }
        }
        Some(Command::Import(args)) => GlobalArgs { quiet: args.quiet, ..GlobalArgs::default() },
        Some(Command::Data(args)) => args.global(),
        None => cli.train.global.clone(),
    };
    let quiet = global.quiet || launched.is_some_and(|launched| launched.rank != 0);
    let progress = Progress::new(if quiet { Verbosity::Quiet } else { Verbosity::Normal });
    log_beside(&progress);
    if let Some(Command::Evaluate(args)) = &cli.command {
        one_process(launched, "evaluate")?;
        compute_with(global.threads)?;
        super::evaluate::evaluate(args, &global, progress)?;
        return Ok(0);
    }
    if let Some(Command::Trade(args)) = &cli.command {
        one_process(launched, "trade")?;
        compute_with(global.threads)?;
        let stopped = super::trade::trade(args, &global, progress)?;
        return Ok(if stopped { EXIT_STOPPED } else { 0 });
    }
    if let Some(Command::Compare(args)) = &cli.command {
        one_process(launched, "compare")?;
        super::compare::compare(args)?;
        return Ok(0);
    }
    if let Some(Command::Synth(args)) = &cli.command {
        one_process(launched, "synth")?;
        super::synth::synth(args, &progress)?;
        return Ok(0);
    }
    if let Some(Command::Validate(args)) = &cli.command {
        one_process(launched, "validate")?;
        compute_with(global.threads)?;
        let reached = super::validate::validate(args, &progress)?;
        return Ok(reached.map_or(EXIT_STOPPED, |reached| u8::from(!reached)));
    }
    if let Some(Command::Agents(args)) = &cli.command {
        one_process(launched, "agents")?;
        return agents(args, &global, progress);
    }
    if let Some(code) = data(&cli.command, launched, &global, &progress)? {
        return Ok(code);
    }
    if let Some(Command::Study(args)) = &cli.command {
        return study(args, launched, &global, progress);
    }
    if let Some(Command::Strategies(args)) = &cli.command {
        return strategies(args, launched, &global, progress);
    }
    if launched.is_some_and(|launched| follows_rank_0(&cli.train, launched)) {
        return parallel(None, launched, &cli.train, progress);
    }
    let config = cli.train.resolve()?;
    match config.mode {
        Mode::Single => {
            one_process(launched, "--mode single")?;
            compute_with(global.threads)?;
            train(&LocalComm, config, &cli.train, progress)
        }
        Mode::Parallel => parallel(Some(config), launched, &cli.train, progress),
    }
}

/// Log records at the level of RUST_LOG, warnings by default; the progress display is suspended
/// while one is written.
fn log_beside(progress: &Progress) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| "warn".into());
    let writer = progress.log_writer();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).init();
}

/// Runs the commands that neither compute nor trade; None if the command is another one.
fn data(
    command: &Option<Command>,
    launched: Option<LaunchInfo>,
    global: &GlobalArgs,
    progress: &Progress,
) -> Result<Option<u8>> {
    match command {
        Some(Command::Completions(args)) => super::shell::completions(args),
        Some(Command::Man(args)) => super::shell::man(args)?,
        Some(Command::Fetch(args)) => {
            one_process(launched, "fetch")?;
            super::data::fetch(args, global, progress)?;
        }
        Some(Command::Import(args)) => {
            one_process(launched, "import")?;
            super::data::import(args, progress)?;
        }
        Some(Command::Data(args)) => {
            one_process(launched, "this command")?;
            let right = super::data::data(args, global, progress)?;
            return Ok(Some(u8::from(!right)));
        }
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// Over MPI ranks, if several were started and the command can use them.
fn strategies(
    args: &StrategiesArgs,
    launched: Option<LaunchInfo>,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<u8> {
    use super::strategies::strategies;
    match launched {
        Some(launched) if launched.size > 1 && args.over_ranks() => {
            over_ranks(launched, global.threads, |comm| strategies(comm, args, global, progress))
        }
        _ => {
            one_process(launched, "this command")?;
            compute_with(global.threads)?;
            strategies(&LocalComm, args, global, progress)?;
            Ok(0)
        }
    }
}

/// Over MPI ranks, if several were started.
fn study(
    args: &StudyArgs,
    launched: Option<LaunchInfo>,
    global: &GlobalArgs,
    progress: Progress,
) -> Result<u8> {
    let ending = std::cell::Cell::new(Ending::EpisodeDone);
    let work = |comm: &dyn Comm| -> Result<()> {
        ending.set(super::study::study(comm, args, global, progress)?);
        Ok(())
    };
    let code = match launched {
        Some(launched) if launched.size > 1 => over_ranks(launched, global.threads, work)?,
        _ => {
            compute_with(global.threads)?;
            work(&LocalComm)?;
            0
        }
    };
    let code = match (code, ending.get()) {
        (0, Ending::Stopped) => EXIT_STOPPED,
        (code, _) => code,
    };
    Ok(launched.map_or(code, |launched| code_of_rank(launched, code)))
}

/// Single-threaded: agents are forks of this process.
fn agents(args: &AgentsArgs, global: &GlobalArgs, progress: Progress) -> Result<u8> {
    use super::agents::AgentsOutcome;
    install_panic_line(None);
    Ok(match super::agents::agents(args, global, progress)? {
        AgentsOutcome::Done => 0,
        AgentsOutcome::Failed => EXIT_FAILED,
        AgentsOutcome::Stopped => EXIT_STOPPED,
    })
}

fn one_process(launched: Option<LaunchInfo>, what: &str) -> Result<()> {
    match launched {
        Some(LaunchInfo { size, .. }) if size > 1 => Err(anyhow!(
            "{what} runs in one process, but mpirun started {size}; \
             run it without mpirun, or use --mode parallel"
        )),
        _ => Ok(()),
    }
}

/// Starts `threads` threads, or one per core; results do not depend on their number.
fn compute_with(threads: Option<usize>) -> Result<()> {
    compute_on(None, threads.unwrap_or(0))
}
