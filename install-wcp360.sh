#!/bin/bash
# Installs WCP360. Run it with --help.
set -euo pipefail

# What a running panel needs, besides what every Debian has.
RUNTIME_PACKAGES=(nginx-light php-fpm php-cli php-xml php-gd php-mbstring php-curl php-sqlite3 php-zip php-intl
    ca-certificates openssl curl logrotate iproute2 libpam-runtime)

case ${1:-} in
    --list-packages) printf '%s\n' "${RUNTIME_PACKAGES[@]}" ;;
    *) echo "not written yet" >&2; exit 1 ;;
esac
