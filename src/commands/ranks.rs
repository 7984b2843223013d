//! Work of one rank or many: threads, MPI and the heartbeat are started, and an error or panic of one
//! rank ends all.

use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::cli::TrainArgs;
#[cfg(feature = "mpi")]
use crate::cli::one_line;
use crate::comm::Comm;
#[cfg(feature = "mpi")]
use crate::comm::Ranks;
#[cfg(feature = "mpi")]
use crate::comm::heartbeat::{HeartbeatTimeouts, startup_deadline::StartupDeadline};
#[cfg(feature = "mpi")]
use crate::comm::hosts::read_hosts;
use crate::comm::launch::LaunchInfo;
#[cfg(feature = "mpi")]
use crate::comm::launch::ranks_to_start;
#[cfg(feature = "mpi")]
use crate::comm::mpi::MpiComm;
#[cfg(feature = "mpi")]
use crate::comm::supervisor::{Place, supervise};
use crate::compute::threads;
#[cfg(feature = "mpi")]
use crate::config::RanksConfig;
use crate::config::RunConfig;
#[cfg(feature = "mpi")]
use crate::errors::message;
use crate::errors::tell;
use crate::report::Progress;
use crate::train::callbacks::Ending;

/// A rank or its launcher is lost.
pub(super) const EXIT_LOST: i32 = 3;
/// Something that the user has to fix.
pub(super) const EXIT_WRONG: u8 = 2;

/// The user asked to stop.
pub(super) const EXIT_STOPPED: u8 = 130;
/// Within this time a launcher has seen that ranks have ended.
const UNTIL_SEEN: Duration = Duration::from_millis(300);

/// The exit code of a rank whose run ended with `code`. That a run was stopped is told by rank 0, when
/// the others are gone: `mpirun` takes it for a failure, and gives every rank that it has not seen end
/// the time to do so that SIGTERM is to have, one after the other.
pub(super) fn code_of_rank(launched: LaunchInfo, code: u8) -> u8 {
    match (launched.rank, code) {
        (0, EXIT_STOPPED) if launched.size > 1 => std::thread::sleep(UNTIL_SEEN),
        (1.., EXIT_STOPPED) => return 0,
        _ => {}
    }
    code
}

/// MPI, before the heartbeat.
#[cfg(feature = "mpi")]
struct StartedRank {
    comm: MpiComm,
    rank: usize,
    deadline: Option<StartupDeadline>,
}

#[cfg(feature = "mpi")]
impl StartedRank {
    /// Errors: MPI cannot be started, or knows of other ranks than the launcher.
    fn new(launched: LaunchInfo, config: &RanksConfig) -> Result<StartedRank> {
        let ranks_per_node = std::env::var("DQN_TRADER_RANKS_PER_NODE").ok();
        let rank = launched.rank;
        let deadline = timeouts(config).map(|timeouts| StartupDeadline::expect(rank, timeouts));
        let comm = MpiComm::start(ranks_per_node.and_then(|count| count.parse().ok()))?;
        if comm.size() != launched.size {
            return Err(anyhow!(
                "{} ranks were started, but MPI knows of {}: this Open MPI cannot talk to what \
                 started them; use mpirun, or srun --mpi=pmix",
                launched.size,
                comm.size()
            ));
        }
        Ok(StartedRank { comm, rank, deadline })
    }

    /// Starts the heartbeat if the settings, the same on every rank, want one. With a warning for
    /// rank 0 to print.
    fn watched(self, config: &RanksConfig, names: &[String]) -> (MpiComm, Option<String>) {
        let StartedRank { mut comm, rank, deadline } = self;
        let warning = timeouts(config).and_then(|timeouts| {
            let start = deadline.unwrap_or_else(|| StartupDeadline::expect(rank, timeouts));
            comm.watch(timeouts, config.port, names, &start)
        });
        (comm, warning)
    }
}

#[cfg(feature = "mpi")]
fn timeouts(config: &RanksConfig) -> Option<HeartbeatTimeouts> {
    HeartbeatTimeouts::from_seconds(config.timeout_s, config.stuck_s)
}

/// Trains. Returns the exit code.
pub(super) fn train(
    comm: &dyn Comm,
    config: RunConfig,
    args: &TrainArgs,
    progress: Progress,
) -> Result<u8> {
    Ok(match super::train::train(comm, config, args, progress)? {
        Ending::EpisodeDone => 0,
        Ending::Stopped => EXIT_STOPPED,
    })
}

/// Starts so many threads of this process, or of a rank; 0: one per core.
pub(super) fn compute_on(rank: Option<usize>, threads: usize) -> Result<()> {
    install_panic_line(rank);
    Ok(threads::start(threads)?)
}

/// A panic ends the program and all other ranks with one line instead of a backtrace.
pub(super) fn install_panic_line(rank: Option<usize>) {
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

/// Runs work that is shared among the ranks. By default, the ranks of a machine share its cores.
#[cfg(feature = "mpi")]
pub(super) fn over_ranks(
    launched: LaunchInfo,
    threads: Option<usize>,
    work: impl FnOnce(&dyn Comm) -> Result<()>,
) -> Result<u8> {
    let LaunchInfo { rank, size } = launched;
    let names: Vec<String> = (0..size).map(|rank| format!("rank {rank}")).collect();
    let config = RanksConfig::default();
    let (comm, warning) = StartedRank::new(launched, &config)?.watched(&config, &names);
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
pub(super) fn over_ranks(
    _: LaunchInfo,
    _: Option<usize>,
    _: impl FnOnce(&dyn Comm) -> Result<()>,
) -> Result<u8> {
    without_mpi()
}

/// Whether a rank takes its settings from rank 0: those of the run that is resumed lie in a results
/// folder that another machine may not see, or may have an older one of.
pub(super) fn follows_rank_0(args: &TrainArgs, launched: LaunchInfo) -> bool {
    args.resume && launched.rank > 0 && launched.size > 1
}

/// Trains in parallel: starts the ranks, or is one of them. `config` is None where
/// [`follows_rank_0`].
#[cfg(feature = "mpi")]
pub(super) fn parallel(
    config: Option<RunConfig>,
    launched: Option<LaunchInfo>,
    args: &TrainArgs,
    progress: Progress,
) -> Result<u8> {
    let stocks = config.as_ref().map_or(0, |config| config.stocks.len());
    let Some(launched) = launched else {
        let place = match &args.hostfile {
            Some(path) => Place::Hosts(read_hosts(path)?, stocks + 1),
            None => {
                let (ranks, fewer) = ranks_to_start(stocks);
                fewer.iter().for_each(|line| progress.line(line));
                Place::Here(ranks)
            }
        };
        return Ok(supervise(&place, args.max_restarts)?);
    };
    let LaunchInfo { rank, size } = launched;
    if config.is_some() {
        check_ranks(size, stocks)?;
    }
    let started = match &config {
        Some(config) => StartedRank::new(launched, &config.ranks)?,
        // Nearly its own until rank 0's are here.
        None => StartedRank::new(launched, &args.resolve().unwrap_or_default().ranks)?,
    };
    let config = match (config, args.resume) {
        (Some(config), false) => config,
        (config, _) => settings_of_rank_0(&started.comm, config, args)?,
    };
    let ranks = Ranks { stocks: config.stocks.len(), size };
    let names: Vec<String> = (0..size).map(|rank| ranks.name(rank, &config.stocks)).collect();
    let (comm, warning) = started.watched(&config.ranks, &names);
    compute_on(Some(rank), args.global.threads.unwrap_or_else(|| comm.usual_threads()))?;
    if let Some(warning) = warning {
        progress.line(&warning);
    }
    let outcome = train(&comm, config, args, progress);
    let code = outcome.unwrap_or_else(|error| fail(rank, &error));
    drop(comm);
    Ok(code_of_rank(launched, code))
}

#[cfg(feature = "mpi")]
fn check_ranks(size: usize, stocks: usize) -> Result<()> {
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
    Ok(())
}

/// The settings with which rank 0 resumes a run, on every rank; each keeps its own results folder.
/// `own`: rank 0's.
#[cfg(feature = "mpi")]
fn settings_of_rank_0(
    comm: &MpiComm,
    own: Option<RunConfig>,
    args: &TrainArgs,
) -> Result<RunConfig> {
    let mut bytes = match &own {
        Some(config) => toml::to_string(config)?.into_bytes(),
        None => Vec::new(),
    };
    comm.broadcast_bytes(&mut bytes);
    if let Some(config) = own {
        return Ok(config);
    }
    let config: RunConfig = toml::from_str(std::str::from_utf8(&bytes)?)?;
    let output = args.output.clone().unwrap_or_else(|| config.output.clone());
    Ok(RunConfig { output, ..config })
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
pub(super) fn parallel(
    _: Option<RunConfig>,
    _: Option<LaunchInfo>,
    _: &TrainArgs,
    _: Progress,
) -> Result<u8> {
    without_mpi()
}

#[cfg(not(feature = "mpi"))]
fn without_mpi() -> Result<u8> {
    Err(anyhow!(
        "this program was built without MPI; build it with the feature \"mpi\", \
         or use --mode single"
    ))
}
