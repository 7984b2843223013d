# shellcheck shell=bash
# Sourced by scripts/cluster_test.sh: makes four hosts on this machine, each in Linux namespaces of its own, with network, file
# system, processes and an ssh server, and a small Slurm on two of them. All ends with the script, also when that is killed.

HOSTS=4 # node1 to node4, at 10.77.0.1 and so on
CLONE=/shared/dqn-trader
# Of the user in the hosts; nobody else has it.
TRADER=61077

scratch=''
hosts=()   # by number: its first process
keepers=() # by number: what ends it
switch_pid=''

# A process that ends with this script.
mortal() { exec setpriv --pdeathsig KILL "$@"; }

wait_for() { # SECONDS WHAT COMMAND...: fails with WHAT if the command does not succeed in time
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "$what"
    sleep 0.2
  done
}

may_make_hosts() {
  [ "$(id -u)" = 0 ] && [ -c /dev/net/tun ] &&
    unshare --mount --uts --ipc --pid --net --fork sh -c 'mount --make-rprivate / && ip link set lo up' 2>/dev/null
}

in_host() { # HOST COMMAND...: as root
  nsenter --target "${hosts[$1]}" --mount --uts --ipc --net --pid -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"
}

on() { # HOST COMMAND-LINE: of the user, in the clone
  in_host "$1" setpriv --reuid=trader --regid=trader --init-groups --reset-env bash -c "cd $CLONE && $2"
}

# The files of /etc in which hosts differ from this machine.
write_etc() { # FOLDER
  local etc=$1 number
  mkdir -p "$etc"/{ssh,slurm,munge,openmpi}
  { grep -v '^trader:' /etc/passwd; echo "trader:x:$TRADER:$TRADER::/home/trader:/bin/bash"; } >"$etc/passwd"
  { grep -v '^trader:' /etc/group; echo "trader:x:$TRADER:"; } >"$etc/group"
  echo "trader:*:19000:0:99999:7:::" >"$etc/shadow"
  echo "127.0.0.1 localhost" >"$etc/hosts"
  for ((number = 1; number <= HOSTS; number++)); do echo "10.77.0.$number node$number" >>"$etc/hosts"; done
  ssh-keygen -q -t ed25519 -N '' -f "$etc/ssh/host_key"
  ssh-keygen -q -t ed25519 -N '' -f "$scratch/key"
  cp "$scratch/key.pub" "$etc/ssh/authorized_keys"
  echo "node*,10.77.0.* $(cut -d' ' -f1,2 "$etc/ssh/host_key.pub")" >"$etc/ssh/ssh_known_hosts"
  cat >"$etc/ssh/sshd_config" <<'END'
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
END
  # All hosts have the same cores; two ranks must not be bound to one of them.
  echo "hwloc_base_binding_policy = none" >"$etc/openmpi/openmpi-mca-params.conf"
  head -c 1024 /dev/urandom >"$etc/munge/munge.key"
  chmod 400 "$etc/munge/munge.key"
  cp tests/cluster/slurm.conf "$etc/slurm/slurm.conf"
  # It knows that others count as root there.
  chown -R 0:0 "$etc"
}

# What is in git, and the build: as a user would copy it.
copy_clone() { # FOLDER
  mkdir -p "$1/target/release/deps"
  git ls-files -z | tar --null --no-recursion --create --ignore-failed-read --files-from=- 2>/dev/null | tar --extract -C "$1"
  cp target/release/dqn-trader "$1/target/release/"
  cp target/release/deps/libdqn_trader_torch.so "$1/target/release/deps/"
  chown -R "$TRADER:$TRADER" "$1"
}

start_host() { # NUMBER MOUNT...
  local number=$1 disk=$scratch/disk.$1
  mkdir -p "$disk/.ssh" "$scratch/root"
  install -m 600 "$scratch/key" "$disk/.ssh/id_ed25519"
  chmod 700 "$disk/.ssh"
  chown -R "$TRADER:$TRADER" "$disk"
  mortal unshare --mount --uts --ipc --pid --net --fork --kill-child=KILL \
    tests/cluster/host.sh "$number" "$scratch" "${@:2}" </dev/null >"$scratch/host.$number.log" 2>&1 &
  keepers[number]=$!
  wait_for 20 "node$number did not start" is_made "$number"
}

is_made() { # NUMBER
  hosts[$1]=$(pgrep -P "${keepers[$1]}") && [ -e "/proc/${hosts[$1]}/root/run/made" ]
}

start_switch() {
  local number
  gcc -O2 -o "$scratch/switch" tests/cluster/switch.c
  mkfifo "$scratch/commands"
  mortal "$scratch/switch" "${hosts[@]}" <"$scratch/commands" >"$scratch/switch.log" 2>&1 &
  switch_pid=$!
  exec 7>"$scratch/commands"
  for ((number = 1; number <= HOSTS; number++)); do
    wait_for 10 "no network: $(cat "$scratch/switch.log")" in_host "$number" ip link show eth0
    in_host "$number" ip addr add "10.77.0.$number/24" dev eth0
    in_host "$number" ip link set eth0 up
  done
}

network() { # COMMAND: see switch.c
  echo "$1" >&7
}

# node4 has no libtorch, as a machine has none where nothing was built.
cluster_up() {
  local number
  mkdir -p "$scratch/shared"
  write_etc "$scratch/etc"
  copy_clone "$scratch$CLONE"
  for number in 1 2 3; do start_host "$number" "$(readlink -f .libtorch)"; done
  start_host 4
  start_switch
}

# SIGKILL to all processes of a host but its first, with the network gone before: nothing tells the others.
power_off() { # NUMBER
  network "off $1"
  sleep 0.1
  in_host "$1" bash -c 'kill -KILL -1; rm -rf /tmp/* /tmp/.[!.]* /dev/shm/* /run/munge' 2>/dev/null
}

power_on() { # NUMBER
  network "on $1"
  in_host "$1" /usr/sbin/sshd
}

freeze() { in_host "$1" bash -c 'kill -STOP -1'; }
thaw() { in_host "$1" bash -c 'kill -CONT -1'; }

# As after a start of all hosts, with nothing on their disks.
start_anew() {
  local number
  network "latency 0"
  for ((number = 1; number <= HOSTS; number++)); do
    power_off "$number"
    find "$scratch/disk.$number" -mindepth 1 -maxdepth 1 ! -name .ssh -exec rm -rf {} +
    power_on "$number"
  done
  rm -rf "$scratch$CLONE"/{results/*,slurm-*.out,.cloudkeys}
  wait_for 10 "ssh does not answer" on 1 "for host in node2 node3 node4; do ssh -n \$host true || exit 1; done"
}

slurm_up() {
  local number
  for number in 1 2; do
    in_host "$number" install -d -m 755 /run/munge /var/spool/slurmd /var/spool/slurmctld
    in_host "$number" munged --force --socket=/run/munge/munge.socket.2 --pid-file=/run/munge/munged.pid \
      --log-file=/run/munge/munged.log --seed-file=/run/munge/seed
  done
  in_host 1 rm -rf /var/spool/slurmctld/state
  in_host 1 slurmctld
  for number in 1 2; do in_host "$number" slurmd -N "node$number"; done
  wait_for 30 "Slurm did not start" slurm_is_up
}

slurm_is_up() { [ "$(on 1 'sinfo --noheader --Node --partition low --states idle' | wc -l)" = 2 ]; }

# The folder `bars` of scratch, as a blob store on every host until the check ends. A line of store.log is a host that asked.
start_stores() {
  local number
  rm -f "$scratch/store.log"
  for ((number = 1; number <= HOSTS; number++)); do
    mortal nsenter --target "${hosts[number]}" --net \
      python3 tests/cluster/store.py "node$number" "$scratch/bars" "$scratch/store.log" >"$scratch/store.err" 2>&1 </dev/null &
  done
}

cluster_down() {
  local process
  # What keeps a host ends after it has collected the host's first process.
  for process in "${hosts[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
  exec 7>&- # which ends the switch
  # shellcheck disable=SC2086 # one word or none
  wait "${keepers[@]}" $switch_pid 2>/dev/null || true
  for process in "${keepers[@]}"; do kill -KILL "$process" 2>/dev/null || true; done
  if [ -n "$scratch" ]; then rm -rf "$scratch"; fi
  scratch='' hosts=() keepers=() switch_pid=''
}
