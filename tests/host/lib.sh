# shellcheck shell=bash
# Shared by the commands in this directory. A test host is a throw-away Debian 12: an overlay over a cached tree, in
# namespaces of its own, without a network. All its mounts live in its own mount namespace, so that killing its
# processes removes everything, however it dies.
#
# State of a host, in $HOSTS/NAME:
#   kind      systemd | plain
#   owner     "PID STARTTIME" of the process the host belongs to, or "none"
#   keeper    "PID STARTTIME" of the process on this machine that holds the namespaces
#   leader    "PID STARTTIME" of the host's PID 1, as this machine numbers it
#   console   what the host printed while booting

set -euo pipefail

# Where hosts live and where trees are kept. Both may be moved by the environment.
HOSTS=${WCP360_HOSTS:-/run/wcp360-test-hosts}
CACHE=${WCP360_CACHE:-${HOME:-/root}/.cache/wcp360}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
export HOSTS CACHE HERE REPO

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root (namespaces and mounts): run it with sudo"; }

check_name() {
    [[ $1 =~ ^[a-z][a-z0-9-]{0,40}$ ]] || die "'$1' is no host name: a-z, then a-z, 0-9 and -, at most 41"
}

# A pid alone may be taken by another process later: a pid and its start time name one process for good.
start_time() { # PID
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) } # the name before it may hold blanks
    # shellcheck disable=SC2086 # into words, on purpose
    set -- $stat
    [ "$1" != Z ] || return 1
    printf '%s' "${20}"
}
process_id() { printf '%s %s\n' "$1" "$(start_time "$1")"; }
# Prints the pid when the process recorded in FILE still runs.
alive() { # FILE
    local pid started now
    read -r pid started 2>/dev/null <"$1" || return 1
    now=$(start_time "$pid") || return 1
    [ "$now" = "$started" ] && printf '%s' "$pid"
}

# The control groups of a host, in each hierarchy that systemd uses. Every host needs its own: two systemds in one
# group would take each other's processes for theirs.
groups_of() { # NAME
    local top
    for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        [ ! -e "$top/cgroup.procs" ] || echo "$top/wcp360-test-$1"
    done
}

leader_of() { # NAME
    check_name "$1"
    [ -d "$HOSTS/$1" ] || die "no host '$1': start it with $HERE/up $1"
    alive "$HOSTS/$1/leader" || die "host '$1' is not running: $HERE/down $1, then $HERE/up $1"
}

# Waits until a condition holds, or says what did not happen.
wait_for() { # SECONDS WHAT COMMAND…
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || { say "waited too long: $what"; return 1; }
        sleep 0.05
    done
}

# Runs a command inside a host, with nothing of this shell's environment.
enter() { # NAME COMMAND…
    local pid top id path
    pid=$(leader_of "$1")
    # Processes belong in the host's control groups, where its PID 1 is, or its systemd takes them for strangers.
    while IFS=: read -r _ id path; do
        case $id in
            '') top=/sys/fs/cgroup$([ -d /sys/fs/cgroup/unified ] && echo /unified) ;;
            name=systemd) top=/sys/fs/cgroup/systemd ;;
            *) continue ;;
        esac
        [ "$path" = / ] || echo $BASHPID 2>/dev/null >"$top$path/cgroup.procs" || true
    done <"/proc/$pid/cgroup"
    shift
    exec nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup --root --wdns=/root -- \
        /usr/bin/env -i HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
