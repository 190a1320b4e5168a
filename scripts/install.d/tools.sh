# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# Small tools: files that appear complete or not at all, settings, waiting.

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
