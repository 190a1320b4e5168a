//! An account is created and served.

use serde_json::Value;
use wcp360_e2e::Host;

const WHO: &str = "<?php echo 'php as ', posix_getpwuid(posix_geteuid())['name'], ' in ', $_SERVER['DOCUMENT_ROOT'];";

#[test]
fn plt_01_the_demo_is_served_over_https() {
    let host = Host::get();
    let page = host.fetch("demo.test", "/");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("demo"), "{page:?}");
}

#[test]
fn eng_01_web_01_web_02_web_04_ssl_03_create_and_serve() {
    let host = Host::get();
    host.create("served");
    host.write_as("served", "public_html/who.php", WHO);
    host.write_as("served", "public_html/plain.txt", "plain");
    for address in ["127.0.0.1", "::1"] {
        for scheme in ["http", "https"] {
            for name in ["served.test", "www.served.test"] {
                let page = host.fetch_from(address, scheme, name, "/who.php");
                assert_eq!(page.status, 200, "{address} {scheme} {name}: {page:?}");
                assert_eq!(page.body, "php as served in /srv/www/served/public_html");
                assert_eq!(host.fetch_from(address, scheme, name, "/plain.txt").body, "plain");
            }
        }
    }
    let job = host.api(host.admin(), "GET", "/jobs?account=served", None).json();
    let id = job["items"][0]["id"].as_str().unwrap().to_owned();
    let job = host.api(host.admin(), "GET", &format!("/jobs/{id}"), None).json();
    assert_eq!(job["state"], "succeeded");
    assert!(job["steps"].as_array().unwrap().iter().all(|step| step["state"] == "succeeded"), "{job}");
    assert!(!job["applied"]["resources"].as_array().unwrap().is_empty());
    let log = host.cli_ok(&["jobs", "log", &id]);
    assert!(log.contains("nginx answers as it should"), "{log}");
    let log = host.sh("cat /srv/www/served/logs/served.test/access.log");
    assert!(log.contains("/who.php"), "{log}");
}

#[test]
fn ten_02_the_tree_keeps_tenants_apart() {
    let host = Host::get();
    host.create("treeful");
    let modes = host.sh(
        "cd /srv/www/treeful; stat -c '%n %U:%G %a' . public_html domains logs logs/treeful.test tmp private backups .system",
    );
    let expected = "\
. root:treeful 751
public_html treeful:www-data 2750
domains root:treeful 751
logs root:treeful 751
logs/treeful.test www-data:treeful 2750
tmp treeful:treeful 700
private treeful:treeful 700
backups treeful:treeful 700
.system root:treeful 750";
    assert_eq!(modes, expected);
    // What the tenant must not be able to do to its own tree.
    for attempt in [
        "mv /srv/www/treeful /srv/www/x",
        "mv /srv/www/treeful/logs /srv/www/treeful/x",
        "rm -rf /srv/www/treeful/.system",
        "touch /srv/www/treeful/x",
        "touch /srv/www/treeful/logs/x",
        "touch /srv/www/treeful/logs/treeful.test/x",
    ] {
        assert!(!host.test(&format!("setpriv --reuid treeful --regid treeful --init-groups {attempt}")), "{attempt}");
    }
}

#[test]
fn eng_04_manifests_say_what_is_there() {
    let host = Host::get();
    host.create("manifold");
    let dir = "/etc/wcp360/users/manifold";
    assert_eq!(host.sh(&format!("stat -c '%U %a' {dir}")), "root 700");
    let read = |file: &str| -> Value { serde_json::from_str(&host.sh(&format!("cat {dir}/{file}"))).unwrap() };
    for file in ["account.json", "limits.json", "domains.json", "services.json", "ssh.json", "meta.json"] {
        assert_eq!(host.sh(&format!("stat -c '%U %a' {dir}/{file}")), "root 600", "{file}");
        assert_eq!(read(file)["schema_version"], 1, "{file}");
    }
    let account = read("account.json");
    let uid = host.sh("id -u manifold");
    assert_eq!(account["uid"].to_string(), uid);
    assert_eq!(account["gid"].to_string(), host.sh("id -g manifold"));
    assert_eq!(account["home_dir"], "/srv/www/manifold");
    assert_eq!(account["primary_domain"], "manifold.test");
    assert_eq!(account["status"], "active");
    assert_eq!(read("domains.json")["primary"]["document_root"], "public_html");
    assert_eq!(read("limits.json")["limits"]["addon_domains"], 25);
    let meta = read("meta.json");
    let shown = host.api(host.admin(), "GET", "/accounts/manifold", None);
    assert_eq!(meta["last_applied_revision"], shown.json()["revision"]);
    assert_eq!(meta["last_audit_action"]["action"], "accounts.create");
    assert_eq!(shown.header("etag").unwrap().trim_matches('"'), shown.json()["revision"].as_str().unwrap());
    // The Linux user has no password and no shell.
    let shadow = host.sh("getent shadow manifold");
    assert!(shadow.starts_with("manifold:!") || shadow.starts_with("manifold:*"), "{shadow}");
    assert!(host.sh("getent passwd manifold").ends_with(":/srv/www/manifold:/usr/sbin/nologin"));
}

#[test]
fn web_01_domains_are_added_and_removed() {
    let host = Host::get();
    host.create("many");
    host.write_as("many", "public_html/index.html", "primary");
    for (name, kind) in [("other-many.test", "addon"), ("shop.many.test", "sub")] {
        host.cli_ok(&["domains", "add", "many", name]);
        host.write_as("many", &format!("domains/{name}/public_html/index.html"), name);
        assert_eq!(host.fetch(name, "/").body, name);
        let list = host.cli_ok(&["domains", "list", "many", "--json"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let found = list["items"].as_array().or(list.as_array()).unwrap();
        assert!(found.iter().any(|d| d["domain"] == name && d["kind"] == kind), "{list}");
    }
    host.cli_ok(&["domains", "add", "many", "alias-many.test", "--target", "other-many.test"]);
    assert_eq!(host.fetch("alias-many.test", "/").body, "other-many.test");
    assert_eq!(host.fetch("www.alias-many.test", "/").body, "other-many.test");
    host.cli_ok(&["domains", "remove", "many", "alias-many.test"]);
    assert_eq!(host.fetch("alias-many.test", "/").status, 0, "no certificate, no handshake");
    assert_eq!(host.fetch_from("127.0.0.1", "http", "alias-many.test", "/").status, 421);
    host.cli_ok(&["domains", "remove", "many", "shop.many.test"]);
    assert_eq!(host.fetch_from("127.0.0.1", "http", "shop.many.test", "/").status, 421);
    assert_eq!(host.sh("cat /srv/www/many/domains/shop.many.test/public_html/index.html"), "shop.many.test");
}

#[test]
fn web_01_eng_08_a_document_root_of_its_own_gets_a_block_of_its_own() {
    let host = Host::get();
    host.create("special");
    host.cli_ok(&["domains", "add", "special", "app-special.test", "--document-root", "apps/one/public"]);
    host.write_as("special", "apps/one/public/index.php", WHO);
    let page = host.fetch("app-special.test", "/");
    assert_eq!(page.body, "php as special in /srv/www/special/apps/one/public", "{page:?}");
    // Through tenant-controlled components nothing foreign can be reached.
    host.create("victim");
    host.write_as("victim", "public_html/secret.txt", "secret");
    host.sh("setpriv --reuid special --regid special --init-groups bash -c \
             'mv /srv/www/special/apps/one/public /srv/www/special/apps/one/old; \
              ln -s /srv/www/victim/public_html /srv/www/special/apps/one/public'");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let page = host.fetch("app-special.test", "/secret.txt");
    assert!(page.status == 404 || page.status == 403, "{page:?}");
}

#[test]
fn eng_06_bey_01_a_dry_run_says_and_does_nothing() {
    let host = Host::get();
    let plan = host.cli_ok(&[
        "accounts",
        "create",
        "planned",
        "--primary-domain",
        "planned.test",
        "--package",
        "starter",
        "--dry-run",
    ]);
    for part in ["user:planned", "planned.test", "wcp360-php"] {
        assert!(plan.contains(part), "{part} is not in\n{plan}");
    }
    assert!(!plan.contains("PRIVATE KEY"));
    assert!(!host.test("id planned"));
    assert_eq!(host.cli(&["accounts", "show", "planned"]).code, 4);
    host.create("planned");
    let plan = host.cli_ok(&["domains", "add", "planned", "x.planned.test", "--dry-run"]);
    assert!(plan.contains("x.planned.test"), "{plan}");
    assert_eq!(host.fetch_from("127.0.0.1", "http", "x.planned.test", "/").status, 421);
}
