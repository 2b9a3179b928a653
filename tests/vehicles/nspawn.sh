#!/bin/bash
# A full systemd in a container on a throw-away overlay of this machine's root: no image. Needs root and systemd-nspawn.
#
#   nspawn.sh WORK COMMAND [BIND...]
#
# COMMAND runs in it as root (see full-system.sh). WORK is there, writable; each BIND is a path that is there, read-only.
# When the system restarts itself it is started again on the same files; when it is switched off, or standard input is
# closed, everything ends and nothing is left: mounts are in a namespace, processes in another, files in memory.
set -eu
work=$1 command=$2
shift 2

# Third stage: in namespaces of its own, in a cgroup of its own.
if [ "${1:-}" = inside ]; then
    shift
    umount /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup # with our own as its root
    mount -t tmpfs none /run # where nspawn keeps its own
    mkdir /run/guest
    mount -t tmpfs -o size=2g none /run/guest
    mkdir /run/guest/{upper,overlay,root}
    root=/run/guest/root
    mount -t overlay overlay -o lowerdir=/,upperdir=/run/guest/upper,workdir=/run/guest/overlay $root
    "$(dirname "$0")/full-system.sh" $root "$command"
    binds=()
    for path in "$@"; do binds+=("--bind-ro=$path"); done
    while :; do
        status=0
        # Without machined: no scope is asked for, nothing is registered. A filter of system calls would be the workers', too.
        SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_TMPFS_TMP=0 SYSTEMD_SECCOMP=0 systemd-nspawn \
            --quiet --register=no --keep-unit --boot --directory=$root --machine=guest --private-users=no --private-network \
            --console=read-only --resolv-conf=off --timezone=off --link-journal=no --bind="$work" "${binds[@]}" \
            systemd.show_status=0 || status=$?
        [ "$status" = 133 ] || exit "$status" # it wants to be started again
    done
fi

# Second stage: in a mount namespace, so that whatever happens no mount stays behind.
if [ "${1:-}" = mounted ]; then
    shift
    mount -t cgroup2 none /sys/fs/cgroup # over what this machine has there, in this namespace only
    here=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    tree=$here/nsvisor-${work##*[./-]}
    outer=
    # shellcheck disable=SC2317
    finish() {
        trap '' TERM INT HUP
        [ -z "$outer" ] || kill -KILL "$outer" 2>/dev/null || true # and its pid namespace with it
        wait
        echo "$BASHPID" >"$here/cgroup.procs"
        for ((i = 0; i < 200; i++)); do
            find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.05
        done
    }
    trap finish EXIT
    trap 'exit 143' TERM INT HUP
    mkdir "$tree"
    echo "$BASHPID" >"$tree/cgroup.procs"
    setpriv --pdeathsig KILL -- unshare --mount --propagation private --pid --fork --mount-proc --cgroup --kill-child -- \
        "$0" "$work" "$command" inside "$@" </dev/null &
    outer=$!
    echo "$BASHPID" >"$here/cgroup.procs"
    (
        cat >/dev/null # until standard input is closed
        kill -TERM $$
    ) <&3 &
    watch=$!
    wait "$outer" && status=0 || status=$?
    outer=
    kill "$watch" 2>/dev/null || true
    exit "$status"
fi

exec unshare --mount --propagation private -- "$0" "$work" "$command" mounted "$@" 3<&0
