#!/bin/bash
# PID 1 of the guest that tests/vehicles/uml.py boots: this machine's root, read-only by hostfs, under another kernel,
# with systemd as the ordinary user's service manager and all controllers delegated to it.
#
# Kernel command line: nsvisor_user=NAME nsvisor_run=COMMAND (run as that user; what it prints is the guest's output).
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
arg() { sed -n "s/.*nsvisor_$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
user=$(arg user) uid=$(id -u "$(arg user)") gid=$(id -g "$(arg user)") home=$(getent passwd "$(arg user)" | cut -d: -f6)
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/console 2>&1
ln -s /proc/self/fd /dev/fd
mkdir /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
rm -f /dev/ptmx && ln -s pts/ptmx /dev/ptmx
chmod 666 /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o "mode=700,uid=$uid,gid=$gid" tmpfs "$home" || echo "cannot mount on $home"
mkdir -p "/run/user/$uid" /run/systemd/system # the second is what sd_booted(3) looks at
chown "$uid:$gid" "/run/user/$uid"
chmod 700 "/run/user/$uid"
ip link set lo up
hostname guest

mount -t cgroup2 cgroup2 /sys/fs/cgroup
slice=/sys/fs/cgroup/user.slice/user-$uid.slice
manager=$slice/user@$uid.service
mkdir -p "$manager"
for directory in /sys/fs/cgroup /sys/fs/cgroup/user.slice "$slice"; do
    for controller in $(cat "$directory/cgroup.controllers"); do
        echo "+$controller" >"$directory/cgroup.subtree_control"
    done
done
chown "$uid:$gid" "$manager" "$manager"/cgroup.{procs,threads,subtree_control}

as_user=(setpriv "--reuid=$uid" "--regid=$gid" --init-groups env -i "HOME=$home" "USER=$user" "LOGNAME=$user"
    SHELL=/bin/sh PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 "XDG_RUNTIME_DIR=/run/user/$uid")
(
    echo 0 >"$manager/cgroup.procs"
    exec "${as_user[@]}" /usr/lib/systemd/systemd --user >"$home/systemd.log" 2>&1
) &
for ((i = 0; i < 200; i++)); do
    state=$("${as_user[@]}" systemctl --user is-system-running 2>/dev/null) || true
    case $state in running | degraded) break ;; esac
    sleep 0.1
done
echo "guest: user manager $state after $(cut -d' ' -f1 /proc/uptime) s"
cd /
"${as_user[@]}" "$(arg run)"
echo "guest: exit status $?"
echo o >/proc/sysrq-trigger
sleep 60
