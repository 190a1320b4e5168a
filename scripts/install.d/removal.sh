# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Removing the panel, and all that it holds.

# What --configure-only placed, but for settings and data.
unconfigure() {
    local unit
    if systemd_runs; then
        systemctl disable -q --now wcp360.target wcp360-core.service 2>/dev/null || true
        systemctl list-units --all --plain --no-legend 'wcp360-*' 2>/dev/null | awk '{ print $1 }' | while read -r unit; do
            systemctl stop "$unit" 2>/dev/null || true
        done
        if ours /etc/systemd/system/nginx.service; then systemctl disable -q --now nginx.service 2>/dev/null || true; fi
    elif process_of wcp360-supervisor >/dev/null; then
        local pid
        pid=$(process_of wcp360-supervisor)
        supervisor shutdown || kill -TERM "$pid" 2>/dev/null || true # stops its units first
        wait_until 60 gone "$pid" || { note "the supervisor did not end by itself; killed"; kill -KILL "$pid" 2>/dev/null || true; }
    fi
    for unit in /etc/systemd/system/wcp360-* /etc/systemd/system/wcp360.target /etc/systemd/system/*.wants/wcp360* /etc/systemd/system/*.requires/wcp360*; do
        if [ -e "$unit" ] || [ -L "$unit" ]; then rm -rf "$unit"; fi
    done
    if ours /etc/systemd/system/nginx.service; then
        rm -rf /etc/systemd/system/nginx.service /etc/systemd/system/nginx.service.d/base-dir.conf
        rm -f /etc/systemd/system/multi-user.target.wants/nginx.service
    fi
    rm -f /etc/tmpfiles.d/wcp360.conf /etc/logrotate.d/wcp360 /etc/pam.d/wcp360
    if [ "$(readlink /usr/bin/wcp360)" = "$OPT/current/bin/wcp360" ]; then rm -f /usr/bin/wcp360; fi
    rm -rf "$RUN"
    if systemd_runs; then systemctl daemon-reload; fi
}
ours() { grep -qs 'Installed by WCP360' "$1"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
remove_data() {
    local manifest name base
    base=$(setting base_dir /srv/www)
    for manifest in "$ETC"/users/*/; do
        [ -d "$manifest" ] || continue
        name=$(basename "$manifest")
        # Only users whose home is where we put it.
        [ "$(getent passwd "$name" | cut -d: -f6)" = "$base/$name" ] || continue
        pkill -KILL -u "$name" 2>/dev/null || true
        userdel "$name" 2>/dev/null || true
        ! getent group "$name" >/dev/null || groupdel "$name" 2>/dev/null || true
        rm -rf --one-file-system "${base:?}/$name"
    done
    rm -rf --one-file-system "$base/.trash"
    rmdir "$base" 2>/dev/null || note "$base holds files that are not WCP360's; they stay"
    rm -rf --one-file-system "$ETC" "$VAR" "$CREDENTIALS"
    userdel wcp360 2>/dev/null || true
    ! getent group wcp360 >/dev/null || groupdel wcp360 2>/dev/null || true
}
uninstall() {
    if [ -n "$purge" ] && [ -z "$assume_yes" ] && [ -t 0 ]; then
        local answer
        printf 'This removes all accounts and their sites, for good. Type "remove" to go on: ' >&3
        read -r answer
        [ "$answer" = remove ] || die "nothing was removed"
    fi
    steps=2
    [ -z "$purge" ] || steps=3
    begin "Stopping services"
    unconfigure
    begin "Removing programs"
    # shellcheck disable=SC2016 # dpkg-query expands this
    if [ "$(dpkg-query -W -f '${db:Status-Status}' wcp360 2>/dev/null)" = installed ]; then
        WCP360_INSTALLER=1 must "dpkg could not remove the package wcp360" dpkg --purge wcp360
    fi
    rm -rf "$OPT"
    if [ -n "$purge" ]; then
        begin "Removing accounts, sites and settings"
        remove_data
        finish
        exec >/dev/null 2>&1
        rm -rf "$LOGS"
        tell ""
        tell "WCP360 and all its data are gone. nginx and PHP are still installed."
    else
        finish
        tell ""
        tell "WCP360 is removed. Accounts and sites are as they were: /srv/www, $ETC, $VAR, $LOGS."
        tell "Install it again to go on with them, or remove them as well: ${0##*/} --uninstall --purge"
    fi
}
