#!/bin/bash
# The first process of a host of scripts/cluster_test.sh, in namespaces of its own: makes the host's file system and waits.
#
#     host.sh NUMBER FOLDER MOUNT...
#
# From FOLDER come etc (files that are added to a copy of this machine's /etc), shared (mounted as /shared on all hosts) and
# disk.NUMBER (the host's own disk, mounted as /home/trader). Each MOUNT is a folder of this machine that is seen at the same
# path, such as libtorch's. Nothing else of this machine is seen but /usr.
set -euo pipefail

number=$1 folder=$2
shift 2
root=$folder/root

make_devices() {
  local device
  mkdir -p "$root/dev"
  mount -t tmpfs -o mode=755 devices "$root/dev"
  mkdir "$root/dev/shm" "$root/dev/pts"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mount -t devpts -o newinstance,ptmxmode=0666 pts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs -o size=256m,mode=1777 shm "$root/dev/shm"
}

see() { # FOLDER [FROM]
  mkdir -p "$root$1"
  mount --bind "${2:-$1}" "$root$1"
}

make_root() {
  local name
  mount -t tmpfs -o mode=755 root "$root"
  mkdir "$root"/{tmp,run,proc,sys,root,old,var}
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mkdir -p "$root/var/log" "$root/var/lib" "$root/var/spool" "$root/run/sshd"
  see /usr
  for name in bin sbin lib lib32 lib64; do
    if [ -L /$name ]; then cp -a "/$name" "$root/$name"; elif [ -d /$name ]; then see /$name; fi
  done
  cp -a /etc "$root/etc"
  cp -a "$folder/etc/." "$root/etc"
  echo "node$number" >"$root/etc/hostname"
  make_devices
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  see /shared "$folder/shared"
  see /home/trader "$folder/disk.$number"
  for name in "$@"; do see "$name"; done
}

mount --make-rprivate /
hostname "node$number"
ip link set lo up
make_root "$@"
cd "$root"
pivot_root . old
umount -l /old
touch /run/made
# It ends with the script that started it. Until then it waits, and collects the dead.
while :; do
  sleep 1000 &
  wait $! || true
done
