//! Whether a launcher started this process, and how many ranks to start where there is none.

use crate::compute::process::free_memory;

/// Rank and size according to the launcher, before MPI is initialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaunchInfo {
    pub(crate) rank: usize,
    pub(crate) size: usize,
}

/// Environment variables of rank and size (Open MPI; PMI of Slurm and others; Slurm's PMIx, which
/// leaves the size to Slurm).
const LAUNCHERS: [(&str, &str); 3] = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
];

/// None if the program was not started by a launcher.
pub(crate) fn launch_info(variable: impl Fn(&str) -> Option<String>) -> Option<LaunchInfo> {
    let number = |name: &str| variable(name)?.parse().ok();
    LAUNCHERS
        .iter()
        .find_map(|(rank, size)| Some(LaunchInfo { rank: number(rank)?, size: number(size)? }))
}

/// The number of this process among those of a Slurm step; None where there is no other. Where
/// [`launch_info`] is None as well, `srun` started them without MPI (`--mpi=none`).
pub(crate) fn unknown_tasks(variable: impl Fn(&str) -> Option<String>) -> Option<LaunchInfo> {
    let number = |name: &str| variable(name)?.parse().ok();
    // A batch script has a rank, too, but is no step.
    let (rank, size) = (number("SLURM_PROCID")?, number("SLURM_STEP_NUM_TASKS")?);
    (size > 1).then_some(LaunchInfo { rank, size })
}

/// Settings of Open MPI. Sizes of messages over TCP, in bytes: by default one above 64 KB waits until
/// its receiver has answered, which costs three latencies instead of one; a gradient has 227 KB. And
/// the providers of libfabric that it must not take for a fast network: its own list, in which
/// versions up to 4.1.4 lack `net`. That is TCP as well, and large messages fail in libfabric 1.17's
/// (Debian 12).
const OPEN_MPI: [(&str, &str); 5] = [
    ("OMPI_MCA_btl_tcp_eager_limit", "524288"),
    ("OMPI_MCA_btl_tcp_rndv_eager_limit", "524288"),
    ("OMPI_MCA_btl_tcp_max_send_size", "1048576"),
    ("OMPI_MCA_mtl_ofi_provider_exclude", PROVIDERS),
    ("OMPI_MCA_btl_ofi_provider_exclude", PROVIDERS),
];
const PROVIDERS: &str = "shm,sockets,tcp,udp,rstream,usnic,net";

/// Sets how this process's MPI sends, where the user has not. To be called before MPI is initialized
/// and while this process has one thread.
pub(crate) fn set_transport() {
    for (name, value) in OPEN_MPI {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread reads the environment, since there is none.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// What a rank needs besides the bars, which all share, and its stocks' replay.
const RANK_BYTES: u64 = 256 << 20;

/// How many ranks to start for so many stocks: a worker for every stock and the server, but no more
/// workers than cores and no more ranks than fit into the free memory, and at least one worker. With
/// a line for the user where these are fewer than one per stock.
pub(crate) fn ranks_to_start(stocks: usize) -> (usize, Option<String>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    most_ranks(stocks, cores, free_memory())
}

fn most_ranks(stocks: usize, cores: usize, memory: Option<u64>) -> (usize, Option<String>) {
    let fit = memory.map_or(usize::MAX, |bytes| (bytes / RANK_BYTES) as usize);
    let wanted = stocks + 1;
    let ranks = wanted.min(cores.saturating_add(1)).min(fit).max(2);
    let line = (ranks < wanted).then(|| {
        let why = if fit <= cores {
            format!("{} MB of memory are free", memory.unwrap_or(0) >> 20)
        } else {
            format!("this machine has {cores} cores")
        };
        let workers = if ranks == 2 { "one worker" } else { "workers that share them" };
        format!(
            "{ranks} ranks are started for {stocks} stocks, not {wanted}: {why}. \
             The stocks have {workers}; start mpirun yourself for another number."
        )
    });
    (ranks, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_no_more_than_cores_and_memory_bear() {
        let gigabytes = |count: u64| Some(count << 30);
        assert_eq!(most_ranks(5, 8, gigabytes(16)), (6, None));
        assert_eq!(most_ranks(5, 5, None), (6, None));
        let (ranks, line) = most_ranks(500, 16, gigabytes(64));
        let line = line.unwrap();
        assert!(ranks == 17 && line.contains("17 ranks") && line.contains("16 cores"), "{line}");
        let (ranks, line) = most_ranks(500, 16, gigabytes(2));
        assert!(ranks == 8 && line.unwrap().contains("2048 MB"));
        let (ranks, line) = most_ranks(5, 1, Some(0));
        assert!(ranks == 2 && line.unwrap().contains("0 MB"));
    }

    #[test]
    fn a_launcher_is_known_by_its_variables() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            launch_info(move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(of(&[]), None);
        let open_mpi = [("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "6")];
        assert_eq!(of(&open_mpi), Some(LaunchInfo { rank: 2, size: 6 }));
        assert_eq!(
            of(&[("PMI_RANK", "0"), ("PMI_SIZE", "3")]),
            Some(LaunchInfo { rank: 0, size: 3 })
        );
        let slurm = [("PMIX_RANK", "4"), ("SLURM_STEP_NUM_TASKS", "6")];
        assert_eq!(of(&slurm), Some(LaunchInfo { rank: 4, size: 6 }));
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", "2")]), None);
    }

    /// The environments of a plain `srun`, of the script of a batch job with six tasks, and of a
    /// step of one task.
    #[test]
    fn processes_of_one_step_are_known_without_a_launcher() {
        let of = |pairs: &'static [(&str, &str)]| {
            let find = |name: &str| pairs.iter().find(|(k, _)| *k == name);
            unknown_tasks(move |name| find(name).map(|(_, v)| v.to_string()))
        };
        let sixth = Some(LaunchInfo { rank: 5, size: 6 });
        assert_eq!(of(&[("SLURM_PROCID", "5"), ("SLURM_STEP_NUM_TASKS", "6")]), sixth);
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "6")]), None);
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]), None);
        assert_eq!(of(&[]), None);
    }
}
