# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Starting what was installed, with systemd or without it.

supervisor() { "$OPT/current/bin/wcp360-supervisor" ctl "$@"; }
service_enable() {
    if systemd_runs; then systemctl enable -q "$1.service"; else supervisor enable "$1.service"; fi
}
service_start() {
    if systemd_runs; then systemctl start "$1.service"; else supervisor start "$1.service"; fi
}
service_stop() {
    if systemd_runs; then systemctl stop "$1.service"; else supervisor stop "$1.service"; fi
}
# The process that runs a program of ours in this process namespace (a container's would show up, too).
process_of() { # PROGRAM
    local exe pid
    for exe in /proc/[0-9]*/exe; do
        pid=${exe#/proc/} pid=${pid%/exe}
        case $(readlink "$exe" 2>/dev/null) in
            "$OPT"/releases/*/bin/"$1" | "$OPT/releases/"*"/bin/$1 (deleted)") ;;
            *) continue ;;
        esac
        [ "$(readlink "/proc/$pid/ns/pid" 2>/dev/null)" = "$(readlink /proc/self/ns/pid)" ] || continue
        echo "$pid"
        return 0
    done
    return 1
}
# Whether it runs, but not what is installed now: another program, or started before its unit was last written.
outdated() { # PROGRAM
    local pid stat unit=/etc/systemd/system/$1.service begun
    pid=$(process_of "$1") || return 1
    [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$OPT/current/bin/$1")" ] || return 0
    [ -e "$unit" ] || return 1
    stat=$(cat "/proc/$pid/stat") || return 1
    begun=$(awk '{ print $20 }' <<<"${stat##*) }")
    begun=$(($(awk '$1 == "btime" { print $2 }' /proc/stat) + begun / $(getconf CLK_TCK)))
    [ "$(stat -c %Y "$unit")" -gt $((begun + 1)) ]
}
run_service() { # NAME
    if outdated "$1"; then
        echo "restarting $1: it is not what is installed now"
        service_stop "$1"
    fi
    must "$1 can't be enabled" service_enable "$1"
    must "$1 did not start" service_start "$1"
}
start_services() {
    if systemd_runs; then
        must "systemd can't read its units" systemctl daemon-reload
        systemd-tmpfiles --create wcp360.conf
        systemctl enable -q wcp360.target
    else
        local pid
        if outdated wcp360-supervisor; then
            # Killed like this it leaves its units running, and the next one takes them over: no site notices.
            pid=$(process_of wcp360-supervisor)
            kill -KILL "$pid"
            wait_until 10 gone "$pid" || die "the old supervisor (process $pid) does not end"
        fi
        process_of wcp360-supervisor >/dev/null ||
            must "wcp360-supervisor did not start" "$OPT/current/bin/wcp360-supervisor" run
        wait_until 20 supervisor_answers || die "wcp360-supervisor does not answer" "See $LOGS/supervisor.log"
        must "the supervisor can't read the units" supervisor daemon-reload
    fi
    # The agent writes nginx's configuration when it starts for the first time, so it comes first.
    run_service wcp360-agent
    wait_until 30 test -S "$RUN/agent.sock" || die "wcp360-agent did not open $RUN/agent.sock" "$(where_to_look wcp360-agent)"
    wait_until 30 test -e "$ETC/nginx/current/nginx.conf" || die "wcp360-agent wrote no nginx configuration" "$(where_to_look wcp360-agent)"
    run_service nginx
    run_service wcp360-core
    if systemd_runs; then must "wcp360.target did not start" systemctl start wcp360.target; fi
}
supervisor_answers() { [ -S "$RUN/supervisor.sock" ] && supervisor ping >/dev/null 2>&1; }
where_to_look() { # SERVICE
    if systemd_runs; then echo "See: journalctl -u $1"; else echo "See $LOGS/units/$1.service.log and $LOGS/${1#wcp360-}.log"; fi
}
healthy() { timeout 10 /usr/bin/wcp360 health >"$work/health" 2>&1 3>&- 9>&-; }
wait_for_health() {
    if ! wait_until 60 healthy; then
        mapfile -t lines <"$work/health"
        die "the panel is not healthy after a minute" "${lines[@]/#/| }" "$(where_to_look wcp360-core)"
    fi
}
