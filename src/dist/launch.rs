//! Starting ranks: whether a launcher already did, and doing it ourselves where none did.

use std::process::Command;

use super::comm::CommError;

/// What the launcher says of this process, before MPI is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    pub rank: usize,
    pub size: usize,
}

/// Names under which launchers (Open MPI's, Slurm's and others' PMI) tell a process its rank and how many there are.
const LAUNCHERS: [(&str, &str); 2] =
    [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")];

/// None where the program was started by hand.
pub fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name: &str| variable(name)?.parse().ok();
    LAUNCHERS
        .iter()
        .find_map(|(rank, size)| Some(Launched { rank: number(rank)?, size: number(size)? }))
}

/// Settings under which Open MPI starts more ranks than there are cores, as root too, and leaves a rank that is told to
/// stop some seconds to write its results.
const OPEN_MPI: [(&str, &str); 4] = [
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
    ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
    ("OMPI_MCA_odls_base_sigkill_timeout", "3"),
];

/// Runs this program again under `mpirun` with one rank per stock and one for the server, with the same arguments.
/// Returns its exit code.
pub fn launch(stocks: usize) -> Result<u8, CommError> {
    let broken = |what: String| CommError::Mpi {
        what,
        todo: "install Open MPI (openmpi-bin), or use --mode single".into(),
    };
    let program = std::env::current_exe().map_err(|e| broken(e.to_string()))?;
    let status = Command::new("mpirun")
        .args(["--quiet", "-n", &(stocks + 1).to_string()])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .envs(OPEN_MPI)
        .status()
        .map_err(|e| broken(format!("mpirun could not be started ({e})")))?;
    // Killed by a signal: as a shell would say it.
    let code = status.code().unwrap_or_else(|| {
        use std::os::unix::process::ExitStatusExt;
        128 + status.signal().unwrap_or(0)
    });
    Ok(u8::try_from(code).unwrap_or(1))
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
        assert_eq!(of(&[("PMI_RANK", "0"), ("PMI_SIZE", "3")]), Some(Launched { rank: 0, size: 3 }));
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", "2")]), None);
    }
}
