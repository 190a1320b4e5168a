#!/bin/bash
# Installs WCP360 on Debian 12, or Ubuntu 22.04 and 24.04, with systemd or without it.
#
#   sudo ./install-wcp360.sh [options]
#
#   --demo            also create an administrator, an account "demo" and a site, and fetch its page
#   --from FILE       install a release made before (wcp360-*.tar.gz or wcp360_*.deb); needs no compiler
#   --hostname NAME   the machine's name in the panel and its certificate (default: hostname -f)
#   --uninstall       remove the panel; accounts, sites and settings stay
#   --purge           with --uninstall: remove accounts, sites and settings as well
#   --yes             ask nothing (the default, but for --purge on a terminal)
#   --help            this text
#
# Run it again at any time, also after it was interrupted: it goes on, and changes nothing that is right. It compares
# before it writes, and every file appears complete or not at all. Details are in /var/log/wcp360/install.log.
#
# For packages and tests:
#   --configure-only  everything after unpacking, with the release this script lies in
#   --unconfigure     stop the services and remove what --configure-only placed, for the package's removal
#   --list-packages   the Debian packages a running panel needs

set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

# What a running panel needs, besides what every Debian has. packaging/deb/control.in names the same.
RUNTIME_PACKAGES=(nginx-light php-fpm php-cli php-xml php-gd php-mbstring php-curl php-sqlite3 php-zip php-intl
    ca-certificates openssl curl logrotate iproute2 libpam-runtime)
# What building one needs, besides Rust.
BUILD_PACKAGES=(build-essential pkg-config)

SELF=$(readlink -f "${BASH_SOURCE[0]}")
SELF_DIR=$(dirname "$SELF")
OPT=/opt/wcp360
ETC=/etc/wcp360
VAR=/var/lib/wcp360
LOGS=/var/log/wcp360
RUN=/run/wcp360
CONFIG=$ETC/wcp360.yaml
LOG=$LOGS/install.log
CREDENTIALS=/root/wcp360-credentials.txt
SERVICES=(wcp360-agent wcp360-core nginx)

demo='' from='' hostname='' mode=install purge='' assume_yes='' release='' changes=0 work=''

# ---------------------------------------------------------------- what the person sees

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

# ---------------------------------------------------------------- small tools

systemd_runs() { [ -d /run/systemd/system ]; }

# Makes a file what it should be, from standard input: compared first, replaced by renaming. The suffix is one that
# logrotate and others leave alone, should the machine stop in between.
put_file() { # MODE OWNER:GROUP PATH
    local content=$work/content new="$3.new~"
    (umask 077 && cat >"$content")
    if [ -f "$3" ] && [ ! -L "$3" ] && cmp -s "$content" "$3" && [ "$(stat -c '%a %U:%G' "$3")" = "$((10#$1)) $2" ]; then
        return 0
    fi
    rm -f "$new"
    (umask 077 && cat "$content" >"$new")
    chown "$2" "$new"
    chmod "$1" "$new"
    sync "$new"
    mv -fT "$new" "$3"
    changes=$((changes + 1))
    echo "wrote $3"
}
put_link() { # TARGET PATH
    [ "$(readlink "$2" 2>/dev/null)" = "$1" ] && return 0
    [ ! -d "$2" ] || [ -L "$2" ] || die "$2 is a directory, where a link to $1 belongs" "Move it away and run this again."
    ln -sfT "$1" "$2.new~"
    mv -fT "$2.new~" "$2"
    changes=$((changes + 1))
    echo "linked $2 to $1"
}
put_dir() { # MODE OWNER:GROUP PATH
    local is
    [ ! -L "$3" ] || die "$3 is a symbolic link, where a directory belongs" "Put a directory there (or a bind mount) and run this again."
    if [ ! -d "$3" ]; then
        mkdir -p "$3"
        echo "made $3"
        changes=$((changes + 1))
    fi
    is=$(stat -c '%a %U:%G' "$3")
    if [ "$is" != "$((10#$1)) $2" ]; then
        chown "$2" "$3"
        chmod "$1" "$3"
        echo "$3: $is becomes $1 $2"
    fi
}
setting() { # KEY DEFAULT: its value in wcp360.yaml
    local value=
    [ ! -e "$CONFIG" ] || value=$(sed -n "/^$1:/{s/^$1:[[:space:]]*\"\{0,1\}\([^\"#]*[^\"#[:space:]]\).*/\1/p;q}" "$CONFIG")
    echo "${value:-$2}"
}
wait_until() { # SECONDS COMMAND…
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.2
    done
}
# Root must not follow a link that somebody else placed: what others own is read and written as them.
as_demo() { setpriv --reuid demo --regid demo --init-groups -- "$@"; }
as_panel() { setpriv --reuid wcp360 --regid wcp360 --clear-groups -- "$@"; }

# ---------------------------------------------------------------- start

usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$SELF"; }

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
            -h | --help) usage; exit 0 ;;
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
    trap '[ "$BASH_SUBSHELL" != 0 ] || unexpected $LINENO "$BASH_COMMAND"' ERR
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
unexpected() { # LINE COMMAND
    trap - ERR
    mapfile -t lines < <(tail -n 6 "$LOG")
    die "'$2' failed unexpectedly (line $1)" "${lines[@]/#/| }" "It can be run again from the start: what is done stays done."
}

# ---------------------------------------------------------------- steps

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

# ---- building

# The clone is built as its owner, so that root leaves no files in it that the owner can't remove.
as_builder() {
    local owner home
    owner=$(stat -c %U "$SELF_DIR")
    if [ "$owner" = root ] || [ "$owner" = UNKNOWN ]; then
        (cd "$SELF_DIR" && "$@")
    else
        home=$(getent passwd "$owner" | cut -d: -f6)
        (cd "$SELF_DIR" && HOME=$home USER=$owner setpriv --reuid "$owner" --regid "$(id -g "$owner")" --init-groups -- "$@")
    fi
}
at_least() { # VERSION MINIMUM
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}
find_cargo() { # MINIMUM: prints a cargo that is new enough
    local cargo version owner_home
    owner_home=$(getent passwd "$(stat -c %U "$SELF_DIR")" | cut -d: -f6)
    for cargo in "$(command -v cargo || true)" "$owner_home/.cargo/bin/cargo" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
        [ -x "$cargo" ] || continue
        version=$(as_builder env PATH="$(dirname "$cargo"):$PATH" "$cargo" --version 2>/dev/null | awk '{ print $2 }') || continue
        if [ -n "$version" ] && at_least "$version" "$1"; then
            echo "$cargo"
            return 0
        fi
    done
    return 1
}
install_build_packages() {
    local minimum candidate
    # Some crates make their bindings with clang; whether one does, the lock file says.
    ! grep -q '^name = "clang-sys"' "$SELF_DIR/Cargo.lock" || BUILD_PACKAGES+=(libclang-dev)
    install_packages "${BUILD_PACKAGES[@]}"
    minimum=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$SELF_DIR/Cargo.toml")
    [ -n "$minimum" ] || die "no rust-version in $SELF_DIR/Cargo.toml"
    CARGO=$(find_cargo "$minimum") && return 0
    # Debian keeps a current Rust for its browsers, named rustc-web and cargo-web.
    must "apt could not read its package lists: check the network and /etc/apt" apt-get -q update -o DPkg::Lock::Timeout=300
    candidate=$(apt-cache policy cargo-web | awk '$1 == "Candidate:" { print $2 }')
    if [ -n "$candidate" ] && at_least "${candidate%%[+~-]*}" "$minimum"; then
        install_packages rustc-web cargo-web
        CARGO=$(find_cargo "$minimum") && return 0
    fi
    die "building WCP360 needs Rust $minimum or newer, and this system's packages have none" \
        "Install one (rustup.rs), or install a release that was built elsewhere: $0 --from wcp360-VERSION.tar.gz"
}
build_release() {
    local version files
    version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$SELF_DIR/Cargo.toml" | head -n 1)
    build_with() { as_builder env PATH="$(dirname "$CARGO"):$PATH" "$CARGO" "$@"; }
    watch_log & # a first build takes minutes
    local watcher=$!
    # shellcheck disable=SC2064 # this watcher
    trap "kill $watcher 2>/dev/null || true; cleanup" EXIT
    must "the build failed" build_with xtask dist --out "$SELF_DIR/dist"
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    trap cleanup EXIT
    files=("$SELF_DIR/dist/wcp360-$version"-*.tar.gz)
    from=${files[0]}
    [ -f "$from" ] || die "the build made no $SELF_DIR/dist/wcp360-$version-*.tar.gz"
}
# Shows on a terminal which crate is being compiled.
watch_log() {
    [ -t 3 ] || return 0
    local line
    while sleep 1; do
        line=$(tail -n 1 "$work/output" 2>/dev/null | tr -dc '[:print:]' | cut -c1-40)
        printf '\r[%2d/%d] %-44s%4d s  %-40s' "$step" "$steps" "Building the release" $((SECONDS - step_started)) "$line" >&3
        printf '\r[%2d/%d] %-44s' "$step" "$steps" "Building the release" >&3
    done
}

# ---- laying out

create_user() {
    getent group wcp360 >/dev/null || must "can't create the group wcp360" groupadd --system wcp360
    getent passwd wcp360 >/dev/null || {
        must "can't create the user wcp360" useradd --system --gid wcp360 --home-dir "$VAR" --no-create-home \
            --shell /usr/sbin/nologin --comment "WCP360 panel" wcp360
        changes=$((changes + 1))
    }
}
# docs/architecture.md has the table.
create_directories() {
    local base
    base=$(setting base_dir /srv/www)
    put_dir 755 root:root "$OPT"
    put_dir 755 root:root "$OPT/releases"
    put_dir 755 root:root "$ETC"
    put_dir 700 root:root "$ETC/ssl"
    put_dir 700 root:root "$ETC/users"
    put_dir 711 root:root "$ETC/php"
    put_dir 755 root:root "$ETC/nginx"
    put_dir 755 root:root "$ETC/modules"
    put_dir 755 root:root "$ETC/hardening"
    put_dir 1771 root:wcp360 "$VAR"
    put_dir 700 root:root "$VAR/agent"
    put_dir 711 root:root "$VAR/web"
    put_dir 700 root:root "$VAR/backups"
    put_dir 700 root:root "$VAR/ssl"
    put_dir 700 wcp360:wcp360 "$VAR/jobs"
    put_dir 700 wcp360:wcp360 "$VAR/cache"
    put_dir 1770 root:wcp360 "$LOGS"
    put_dir 755 root:root "$RUN"
    put_dir 755 root:root "$RUN/php"
    put_dir 750 wcp360:www-data "$RUN/panel"
    put_dir 711 root:root "$base"
    put_dir 700 root:root "$base/.trash"
}
# Puts the archive's content into /opt/wcp360/releases/<version> and sets $release.
unpack_release() {
    local new version
    case $from in
        *.deb)
            # As a package, so that dpkg knows of it. Its own script leaves the rest to us.
            version=$(must_print "$from is no package" dpkg-deb -f "$from" Version)
            if [ "$(dpkg-query -W -f '${Version}' wcp360 2>/dev/null)" != "$version" ] || ! dpkg --verify wcp360 >/dev/null; then
                WCP360_INSTALLER=1 must "dpkg could not install $from" dpkg --install --force-confold "$from"
                changes=$((changes + 1))
            fi
            release=$(dpkg -L wcp360 | grep -x "$OPT/releases/[^/]*" | head -n 1)
            [ -n "$release" ] || die "the package $from holds no release"
            return 0
            ;;
    esac
    new=$OPT/releases/.new.$$
    rm -rf "$new"
    mkdir "$new"
    must "$from can't be unpacked: is it a release archive, and complete?" \
        tar -xzf "$from" -C "$new" --strip-components=1 --no-same-owner --no-same-permissions
    check_release "$new"
    version=$(cat "$new/version")
    [[ $version =~ ^[0-9][A-Za-z0-9.+~-]*$ ]] || die "$from has no proper version: '$version'"
    release=$OPT/releases/$version
    if [ -e "$release" ] && ! diff -rq --no-dereference "$new" "$release" >/dev/null; then
        # The same version with other content, as when developing: beside it, so that the switch stays atomic.
        release=$release+$(sha256sum "$from" | cut -c1-8)
    fi
    if [ -e "$release" ]; then
        rm -rf "$new"
    else
        sync -f "$new"
        mv -T "$new" "$release"
        changes=$((changes + 1))
        echo "placed $release"
    fi
}
must_print() { # WHY COMMAND…: like must, printing the output
    local why=$1
    shift
    "$@" 2>"$work/error" || die "$why" "$(tail -n 1 "$work/error")"
}
check_release() { # DIRECTORY
    local path
    for path in bin/wcp360 bin/wcp360-core bin/wcp360-agent bin/wcp360-supervisor version systemd/wcp360-agent.service \
        systemd/wcp360-core.service systemd/nginx.service tmpfiles.d/wcp360.conf pam/wcp360 logrotate/wcp360; do
        [ -e "$1/$path" ] || die "the release lacks $path" "Make it again: cargo xtask dist"
    done
    local machine
    machine=$("$1/bin/wcp360" --version 2>&1) || die "the release's programs don't run on this machine: $machine" \
        "It may be for another processor or a newer system. Build it here: $0 without --from"
}
switch_release() {
    put_link "releases/${release##*/}" "$OPT/current"
    put_link "$OPT/current/bin/wcp360" /usr/bin/wcp360
    # Of the current version, only the content that runs is kept. Other versions stay, to go back to.
    local other version
    version=$(cat "$release/version")
    for other in "$OPT/releases/$version" "$OPT/releases/$version"+*; do
        if [ -d "$other" ] && [ "$other" != "$release" ] && ! dpkg -S "$other" >/dev/null 2>&1; then rm -rf "$other"; fi
    done
}

default_hostname() {
    local name
    name=$(timeout 5 hostname -f 2>/dev/null || hostname)
    name=${name,,}
    if ! valid_hostname "$name"; then
        name=$(hostname)
        name=${name,,}
        name=${name%%.*}.internal # the suffix set aside for names that only count at home
    fi
    valid_hostname "$name" || name=panel.internal
    echo "$name"
}
write_settings() {
    if [ ! -e "$CONFIG" ]; then
        put_file 0644 root:root "$CONFIG" <<YAML
# Settings of this node. After a change: wcp360 health, then restart wcp360-agent and wcp360-core.
hostname: ${hostname:-$(default_hostname)}
base_dir: /srv/www
http_port: 80
https_port: 443
uid_min: 20000
uid_max: 59999
retention_days: 7
api_listen: 127.0.0.1:2098
log_level: info
YAML
    elif [ -n "$hostname" ] && [ "$(setting hostname "")" != "$hostname" ]; then
        sed "s/^hostname:.*/hostname: $hostname/" "$CONFIG" | put_file 0644 root:root "$CONFIG"
    fi
    hostname=$(setting hostname localhost)

    # The panel's certificate, until a real one is issued. Only one that we made is ever replaced.
    local pem=$ETC/ssl/panel.pem
    if [ ! -s "$pem" ] || { openssl x509 -in "$pem" -noout -subject 2>/dev/null | grep -q 'WCP360 self-signed' &&
        ! openssl x509 -in "$pem" -noout -checkhost "$hostname" 2>/dev/null | grep -q 'does match'; }; then
        must "openssl could not make the panel's certificate" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
            -nodes -days 3650 -subj "/O=WCP360 self-signed/CN=WCP360 panel" \
            -addext "subjectAltName=DNS:$hostname,DNS:localhost,IP:127.0.0.1,IP:::1" \
            -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=serverAuth" \
            -keyout "$work/panel.key" -out "$work/panel.crt"
        cat "$work/panel.crt" "$work/panel.key" | put_file 0600 root:root "$pem"
    fi

    # An administrator may have changed these two; they are written once.
    [ -e /etc/pam.d/wcp360 ] || put_file 0644 root:root /etc/pam.d/wcp360 <"$release/pam/wcp360"
    [ -e /etc/logrotate.d/wcp360 ] || put_file 0644 root:root /etc/logrotate.d/wcp360 <"$release/logrotate/wcp360"
}
install_units() {
    local unit
    mkdir -p /etc/systemd/system /etc/tmpfiles.d
    for unit in "$release"/systemd/*; do
        put_file 0644 root:root "/etc/systemd/system/${unit##*/}" <"$unit"
    done
    put_file 0644 root:root /etc/tmpfiles.d/wcp360.conf <"$release/tmpfiles.d/wcp360.conf"
    # A base directory of one's own must be visible to the services as well.
    local base
    base=$(setting base_dir /srv/www)
    for unit in wcp360-agent wcp360-core nginx; do
        if [ "$base" = /srv/www ]; then
            rm -f "/etc/systemd/system/$unit.service.d/base-dir.conf"
            continue
        fi
        mkdir -p "/etc/systemd/system/$unit.service.d"
        if [ "$unit" = wcp360-core ]; then echo "[Service]"$'\n'"InaccessiblePaths=$base"; else echo "[Service]"$'\n'"ReadWritePaths=$base"; fi |
            put_file 0644 root:root "/etc/systemd/system/$unit.service.d/base-dir.conf"
    done
}

# ---- services

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

# ---- demo

random_password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_' | cut -c1-24; }
credential() { sed -n "s/^$1: //p" "$CREDENTIALS" 2>/dev/null | head -n 1; }
read_setup_token() { # FILE: copies the token, if there is one
    (umask 077 && as_panel cat "$VAR/setup.token" >"$1" 2>/dev/null) && [ -s "$1" ]
}
create_administrator() {
    local key=$ETC/api.key
    # It must work, not just be there: it is saved before the panel hears of it.
    if [ -s "$key" ] && /usr/bin/wcp360 whoami >/dev/null; then return 0; fi
    # Written down before it is used, so that no interruption loses it.
    if [ -z "$(credential password)" ]; then
        put_file 0600 root:root "$CREDENTIALS" <<TEXT
# The first administrator of WCP360 on this machine. Change the password after the first login, then delete this file.
panel: $(panel_address)
username: admin
password: $(random_password)
TEXT
    fi
    (umask 077 && credential password >"$work/password")
    # Core writes the token while it starts.
    if wait_until 10 read_setup_token "$work/token"; then
        must "the administrator could not be created" /usr/bin/wcp360 setup --setup-token-file "$work/token" --username admin \
            --password-file "$work/password" --save-token "$key"
    else
        # Set up already, but an interruption lost the command line's token: log in and make another.
        make_token >"$work/key" || die "the panel is set up already, but neither $key nor the password in $CREDENTIALS works" \
            "Make a token in the panel and put it into $key (mode 0600)."
        put_file 0600 root:root "$key" <"$work/key"
    fi
    chmod 0600 "$key"
    changes=$((changes + 1))
}
make_token() {
    local api name password
    api=http://$(setting api_listen 127.0.0.1:2098)/api/v1
    name=$(credential username) password=$(credential password)
    # The password is of characters that need no escaping; secrets go through files, not arguments.
    (umask 077 && printf '{"username":"%s","password":"%s"}' "$name" "$password" >"$work/login" &&
        printf '{"name":"installer","password":"%s"}' "$password" >"$work/create")
    curl -sfS -m 20 -c "$work/cookies" -H 'Content-Type: application/json' --data-binary "@$work/login" "$api/session" >/dev/null &&
        curl -sfS -m 20 -b "$work/cookies" -H 'Content-Type: application/json' --data-binary "@$work/create" "$api/tokens" |
        grep -o '"secret": *"[^"]*"' | cut -d'"' -f4 | grep .
}
demo_active() { /usr/bin/wcp360 accounts show demo --json 2>/dev/null | grep -q '"state": *"active"'; }
create_demo() {
    if ! /usr/bin/wcp360 accounts show demo --json >/dev/null; then
        must "the account demo could not be created" /usr/bin/wcp360 accounts create demo --primary-domain demo.test --package starter
        changes=$((changes + 1))
    fi
    # Also one whose creation was under way when we were interrupted.
    wait_until 120 demo_active || die "the account demo does not become active" "See: wcp360 accounts show demo; wcp360 jobs list"

    local page
    page=$(setting base_dir /srv/www)/demo/public_html/index.php
    if [ ! -e "$page" ]; then
        # As the tenant, who owns the directory: root writes nothing where a tenant may place links. The starter page
        # goes first: nginx prefers an index.html, and with the new page in place nobody would look for it again.
        # shellcheck disable=SC2016 # expanded by that shell
        demo_page | as_demo sh -euc 'umask 027
            if grep -qs "there is no website yet" "$1/index.html"; then rm -f "$1/index.html"; fi
            cat >"$1/.index.php.new"
            mv -T "$1/.index.php.new" "$1/index.php"' sh "${page%/*}"
        changes=$((changes + 1))
    fi
}
demo_page() {
    cat <<'PHP'
<?php
$facts = [
    'Domain' => $_SERVER['HTTP_HOST'] ?? 'demo.test',
    'Runs as' => function_exists('posix_geteuid') ? posix_getpwuid(posix_geteuid())['name'] : get_current_user(),
    'PHP' => PHP_VERSION,
    'Over' => empty($_SERVER['HTTPS']) ? 'HTTP' : 'HTTPS, ' . ($_SERVER['SERVER_PROTOCOL'] ?? ''),
    'Time' => gmdate('Y-m-d H:i:s') . ' UTC',
];
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>demo.test on WCP360</title>
<style>
  body { font: 17px/1.6 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
         background: #f4f6fb; color: #1c2433; }
  main { background: #fff; padding: 2.5rem 3rem; border-radius: 14px; box-shadow: 0 8px 30px #1c243314; max-width: 32rem; }
  h1 { margin: 0 0 .3rem; font-size: 1.7rem; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .3rem 1.5rem; margin: 1.5rem 0 0; }
  dt { color: #64708a; } dd { margin: 0; }
  @media (prefers-color-scheme: dark) { body { background: #0f1219; color: #e8eaf0; } main { background: #171b25; } dt { color: #9aa3b5; } }
</style>
<main>
  <h1>It works.</h1>
  <p>This page is served by WCP360: an account of its own, with its own user, PHP service and certificate.</p>
  <dl>
<?php foreach ($facts as $name => $value): ?>
    <dt><?= htmlspecialchars($name) ?></dt><dd><?= htmlspecialchars($value) ?></dd>
<?php endforeach ?>
  </dl>
</main>
<!-- wcp360-demo-page -->
PHP
}
demo_answers() {
    local port
    port=$(setting https_port 443)
    # Self-signed until a certificate is issued, and this asks the machine itself: not checked.
    curl -skSf -m 20 --resolve "demo.test:$port:127.0.0.1" -o "$work/page" -w '%{http_code}\n' "https://demo.test:$port/" &&
        # A page that its owner has changed since need only be served.
        { grep -q wcp360-demo-page "$work/page" || ! as_demo timeout 5 grep -qs wcp360-demo-page "$(setting base_dir /srv/www)/demo/public_html/index.php"; }
}
fetch_demo() {
    wait_until 20 demo_answers || die "https://demo.test/ does not answer with its page" \
        "See $LOGS/nginx-error.log and /srv/www/demo/logs, and: wcp360 health"
}

# ---- the end

panel_address() {
    local port
    port=$(setting https_port 443)
    if [ "$port" = 443 ]; then echo "https://$hostname/"; else echo "https://$hostname:$port/"; fi
}
summary() {
    finish
    local address port
    address=$(hostname -I 2>/dev/null | awk '{ print $1 }')
    address=${address:-127.0.0.1}
    port=:$(setting https_port 443)
    port=${port#:443}
    tell ""
    if [ "$changes" = 0 ]; then tell "Everything was in place already; nothing was changed ($((SECONDS - started)) s)."
    else tell "WCP360 $(cat "$release/version") is running ($((SECONDS - started)) s)."; fi
    tell ""
    tell "  Panel          $(panel_address)"
    if [ -n "$demo" ]; then
        tell "  Demo site      https://demo.test$port/"
        tell "  Credentials    $CREDENTIALS"
        tell "  Command line   wcp360 accounts list"
        tell ""
        tell "To open them in a browser, add this line to /etc/hosts on the machine you sit at:"
        tell ""
        tell "  $address demo.test $hostname"
        tell ""
        tell "Both certificates are self-signed until real ones are issued: the browser will ask."
    elif read_setup_token "$work/token"; then
        tell "  Setup token    $(cat "$work/token")     (works once)"
        tell ""
        tell "Create the first administrator in the panel, or here:"
        tell ""
        tell "  wcp360 setup --username admin --save-token $ETC/api.key"
        tell ""
        tell "The panel's certificate is self-signed until a real one is issued: the browser will ask."
    fi
}

# ---------------------------------------------------------------- removal

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

# ---------------------------------------------------------------- main

main() {
    options "$@"
    open_log "$@"
    sweep
    case $mode in
        uninstall) uninstall; return ;;
        unconfigure) steps=1; begin "Stopping services"; unconfigure; finish; return ;;
    esac

    # Run from an installed release (as the package does), there is nothing to build or unpack.
    if [ "$mode" = install ] && [ -z "$from" ] && [ ! -e "$SELF_DIR/Cargo.toml" ]; then
        [ -x "$SELF_DIR/../bin/wcp360-core" ] || die "there is no source here to build" "Give a release: $0 --from wcp360-VERSION.tar.gz"
        mode=configure
    fi
    if [ "$mode" = configure ]; then
        release=$(readlink -f "$SELF_DIR/..")
        [ "$(dirname "$release")" = "$OPT/releases" ] || die "--configure-only is for an installed release; this is $release"
    fi
    local build=
    [ "$mode" = configure ] || [ -n "$from" ] || build=1
    steps=6
    [ "$mode" = configure ] || steps=$((steps + 2))
    [ -z "$build" ] || steps=$((steps + 1))
    [ -z "$demo" ] || steps=$((steps + 3))

    begin "Checking this machine"
    check_machine
    if [ "$mode" != configure ]; then
        begin "Installing packages"
        install_packages "${RUNTIME_PACKAGES[@]}"
        [ -z "$build" ] || install_build_packages
    fi
    if [ -n "$build" ]; then
        begin "Building the release"
        build_release
    fi
    begin "Preparing the user and the directories"
    create_user
    create_directories
    if [ "$mode" != configure ]; then
        begin "Unpacking the release"
        unpack_release
    fi
    check_release "$release"
    switch_release
    begin "Writing settings"
    write_settings
    begin "Writing service units"
    install_units
    # In an image under construction nothing may be started; it will be when the image boots.
    if [ "$mode" = configure ] && [ -x /usr/sbin/policy-rc.d ] && ! /usr/sbin/policy-rc.d wcp360-core start; then
        finish
        if [ -d /lib/systemd/system ]; then systemctl enable -q wcp360.target "${SERVICES[@]/%/.service}" 2>/dev/null || true; fi
        tell "Services are not started: this system's policy-rc.d says so."
        return
    fi
    begin "Starting services"
    start_services
    begin "Waiting for the panel"
    wait_for_health
    if [ -n "$demo" ]; then
        begin "Creating the administrator"
        create_administrator
        begin "Creating the demo account"
        create_demo
        begin "Fetching https://demo.test/"
        fetch_demo
    fi
    summary
}

main "$@"
