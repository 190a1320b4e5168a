# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Settings, the panel's certificate, and units.

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
