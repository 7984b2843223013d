#!/bin/bash
# Trains on a cluster under Slurm: one rank per stock and one for the parameter server.
#
#     sbatch scripts/slurm.sh                         the stocks below
#     sbatch --ntasks=31 scripts/slurm.sh AAPL ...    thirty stocks of your choice
#
# Before the first job, once on a login node: clone to a file system that all nodes share, and build there, with the
# cluster's own Open MPI (module load openmpi) or the packages of scripts/setup.sh. The binary expects libtorch at the path
# of the build, so ~/.cache/dqn-trader must be visible from the nodes as well.
#
#SBATCH --job-name=dqn-trader
#SBATCH --ntasks=6              # stocks + 1; fewer is allowed (workers then own several stocks), more is an error
#SBATCH --cpus-per-task=1       # a rank computes on one core
#SBATCH --mem-per-cpu=2G        # a rank took 376 MB with five stocks and two years of one-minute bars; replay grows
#SBATCH --time=24:00:00         # a run that reaches it stops as after Ctrl-C, with a checkpoint
#SBATCH --requeue               # and, like one whose node died, resumes from it when it is requeued
#SBATCH --output=slurm-%j.out
#
# Any number of ranks and nodes gives the same result, bit for bit; choose them for speed. Ranks synchronise at every bar, so
# few nodes with many cores are faster than many nodes: add --nodes=1 if the stocks fit on one.
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:-.}" # the clone: sbatch copies this script elsewhere before it runs
STOCKS=("$@")
[ ${#STOCKS[@]} -gt 0 ] || STOCKS=(AAPL MSFT GOOGL AMZN META)

# Fetched files and feature panels. On local disks it is fast and each node has its own copy; on a shared file system the
# next job can reuse it.
CACHE="${SCRATCH:-$HOME/.cache}/dqn-trader"

# Seconds that Open MPI gives a rank to write the current model after a stop signal.
export OMPI_MCA_odls_base_sigkill_timeout=20

# run_with_env.sh is an argument of mpirun, so that each node reads the keys from the shared file system and no key is
# passed in a command line. Open MPI asks Slurm for the nodes; if yours is built without Slurm or the site requires srun,
# use: srun --mpi=pmi2 ./run_with_env.sh target/release/dqn-trader ...
mpirun ./run_with_env.sh target/release/dqn-trader \
  --mode parallel \
  --stocks "${STOCKS[@]}" \
  --data azure \
  --cache "$CACHE" \
  --resume \
  --output "results/slurm-${SLURM_JOB_ID:-0}" # shared by all nodes: checkpoints lie there
