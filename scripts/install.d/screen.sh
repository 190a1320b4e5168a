# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# What the person sees; everything else goes to the log.

# Descriptor 3 is the person's terminal; everything else goes to the log (from open_log on).
exec 3>&1
steps=0 step=0 step_started=0 step_open=
started=$SECONDS

begin() { # TITLE
    finish
    step=$((step + 1)) step_started=$SECONDS step_open=1
    printf '[%2d/%d] %-44s' "$step" "$steps" "$1" >&3
    printf '\n== %s  %s\n' "$(date '+%F %T')" "$1"
}
# Ends the current step's line with how long it took.
finish() {
    [ -n "$step_open" ] || return 0
    step_open=
    printf '%4d s\n' $((SECONDS - step_started)) >&3
}
note() {
    [ -z "$step_open" ] || { printf '\n' >&3; step_open=; }
    printf '        %s\n' "$*" >&3
    printf '%s\n' "$*"
}
tell() { printf '%s\n' "$*" >&3; }
die() { # WHAT… (each argument a line)
    [ -z "$step_open" ] || { printf '\n' >&3; step_open=; }
    [ -z "$work" ] || printf 'install-wcp360: %s\n' "$1" # into the log, which is open now
    {
        printf '\ninstall-wcp360: %s\n' "$1"
        shift
        [ $# = 0 ] || printf '  %s\n' "$@"
        [ -z "$work" ] || printf '  Details: %s\n' "$LOG"
    } >&3
    exit 1
}
# Runs a command whose output is for the log; when it fails, its last lines are for the person too.
must() { # WHAT-IT-MEANS-IF-IT-FAILS COMMAND…
    local why=$1 output status=0
    shift
    output=$work/output
    printf '+ %s\n' "$*"
    "$@" >"$output" 2>&1 3>&- 9>&- || status=$?
    cat "$output"
    [ $status = 0 ] && return 0
    mapfile -t lines < <(tail -n 12 "$output")
    die "$why" "${lines[@]/#/| }" "It can be run again from the start: what is done stays done."
}
