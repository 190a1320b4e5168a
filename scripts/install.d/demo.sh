# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # the parts share their variables
#
# The administrator and the demo site.

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
