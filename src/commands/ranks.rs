//! Work that several ranks share: MPI and the heartbeat are started, and an error of one rank ends
//! all.

use anyhow::{Result, anyhow};

#[cfg(feature = "mpi")]
use super::program::compute_on;
use crate::cli::TrainArgs;
#[cfg(feature = "mpi")]
use crate::cli::one_line;
use crate::comm::Comm;
#[cfg(feature = "mpi")]
use crate::comm::Ranks;
#[cfg(feature = "mpi")]
use crate::comm::heartbeat::{HeartbeatTimeouts, startup_deadline::StartupDeadline};
use crate::comm::launch::LaunchInfo;
#[cfg(feature = "mpi")]
use crate::comm::launch::{launch, ranks_to_start};
#[cfg(feature = "mpi")]
use crate::comm::mpi::MpiComm;
#[cfg(feature = "mpi")]
use crate::config::RanksConfig;
use crate::config::RunConfig;
#[cfg(feature = "mpi")]
use crate::errors::{message, tell};
use crate::report::Progress;

/// A rank or its launcher is lost.
pub(super) const EXIT_LOST: i32 = 3;
/// Something that the user has to fix.
pub(super) const EXIT_WRONG: u8 = 2;

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
            comm.watch(timeouts, names, &start)
        });
        (comm, warning)
    }
}

#[cfg(feature = "mpi")]
fn timeouts(config: &RanksConfig) -> Option<HeartbeatTimeouts> {
    HeartbeatTimeouts::from_seconds(config.timeout_s, config.stuck_s)
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
        let (ranks, fewer) = ranks_to_start(stocks);
        fewer.iter().for_each(|line| progress.line(line));
        return Ok(launch(ranks, args.max_restarts)?);
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
    let outcome = super::program::train(&comm, config, args, progress);
    let code = outcome.unwrap_or_else(|error| fail(rank, &error));
    drop(comm);
    Ok(code)
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
