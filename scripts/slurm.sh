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
#SBATCH --time=24:00:00         # a run that reaches it stops as after Ctrl-C, and goes on in the requeued job
#SBATCH --signal=B:USR1@120     # so long before, in seconds, this script is told
#SBATCH --requeue               # after a node failed, a preemption or scontrol requeue, too, the run goes on
#SBATCH --open-mode=append      # in the same log
#SBATCH --output=slurm-%j.out
#
# Any number of ranks and nodes gives the same result, bit for bit; choose them for speed. Ranks synchronise at every bar, so
# few nodes with many cores are faster than many nodes: add --nodes=1 if the stocks fit on one.
#
# Settings, as environment variables: OUTPUT, the results folder, to go on with an earlier job's run; LAUNCHER, how ranks are
# started: srun or mpirun.
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:-.}" # the clone: sbatch copies this script elsewhere before it runs
STOCKS=("$@")
[ ${#STOCKS[@]} -gt 0 ] || STOCKS=(AAPL MSFT GOOGL AMZN META)

# Fetched files and feature panels. On local disks it is fast and each node has its own copy; on a shared file system the
# next job can reuse it.
CACHE="${SCRATCH:-$HOME/.cache}/dqn-trader"

# A requeued job keeps its number. Checkpoints lie there: for all nodes, or for rank 0's if no disk is shared.
OUTPUT="${OUTPUT:-results/slurm-${SLURM_JOB_ID:-0}}"

# A job whose run has not come to its end is requeued this many times at most.
MOST_REQUEUES=20

# srun passes signals on to all ranks, wherever they run. It needs Slurm's PMIx, which Open MPI speaks; not PMI-2, with which
# Debian's Open MPI fails in MPI_Init. Without either, mpirun asks Slurm for the nodes.
if [ -z "${LAUNCHER:-}" ]; then
  LAUNCHER=mpirun
  if srun --mpi=list 2>&1 | grep -qw pmix; then LAUNCHER=srun; fi
fi
case $LAUNCHER in
srun) start=(srun --mpi=pmix) ;;
*) start=(mpirun) ;;
esac
# Seconds that mpirun gives ranks to write the current model after a stop signal. Once they have stopped, it may itself wait
# twice as long before it ends.
export OMPI_MCA_odls_base_sigkill_timeout=10

# Slurm's signals come to the ranks and to this script, in an order that is not known; a rank heeds the first one.
trap 'kill -USR1 "$launcher" 2>/dev/null || true' USR1 TERM

# run_with_env.sh is an argument of the launcher, so that each node reads the keys from the shared file system and no key is
# passed in a command line.
"${start[@]}" ./run_with_env.sh target/release/dqn-trader \
  --mode parallel \
  --stocks "${STOCKS[@]}" \
  --data azure \
  --cache "$CACHE" \
  --resume \
  --output "$OUTPUT" &
launcher=$!
# A signal ends the waiting, not the launcher.
code=0
while kill -0 "$launcher" 2>/dev/null; do
  code=0
  wait "$launcher" || code=$?
done

# Exit codes: 0, the run is finished; 2, something is for the user to fix; 130, it was told to stop; others, a rank or its node
# was lost, or Debian's mpirun crashed while its ranks stopped. A job that is being cancelled or requeued is no longer in the
# state RUNNING, and Slurm does what is asked of it; one that stops ahead of its time limit or of a preemption is.
state=$(squeue --noheader --format=%T --job "${SLURM_JOB_ID:-0}" 2>/dev/null || true)
case $code in 0 | 2) exit "$code" ;; esac
if [ "$state" = RUNNING ] && [ "${SLURM_RESTART_COUNT:-0}" -lt $MOST_REQUEUES ]; then
  echo "the run is not at its end (exit code $code); the job is requeued"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
