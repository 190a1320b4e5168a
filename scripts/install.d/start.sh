# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Options, the log, one installation at a time, and the end of the process.

options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --demo) demo=1 ;;
            --from) from=${2:-}; shift; [ -n "$from" ] || die "--from needs a file" ;;
            --from=*) from=${1#*=} ;;
            --hostname) hostname=${2:-}; shift; [ -n "$hostname" ] || die "--hostname needs a name" ;;
            --hostname=*) hostname=${1#*=} ;;
            --yes | --non-interactive) assume_yes=1 ;;
            --uninstall) mode=uninstall ;;
            --purge) purge=1 ;;
            --configure-only) mode=configure ;;
            --unconfigure) mode=unconfigure ;;
            --list-packages) printf '%s\n' "${RUNTIME_PACKAGES[@]}"; exit 0 ;;
            *) die "unknown option '$1'" "Options: $0 --help" ;;
        esac
        shift
    done
    [ -z "$purge" ] || [ "$mode" = uninstall ] || die "--purge goes with --uninstall"
    [ -z "$hostname" ] || valid_hostname "$hostname" ||
        die "'$hostname' is no full host name" "Give one with a dot in it, of a-z, 0-9 and -, such as panel.example.org."
    if [ -n "$from" ]; then
        [ -f "$from" ] || die "--from $from: there is no such file"
        from=$(readlink -f "$from")
    fi
}
valid_hostname() {
    local label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
    [[ ${#1} -le 253 && $1 =~ ^($label\.)+$label$ ]]
}

open_log() {
    [ "$(id -u)" = 0 ] || die "this needs root" "Run it as: sudo $0 $*"
    [ ! -L "$LOGS" ] || die "$LOGS is a symbolic link" "Put a directory there and run this again."
    [ -d "$LOGS" ] || install -d -m 0750 "$LOGS"
    # The panel's user may make files in this directory, so a log that root did not make is not written to. In a sticky
    # directory nobody can swap one that root did make.
    if [ -L "$LOG" ] || { [ -e "$LOG" ] && [ "$(stat -c '%u %F' "$LOG")" != "0 regular file" ] &&
        [ "$(stat -c '%u %F' "$LOG")" != "0 regular empty file" ]; }; then
        rm -f "$LOG"
    fi
    [ -e "$LOG" ] || (umask 077 && set -C && : >"$LOG") || die "can't create $LOG"
    exec >>"$LOG" 2>&1
    printf '\n==== %s  %s %s\n' "$(date '+%F %T %z')" "$0" "$*"

    # One at a time. The lock ends with its holder, however that ends; a package manager that we left running holds it on.
    exec 9>/run/wcp360-install.lock
    if ! flock -n 9; then
        tell "Another installation is under way; waiting for it to end."
        flock -w 900 9 || die "another installation is still under way after 15 minutes" "See who: fuser -v /run/wcp360-install.lock"
    fi
    work=$(mktemp -d /run/wcp360-install.XXXXXX) # in memory, root only: it may hold secrets for a moment
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # In a subshell it ends the subshell; the command that it was part of is then named here.
    trap '[ "$BASH_SUBSHELL" != 0 ] || unexpected "${BASH_SOURCE[0]##*/}, line $LINENO" "$BASH_COMMAND"' ERR
    set -E
}
# What the last run left when it was killed with -9.
sweep() {
    local path
    for path in /run/wcp360-install.??????; do [ "$path" = "$work" ] || rm -rf "$path"; done
    rm -rf "$OPT"/releases/.new.*
    allow_services
}
cleanup() {
    local status=$?
    trap - ERR
    allow_services
    [ -z "$work" ] || rm -rf "$work"
    [ $status != 130 ] || tell $'\n'"Interrupted. Run it again to go on."
    exit $status
}
unexpected() { # WHERE COMMAND
    trap - ERR
    mapfile -t lines < <(tail -n 6 "$LOG")
    die "'$2' failed unexpectedly ($1)" "${lines[@]/#/| }" "It can be run again from the start: what is done stays done."
}
