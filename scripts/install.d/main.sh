# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# The order of things, and what is said at the end.

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
