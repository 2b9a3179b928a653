#!/bin/bash
# A real `systemd --user` for USER on a machine of any kind, in pid, mount and cgroup namespaces of its own, with a
# cgroup subtree delegated to it. Needs root. The machine's own cgroups and /run stay as they are.
#
#   user-systemd.sh USER HOME
#
# Prints "ready PID", PID being a process to enter the namespaces by (nsenter -t PID -m -p -C), and ends everything
# once its standard input is closed.
set -eu
user=$1 home=$2
uid=$(id -u "$user") gid=$(id -g "$user")
manager=/user.slice/user@$uid.service

# Second stage: inside the namespaces. Descriptor 3 is where the first stage reads how it went.
if [ "${3:-}" = inside ]; then
    trap 'exit 0' TERM
    mount -t tmpfs none /sys/fs/cgroup # hides what the machine has there; in this mount namespace only
    mount -t cgroup2 none /sys/fs/cgroup
    mount -t tmpfs -o mode=755 none /run
    mkdir -p "/run/user/$uid" /run/systemd/system # the second is what sd_booted(3) looks at
    chown "$uid:$gid" "/run/user/$uid"
    chmod 700 "/run/user/$uid"
    echo 0 >"/sys/fs/cgroup$manager/cgroup.procs"
    as_user=(setpriv --reuid "$uid" --regid "$gid" --init-groups env -i "HOME=$home" "USER=$user" "LOGNAME=$user"
        SHELL=/bin/sh PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 "XDG_RUNTIME_DIR=/run/user/$uid")
    cd /
    "${as_user[@]}" /usr/lib/systemd/systemd --user >"$home/systemd.log" 2>&1 3>&- &
    for ((i = 0; i < 600; i++)); do
        state=$("${as_user[@]}" systemctl --user is-system-running 2>/dev/null 3>&-) || true
        case $state in running | degraded) break ;; esac
        sleep 0.05
    done
    echo "$state" >&3
    exec 3>&-
    wait
    exit
fi

# First stage: a mount namespace, so that whatever happens no mount stays behind.
if [ "${3:-}" != mounted ]; then
    exec unshare --mount --propagation private -- "$0" "$user" "$home" mounted
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/nsvisor-vehicle.XXXXXX")
mount -t cgroup2 none "$work"
here=$work$(sed -n 's/^0:://p' /proc/self/cgroup)
tree=$work/nsvisor-${work##*.}

finish() {
    exec 4<&- 2>/dev/null || true
    if [ -n "$inner" ]; then
        kill -TERM "$inner" 2>/dev/null || true
        for ((i = 0; i < 60; i++)); do
            kill -0 "$inner" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$inner" 2>/dev/null || true
    fi
    echo "$BASHPID" >"$here/cgroup.procs"
    for ((i = 0; i < 100; i++)); do
        find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.05
    done
    umount "$work"
    rmdir "$work"
}
inner=
trap finish EXIT

mkdir -p "$tree$manager"
chown -R "$uid:$gid" "$tree$manager"
echo "$BASHPID" >"$tree/cgroup.procs"
exec 4< <(exec 3>&1 unshare --pid --fork --mount-proc --cgroup --kill-child -- "$0" "$user" "$home" inside </dev/null 1>&2)
outer=$!
read -r state <&4 || state="it ended"
inner=$(tr -d ' ' <"/proc/$outer/task/$outer/children") || true
case $state in
running | degraded) ;;
*)
    echo "cannot start systemd --user: $state" >&2
    exit 1
    ;;
esac
echo "ready $inner"
cat >/dev/null # until standard input is closed
