//! What is made of answers.

#![allow(clippy::unwrap_used)]

mod panel;

use panel::{Ended, Panel, command};
use serde_json::{Value, json};

const ID: &str = "01931f3e-0000-7000-8000-000000000001";

fn job(state: &str, steps: Value) -> Value {
    json!({ "id": ID, "operation": "accounts.create", "account": "alice", "state": state, "actor": "root1",
            "request_id": "r", "steps": steps, "created_at": "2026-11-21T09:00:00Z",
            "updated_at": "2026-11-21T09:00:00Z", "finished_at": "2026-11-21T09:00:00.120Z" })
}

fn step(name: &str, index: u32, state: &str, error: Option<&str>) -> Value {
    json!({ "index": index, "name": name, "state": state, "attempts": 1, "error": error })
}

fn problem(status: u16, detail: &str, errors: Value) -> Value {
    json!({ "type": "urn:wcp360:problem:x", "title": "A title", "status": status, "detail": detail, "errors": errors,
            "request_id": "req-1" })
}

const CREATE: [&str; 7] = ["accounts", "create", "alice", "--primary-domain", "alice.test", "--package", "s"];

/// A panel whose job ends in a state after some looks at it.
fn working(end: &'static str, error: Option<&'static str>) -> Panel {
    Panel::new(move |seen, before| match (seen.method.as_str(), before) {
        ("POST", _) => {
            (202, job("queued", json!([step("apply", 0, "queued", None), step("verify", 1, "queued", None)])))
        }
        (_, 1) => (200, job("running", json!([step("apply", 0, "running", None), step("verify", 1, "queued", None)]))),
        // A restart in between goes by unnoticed.
        (_, 2) => (0, Value::Null),
        (_, 3) => (503, problem(503, "starting", json!([]))),
        _ => (200, job(end, json!([step("apply", 0, end, error), step("verify", 1, "queued", None)]))),
    })
}

#[test]
fn a_job_is_followed_to_its_end() {
    let panel = working("succeeded", None);
    let ended = panel.run(&CREATE);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out, "accounts.create alice: succeeded in 120 ms.\n");
    assert!(ended.err.contains("1/2 apply"), "{ended:?}");
    let seen = panel.seen();
    assert_eq!(seen[0].json(), json!({ "username": "alice", "primary_domain": "alice.test", "package": "s" }));
    assert_eq!(seen[0].header("idempotency-key").unwrap().len(), 32);
    assert!(seen[1..].iter().all(|s| s.path == format!("/api/v1/jobs/{ID}")));

    let panel = working("succeeded", None);
    let ended = panel.run(&[&CREATE[..], &["--json", "--quiet"]].concat());
    assert_eq!((ended.json()["state"].as_str(), ended.err.as_str()), (Some("succeeded"), ""));
}

#[test]
fn a_job_that_ends_badly_says_so() {
    for (end, word) in [("failed", "failed"), ("rolled_back", "taken back"), ("cancelled", "cancelled")] {
        let ended = working(end, Some("the disk is full")).run(&CREATE);
        assert_eq!(ended.code, 6, "{ended:?}");
        assert!(ended.err.contains(word) && ended.err.contains("the disk is full"), "{ended:?}");
        assert!(ended.err.contains(&format!("wcp360 jobs log {ID}")), "{ended:?}");
    }
}

#[test]
fn one_need_not_wait() {
    let panel = working("succeeded", None);
    let ended = panel.run(&[&CREATE[..], &["--no-wait"]].concat());
    assert_eq!((ended.code, panel.seen().len()), (0, 1), "{ended:?}");
    assert!(ended.out.contains(ID), "{ended:?}");
    let panel = Panel::new(|_, _| (202, job("running", json!([]))));
    let ended = panel.run(&[&CREATE[..], &["--timeout", "1"]].concat());
    assert!(ended.code == 1 && ended.err.contains("jobs watch"), "{ended:?}");
}

#[test]
fn watching_shows_the_log() {
    let panel = Panel::new(|seen, before| match seen.path.split_once("/log") {
        Some((_, "?after=0")) => {
            (200, json!({ "items": [{ "seq": 1, "at": "2026-11-21T09:00:00Z", "message": "one" }] }))
        }
        Some(_) => {
            (200, json!({ "items": [{ "seq": 2, "at": "2026-11-21T09:00:00Z", "step": "apply", "message": "two" }] }))
        }
        None => (200, job(if before > 1 { "succeeded" } else { "running" }, json!([]))),
    });
    let ended = panel.run(&["jobs", "watch", ID]);
    assert_eq!((ended.code, ended.err.as_str()), (0, "  one\n  apply: two\n"), "{ended:?}");
}

#[test]
fn a_lost_connection_is_tried_again_only_where_that_is_safe() {
    let flaky =
        || Panel::new(|_, before| if before == 0 { (0, Value::Null) } else { (201, json!({ "username": "x" })) });
    let panel = flaky();
    let ended = panel.run_with(&["admin", "create", "ann", "--password-stdin"], "long enough\n");
    assert_eq!((ended.code, panel.seen().len()), (7, 1), "{ended:?}");

    let panel = Panel::new(|_, before| match before {
        0 => (0, Value::Null),
        _ => (409, problem(409, "taken", json!([]))),
    });
    let ended = panel.run(&CREATE);
    let seen = panel.seen();
    assert_eq!((ended.code, seen.len()), (5, 2), "{ended:?}");
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
}

#[test]
fn nobody_there() {
    let out = command().args(["--server", "http://127.0.0.1:1", "whoami"]).output().unwrap();
    let ended = Ended::from(out);
    assert!(ended.code == 7 && ended.err.contains("can't reach the panel at http://127.0.0.1:1"), "{ended:?}");
}

#[test]
fn problems_name_the_flag() {
    let errors = json!([{ "field": "primary_domain", "message": "is no domain; use e.g. a.test" },
                        { "field": "limits.disk_mb", "message": "is too big" }]);
    let panel = Panel::new(move |_, _| (422, problem(422, "Two fields are wrong.", errors.clone())));
    let ended = panel.run(&CREATE);
    let expected = "error: Two fields are wrong.\n  --primary-domain: is no domain; use e.g. a.test\n  --limits.disk-mb: is too big\n";
    assert_eq!((ended.code, ended.err.as_str()), (1, expected));
    let ended = panel.run(&[&CREATE[..], &["--verbose"]].concat());
    assert!(ended.err.contains("request id: req-1"), "{ended:?}");
    let ended = panel.run(&[&CREATE[..], &["--json"]].concat());
    let read: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!((read["status"].as_u64(), ended.out.as_str()), (Some(422), ""));
}

#[test]
fn exit_codes() {
    for (status, code) in
        [(400, 1), (401, 3), (403, 3), (404, 4), (409, 5), (412, 5), (422, 1), (429, 1), (500, 1), (503, 1)]
    {
        let panel = Panel::new(move |_, _| (status, problem(status, "no", json!([]))));
        assert_eq!(panel.run(&["accounts", "show", "alice"]).code, code, "{status}");
    }
    let odd = Panel::new(|_, _| (502, json!("<html>a proxy</html>")));
    let ended = odd.run(&["whoami"]);
    assert!(ended.code == 1 && ended.err.contains("can't be understood"), "{ended:?}");
    let moved = Panel::new(|_, _| (302, Value::Null));
    assert_eq!(moved.run(&["whoami"]).code, 1);
}

#[test]
fn health_is_only_good_when_all_is_well() {
    let health = |ok: bool| {
        json!({ "ok": ok, "version": "0.1.0", "system_initialized": true,
        "components": [{ "name": "agent", "ok": ok, "detail": "does not answer; see wcp360-agent.service" }] })
    };
    let well = Panel::new(move |_, _| (200, health(true))).run(&["health"]);
    assert_eq!(well.code, 0, "{well:?}");
    let panel = Panel::new(move |_, _| (503, health(false)));
    let ill = panel.run(&["health"]);
    assert!(ill.code == 1 && ill.out.contains("agent  no  does not answer"), "{ill:?}");
    assert_eq!(panel.run(&["health", "--json"]).json()["ok"], false);
    assert_eq!(panel.seen()[0].header("authorization"), None);
}

#[test]
fn lists_are_fetched_page_by_page() {
    let panel = Panel::new(|seen, _| match seen.path.split_once("cursor=") {
        None => (200, json!({ "items": [{ "username": "alice", "domains": 1 }], "next_cursor": "a b" })),
        Some((_, "a%20b")) => (200, json!({ "items": [{ "username": "bob", "domains": 12 }], "next_cursor": "c" })),
        Some(_) => (200, json!({ "items": [{ "username": "carol", "domains": 3 }] })),
    });
    let ended = panel.run(&["accounts", "list"]);
    assert_eq!(
        ended.out.lines().filter_map(|l| l.split_whitespace().next()).collect::<Vec<_>>(),
        ["USERNAME", "alice", "bob", "carol"]
    );
    assert_eq!(panel.run(&["accounts", "list", "--json"]).json()["items"].as_array().unwrap().len(), 3);
    let one = panel.run(&["accounts", "list", "--all=false"]);
    assert!(one.out.lines().count() == 2 && one.err.contains("--cursor a b"), "{one:?}");
    assert_eq!(panel.run(&["accounts", "list", "--all=false", "--json"]).json()["next_cursor"], "a b");
    assert_eq!(panel.run(&["accounts", "list", "--cursor", "c"]).out.lines().count(), 2);
    let none = Panel::new(|_, _| (200, json!({ "items": [] }))).run(&["accounts", "list"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", "There is nothing to list.\n"));
}

#[test]
fn a_plan_is_shown_and_nothing_is_waited_for() {
    let plan = json!({ "account": "alice", "resources": [
            { "key": "user:alice", "action": "create", "summary": "uid 20001" },
            { "key": "file:/etc/x.conf", "action": "update", "summary": "", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n" },
            { "key": "file:/etc/y", "action": "delete", "summary": "" }],
        "services": ["start wcp360-php8.2@alice.socket"], "comes_back": ["/srv/www/alice"],
        "data_loss": ["the files of alice"] });
    let panel = Panel::new(move |_, _| (200, plan.clone()));
    let ended = panel.run(&[&CREATE[..], &["--dry-run"]].concat());
    let expected = "What would be done for alice:\n  + user:alice  uid 20001\n  ~ file:/etc/x.conf\n  - file:/etc/y\n  \
                    * start wcp360-php8.2@alice.socket\n  < comes back: /srv/www/alice\n  ! can't be taken back: the files of alice\n\n--- a\n+++ b\n@@ -1 +1 @@\n\
                    -old\n+new\n\n1 to create, 1 to change, 1 to remove. Nothing was changed.\n";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected), "{ended:?}");
    assert_eq!(panel.seen().len(), 1);
}

#[test]
fn text_is_passed_on_and_nothing_is_said_as_done() {
    let metrics = Panel::new(|_, _| (200, json!("# HELP a b\na 1\n")));
    assert_eq!(metrics.run(&["metrics"]).out, "# HELP a b\na 1\n");
    let gone = Panel::new(|_, _| (204, Value::Null));
    assert_eq!(gone.run(&["packages", "delete", "s"]).out, "Done.\n");
    assert_eq!(gone.run(&["packages", "delete", "s", "--quiet"]).out, "");
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = Ended::from(command().args(["completion", shell]).output().unwrap());
        assert!(ended.code == 0 && ended.out.contains("unsuspend") && ended.out.contains("primary-domain"), "{shell}");
    }
}

#[test]
fn sec_nothing_from_the_panel_steers_the_terminal() {
    let evil = "x\u{1b}[2J\u{9b}31m\u{202e}";
    let steers = |text: &str| text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']);
    let ended = |reply: (u16, Value), args: &[&str]| {
        let panel = Panel::new(move |_, _| reply.clone());
        let ended = panel.run(args);
        assert!(!steers(&ended.out) && !steers(&ended.err), "{ended:?}");
        ended
    };
    // Values and names, tables, plain text, problems and jobs, for people and as JSON.
    let thing = json!({ "username": evil, evil: evil, "inner": { evil: [{ evil: 1 }] } });
    for more in [&[][..], &["--json"]] {
        ended((200, thing.clone()), &[&["accounts", "show", "a"][..], more].concat());
        ended((200, json!({ "items": [thing.clone()] })), &[&["accounts", "list"][..], more].concat());
        ended(
            (404, problem(404, evil, json!([{ "field": evil, "message": evil }]))),
            &[&["whoami"][..], more].concat(),
        );
        ended((200, Value::String(format!("{evil}\r\n{evil}\n"))), &[&["whoami"][..], more].concat());
        let mut done = job("succeeded", json!([step(evil, 0, "succeeded", None)]));
        done["operation"] = evil.into();
        ended((200, done), &[&["jobs", "watch", ID][..], more].concat());
    }
    let shown = ended((200, thing.clone()), &["accounts", "show", "a", "--json"]);
    assert_eq!(shown.json(), thing, "it means the same");
}

#[test]
fn nobody_who_reads_is_no_reason_to_panic() {
    use std::process::Stdio;
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    // A pipe whose other end is closed already.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let panel = working("failed", Some("disk full"));
    let run = |args: &[&str], out: Stdio, err: Stdio| {
        command().args(args).env("WCP360_SERVER", &panel.url).stdout(out).stderr(err).status().unwrap().code()
    };
    assert_eq!(run(&["completion", "bash"], closed(), closed()), Some(0));
    assert_eq!(run(&["reference"], closed(), closed()), Some(0));
    assert_eq!(run(&["completion", "zsh"], full(), full()), Some(1));
    assert_eq!(run(&CREATE, Stdio::null(), closed()), Some(6), "the job's outcome, whoever hears of it");
    assert_eq!(run(&["no-such-command"], closed(), full()), Some(2));
    let panel = Panel::new(|_, _| (404, problem(404, "no", json!([]))));
    let verbose = command()
        .args(["accounts", "show", "a", "--verbose"])
        .env("WCP360_SERVER", &panel.url)
        .stdout(closed())
        .stderr(full())
        .status();
    assert_eq!(verbose.unwrap().code(), Some(4));
}

const BULK: [&str; 5] = ["bulk", "start", "suspend", "--accounts", "alice,bob,carol"];

/// A panel whose change of three accounts ends after some looks at it: all done, or one failed and one refused.
fn many(good: bool) -> Panel {
    let bulk = |state: &str, pending: u32, running: u32, bad: u32| {
        json!({ "id": ID, "operation": "bulk.start", "action": "suspend", "actor": "root1", "state": state, "accounts": 3,
                "pending": pending, "running": running, "succeeded": 3 - pending - running - 2 * bad, "failed": bad,
                "refused": bad, "created_at": "2026-11-21T09:00:00Z" })
    };
    let item = |name: &str, more: Value| {
        let mut item = json!({ "account": name, "state": "queued", "job": ID, "job_state": "succeeded" });
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item
    };
    Panel::new(move |seen, before| match (seen.method.as_str(), before) {
        ("POST", _) => (202, bulk("running", 3, 0, 0)),
        (_, 1) => (200, bulk("running", 1, 1, 0)),
        (_, 2) => (0, Value::Null),
        _ if seen.path.contains("/accounts?cursor=") => {
            (200, json!({ "items": [{ "account": "carol", "state": "refused", "error": "is suspended" }] }))
        }
        _ if seen.path.ends_with("/accounts") => {
            let failed = item("bob", json!({ "job_state": "rolled_back", "error": "the disk is full" }));
            (200, json!({ "items": [item("alice", json!({})), failed], "next_cursor": "more" }))
        }
        _ if good => (200, bulk("succeeded", 0, 0, 0)),
        _ => (200, bulk("incomplete", 0, 0, 1)),
    })
}

#[test]
fn ten_05_a_change_of_many_is_followed_to_its_end() {
    let panel = many(true);
    let ended = panel.run(&BULK);
    assert_eq!((ended.code, ended.out.as_str()), (0, "bulk.start: succeeded for 3 accounts.\n"), "{ended:?}");
    assert!(ended.err.contains("1 of 3 accounts are done") && ended.err.contains("3 of 3"), "{ended:?}");
    let seen = panel.seen();
    assert!(seen[1..].iter().all(|s| s.path == format!("/api/v1/bulk/{ID}")), "{seen:?}");

    let ended = many(true).run(&[&BULK[..], &["--json", "--quiet"]].concat());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    assert_eq!((ended.json()["state"].as_str(), &ended.json()["not_changed"]), (Some("succeeded"), &json!([])));

    let panel = many(true);
    let ended = panel.run(&[&BULK[..], &["--no-wait"]].concat());
    assert_eq!((ended.code, panel.seen().len()), (0, 1), "{ended:?}");
    assert!(ended.out.contains(ID), "{ended:?}");
    let plan = json!({ "changes": 1, "refused": 1, "items": [{ "account": "alice", "fits": true },
        { "account": "bob", "fits": false, "error": "is suspended" }] });
    let ended = Panel::new(move |_, _| (200, plan.clone())).run(&[&BULK[..], &["--dry-run"]].concat());
    assert!(ended.out.contains("bob") && ended.out.contains("is suspended"), "{ended:?}");
    assert!(ended.code == 0 && ended.out.ends_with("1 to change, 1 refused. Nothing was changed.\n"), "{ended:?}");
    // The beginning is not needed for following.
    let ended = many(true).run(&["bulk", "watch", ID]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn ten_05_who_was_not_changed_is_named_with_the_reason() {
    let ended = many(false).run(&BULK);
    assert_eq!((ended.code, ended.out.as_str()), (6, ""), "{ended:?}");
    assert!(ended.err.contains(&format!("bob: failed and was taken back: the disk is full (job {ID})")), "{ended:?}");
    assert!(ended.err.contains("carol: is suspended") && !ended.err.contains("alice"), "{ended:?}");
    assert!(ended.err.contains("2 of 3 accounts were not changed (1 failed, 1 refused)"), "{ended:?}");
    let ended = many(false).run(&[&BULK[..], &["--json", "--quiet"]].concat());
    let bad = &ended.json()["not_changed"];
    assert_eq!((ended.code, bad[0]["account"].as_str(), bad[1]["account"].as_str()), (6, Some("bob"), Some("carol")));

    let busy = Panel::new(|_, _| {
        (
            202,
            json!({ "id": ID, "operation": "bulk.start", "action": "suspend", "actor": "r", "state": "running", "accounts": 3,
                      "pending": 3, "running": 0, "succeeded": 0, "failed": 0, "refused": 0,
                      "created_at": "2026-11-21T09:00:00Z" }),
        )
    });
    let ended = busy.run(&[&BULK[..], &["--timeout", "1"]].concat());
    assert!(ended.code == 1 && ended.err.contains(&format!("wcp360 bulk watch {ID}")), "{ended:?}");
}
