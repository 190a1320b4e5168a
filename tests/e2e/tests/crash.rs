//! Daemons that die in the middle (ENG-02). These disturb everybody, so they run alone.

use serde_json::json;
use std::time::Duration;
use wcp360_e2e::Host;

/// Kills `daemon` a moment after a creation began, for many moments; whatever the moment, the job ends and what it says is
/// true of the machine.
fn kill_during_creation(daemon: &str, prefix: &str) {
    let host = Host::get();
    let mut ended = Vec::new();
    for moment in 0..12u64 {
        let name = format!("{prefix}{moment}");
        let domain = format!("{name}.test");
        let body = json!({"username": name, "primary_domain": domain, "package": "starter"});
        let pid = host.pid_of(daemon);
        let answer = host.api(host.admin(), "POST", "/accounts", Some(&body));
        assert_eq!(answer.status, 202, "{answer:?}");
        std::thread::sleep(Duration::from_millis(moment * 4));
        host.sh(&format!("kill -9 {pid} || true"));
        for _ in 0..200 {
            if host.test("curl -sf --max-time 2 http://127.0.0.1:2098/api/v1/health >/dev/null") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let job = host.wait_job(&answer);
        let state = job["state"].as_str().unwrap().to_owned();
        if state == "succeeded" {
            assert_eq!(host.fetch(&domain, "/").status, 200, "{name} was killed after {moment}");
            assert!(host.test(&format!("id {name} && test -s /etc/wcp360/users/{name}/account.json")));
            assert_eq!(host.api(host.admin(), "GET", &format!("/accounts/{name}"), None).json()["state"], "active");
        } else {
            assert_eq!(state, "rolled_back", "{job}");
            assert!(!host.test(&format!("id {name} || test -e /etc/wcp360/users/{name} || test -e /srv/www/{name}")));
            assert_eq!(host.api(host.admin(), "GET", &format!("/accounts/{name}"), None).status, 404);
        }
        ended.push(state);
    }
    println!("killed {daemon} at {} moments: {ended:?}", ended.len());
    // And then everything still works, deletion too.
    for moment in 0..12u64 {
        let name = format!("{prefix}{moment}");
        if ended[moment as usize] == "succeeded" {
            host.cli_ok(&["accounts", "delete", &name]);
        }
    }
    assert!(!host.test(&format!("getent passwd | grep -q ^{prefix}")));
    assert_eq!(host.sh(&format!("ls /var/lib/wcp360/web/names | grep -c ^{prefix} || true")), "0");
}

#[test]
fn alone_eng_02_kill_9_of_the_agent() {
    kill_during_creation("wcp360-agent", "kagent");
}

#[test]
fn alone_eng_02_kill_9_of_core() {
    kill_during_creation("wcp360-core", "kcore");
}
