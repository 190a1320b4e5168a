//! Hand edits are found, shown, repaired, adopted or picked up; the index comes from the manifests (ENG-04, ENG-05, ENG-07).

use serde_json::{Value, json};
use wcp360_e2e::Host;

fn job(host: &Host, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = host.api(host.admin(), method, path, body);
    assert_eq!(answer.status, 202, "{path}: {answer:?}");
    let job = host.wait_job(&answer);
    assert_eq!(job["state"], "succeeded", "{path}: {job}");
    job
}

fn drift(host: &Host, account: &str) -> Value {
    let answer = host.api(host.admin(), "GET", &format!("/accounts/{account}/drift"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn eng_07_hand_edits_are_found_shown_and_repaired() {
    let host = Host::get();
    host.create("drifting");
    assert_eq!(drift(&host, "drifting")["items"], json!([]));
    let pool = host.sh("ls /etc/wcp360/php/drifting/*.conf");
    host.sh(&format!(
        "echo '; by hand' >>{pool}; chmod 0777 /srv/www/drifting/private; rm /var/lib/wcp360/web/names/drifting.test"
    ));
    let found = drift(&host, "drifting");
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 3, "{found}");
    let edited = items.iter().find(|item| item["class"] == "config").unwrap();
    assert!(edited["diff"].as_str().unwrap().contains("+; by hand"), "{edited}");
    assert_eq!(edited["origin"]["manifest"], "services.json");
    // The edited file is kept, the rest is put back.
    let adopt = json!({"items": [{"key": edited["key"], "action": "adopt"}]});
    job(&host, "POST", "/accounts/drifting/repair", Some(&adopt));
    job(&host, "POST", "/accounts/drifting/repair", None);
    assert_eq!(drift(&host, "drifting")["items"], json!([]));
    assert_eq!(host.sh(&format!("tail -n 1 {pool}")), "; by hand");
    assert_eq!(host.sh("stat -c %a /srv/www/drifting/private"), "700");
    assert_eq!(host.fetch("drifting.test", "/").status, 200);
}

#[test]
fn eng_07_edited_manifests_are_validated_and_picked_up() {
    let host = Host::get();
    host.create("byhand");
    let file = "/etc/wcp360/users/byhand/account.json";
    host.sh(&format!("cp {file} /root/byhand.good; jq '.status = \"suspended\"' /root/byhand.good >{file}"));
    assert_eq!(drift(&host, "byhand")["manifests"]["state"], "edited");
    job(&host, "POST", "/accounts/byhand/pick-up", None);
    assert_eq!(host.api(host.admin(), "GET", "/accounts/byhand", None).json()["state"], "suspended");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(host.fetch("byhand.test", "/").status, 503);
    // One that is not valid is refused by name, and the last good one goes on.
    host.sh(&format!("echo '{{\"schema_version\": 99' >{file}"));
    let refused = drift(&host, "byhand");
    assert_eq!(refused["manifests"]["state"], "refused", "{refused}");
    assert_eq!(refused["manifests"]["file"], file, "{refused}");
    let answer = host.api(host.admin(), "POST", "/accounts/byhand/pick-up", None);
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.body.contains("account.json"), "{answer:?}");
    assert_eq!(host.fetch("byhand.test", "/").status, 503);
    job(&host, "POST", "/accounts/byhand/repair", None);
    assert_eq!(drift(&host, "byhand")["manifests"]["state"], "same");
    job(&host, "POST", "/accounts/byhand/unsuspend", None);
    assert_eq!(host.fetch("byhand.test", "/").status, 200);
}

#[test]
fn alone_eng_07_all_accounts_are_compared_and_the_second_time_nothing_is_written() {
    let host = Host::get();
    host.create("compared");
    host.sh("chmod 0700 /srv/www/compared/public_html");
    job(&host, "POST", "/drift/reconcile", None);
    let report = host.api(host.admin(), "GET", "/drift", None).json();
    let account = report["accounts"].as_array().unwrap().iter().find(|a| a["account"] == "compared").unwrap();
    assert_eq!(account["items"][0]["policy"], "repair", "{report}");
    let repair = host.api(host.admin(), "GET", &format!("/jobs/{}", account["job"].as_str().unwrap()), None);
    assert_eq!(host.wait_job(&repair)["state"], "succeeded");
    assert_eq!(host.sh("stat -c %a /srv/www/compared/public_html"), "2750");
    let times =
        "find /srv/www /etc/wcp360 /var/lib/wcp360/web -not -path '*/logs/*' -printf '%p %C@\\n' | sort | sha256sum";
    job(&host, "POST", "/drift/reconcile", Some(&json!({"report_only": true})));
    let before = host.sh(times);
    job(&host, "POST", "/drift/reconcile", None);
    assert_eq!(host.sh(times), before);
}

#[test]
fn alone_eng_05_the_index_comes_back_from_the_manifests() {
    let host = Host::get();
    host.create("indexed");
    host.cli_ok(&["domains", "add", "indexed", "indexed-two.test"]);
    // One that a reseller made, and one that was given to it.
    let reseller = host.reseller("index-owner");
    let body = json!({"username": "resold", "primary_domain": "resold.test", "package": "business"});
    let made = host.wait_job(&host.api(&reseller, "POST", "/accounts", Some(&body)));
    assert_eq!(made["state"], "succeeded", "{made}");
    host.create("givenaway");
    let given = host.api(host.admin(), "PUT", "/accounts/givenaway/owner", Some(&json!({"owner": "index-owner"})));
    assert_eq!(given.status, 200, "{given:?}");
    let written = "for n in $(seq 100); do grep -q index-owner /etc/wcp360/users/givenaway/meta.json && exit; sleep 0.1; done; exit 1";
    assert!(host.test(written), "its manifests name the new owner");
    let list = |host: &Host| {
        let accounts = host.api(host.admin(), "GET", "/accounts?limit=1000", None).json()["items"].take();
        let owned = accounts.as_array().unwrap().iter().filter(|account| account["owner"] == "index-owner").count();
        assert!(owned == 2 || accounts == json!([]), "{accounts}");
        (accounts, host.api(host.admin(), "GET", "/accounts/indexed/domains", None).json())
    };
    let before = list(&host);
    // The index is emptied; users, tokens and jobs stay, as an administrator has them back from a backup.
    host.sh("sqlite3 /var/lib/wcp360/state.db 'PRAGMA busy_timeout = 5000; DELETE FROM domains; DELETE FROM accounts' >/dev/null");
    assert_eq!(list(&host).0, json!([]));
    job(&host, "POST", "/index/rebuild", None);
    assert!(list(&host) == before, "not the same lists");
    // One that can't be read is named, and changes nothing.
    host.sh("cp /etc/wcp360/users/indexed/domains.json /root/; truncate -s 20 /etc/wcp360/users/indexed/domains.json");
    job(&host, "POST", "/index/rebuild", None);
    assert!(list(&host) == before, "not the same lists");
    host.sh("cp /root/domains.json /etc/wcp360/users/indexed/domains.json");
}

#[test]
fn alone_eng_07_a_boot_starts_what_it_stopped_and_leaves_edits_alone() {
    let host = Host::get();
    host.create("rebooted");
    host.write_as("rebooted", "public_html/index.php", "<?php echo 'up';");
    assert_eq!(host.fetch("rebooted.test", "/").body, "up");
    let pool = host.sh("ls /etc/wcp360/php/rebooted/*.conf");
    host.sh(&format!("echo '; by hand' >>{pool}; chmod 0777 /srv/www/rebooted/private"));
    let service = |what: &str, unit: &str| {
        host.sh(&format!(
            "if [ -d /run/systemd/system ]; then systemctl {what} {unit}; \
             else /opt/wcp360/current/bin/wcp360-supervisor ctl {what} {unit}; fi"
        ));
    };
    // As after a boot: what runs is gone, and what says that all accounts were looked after.
    let socket = host.sh("ls /etc/systemd/system/wcp360.target.wants | grep '@rebooted.socket'");
    service("stop", &socket);
    service("stop", &socket.replace(".socket", ".service"));
    host.sh("rm /run/wcp360/agent.compared");
    assert_ne!(host.fetch("rebooted.test", "/").status, 200);
    service("restart", "wcp360-agent.service");
    host.sh("for n in $(seq 150); do [ -e /run/wcp360/agent.compared ] && exit; sleep 0.1; done; exit 1");
    assert_eq!(host.fetch("rebooted.test", "/").body, "up");
    assert_eq!(host.sh(&format!("tail -n 1 {pool}")), "; by hand");
    assert_eq!(host.sh("stat -c %a /srv/www/rebooted/private"), "777", "core decides, by the node's policy");
    let found = drift(&host, "rebooted");
    assert_eq!(found["items"].as_array().unwrap().len(), 2, "{found}");
    job(&host, "POST", "/accounts/rebooted/repair", None);
}

/// The panel forgets everything that no manifest says, and what comes after this test finds it so.
#[test]
fn alone_eng_05_state_db_is_gone_and_the_panel_comes_back() {
    let host = Host::get();
    let reseller = host.reseller("gone-owner");
    let body = json!({"username": "phoenix", "primary_domain": "phoenix.test", "package": "business"});
    assert_eq!(host.wait_job(&host.api(&reseller, "POST", "/accounts", Some(&body)))["state"], "succeeded");
    host.cli_ok(&["domains", "add", "phoenix", "two.phoenix.test"]);
    host.write_as("phoenix", "public_html/index.php", "<?php echo 'alive ', 6 * 7;");
    let list = || host.api(host.admin(), "GET", "/accounts?limit=1000", None).json()["items"].take();
    let domains = || host.api(host.admin(), "GET", "/accounts/phoenix/domains", None).json();
    let serves = || assert_eq!(host.fetch("phoenix.test", "/").body, "alive 42");
    let (accounts, names) = (list(), domains());
    serves();
    let service = |what: &str| {
        host.sh(&format!(
            "if [ -d /run/systemd/system ]; then systemctl {what} wcp360-core.service; \
             else /opt/wcp360/current/bin/wcp360-supervisor ctl {what} wcp360-core.service; fi"
        ));
    };
    let status = || host.api("", "GET", "/setup", None).json()["system_initialized"].clone();
    let answers = || {
        host.sh("for n in $(seq 100); do curl -sf http://127.0.0.1:2098/api/v1/setup >/dev/null && exit; sleep 0.1; done; exit 1")
    };
    service("stop");
    host.sh("rm -f /var/lib/wcp360/state.db*");
    service("start");
    answers();
    // Sealed: neither the new token nor anybody on the panel's side opens it.
    let token = host.sh("for n in $(seq 100); do [ -s /var/lib/wcp360/setup.token ] && break; sleep 0.1; done; cat /var/lib/wcp360/setup.token");
    // With the same credentials, for the tests that come after this one.
    let password = host.sh("sed -n 's/^password: //p' /root/wcp360-credentials.txt");
    let setup = json!({"username": "admin", "password": password, "setup_token": token, "api_token": host.admin()});
    assert_eq!(status(), json!(true));
    assert_eq!(host.api("", "POST", "/setup", Some(&setup)).status, 409);
    let agent = "/opt/wcp360/current/bin/wcp360-agent reopen-setup";
    assert!(!host.test(&format!("setpriv --reuid wcp360 --regid wcp360 --clear-groups {agent}")), "only root may");
    assert_eq!(host.api("", "POST", "/setup", Some(&setup)).status, 409);
    let told = host.sh(agent);
    assert!(told.contains("setup.token") && told.contains("index rebuild"), "{told}");
    assert_eq!(host.sh("grep -c ' wcp360 setup-reopened source=local ' /var/log/wcp360/security.log"), "1");
    assert_eq!(status(), json!(false));
    let done = host.api("", "POST", "/setup", Some(&setup));
    assert!(done.status < 300, "{done:?}");
    assert_eq!(host.api("", "POST", "/setup", Some(&setup)).status, 409, "once");
    assert_eq!(list(), json!([]));
    serves();
    // Resellers by their old names, and everything is whose it was.
    let owners: std::collections::BTreeSet<&str> =
        accounts.as_array().unwrap().iter().map(|account| account["owner"].as_str().unwrap()).collect();
    for owner in owners.into_iter().filter(|owner| *owner != "admin") {
        let body = json!({"username": owner, "role": "reseller", "password": "as good as new"});
        assert_eq!(host.api(host.admin(), "POST", "/users", Some(&body)).status, 201, "{owner}");
    }
    job(&host, "POST", "/index/rebuild", None);
    assert_eq!(list(), accounts);
    assert_eq!(domains(), names);
    serves();
    // And it works: changes, the trail from its new beginning, and the agent's books beside it.
    host.cli_ok(&["domains", "add", "phoenix", "three.phoenix.test"]);
    let compared: Value = serde_json::from_str(&host.cli_ok(&["--json", "audit", "compare"])).unwrap();
    assert!(compared["ok"] == true && compared["before_trail"].as_u64() > Some(0), "{compared}");
}

#[test]
fn eng_08_a_broken_file_by_hand_takes_nobody_down() {
    let host = Host::get();
    host.create("steady");
    host.write_as("steady", "public_html/index.html", "steady");
    host.sh("mkdir -p /etc/wcp360/snippets/nginx/global; echo 'server { listen nonsense' >/etc/wcp360/snippets/nginx/global/broken.conf");
    // Changes that reload nginx go on working, and so do all sites.
    let body = json!({"domain": "shop.steady.test", "document_root": "apps/shop"});
    job(&host, "POST", "/accounts/steady/domains", Some(&body));
    assert_eq!(host.fetch("steady.test", "/").body, "steady");
    assert!(host.fetch("shop.steady.test", "/").status < 500);
    job(&host, "POST", "/node/repair", None);
    let node = host.api(host.admin(), "GET", "/node/drift", None).json();
    let quarantine = node["quarantine"].to_string();
    assert!(quarantine.contains("broken.conf"), "{node}");
    assert!(host.test("nginx -t -c /etc/wcp360/nginx/current/nginx.conf"), "{node}");
}
