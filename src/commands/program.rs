//! Parses the command line, dispatches, and turns what happened into an exit code.

use std::process::ExitCode;

use super::keys;
use crate::cli::{
    AgentsArgs, Cli, Command, GlobalArgs, StrategiesArgs, StudyArgs, TrainArgs, one_line,
    usage_error,
};
use crate::comm::Comm;
#[cfg(feature = "mpi")]
use crate::comm::heartbeat::{HeartbeatTimeouts, startup_deadline::StartupDeadline};
use crate::comm::launch::{LaunchInfo, launch_info};
use crate::comm::local::LocalComm;
#[cfg(feature = "mpi")]
use crate::comm::mpi::MpiComm;
use crate::compute::{process, threads};
#[cfg(feature = "mpi")]
use crate::config::RanksConfig;
use crate::config::{Mode, RunConfig};
use crate::errors::{message, tell};
use crate::files::parsing;
use crate::report::{Progress, Verbosity};
use crate::train::callbacks::Ending;
use anyhow::{Result, anyhow};
use clap::Parser;

/// Some agents failed.
const EXIT_FAILED: u8 = 1;
/// Something that the user has to fix.
const EXIT_WRONG: u8 = 2;
const EXIT_STOPPED: u8 = 130;
/// A rank, or what started it, is lost.
const EXIT_LOST: i32 = 3;

/// Runs the command of the process's arguments. The exit codes stand in the program's help.
pub fn main() -> ExitCode {
    let launched = launch_info(|name| std::env::var(name).ok());
    let rank = launched.map_or(0, |launched| launched.rank);
    if launched.is_some() {
        process::when_parent_ends(move || lose_launcher(rank));
    }
    parsing::end_when_over(|file| {
        let what = "takes too long to parse: it is damaged, or not what its name says; replace it";
        tell(&format!("error: {file}: {what}"));
        signal_hook::low_level::exit(i32::from(EXIT_WRONG));
    });
    let outcome = keys::read(rank).and_then(|()| parse(rank)).and_then(|cli| run(cli, launched));
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
    let config = cli.train.resolve()?;
    match config.mode {
        Mode::Single => {
            one_process(launched, "--mode single")?;
            compute_with(global.threads)?;
            train(&LocalComm, config, &cli.train, progress)
        }
        Mode::Parallel => parallel(config, launched, &cli.train, progress),
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

fn train(comm: &dyn Comm, config: RunConfig, args: &TrainArgs, progress: Progress) -> Result<u8> {
    Ok(match super::train::train(comm, config, args, progress)? {
        Ending::EpisodeDone => 0,
        Ending::Stopped => EXIT_STOPPED,
    })
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
    Ok(match (code, ending.get()) {
        (0, Ending::Stopped) => EXIT_STOPPED,
        (code, _) => code,
    })
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

fn compute_on(rank: Option<usize>, threads: usize) -> Result<()> {
    install_panic_line(rank);
    Ok(threads::start(threads)?)
}

/// Runs work that is shared among the ranks. By default, the ranks of a machine share its cores.
#[cfg(feature = "mpi")]
fn over_ranks(
    LaunchInfo { rank, size }: LaunchInfo,
    threads: Option<usize>,
    work: impl FnOnce(&dyn Comm) -> Result<()>,
) -> Result<u8> {
    let names = (0..size).map(|rank| format!("rank {rank}")).collect();
    let (comm, warning) = started(rank, &RanksConfig::default(), names)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    compute_on(Some(rank), threads.unwrap_or((cores / comm.ranks_here()).max(1)))?;
    if let Some(warning) = warning {
        tell(&warning);
    }
    let outcome = work(&comm).map(|()| 0);
    let code = outcome.unwrap_or_else(|error| fail(rank, &error));
    drop(comm);
    Ok(code)
}

#[cfg(not(feature = "mpi"))]
fn over_ranks(
    _: LaunchInfo,
    _: Option<usize>,
    _: impl FnOnce(&dyn Comm) -> Result<()>,
) -> Result<u8> {
    without_mpi()
}

/// Starts MPI, and the heartbeat of the ranks if the settings want one. Rank 0 prints the warning.
#[cfg(feature = "mpi")]
fn started(
    rank: usize,
    config: &RanksConfig,
    names: Vec<String>,
) -> Result<(MpiComm, Option<String>)> {
    let ranks_per_node = std::env::var("DQN_TRADER_RANKS_PER_NODE").ok();
    let patience = HeartbeatTimeouts::from_seconds(config.timeout_s, config.stuck_s);
    let start = patience.map(|patience| StartupDeadline::expect(rank, patience));
    let mut comm = MpiComm::start(ranks_per_node.and_then(|count| count.parse().ok()))?;
    let watched = patience.zip(start);
    let warning = watched.and_then(|(patience, start)| comm.watch(patience, &names, &start));
    Ok((comm, warning))
}

#[cfg(feature = "mpi")]
fn parallel(
    config: RunConfig,
    launched: Option<LaunchInfo>,
    args: &TrainArgs,
    progress: Progress,
) -> Result<u8> {
    use crate::comm::Ranks;
    use crate::comm::launch::{launch, ranks_to_start};
    let stocks = config.stocks.len();
    let Some(LaunchInfo { rank, size }) = launched else {
        let (ranks, fewer) = ranks_to_start(stocks);
        fewer.iter().for_each(|line| progress.line(line));
        return Ok(launch(ranks, args.max_restarts)?);
    };
    if size < 2 {
        return Err(anyhow!(
            "--mode parallel needs a server and at least one worker, but one rank was started; \
             use mpirun -n {} for {stocks} stocks, or --mode single",
            stocks + 1
        ));
    }
    if size > stocks + 1 {
        return Err(anyhow!(
            "{size} ranks are too many for {stocks} stocks; use mpirun -n {} or fewer",
            stocks + 1
        ));
    }
    let ranks = Ranks { stocks, size };
    let names = (0..size).map(|rank| ranks.name(rank, &config.stocks)).collect();
    let (comm, warning) = started(rank, &config.ranks, names)?;
    compute_on(Some(rank), args.global.threads.unwrap_or_else(|| comm.usual_threads()))?;
    if let Some(warning) = warning {
        progress.line(&warning);
    }
    let outcome = train(&comm, config, args, progress);
    let code = outcome.unwrap_or_else(|error| fail(rank, &error));
    drop(comm);
    Ok(code)
}

/// Rank 0 prints the error. Other ranks that cannot know of it are aborted: they would wait for
/// this rank's messages forever.
#[cfg(feature = "mpi")]
fn fail(rank: usize, error: &anyhow::Error) -> u8 {
    use crate::comm::comm::is_shared;
    let shared = is_shared(error);
    if rank != 0 && !shared {
        // Rank 0 may be about to print the same error, and to end this rank.
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    if rank == 0 || !shared {
        tell(&format!("error: {}", one_line(&message(error))));
    }
    if !shared {
        MpiComm::abort_all(EXIT_WRONG.into());
    }
    EXIT_WRONG
}

#[cfg(not(feature = "mpi"))]
fn parallel(_: RunConfig, _: Option<LaunchInfo>, _: &TrainArgs, _: Progress) -> Result<u8> {
    without_mpi()
}

#[cfg(not(feature = "mpi"))]
fn without_mpi() -> Result<u8> {
    Err(anyhow!(
        "this program was built without MPI; build it with the feature \"mpi\", \
         or use --mode single"
    ))
}

/// A panic ends the program and all other ranks with one line instead of a backtrace.
fn install_panic_line(rank: Option<usize>) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.payload().downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let first_line = text.lines().next().unwrap_or_default();
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        let at = rank.map(|rank| format!("rank {rank}: ")).unwrap_or_default();
        tell(&format!(
            "error: {at}{first_line} ({}); this is a bug, please report it",
            place.unwrap_or_default()
        ));
        #[cfg(feature = "mpi")]
        if rank.is_some() {
            MpiComm::abort_all(101);
        }
    }));
}
