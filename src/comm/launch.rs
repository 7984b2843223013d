//! Starting ranks: whether a launcher already did, and doing it ourselves where none did.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

use super::error::CommError;
use crate::errors::Cause;

/// What the launcher says of this process, before MPI is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    pub rank: usize,
    pub size: usize,
}

/// Names under which launchers (Open MPI's; Slurm's and others' PMI; Slurm's PMIx, which leaves the
/// count to Slurm) tell a process its rank and how many there are.
const LAUNCHERS: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
];

/// None where the program was started by hand.
pub fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name: &str| variable(name)?.parse().ok();
    LAUNCHERS
        .iter()
        .find_map(|(rank, size)| Some(Launched { rank: number(rank)?, size: number(size)? }))
}

/// Settings under which Open MPI starts more ranks than there are cores, as root too.
const OPEN_MPI: [(&str, &str); 3] = [
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
];

/// Between two looks at a running `mpirun`.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs this program again under `mpirun` with one rank per stock and one for the server, with the
/// same arguments; when a rank died, once more from the last checkpoint, at most `max_restarts`
/// times. Returns its exit code, or that of a signal that came. The first one becomes a SIGUSR1,
/// which `mpirun` hands to the ranks as it is: they stop and take the time they need to write their
/// results. A second one has `mpirun` end them.
pub fn launch(stocks: usize, max_restarts: u32) -> Result<u8, CommError> {
    let signals = caught_signals().map_err(|e| broken(e.to_string(), e))?;
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    for restarts in 0.. {
        let (code, was_told) = run_once(stocks, &arguments, &signals)?;
        if was_told || FINAL.contains(&code) || restarts == max_restarts {
            return Ok(u8::try_from(code).unwrap_or(1));
        }
        eprintln!(
            "a rank died (exit code {code}); starting again from the last checkpoint, {} of {} times",
            restarts + 1,
            max_restarts
        );
        if !arguments.iter().any(|argument| argument == "--resume") {
            arguments.push("--resume".into());
        }
    }
    unreachable!("the last restart returns")
}

/// Done, something that the user has to mend, stopped by a signal.
const FINAL: [i32; 4] = [0, 2, 130, 143];

fn broken(what: String, error: io::Error) -> CommError {
    let hint = "install Open MPI (openmpi-bin), or use --mode single".into();
    CommError::Mpi { what, hint, cause: Some(Cause::new(error)) }
}

type Signals = [(i32, Arc<AtomicBool>); 2];

/// The exit code of one `mpirun`, and whether it was told to stop.
fn run_once(
    stocks: usize,
    arguments: &[OsString],
    signals: &Signals,
) -> Result<(i32, bool), CommError> {
    let program = std::env::current_exe().map_err(|e| broken(e.to_string(), e))?;
    let mut mpirun = Command::new("mpirun")
        .args(["--quiet", "-n", &(stocks + 1).to_string()])
        .arg(program)
        .args(arguments)
        .envs(OPEN_MPI)
        // Out of the terminal's reach: it would hear of a Ctrl-C twice, and end the ranks at once.
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| broken(format!("mpirun could not be started ({e})"), e))?;
    let mut caught = None;
    loop {
        if let Some(status) = mpirun.try_wait().map_err(|e| broken(e.to_string(), e))? {
            let code = caught.or_else(|| status.code());
            // Killed by a signal: as a shell would say it.
            let code = code.unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            return Ok((code, caught.is_some()));
        }
        for (signal, came) in signals {
            if came.swap(false, Ordering::Relaxed) {
                kill(mpirun.id() as i32, if caught.is_none() { SIGUSR1 } else { SIGTERM });
                caught = Some(128 + signal);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// What sets a flag from now on, instead of ending this process.
fn caught_signals() -> std::io::Result<Signals> {
    let signals = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
    for (signal, came) in &signals {
        signal_hook::flag::register(*signal, came.clone())?;
    }
    Ok(signals)
}

unsafe extern "C" {
    /// kill(2). Sound for any arguments.
    safe fn kill(pid: i32, signal: i32) -> i32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launcher_is_known_by_its_variables() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            launched(move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(of(&[]), None);
        let open_mpi = [("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "6")];
        assert_eq!(of(&open_mpi), Some(Launched { rank: 2, size: 6 }));
        assert_eq!(
            of(&[("PMI_RANK", "0"), ("PMI_SIZE", "3")]),
            Some(Launched { rank: 0, size: 3 })
        );
        let slurm = [("PMIX_RANK", "4"), ("SLURM_STEP_NUM_TASKS", "6")];
        assert_eq!(of(&slurm), Some(Launched { rank: 4, size: 6 }));
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", "2")]), None);
    }
}
