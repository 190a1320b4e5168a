# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
#
# What the parts share: packages, places, and what the options said.

# What a running panel needs, besides what every Debian has. packaging/deb/control.in names the same.
RUNTIME_PACKAGES=(nginx-light php-fpm php-cli php-xml php-gd php-mbstring php-curl php-sqlite3 php-zip php-intl
    ca-certificates openssl curl logrotate iproute2 libpam-runtime)
# What building one needs, besides Rust.
BUILD_PACKAGES=(build-essential pkg-config)

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
