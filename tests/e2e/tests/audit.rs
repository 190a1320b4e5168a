//! The audit trail and events of the installed panel.

use serde_json::json;
use wcp360_e2e::Host;

#[test]
fn sec_06_the_trail_verifies_on_the_panel_and_as_a_file() {
    let host = Host::get();
    host.create("trailed");
    let found: serde_json::Value = serde_json::from_str(&host.cli_ok(&["--json", "audit", "verify"])).unwrap();
    assert_eq!(found["ok"], true, "{found}");
    host.sh("wcp360 --json audit key > /root/panel.key && wcp360 audit export > /root/trail.jsonl");
    host.cli_ok(&["audit", "verify", "--file", "/root/trail.jsonl", "--key", "/root/panel.key"]);
    host.sh("wcp360 audit export --format csv > /root/trail.csv");
    host.cli_ok(&["audit", "verify", "--file", "/root/trail.csv", "--key", "/root/panel.key"]);
    // What is changed in the file is named.
    host.sh("sed '0,/accounts.create/s//accounts.delete/' /root/trail.jsonl > /root/forged.jsonl");
    let forged = host.cli(&["--json", "audit", "verify", "--file", "/root/forged.jsonl", "--key", "/root/panel.key"]);
    assert_eq!(forged.code, 1, "{}", forged.out);
    let found: serde_json::Value = serde_json::from_str(&forged.out).unwrap();
    assert_eq!(found["fault"]["kind"], "altered", "{found}");
    // The key is nobody's but core's.
    assert_eq!(host.sh("stat -c '%U %a' /var/lib/wcp360/audit.key"), "wcp360 400");
    // The job's end names both revisions; the client sees it too.
    let listed: serde_json::Value =
        serde_json::from_str(&host.cli_ok(&["--json", "audit", "list", "--tenant", "trailed"])).unwrap();
    let ended = listed["items"].as_array().unwrap().iter().find(|e| e["outcome"] == "succeeded").unwrap().clone();
    assert!(ended["after"].is_string() && ended["job"].is_string() && ended["account"].is_string(), "{ended}");
}

#[test]
fn sec_06_the_mirror_is_rotated_without_a_gap() {
    let host = Host::get();
    let mark = |name: &str| {
        let body = json!({"name": name});
        assert_eq!(host.api(host.admin(), "POST", "/tokens", Some(&body)).status, 201);
        host.sh("sleep 0.3; tail -n 1 /var/log/wcp360/audit.json >/dev/null");
    };
    mark("before rotation");
    host.sh("logrotate -f /etc/logrotate.d/wcp360");
    mark("after rotation");
    host.sh("wcp360 --json audit key > /root/rotated.key");
    let files = host.sh("ls -tr /var/log/wcp360/audit.json*").replace('\n', " ");
    let ended = host.sh(&format!("zcat -f {files} | wcp360 --json audit verify --file - --key /root/rotated.key"));
    let found: serde_json::Value = serde_json::from_str(&ended).unwrap();
    assert_eq!((&found["ok"], &found["first"]), (&json!(true), &json!(1)), "{found}");
    assert_eq!(host.sh("stat -c '%U %a' /var/log/wcp360/audit.json"), "wcp360 640");
}

#[test]
fn sec_06_a_client_sees_what_others_did_to_its_account_and_nothing_else() {
    let host = Host::get();
    let body = json!({"username": "watched", "primary_domain": "watched.test", "package": "starter", "password": "the client watches"});
    let job = host.wait_job(&host.api(host.admin(), "POST", "/accounts", Some(&body)));
    assert_eq!(job["state"], "succeeded", "{job}");
    let client = host.token_by_login("watched", "the client watches");
    let seen = host.api(&client, "GET", "/audit?limit=1000", None).json();
    let items = seen["items"].as_array().unwrap();
    assert!(items.iter().any(|e| e["action"] == "accounts.create" && e["actor"] != "watched"), "{seen}");
    assert!(items.iter().all(|e| e["account"] == items[0]["account"]), "{seen}");
    assert!(items.iter().filter(|e| e["actor"] != "watched").all(|e| e["source"] == "-"), "{seen}");
}

#[test]
fn alone_sec_06_the_agents_own_books_are_held_against_the_trail() {
    let host = Host::get();
    host.create("booked");
    host.cli_ok(&["domains", "add", "booked", "booked-two.test"]);
    let compare = || {
        let ended = host.cli(&["--json", "audit", "compare"]);
        (ended.code, serde_json::from_str::<serde_json::Value>(&ended.out).expect(&ended.err))
    };
    let (code, found) = compare();
    assert!(code == 0 && found["ok"] == true && found["operations"].as_u64() >= Some(2), "{found}");
    // The panel's memory of a job is taken away, from the middle of the trail; the agent's is not.
    assert_eq!(host.api(host.admin(), "POST", "/tokens", Some(&json!({"name": "after it"}))).status, 201);
    let listed: serde_json::Value =
        serde_json::from_str(&host.cli_ok(&["--json", "audit", "list", "--target", "booked"])).unwrap();
    let entry = listed["items"].as_array().unwrap().iter().find(|e| e["action"] == "domains.add").unwrap().clone();
    let job = entry["job"].as_str().unwrap();
    let sql = |text: &str| {
        host.sh(&format!("sqlite3 /var/lib/wcp360/state.db 'PRAGMA busy_timeout = 5000; {text}' >/dev/null"))
    };
    sql(&format!(
        "CREATE TABLE kept AS SELECT * FROM audit WHERE job = \"{job}\"; DELETE FROM audit WHERE job = \"{job}\""
    ));
    let (code, found) = compare();
    assert_eq!((code, &found["ok"], &found["differences"]), (1, &json!(false), &json!(1)), "{found}");
    let first = &found["first"][0];
    assert_eq!((&first["kind"], &first["job"]), (&json!("unrecorded"), &json!(job)), "{found}");
    assert_eq!((&first["account"], &first["action"]), (&json!("booked"), &json!("domains.add")), "{found}");
    sql("INSERT INTO audit SELECT * FROM kept; DROP TABLE kept");
    assert_eq!(compare().0, 0);
    // Whoever speaks to the agent past the panel leaves a trace too: root on the socket, with a job that never was.
    let script = r#"
        ask() { curl -sS --unix-socket /run/wcp360/agent.sock -H 'Content-Type: application/json' "$@"; }
        ask http://agent/v1/accounts/booked | jq -c --arg id "$(cat /proc/sys/kernel/random/uuid)" \
            '{operation: $id, base_revision: .revision, desired: (.manifests | .account.status = "suspended"),
              audit: {action: "accounts.suspend", actor: "nobody", job: $id}}' >/root/by-passed.json
        ask --data-binary @/root/by-passed.json http://agent/v1/accounts/booked/converge | jq -r .record.revision"#;
    assert!(host.sh(script).starts_with("sha256:"));
    let (code, found) = compare();
    assert_eq!((code, &found["first"][0]["actor"]), (1, &json!("nobody")), "{found}");
    // As it was, for who comes after.
    host.cli_ok(&["accounts", "delete", "booked"]);
}

#[test]
fn eng_09_events_come_through_the_gateway() {
    let host = Host::get();
    // A handshake over HTTPS through nginx, and what comes in the seconds after it.
    let script = format!(
        "timeout 12 curl -sk -i -N --http1.1 --max-time 10 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
         -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
         -H 'Authorization: Bearer {}' \
         'https://localhost/api/v1/ws?topics=jobs,accounts,audit' > /root/events.txt & \
         sleep 1; wcp360 accounts create heard --primary-domain heard.test --package starter; wait; cat -v /root/events.txt",
        host.admin()
    );
    let heard = host.sh(&script);
    assert!(heard.contains("101 Switching Protocols"), "{heard}");
    assert!(heard.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{heard}");
    for part in [
        "\"type\":\"subscribed\"",
        "\"event\":\"job\"",
        "\"state\":\"succeeded\"",
        "\"change\":\"created\"",
        "\"event\":\"audit\"",
    ] {
        assert!(heard.contains(part), "{part} is not in {heard}");
    }
}
