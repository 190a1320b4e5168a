# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Whether this machine will do, and the packages that it needs.

check_machine() {
    local id='' version='' name=''
    # shellcheck disable=SC1091
    [ ! -r /etc/os-release ] || { id=$(. /etc/os-release; echo "$ID"); version=$(. /etc/os-release; echo "${VERSION_ID:-}"); name=$(. /etc/os-release; echo "${PRETTY_NAME:-$ID}"); }
    case $id:$version in
        debian:12 | ubuntu:22.04 | ubuntu:24.04) ;;
        debian:* | ubuntu:*) note "$name is not tested: Debian 12, Ubuntu 22.04 and 24.04 are" ;;
        *) die "this is ${name:-an unknown system}; WCP360 runs on Debian 12 and on Ubuntu 22.04 and 24.04" ;;
    esac
    local free
    free=$(df -Pk /opt 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    [ "${free:-9999}" -ge 500 ] || die "only $free MB are free for /opt; 500 are needed"

    local port
    for port in "$(setting http_port 80)" "$(setting https_port 443)"; do check_port "$port"; done
}
check_port() { # PORT: free, or held by our own nginx
    local pid command name remedy
    for pid in $(listeners "$1"); do
        command=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || continue
        case $command in
            *"$ETC/nginx/"*) return 0 ;;
            # nginx's workers don't name their configuration; their master does.
            nginx:*worker*) grep -qF "$ETC/nginx/" "/proc/$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status")/cmdline" && return 0 ;;
        esac
        name=$(cat "/proc/$pid/comm")
        remedy="Stop it (kill $pid) and keep it from starting again"
        ! systemd_runs || remedy="Stop it and keep it from starting again: systemctl disable --now $name"
        die "port $1 is taken by $name (process $pid: ${command% })" "WCP360's nginx needs ports 80 and 443. $remedy. Then run this again."
    done
}
# Processes that listen on a TCP port, found without tools that a small system may lack.
listeners() { # PORT
    local hex inode
    hex=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' | while read -r inode; do
        # Processes come and go while find looks.
        { find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null || true; } | cut -d/ -f3
    done | sort -un
}

missing_packages() { # PACKAGE…
    local package
    for package in "$@"; do
        # shellcheck disable=SC2016 # dpkg-query expands this
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}
install_packages() { # PACKAGE…: only those that are missing
    local packages
    mapfile -t packages < <(missing_packages "$@")
    if [ ${#packages[@]} -gt 0 ]; then
        export DEBIAN_FRONTEND=noninteractive
        [ -z "$(dpkg --audit)" ] || must "dpkg was interrupted earlier and can't be repaired: run 'dpkg --configure -a' by hand" dpkg --configure -a
        hold_services
        must "apt could not read its package lists: check the network and /etc/apt" apt-get -q update -o DPkg::Lock::Timeout=300
        must "apt could not install ${packages[*]}" apt-get -q install -y --no-install-recommends \
            -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "${packages[@]}"
        allow_services
        changes=$((changes + 1))
    fi
    # php-fpm's stock service is of no use here: every account gets its own. It is left alone where it has pools.
    local unit pools
    if systemd_runs; then
        for unit in /lib/systemd/system/php*-fpm.service; do
            [ -e "$unit" ] || continue
            unit=${unit##*/}
            pools=$(find "/etc/php/$(tr -dc '0-9.' <<<"$unit" | sed 's/\.$//')/fpm/pool.d" -name '*.conf' ! -name www.conf 2>/dev/null | wc -l)
            if [ "$pools" = 0 ] && systemctl is-enabled -q "$unit" 2>/dev/null; then
                systemctl disable -q --now "$unit"
                changes=$((changes + 1))
            fi
        done
    fi
}
# Debian starts a service as it installs it; nginx and php-fpm would take the ports with their stock configuration.
# This asks dpkg not to, for these two, and only while this process runs: should it be killed, the rule is void.
hold_services() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -e "$policy" ] || return 0 # the machine has its own rules
    put_file 0755 root:root "$policy" <<POLICY
#!/bin/sh
# By the WCP360 installer, for as long as it runs: nginx and php-fpm are not started by their packages.
case \$1 in nginx* | php*-fpm*) grep -q install-wcp360 /proc/$$/cmdline 2>/dev/null && exit 101 ;; esac
exit 0
POLICY
}
allow_services() {
    local policy=/usr/sbin/policy-rc.d
    if grep -qs 'By the WCP360 installer' "$policy"; then rm -f "$policy"; fi
}
