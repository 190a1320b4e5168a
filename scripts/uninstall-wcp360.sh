#!/bin/bash
# Removes WCP360; with --purge also accounts, sites and settings. Works from a clone and from an installed release.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
for installer in "$here/install-wcp360.sh" "$here/../install-wcp360.sh"; do
    [ ! -e "$installer" ] || exec bash "$installer" --uninstall "$@"
done
echo "uninstall-wcp360: install-wcp360.sh is not beside this script; fetch it from the release" >&2
exit 1
