#!/bin/bash
# PID 1 of the guest that tests/vehicles/uml.py boots: this machine's root, read-only by hostfs, under another kernel. It
# puts a layer in memory over it, and becomes the full systemd that full-system.sh makes of that.
#
# Kernel command line: nsvisor_work=FOLDER (of this script; writable inside).
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
trap 'echo "guest: cannot boot (line $LINENO)"; mount -t proc proc /proc; echo o >/proc/sysrq-trigger; sleep 60' EXIT
mount -t proc proc /proc
work=$(sed -n 's/.*nsvisor_work=\([^ ]*\).*/\1/p' /proc/cmdline)
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
for module in /usr/lib/uml/modules/*/kernel/fs/overlayfs/overlay.ko; do busybox insmod "$module"; done
mount -t tmpfs -o size=80% tmpfs /run
mkdir /run/upper /run/overlay /run/root
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/overlay /run/root
"$work/full-system.sh" /run/root "$work/run"
# For what is made outside meanwhile, and to write to.
mount -t hostfs -o "$work" hostfs "/run/root$work"
# Debian 12 delegates pids, memory and cpu.
mkdir -p "/run/root/etc/systemd/system/user@.service.d"
printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"/run/root/etc/systemd/system/user@.service.d/all.conf"
mount --move /dev /run/root/dev
umount /proc
cd /run/root
pivot_root . mnt
exec chroot . sh -c 'umount -l /mnt; exec /lib/systemd/systemd systemd.show_status=0 </dev/null >/dev/console 2>&1'
