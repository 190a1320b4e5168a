# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# The user, the directories, and the release in its place.

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
