#!/bin/bash
# Turn ROOT, a writable view of this machine's root, into a small full systemd that runs COMMAND as root once the login
# manager is up. What it starts is named here; nothing that this machine would start is started.
#
#   full-system.sh ROOT COMMAND      (COMMAND as seen inside)
set -eu
root=$1 command=$2
etc=$root/etc/systemd units=/usr/lib/systemd/system
[ -d "$root$units" ] || units=/lib/systemd/system

rm -rf "$etc/system" "$root$units"/*.{wants,requires} "$root"/usr/lib/systemd/system-generators/* "$root/.dockerenv"
rm -rf "$root/var/lib/systemd/linger" "$root/var/log/journal"
mkdir -p "$etc"/{system,journald.conf.d,logind.conf.d} "$root/var/log/journal"
: >"$root/etc/fstab"
echo guest >"$root/etc/hostname"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
# An empty Audit= leaves the kernel's audit as it is; both yes and no would change it.
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=\nForwardToWall=no\n' \
    >"$etc/journald.conf.d/guest.conf"
printf '[Login]\nUserStopDelaySec=0\n' >"$etc/logind.conf.d/guest.conf" # after the last logout
cat >"$etc/system/guest.service" <<UNIT
[Unit]
Description=What this machine was started for
After=systemd-logind.service systemd-user-sessions.service
Requires=systemd-logind.service
FailureAction=poweroff
[Service]
Type=exec
ExecStart=$command
UNIT
# A container's manager makes /proc/sys read-only and hides parts of /proc: no sandbox could have a proc of its own or
# seal its user namespace. PID 1 has written what it wants by now, in vain, as it should: this machine has one /proc/sys.
# The journal goes by the boot's id, which is that manager's.
cat >"$etc/system/whole-proc.service" <<'UNIT'
[Unit]
Description=A whole and writable proc
DefaultDependencies=no
ConditionVirtualization=container
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/mount --mkdir -t proc proc /run/whole-proc
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/boot_id >/run/boot-id'
ExecStart=/bin/sh -c 'while umount -l /proc/sys 2>/dev/null; do :; done'
ExecStart=/bin/mount --bind /run/boot-id /proc/sys/kernel/random/boot_id
UNIT

wants() { # TARGET UNIT...
    local target=$1 unit
    shift
    mkdir -p "$etc/system/$target.wants"
    for unit in "$@"; do
        ln -s "$units/$unit" "$etc/system/$target.wants/$unit"
        [ -e "$root$units/$unit" ] || [ -e "$etc/system/$unit" ] || {
            echo "this machine has no unit $unit: are systemd, dbus and libpam-systemd installed?" >&2
            exit 1
        }
    done
}
wants sysinit.target systemd-journald.service systemd-journal-flush.service
wants sockets.target systemd-journald.socket systemd-journald-dev-log.socket dbus.socket
wants multi-user.target dbus.service systemd-logind.service systemd-user-sessions.service
ln -s ../guest.service "$etc/system/multi-user.target.wants/guest.service"
ln -s ../whole-proc.service "$etc/system/sysinit.target.wants/whole-proc.service"
ln -s "$units/multi-user.target" "$etc/system/default.target"
ln -s /dev/null "$etc/system/modprobe@drm.service"
ln -s /dev/null "$etc/system/getty.target"
