#!/bin/bash
# A private HTCondor pool inside a Debian chroot, for as long as standard input stays open.
#
# usage: condor-pool.sh CHROOT PLACE CONFIG SHARED... < PIPE
#   PLACE: an empty folder to mount things on; CONFIG: configuration file of the pool;
#   SHARED: folders that it sees at their own paths.
#   Prints "ready" once jobs can be submitted; its one child can then be entered with nsenter.
# Mounts, processes and the loopback network have namespaces of their own: whatever happens to the
# caller, all of it is gone once the pipe is closed. The chroot itself is never written to.
set -eu
CHROOT=$(realpath "$1"); PLACE=$(realpath "$2"); CONFIG=$(realpath "$3"); shift 3
export CHROOT PLACE CONFIG

exec unshare --mount --pid --net --uts --fork --kill-child bash -s "$@" 3<&0 <<'INSIDE'
set -eu
ip link set lo up
hostname pool
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/pool"
mount -t overlay -o "lowerdir=$CHROOT,upperdir=$PLACE/upper,workdir=$PLACE/work" overlay "$PLACE/pool"
pool=$PLACE/pool
mount -t proc proc "$pool/proc"
mount -t tmpfs tmpfs "$pool/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$pool/tmp"
chmod 755 "$pool/root"
for folder in "$@"; do
  mkdir -p "$pool$folder"
  mount --bind "$folder" "$pool$folder"
done
# Nobody answers questions about names in here: without these lines each one waits for a minute.
echo "127.0.0.1 localhost pool" > "$pool/etc/hosts"
sed -i "s/^hosts:.*/hosts: files/" "$pool/etc/nsswitch.conf"
cp "$CONFIG" "$pool/etc/condor/config.d/99-tests"
mkdir -p "$pool/run/condor" "$pool/run/lock/condor"
exec chroot "$pool" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash -c '
id tester >/dev/null 2>&1 || useradd --create-home --uid 1000 tester
chown condor:condor /run/condor /run/lock/condor
# Its package makes them by systemd, or where a configuration of that moment says.
for name in LOG SPOOL EXECUTE; do
  install -d -o condor -g condor "$(condor_config_val "$name")"
done
condor_master
for attempt in $(seq 300); do
  [ -n "$(condor_status -af Name 2>/dev/null)" ] && condor_q >/dev/null 2>&1 && break
  sleep 0.2
done
[ "$attempt" -lt 300 ] || { echo "no pool within 60 s:"; tail -n 20 /var/log/condor/*Log; exit 1; }
echo ready
cat <&3 >/dev/null
'
INSIDE
