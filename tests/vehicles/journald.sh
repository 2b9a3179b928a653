#!/bin/sh
# systemd-journald alone, with a /run of its own. To be run as root in a mount namespace of its own:
#
#   unshare --mount --propagation private -- journald.sh
#
# The shell becomes journald, which SIGTERM ends. Nothing of it outlives the namespace.
set -eu
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/systemd/journald.conf.d
# An empty Audit= leaves the machine's audit as it is; both yes and no would change it.
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=\nForwardToWall=no\n' \
    >/run/systemd/journald.conf.d/test.conf
exec /usr/lib/systemd/systemd-journald
