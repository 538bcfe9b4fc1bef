#!/bin/bash
# Becomes a systemd of its own. Runs in fresh pid, mount, cgroup, uts and ipc namespaces (see box.py), as root:
# an overlay of / whose changes go to a tmpfs, so that nothing of the machine is touched, and nothing but our units.
#   boot.sh FOLDER [SOURCE=TARGET ...]     FOLDER: an empty one; SOURCE is shown, read-only, at TARGET inside
set -euo pipefail
work=$1; shift
mount -t tmpfs -o size=3g box "$work"
mkdir "$work"/{upper,scratch,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/scratch" "$work/root"
cd "$work/root"

mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys           # the machine's own sysctls
[ ! -e proc/sysrq-trigger ] || mount --bind /dev/null proc/sysrq-trigger
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
for share in "$@"; do
  target=.${share#*=}
  mkdir -p "$target"
  mount --rbind "${share%%=*}" "$target"
  mount -o remount,bind,ro "$target"
done

# No unit of the machine's starts: only what the basic target needs, and the journal.
: >etc/fstab
rm -rf etc/systemd/system/*.wants usr/local/lib/systemd/system etc/protoscale opt/protoscale var/lib/protoscale
mkdir -p etc/systemd/system etc/systemd/journald.conf.d
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-firstboot.service systemd-timesyncd.service \
  systemd-logind.service systemd-binfmt.service systemd-update-utmp.service systemd-journald-audit.socket \
  systemd-tmpfiles-setup.service systemd-tmpfiles-clean.timer systemd-machine-id-commit.service \
  systemd-networkd.service systemd-resolved.service getty.target dev-hugepages.mount dev-mqueue.mount \
  proc-sys-fs-binfmt_misc.automount; do
  ln -sf /dev/null "etc/systemd/system/$unit"
done
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/box.conf
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >etc/systemd/system/box.target

mkdir -p .outside
pivot_root . .outside
umount -l /.outside
cd /
mount --make-rshared /
exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog /lib/systemd/systemd --unit=box.target
