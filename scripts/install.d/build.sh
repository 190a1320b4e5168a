# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Building a release from a clone.

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
build_with() { as_builder env PATH="$(dirname "$CARGO"):$PATH" "$CARGO" "$@"; }
build_release() {
    local version files
    version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$SELF_DIR/Cargo.toml" | head -n 1)
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
