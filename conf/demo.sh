#!/bin/sh
# Run conf/demo.toml for about ten seconds in folders of its own, show what the program says about it, and check that
# nothing is left.  usage: demo.sh [NSVISOR]
set -eu
here=$(dirname "$(readlink -f "$0")")
nsvisor=$(readlink -f "$(dirname "${1:-$here/../.venv/bin/nsvisor}")")/nsvisor

top=$(mktemp -d "${TMPDIR:-/tmp}/nsvisor-demo.XXXXXX")
mkdir -m 700 "$top/run" "$top/state" "$top/config"
export XDG_RUNTIME_DIR="$top/run" XDG_STATE_HOME="$top/state" XDG_CONFIG_HOME="$top/config"
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID NSVISOR_CONFIG
daemon=

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() {
    printf '$ nsvisor %s\n' "$*"
    "$nsvisor" "$@"
}

# The daemon and all that descends from it: the keeper, and by it the workers.
family() {
    grep -H '^PPid:' /proc/[0-9]*/status 2>/dev/null | awk -F '[/:\t]+' -v top="$daemon" '
        { parent[$3] = $6 }
        END { mine[top] = 1
              do { more = 0; for (p in parent) if (!(p in mine) && (parent[p] in mine)) { mine[p] = 1; more = 1 } } while (more)
              for (p in mine) print p }'
}

finish() {
    status=$?
    trap - EXIT
    if [ -n "$daemon" ]; then
        kill -TERM "$daemon" 2>/dev/null && wait "$daemon" || true
    fi
    [ "$status" = 0 ] || { echo "the demo failed; the daemon's log:" >&2; cat "$top/log" >&2; }
    rm -rf "$top"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$(id -u)" = 0 ]; then
    title "as root"
    echo "Sandboxes get a user namespace all the same, but id maps are written directly (no newuidmap), and what gets"
    echo "out of a sandbox is root: run the daemon as an ordinary user unless a worker needs real root."
fi

title "start the daemon on conf/demo.toml"
"$nsvisor" --config "$here/demo.toml" daemon >"$top/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
    "$nsvisor" ps >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || exit 1
    sleep 0.1
done
show wait web --for ready --timeout 15s
echo "web answers on 127.0.0.1:8080 inside its sandbox."
sleep 6

title "what runs"
show ps
title "what the visitor saw in the web server's network, where nothing of the host is"
show logs visitor
title "what crashy said, start after start"
show logs crashy
title "why broken does not start"
show explain broken
title "one launch, phase by phase"
show explain web

title "stop"
pids=$(family)
show shutdown --wait
wait "$daemon"
daemon=
left=
for pid in $pids; do
    [ ! -d "/proc/$pid" ] || left="$left $pid"
done
if [ -n "$left" ]; then
    echo "processes left behind:$left" >&2
    for pid in $left; do
        printf '%s: %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline")" >&2
    done
    exit 1
fi
echo "$(echo "$pids" | wc -l) processes were running; none is left."
