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
# Its parts are in scripts/install.d of a clone and of every release; with --from, this file alone is enough.
#
# For packages and tests:
#   --configure-only  everything after unpacking, with the release this script lies in
#   --unconfigure     stop the services and remove what --configure-only placed, for the package's removal
#   --list-packages   the Debian packages a running panel needs

set -euo pipefail
set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

SELF=$(readlink -f "${BASH_SOURCE[0]}")
SELF_DIR=$(dirname "$SELF")
PARTS=(names screen tools start machine build layout settings services demo removal main)

# The file that --from names, if there is one.
release_file() { # OPTIONS…
    while [ $# -gt 0 ]; do
        case $1 in
            --from) echo "${2:-}"; return ;;
            --from=*) echo "${1#*=}"; return ;;
        esac
        shift
    done
}
# Takes the parts out of a release and prints where they are.
parts_of() { # RELEASE DIRECTORY
    local out=(tar --extract --directory "$2" --no-same-owner --wildcards '*/scripts/install.d/*.sh')
    case $1 in
        *.deb) dpkg-deb --fsys-tarfile "$1" | "${out[@]}" ;;
        *) "${out[@]}" --gzip --file "$1" ;;
    esac >/dev/null 2>&1 || true
    find "$2" -path '*/scripts/install.d/main.sh' -printf '%h\n' -quit
}

case " $* " in
    *' --help '* | *' -h '*)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$SELF"
        exit 0
        ;;
esac
# Beside this file, as in a clone and in a release; else in the release to install; else in the one that is installed.
parts='' taken=''
file=$(release_file "$@")
for place in "$SELF_DIR/scripts/install.d" "$SELF_DIR/install.d"; do
    if [ -z "$parts" ] && [ -e "$place/main.sh" ]; then parts=$place; fi
done
if [ -z "$parts" ] && [ -f "$file" ]; then
    taken=$(mktemp -d)
    parts=$(parts_of "$file" "$taken")
elif [ -z "$parts" ] && [ -e /opt/wcp360/current/scripts/install.d/main.sh ]; then
    parts=/opt/wcp360/current/scripts/install.d
fi
if [ -n "$parts" ]; then
    for part in "${PARTS[@]}"; do
        # shellcheck source=/dev/null # each part is checked by itself
        . "$parts/$part.sh"
    done
fi
[ -z "$taken" ] || rm -rf "$taken"
if [ -z "$parts" ]; then
    echo "install-wcp360: ${file:-this file alone} lacks the installer's parts, scripts/install.d" >&2
    echo "  Run it from a clone, or with a complete release: $0 $* --from wcp360-VERSION.tar.gz" >&2
    exit 1
fi

main "$@"
