//! Packages, resellers and changes of many accounts, on the real panel.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wcp360_e2e::Host;

/// Asks 64 times at once; `{n}` in path and body is the number. How many got each status.
fn at_once(host: &Host, token: &str, path: &str, body: &Value) -> (usize, usize) {
    let (path, body) = (path.replace("{n}", "N"), body.to_string().replace("{n}", "N"));
    let statuses = host.sh(&format!(
        "seq 1 64 | xargs -P 64 -I N curl -s -o /dev/null -w '%{{http_code}}\\n' -X POST \
         -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
         -d '{body}' http://127.0.0.1:2098/api/v1{path}"
    ));
    let count = |status: &str| statuses.lines().filter(|line| *line == status).count();
    let (accepted, refused) = (count("202"), count("422"));
    assert_eq!(accepted + refused, 64, "{statuses}");
    (accepted, refused)
}

/// Waits for a bulk change to be over.
fn finished(host: &Host, answer: &Value) -> Value {
    let path = format!("/bulk/{}", answer["id"].as_str().unwrap_or_else(|| panic!("no bulk change: {answer}")));
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let bulk = host.api(host.admin(), "GET", &path, None).json();
        if bulk["state"] != "running" {
            return bulk;
        }
        assert!(Instant::now() < until, "it does not end: {bulk}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ten_06_64_clients_at_once_exceed_no_maximum_of_a_reseller() {
    let host = Host::get();
    for (name, limits, most) in
        [("maxacc", json!({"accounts": 5}), 5), ("maxdisk", json!({"totals": {"disk_mb": 4 * 5120 + 5119}}), 4)]
    {
        let seller = host.reseller(name);
        assert_eq!(host.api(host.admin(), "PUT", &format!("/users/{name}/limits"), Some(&limits)).status, 200);
        let body = json!({"username": format!("{name}{{n}}"), "primary_domain": format!("{name}{{n}}.test"), "package": "starter"});
        assert_eq!(at_once(&host, &seller, "/accounts", &body), (most, 64 - most), "{name}");
        let usage = host.api(&seller, "GET", &format!("/users/{name}/usage"), None).json();
        assert_eq!(usage["accounts"], most, "{usage}");
    }
}

#[test]
fn ten_03_64_clients_at_once_exceed_no_maximum_of_an_account() {
    let host = Host::get();
    host.cli_ok(&["accounts", "create", "maxdom", "--primary-domain", "maxdom.test", "--package", "starter"]);
    for (body, most) in [
        (json!({"domain": "a{n}-maxdom.test"}), 1),
        (json!({"domain": "s{n}.maxdom.test"}), 10),
        (json!({"domain": "l{n}-maxdom.test", "kind": "alias"}), 5),
    ] {
        assert_eq!(at_once(&host, host.admin(), "/accounts/maxdom/domains", &body), (most, 64 - most), "{body}");
    }
}

#[test]
fn ten_05_a_package_is_changed_propagated_and_too_small() {
    let host = Host::get();
    let admin = host.admin();
    let package =
        |disk: u64, addons: u64| json!({"name": "e2eplan", "limits": {"disk_mb": disk, "addon_domains": addons}});
    assert_eq!(host.api(admin, "POST", "/packages", Some(&package(100, 2))).status, 201);
    for name in ["planone", "plantwo"] {
        host.cli_ok(&["accounts", "create", name, "--primary-domain", &format!("{name}.test"), "--package", "e2eplan"]);
    }
    host.cli_ok(&["accounts", "set-overrides", "planone", "--limits.disk-mb", "500"]);
    host.cli_ok(&["domains", "add", "plantwo", "more-plantwo.test"]);
    assert_eq!(host.api(admin, "PUT", "/packages/e2eplan", Some(&package(50, 0))).json()["version"], 2);
    let plan = host.api(admin, "POST", "/packages/e2eplan/propagate?dry_run=true", Some(&json!({}))).json();
    assert_eq!((&plan["changes"], &plan["refused"]), (&json!(1), &json!(1)), "{plan}");
    let begun = host.api(admin, "POST", "/packages/e2eplan/propagate", Some(&json!({})));
    assert_eq!(begun.status, 202, "{begun:?}");
    let bulk = finished(&host, &begun.json());
    assert_eq!((&bulk["succeeded"], &bulk["refused"]), (&json!(1), &json!(1)), "{bulk}");
    let shown = |name: &str| host.api(admin, "GET", &format!("/accounts/{name}"), None).json();
    let one = shown("planone");
    assert_eq!((&one["package_version"], &one["manifests"]["limits"]["limits"]["disk_mb"]), (&json!(2), &json!(500)));
    assert_eq!(shown("plantwo")["package_version"], 1);
    let refused = host.api(admin, "PUT", "/accounts/plantwo/package", Some(&json!({"package": "e2eplan"})));
    assert_eq!((refused.status, &refused.json()["errors"][0]["field"]), (422, &json!("limits.addon_domains")));
    let kept = json!({"package": "e2eplan", "keep_excess": true});
    let job = host.wait_job(&host.api(admin, "PUT", "/accounts/plantwo/package", Some(&kept)));
    assert_eq!(job["state"], "succeeded", "{job}");
    host.write_as("plantwo", "domains/more-plantwo.test/public_html/index.html", "still here");
    assert_eq!(host.fetch("more-plantwo.test", "/").body, "still here", "nothing is lost");
}

#[test]
fn ten_05_a_clone_is_an_account_of_its_own() {
    let host = Host::get();
    host.create("original");
    host.cli_ok(&["domains", "add", "original", "shop.original.test"]);
    let body = json!({"username": "copied", "primary_domain": "copied.test"});
    let job = host.wait_job(&host.api(host.admin(), "POST", "/accounts/original/clone", Some(&body)));
    assert_eq!(job["state"], "succeeded", "{job}");
    let domains = host.api(host.admin(), "GET", "/accounts/copied/domains", None).json();
    let names: Vec<&str> = domains["items"].as_array().unwrap().iter().filter_map(|d| d["domain"].as_str()).collect();
    assert_eq!(names, ["copied.test", "shop.copied.test"]);
    assert_ne!(host.sh("id -u original"), host.sh("id -u copied"));
}

#[test]
fn ten_06_a_suspended_reseller_is_out_with_its_sites_and_comes_back() {
    let host = Host::get();
    let seller = host.reseller("lazypayer");
    let body = json!({"username": "lazysite", "primary_domain": "lazysite.test", "package": "starter"});
    assert_eq!(host.wait_job(&host.api(&seller, "POST", "/accounts", Some(&body)))["state"], "succeeded");
    let begun = host.api(host.admin(), "POST", "/users/lazypayer/suspend", Some(&json!({"reason": "unpaid"})));
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(finished(&host, &begun.json())["succeeded"], 1);
    assert_eq!(host.api(&seller, "GET", "/accounts", None).status, 403);
    assert_eq!(host.fetch("lazysite.test", "/").status, 503);
    let back = host.api(host.admin(), "POST", "/users/lazypayer/unsuspend", None);
    assert_eq!(finished(&host, &back.json())["succeeded"], 1);
    assert_eq!(host.api(&seller, "GET", "/accounts", None).status, 200);
}
