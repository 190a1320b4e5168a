//! Suspend, bring back, delete.

use serde_json::json;
use wcp360_e2e::Host;

#[test]
fn ten_01_suspended_and_back_as_it_was() {
    let host = Host::get();
    let body = json!({"username": "pausing", "primary_domain": "pausing.test", "package": "business",
                      "password": "a password of pausing"});
    let job = host.wait_job(&host.api(host.admin(), "POST", "/accounts", Some(&body)));
    assert_eq!(job["state"], "succeeded", "{job}");
    host.write_as("pausing", "public_html/index.php", "<?php echo 'alive';");
    assert_eq!(host.fetch("pausing.test", "/").body, "alive");
    let token = host.token_by_login("pausing", "a password of pausing");
    assert_eq!(host.api(&token, "GET", "/accounts/pausing", None).status, 200);
    let inventory = "stat -c '%n %U:%G %a' /srv/www/pausing /srv/www/pausing/*; getent shadow pausing; \
                     readlink /var/lib/wcp360/web/names/*pausing.test";
    let before = host.sh(inventory);

    host.cli_ok(&["accounts", "suspend", "pausing", "--reason", "unpaid"]);
    for path in ["/", "/index.php", "/missing"] {
        let page = host.fetch("pausing.test", path);
        assert_eq!(page.status, 503, "{path}: {page:?}");
        assert!(page.body.to_lowercase().contains("suspended"), "{page:?}");
    }
    assert!(!host.test("pgrep -u pausing"), "no process of the account is left");
    let shadow = host.sh("getent shadow pausing");
    assert!(shadow.starts_with("pausing:!") && shadow.split(':').nth(7) != Some(""), "expired: {shadow}");
    assert_eq!(host.api(&token, "GET", "/accounts/pausing", None).status, 403);
    let login = json!({"username": "pausing", "password": "a password of pausing"});
    assert_eq!(host.api("", "POST", "/session", Some(&login)).status, 403);
    let again = host.cli(&["accounts", "suspend", "pausing"]);
    assert_eq!(again.code, 5, "{again:?}");

    host.cli_ok(&["accounts", "unsuspend", "pausing"]);
    assert_eq!(host.fetch("pausing.test", "/").body, "alive");
    assert_eq!(host.api(&token, "GET", "/accounts/pausing", None).status, 200);
    assert_eq!(host.sh(inventory), before);
}

#[test]
fn ten_01_deleted_leaves_nothing_and_the_uid_is_not_reused() {
    let host = Host::get();
    host.create("leaving");
    host.write_as("leaving", "public_html/index.php", "<?php echo 'alive';");
    assert_eq!(host.fetch("leaving.test", "/").body, "alive");
    let uid: u32 = host.sh("id -u leaving").parse().unwrap();
    host.cli_ok(&["accounts", "delete", "leaving"]);
    assert!(!host.test("getent passwd leaving || getent group leaving || getent shadow leaving"));
    assert!(!host.test(&format!("pgrep -u {uid}")));
    // Nothing named after it, but its tree in the trash and what logs and journals remember.
    let left = host
        .sh("find / -xdev \\( -path /proc -o -path /sys -o -path /var/log -o -path /var/lib/wcp360/agent \\) -prune \
         -o -name '*leaving*' -print | grep -v ^/srv/www/.trash/ || true");
    assert_eq!(left, "");
    assert_eq!(host.sh("ls /srv/www/.trash | grep -c ^leaving-"), "1");
    assert_eq!(host.sh("stat -c '%U %a' /srv/www/.trash"), "root 700");
    assert_eq!(host.fetch_from("127.0.0.1", "http", "leaving.test", "/").status, 421);
    assert_eq!(host.cli(&["accounts", "show", "leaving"]).code, 4);
    // The name may be given again; the uid is another one.
    host.create("leaving");
    assert!(host.sh("id -u leaving").parse::<u32>().unwrap() > uid);
    assert_ne!(host.fetch("leaving.test", "/").body, "alive", "the old files are not back");
}
