#!/usr/bin/env bash
# Tests on this machine what docs/cluster.md promises of several: four hosts in Linux namespaces, each with a network, a file
# system, processes, an ssh server and a disk of its own, joined by a switch with a latency; and Slurm on two of them.
#
#     ./scripts/cluster_test.sh                       # all checks, about eight minutes
#     ./scripts/cluster_test.sh --quick               # those that take seconds, two minutes in all
#     ./scripts/cluster_test.sh --repeat 20 power-off # one check, or several, so often
#     ./scripts/cluster_test.sh --shell               # the hosts, and a shell on node1 in which to try things
#
# LAUNCHER=mpirun makes scripts/slurm.sh use that; with SLURM_WAIT=yes requeued jobs wait as long as Slurm makes them.
#
# A line per check, and exit code 1 if one fails. Needs root, for namespaces, and TAP devices; without them it says so and ends
# with code 77. Installs openssh-server, munge and Slurm with apt if they are missing, so run it on a machine for tests.
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cluster/cluster.sh
source tests/cluster/cluster.sh

# In the order in which they run.
QUICK=(mpirun srun keys private outage)
LONG=(bundle power-off frozen slurm-limit slurm-requeue slurm-preempt slurm-cancel latency)

PROGRAM=target/release/dqn-trader
STOCKS='AAPL MSFT GOOGL'
TRAINING='--bar-minutes 30 --start_date 2018-01-02 --end_date 2018-04-30 --eval_start 2018-05-01 --eval_end 2018-06-15'
TRAINING+=' --set features.warmup_bars=300 --set learner.learning_starts=64 --lanes 6 --batch-size 64'
TRAINING+=' --episodes 24 --eval-every 12'
SAMPLE="--data synthetic:sample --stocks $STOCKS $TRAINING --cache /tmp/cache"
SAME=(trained_model.pth policy.pt portfolio_ep12.csv portfolio_ep24.csv relationships.csv importance.csv allocations.csv)
# Of the pretended blob store.
KEY=c2VjcmV0bHkgbWFkZSB1cA==
# A latency at which a run lasts for minutes, whatever the cores do.
SLOW=8000

fail() {
  echo "$*" >"$scratch/note"
  exit 1
}
note() { echo "$*" >"$scratch/note"; }
last_of() { tail -n 1 "$1" 2>/dev/null || true; } # FILE

# Results are below scratch: of a host's own disk as disk.N/NAME, of the shared clone as shared/dqn-trader/results/NAME.
results_of() { echo "$scratch$CLONE/results/$1"; }

learned() { sed -E 's/"[a-z_]*_per_s":[^,}]*,?//g' "$1/metrics.jsonl"; }

# The run in one process, of the made-up market or of a folder of day files; once.
whole() { # NAME DATA
  local folder=$scratch/$1
  [ ! -e "$folder/summary.json" ] || return 0
  # shellcheck disable=SC2086 # several words
  "$PROGRAM" --mode single --data "$2" --stocks $STOCKS $TRAINING --cache "$scratch/cache" --output "$folder" \
    >"$folder.log" 2>&1 || fail "the run in one process failed: $(last_of "$folder.log")"
}

same_as() { # NAME FOLDER
  local file
  for file in "${SAME[@]}"; do
    cmp -s "$scratch/$1/$file" "$2/$file" || fail "$file is not that of one process"
  done
  [ "$(learned "$scratch/$1")" = "$(learned "$2")" ] || fail "metrics.jsonl is not that of one process"
}

newest_checkpoint() { # FOLDER: its steps; 0 if there is none
  local newest=0 manifest
  for manifest in "$1"/checkpoints/*/manifest.json; do
    [ ! -e "$manifest" ] || newest=$(printf '%s\n' "$newest" "$(basename "$(dirname "$manifest")")" | sort -n | tail -n 1)
  done
  echo "$((10#$newest))"
}
is_beyond() { [ "$(newest_checkpoint "$1")" -gt "$2" ]; } # FOLDER STEPS
says() { grep -q "$2" "$1"; }                              # FILE WORDS
has_ended() { ! kill -0 "$1"; }                            # PROCESS
runs_ranks() { in_host "$1" pgrep -x dqn-trader; }         # HOST

write_hosts() { # SLOTS HOST...
  local slots=$1
  shift
  printf "%s slots=$slots\n" "$@" >"$scratch$CLONE/hosts"
}

# A run that is started in the background on node1. Its standard output and error are in scratch/said.
start() { # COMMAND-LINE
  on 1 "$1" >"$scratch/said" 2>&1 </dev/null &
  started=$!
}
ends_well() { # SECONDS
  local code=0
  wait_for "$1" "no end after $1 s" has_ended "$started"
  wait "$started" || code=$?
  [ $code = 0 ] || fail "exit code $code: $(last_of "$scratch/said")"
}

# --- The checks ---

# Ranks that mpirun starts on three hosts compute what one process does.
check_mpirun() {
  whole whole synthetic:sample
  write_hosts 2 node1 node2 node3
  start "mpirun -n 4 --map-by node --hostfile hosts ./run_with_env.sh dqn-trader --mode parallel $SAMPLE \
    --output results/mpirun"
  wait_for 60 "no ranks on node3" runs_ranks 3
  ends_well 120
  same_as whole "$(results_of mpirun)"
}

# What both power-off and frozen do: one of three hosts is lost, and comes back.
lose_a_host() { # LOSE FIND HOST
  local folder=$scratch/disk.1/run lost=$3 since steps on after
  whole whole synthetic:sample
  write_hosts 2 node1 node2 node3
  sed -i '1s/slots=2/slots=1/' "$scratch$CLONE/hosts"
  network "latency $SLOW"
  start "target/release/dqn-trader --mode parallel --hostfile hosts $SAMPLE --checkpoint-every 1 --output /home/trader/run"
  wait_for 60 "no checkpoint" is_beyond "$folder" 0
  runs_ranks "$lost" >/dev/null || fail "no ranks on node$lost"
  "$1" "$lost"
  since=$SECONDS steps=$(newest_checkpoint "$folder")
  wait_for 60 "training did not go on" is_beyond "$folder" "$steps"
  on=$((SECONDS - since))
  [ "$on" -le 30 ] || fail "training went on after $on s only"
  says "$scratch/said" "node$lost does not answer: the run goes on without it" || fail "node$lost was not named"
  "$2" "$lost"
  since=$SECONDS
  wait_for 60 "node$lost was not taken back" says "$scratch/said" 'a machine is back'
  wait_for 60 "no ranks on node$lost again" runs_ranks "$lost"
  after=$((SECONDS - since))
  steps=$(newest_checkpoint "$folder")
  wait_for 60 "no training on three hosts" is_beyond "$folder" "$steps"
  network 'latency 0'
  ends_well 120
  same_as whole "$folder"
  note "node$lost lost; training again after $on s; it answered again, and had ranks after $after s"
}

check_power-off() { lose_a_host power_off power_on $((RANDOM % 2 + 2)); }
check_frozen() { lose_a_host freeze thaw $((RANDOM % 2 + 2)); }

# A network that is gone for less than three quarters of ranks.timeout_s ends nothing.
check_outage() {
  whole whole synthetic:sample
  write_hosts 2 node1 node2
  network "latency 2000"
  start "mpirun -n 4 --hostfile hosts ./run_with_env.sh dqn-trader --mode parallel $SAMPLE --output results/outage"
  wait_for 60 "no training" says "$(results_of outage)/metrics.jsonl" reward
  network 'off 2'
  sleep "${OUTAGE:-6}"
  network 'on 2'
  sleep 3
  network 'latency 0'
  ends_well 120
  same_as whole "$(results_of outage)"
  note "${OUTAGE:-6} s without network"
}

# Every host has results of its own; the run is killed, and resumed with other numbers of ranks.
check_private() {
  local ranks folder=$scratch/disk.1/run steps=0 kills=0
  whole whole synthetic:sample
  write_hosts 2 node1 node2 node3
  local flags="--mode parallel $SAMPLE --checkpoint-every 0 --output /home/trader/run"
  for ranks in 4 3 2; do
    [ $kills -gt 0 ] && flags="--mode parallel --resume --cache /tmp/cache --output /home/trader/run"
    network 'latency 1000'
    start "mpirun -n $ranks --map-by node --hostfile hosts ./run_with_env.sh dqn-trader $flags"
    wait_for 60 "no checkpoint" is_beyond "$folder" "$steps"
    in_host 2 pkill -KILL -x dqn-trader
    wait_for 30 "mpirun did not end" has_ended "$started"
    ! runs_ranks 1 >/dev/null || sleep 3
    kills=$((kills + 1)) steps=$(newest_checkpoint "$folder")
  done
  [ ! -e "$scratch/disk.2/run/checkpoints" ] || fail "node2 has checkpoints"
  network 'latency 0'
  start "mpirun -n 4 --map-by node --hostfile hosts ./run_with_env.sh dqn-trader $flags"
  ends_well 120
  says "$scratch/said" 'do not see' || fail "nothing is said about folders that ranks do not see"
  same_as whole "$folder"
  note "killed and resumed $kills times"
}

# --- Slurm ---


# Three stocks' bars in a blob store of every host's own, since without TLS only that of a machine itself is read.
store_bars() {
  if [ ! -d "$scratch/bars" ]; then
    # shellcheck disable=SC2086 # several words
    "$PROGRAM" synth sample --stocks $STOCKS --data "$scratch/bars" --bar-minutes 30 --start_date 2017-12-01 \
      --end_date 2018-06-29 --quiet >"$scratch/bars.log" 2>&1 || fail "no bars: $(last_of "$scratch/bars.log")"
  fi
  start_stores
  whole of_bars "$scratch/bars"
  connection="DefaultEndpointsProtocol=http;AccountName=trader;AccountKey=$KEY;BlobEndpoint=http://127.0.0.1:10000/trader"
}

submit() { # FLAG...: sets `job`, `log` and `folder`
  store_bars
  mkdir "$scratch$CLONE/.cloudkeys"
  echo "AZURE_STORAGE_CONNECTION_STRING='$connection'" >"$scratch$CLONE/.cloudkeys/api_keys.env"
  slurm_up
  network "latency $SLOW"
  job=$(on 1 "${LAUNCHER:+LAUNCHER=$LAUNCHER }sbatch --parsable --nodes=2 --ntasks=4 --ntasks-per-node=2 --mem-per-cpu=500M $* \
    scripts/slurm.sh $STOCKS $TRAINING") || fail "sbatch: $job"
  log=$scratch$CLONE/slurm-$job.out folder=$(results_of "slurm-$job")
  wait_for 60 "no training" says "$folder/metrics.jsonl" reward
}

state_of_job() { on 1 "squeue --noheader --format=%T --job $job" 2>&1; }
job_is() { [ "$(state_of_job)" = "$1" ]; }
job_is_gone() {
  local state
  state=$(state_of_job) && [ -z "$state" ]
}

starts_again() {
  ! job_is RUNNING && ! job_is_gone || return 0
  sleep 3
  on 1 "scontrol update JobId=$job StartTime=now"
  return 1
}

# The job has been requeued. Slurm would wait for two minutes before it starts again, and does with SLURM_WAIT=yes. Started in
# the second in which it ended, it would be refused.
goes_on() {
  local steps
  wait_for 60 "not pending, but $(state_of_job)" job_is PENDING
  steps=$(newest_checkpoint "$folder")
  [ "$steps" -gt 0 ] || fail "no checkpoint"
  [ -s "$folder/trained_model.pth" ] || fail "no model"
  network 'latency 0'
  [ -n "${SLURM_WAIT:-}" ] || wait_for 200 "it does not start again" starts_again
  wait_for 240 "the job did not end" job_is_gone
  says "$log" 'resuming from the checkpoint at' || fail "it did not resume: $(last_of "$log")"
  same_as of_bars "$folder"
}

check_slurm-limit() {
  local job log folder since
  submit --time=1 --signal=B:USR1@30
  since=$SECONDS
  wait_for 120 "not requeued" says "$log" 'the job is requeued'
  since=$((SECONDS - since))
  goes_on
  note "stopped and requeued after $since s of a limit of 60 s"
}

leaves_model_and_goes_on() { # SECONDS: of the job that `submit` started, the longest until its model is there
  local since=$SECONDS
  wait_for "$1" "no model" test -s "$folder/trained_model.pth"
  since=$((SECONDS - since))
  goes_on
  note "its model was there after $since s"
}

check_slurm-requeue() {
  local job log folder
  submit
  on 1 "scontrol requeue $job"
  leaves_model_and_goes_on 60
}

# A job of a partition with a higher priority takes both nodes for some seconds.
check_slurm-preempt() {
  local job log folder
  submit
  on 1 "sbatch --quiet --partition=high --nodes=2 --exclusive --output=/dev/null --wrap 'sleep 5'"
  leaves_model_and_goes_on 90
}

check_slurm-cancel() {
  local job log folder since
  submit
  on 1 "scancel $job"
  since=$SECONDS
  wait_for 60 "still $(state_of_job)" job_is_gone
  since=$((SECONDS - since))
  is_beyond "$folder" 0 || fail "no checkpoint"
  [ -s "$folder/trained_model.pth" ] || fail "no model"
  ! says "$log" 'the job is requeued' || fail "it was requeued"
  note "ended after $since s, with a checkpoint and a model"
}

check_srun() {
  local code=0
  slurm_up
  on 1 "srun --nodes=2 --ntasks=4 $PROGRAM --mode parallel $SAMPLE --output results/srun" >"$scratch/said" 2>&1 || code=$?
  [ $code = 2 ] || fail "exit code $code"
  [ "$(grep -c '^error: ' "$scratch/said")" = 1 ] || fail "not one line: $(head -n 2 "$scratch/said")"
  note "$(grep '^error: ' "$scratch/said")"
}

# The connection string stands in the environment of the one command alone; ranks of other hosts need it, and no command line
# shows it.
check_keys() {
  local number
  store_bars
  write_hosts 1 node1 node2 node3
  network 'latency 2000'
  start "AZURE_STORAGE_CONNECTION_STRING='$connection' $PROGRAM --mode parallel --hostfile hosts --data azure \
    --stocks $STOCKS $TRAINING --cache /tmp/cache --output results/keys"
  wait_for 60 "no training" says "$(results_of keys)/metrics.jsonl" reward
  for number in 1 2 3; do
    in_host "$number" bash -c 'cat /proc/[0-9]*/cmdline' 2>/dev/null | tr '\0' '\n' >>"$scratch/commands.seen"
    # shellcheck disable=SC2016 # for that shell
    in_host "$number" sh -c 'cat /proc/$(pgrep -x dqn-trader | tail -n 1)/environ' | grep -aq "$KEY" ||
      fail "a rank of node$number has no key"
  done
  # The shell that started it has the string in its own command line; that is this test's.
  ! grep -v '^cd ' "$scratch/commands.seen" | grep -q "$KEY" || fail "a command line shows the key"
  network 'latency 0'
  ends_well 120
  ! grep -rqs "$KEY" "$scratch/said" "$(results_of keys)" || fail "the key was written somewhere"
  same_as of_bars "$(results_of keys)"
  note "asked the store: $(sort -u "$scratch/store.log" | tr '\n' ' ')"
}

# --- What takes time ---

# Microseconds of a bar: the median and the least of a run's intervals, without the first ones.
bar_us() { # RANKS LATENCY-US
  local rates
  network "latency $2"
  rm -rf "$(results_of latency)"
  on 1 "timeout --signal USR1 --kill-after 20 ${LATENCY_SECONDS:-20} mpirun -n $1 --map-by node --hostfile hosts \
    ./run_with_env.sh dqn-trader --mode parallel $SAMPLE --lanes 8 --batch-size 8 --set network.max_peers=2 --threads 1 \
    --episodes 1000000 --eval-every 5000000 --checkpoint-every inf --output results/latency" >"$scratch/said" 2>&1 || true
  rates=$(sed -n 's/.*"env_steps_per_s":\([0-9.e+]*\).*/\1/p' "$(results_of latency)/metrics.jsonl" | tail -n +3 | sort -g)
  [ -n "$rates" ] || fail "$1 hosts, $2 us: $(last_of "$scratch/said")"
  awk '{ us[NR] = 3 * 8 * 1e6 / $1 } END { printf "%.0f %.0f\n", us[int((NR + 1) / 2)], us[NR] }' <<<"$rates"
}

check_latency() {
  local ranks near far text=''
  write_hosts 1 node1 node2 node3 node4
  for ranks in 2 4; do
    near=$(bar_us $ranks 0)
    far=$(bar_us $ranks 1000)
    text+=$(awk '{ printf "%s hosts: %d us a bar (best %d), at 1 ms %d (best %d): %.1f latencies (%.1f)", $1, $2, $3, $4, $5,
      ($4 - $2) / 1000, ($5 - $3) / 1000 }' <<<"$ranks $near $far")"; "
  done
  note "${text%; }"
}

# A folder of scripts/bundle.sh, on a host without the build and libtorch, and in a root that has a shell and the C library
# alone.
check_bundle() {
  local bare=$scratch/bare file
  whole whole synthetic:sample
  [ -d "$scratch/shared/bundle" ] || ./scripts/bundle.sh "$scratch/shared/bundle" >"$scratch/said"
  on 4 "cd && mpirun -n 3 --oversubscribe /shared/bundle/dqn-trader --mode parallel $SAMPLE --output /home/trader/bundle" \
    >"$scratch/said" 2>&1 || fail "on node4: $(last_of "$scratch/said")"
  same_as whole "$scratch/disk.4/bundle"
  mkdir -p "$bare"/{bundle,proc,dev,tmp,root,etc}
  for file in bin sbin lib lib64; do [ ! -L /$file ] || cp -a "/$file" "$bare/"; done
  mkdir -p "$bare"/usr/{bin,sbin,lib,lib64}
  [ -e "$bare/dev/null" ] || mknod -m 666 "$bare/dev/null" c 1 3
  for file in sh readlink dirname grep ldconfig; do copy_with_libraries "$(command -v $file)" "$bare"; done
  ldd "$PROGRAM" target/release/deps/libdqn_trader_torch.so | awk '{ print $3 }' |
    grep -E '/(libc|libm|libdl|librt|libpthread|libutil|libgcc_s|libstdc\+\+)\.so' | sort -u |
    while read -r library; do copy_with_libraries "$library" "$bare"; done
  # shellcheck disable=SC2016,SC2086 # for the shell in the namespace; several words
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --mount --pid --net --fork bash -c '
    mount --make-rprivate / && mount --bind "$1/shared/bundle" "$1/bare/bundle" && mount -t proc proc "$1/bare/proc" || exit
    shift && exec chroot "$@"' bare "$scratch" "$bare" \
    /bundle/dqn-trader --mode single $SAMPLE --output /tmp/bundle >"$scratch/said" 2>&1 ||
    fail "in a bare root: $(last_of "$scratch/said")"
  same_as whole "$bare/tmp/bundle"
  note "$(du -sh "$scratch/shared/bundle" | cut -f1), with and without Open MPI"
}

copy_with_libraries() { # FILE ROOT
  local file
  for file in "$1" $(ldd "$1" | grep -o '/[^ ]*'); do
    mkdir -p "$2$(dirname "$file")"
    cp -L "$file" "$2$file"
  done
}

# --- Running them ---

finish() {
  trap - EXIT
  cluster_down
}

run_check() { # NAME: prints its line
  local since=$SECONDS code=0 file
  : >"$scratch/note"
  rm -f "$scratch/said"
  start_anew
  # In the background, since a command in a condition goes on after errors.
  (check_"$1") &
  wait $! || code=$?
  if [ $code = 0 ]; then
    printf 'ok      %-14s %4d s  %s\n' "$1" $((SECONDS - since)) "$(cat "$scratch/note")"
    return
  fi
  printf 'failed  %-14s %4d s  %s\n' "$1" $((SECONDS - since)) "$(cat "$scratch/note")"
  for file in "$scratch/said" "$scratch$CLONE"/slurm-*.out "/proc/${hosts[1]}/root/var/log/slurmctld.log"; do
    [ ! -s "$file" ] || { head -n 12 && echo ... && tail -n 12; } <"$file" | sed 's/^/          /'
  done
  return 1
}

main() {
  local repeat=1 checks=() failed=0 passed=0 name time start=$SECONDS shell=''
  while [ $# -gt 0 ]; do
    case $1 in
    --quick) checks+=("${QUICK[@]}") ;;
    --repeat) repeat=${2:?} && shift ;;
    --shell) shell=yes ;;
    *)
      declare -F "check_$1" >/dev/null || die "there is no check $1; there are ${QUICK[*]} ${LONG[*]}"
      checks+=("$1")
      ;;
    esac
    shift
  done
  [ ${#checks[@]} -gt 0 ] || checks=("${QUICK[@]}" "${LONG[@]}")
  if ! may_make_hosts; then
    say "skipped: hosts in namespaces need root, the right to make namespaces, and /dev/net/tun"
    exit 77
  fi
  [ -x "$PROGRAM" ] || die "$PROGRAM is missing; run ./scripts/setup.sh first"
  install_packages openssh-server openssh-client iproute2 munge slurm-wlm gcc procps python3
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  scratch=$(mktemp -d)
  cluster_up
  say "four hosts, after $(minutes_since "$start")"
  if [ -n "$shell" ]; then
    start_anew
    slurm_up
    in_host 1 setpriv --reuid=trader --regid=trader --init-groups --reset-env \
      env -C "$CLONE" TERM="${TERM:-dumb}" bash -i || true
    return
  fi
  for ((time = 0; time < repeat; time++)); do
    for name in "${checks[@]}"; do
      if run_check "$name"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    done
  done
  say "$passed of $((passed + failed)) checks passed, after $(minutes_since "$start")"
  [ $failed = 0 ] || exit 1
}

main "$@"
