//! The audit trail of the real binary.

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

mod panel;

use panel::Panel;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use wcp360_audit_chain::{PublicKey, Verifier, verify_file};
use wcp360_types::api::audit::{AuditFaultKind, AuditVerification};

fn key(panel: &Panel) -> PublicKey {
    panel.root("GET", "/audit/key", "").json()["public_key"].as_str().unwrap().parse().unwrap()
}

fn verify(text: &str, key: PublicKey) -> AuditVerification {
    verify_file(text.as_bytes(), Verifier::new([key])).unwrap()
}

/// Waits for `audit.json` to say how an operation ended.
fn mirrored(panel: &Panel, text: &str) -> String {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let content = std::fs::read_to_string(panel.path("log/audit.json")).unwrap_or_default();
        if content.lines().any(|line| line.contains(text) && !line.contains("\"started\"")) {
            return content;
        }
        assert!(Instant::now() < until, "{text} is not in {content}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn entries(panel: &Panel, query: &str) -> Vec<serde_json::Value> {
    let answer = panel.root("GET", &format!("/audit?limit=1000&{query}"), "");
    assert_eq!(answer.0, 200, "{answer:?}");
    answer.json()["items"].as_array().unwrap().clone()
}

#[test]
fn sec_06_the_trail_is_signed_verified_and_exported() {
    let mut panel = Panel::start();
    let mode = std::fs::metadata(panel.path("state/audit.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    for n in 0..30 {
        assert_eq!(panel.root("POST", "/tokens", &json!({"name": format!("t{n}")}).to_string()).0, 201);
    }
    let found = panel.root("GET", "/audit/verify", "").json();
    assert_eq!(found["ok"], true, "{found}");
    assert!(found["entries"].as_u64().unwrap() > 60 && found["unsigned"] == 0, "{found}");

    let public = key(&panel);
    let lines = panel.root("GET", "/audit/export", "").2;
    let by_lines = verify(&lines, public);
    assert!(by_lines.ok && by_lines.chained && by_lines.unsigned == 0, "{by_lines:?}");
    let table = panel.root("GET", "/audit/export?format=csv", "").2;
    let by_table = verify(&table, public);
    assert!(by_table.ok && by_table.entries >= by_lines.entries, "{by_table:?}");
    let altered = lines.replacen("\"target\":\"", "\"target\":\"x", 1);
    assert_eq!(verify(&altered, public).fault.unwrap().kind, AuditFaultKind::Altered);
    // A selection says that it is one.
    let part = panel.root("GET", "/audit/export?action=tokens.create&outcome=succeeded", "").2;
    let selection = verify(&part, public);
    assert!(selection.ok && !selection.chained && selection.entries == 30, "{selection:?}");

    // A new key is vouched for by the old one.
    assert_eq!(panel.root("POST", "/audit/key", "").0, 200);
    let second = key(&panel);
    assert_ne!(second, public);
    panel.root("POST", "/tokens", r#"{"name": "after"}"#);
    panel.stop();
    let mirror = std::fs::read_to_string(panel.path("log/audit.json")).unwrap();
    for known in [public, second] {
        let found = verify(&mirror, known);
        assert!(found.ok && found.unsigned == 0, "{found:?}");
    }
    assert!(mirror.contains("panel.stop") && mirror.contains("panel.start"));
    panel.again();
    assert_eq!(panel.root("GET", "/audit/verify", "").json()["ok"], true);
    assert_eq!(key(&panel), second);
}

#[test]
fn sec_06_refused_again_and_again_is_counted_and_not_recorded_each_time() {
    let mut panel = Panel::start();
    for _ in 0..60 {
        assert_eq!(panel.root("POST", "/tokens", r#"{"name": ""}"#).0, 422);
    }
    let outcomes =
        |panel: &Panel, outcome: &str| entries(panel, &format!("action=tokens.create&outcome={outcome}")).len();
    assert_eq!((outcomes(&panel, "started"), outcomes(&panel, "refused")), (11, 10));
    // What succeeds is recorded; from then on everything is again.
    assert_eq!(panel.root("POST", "/tokens", r#"{"name": "good"}"#).0, 201);
    assert_eq!((outcomes(&panel, "started"), outcomes(&panel, "succeeded")), (11, 1));
    assert_eq!(panel.root("POST", "/tokens", r#"{"name": "better"}"#).0, 201);
    assert_eq!((outcomes(&panel, "started"), outcomes(&panel, "succeeded")), (12, 2));
    // What was counted is not lost when core stops.
    panel.stop();
    panel.again();
    let counted = entries(&panel, "action=audit.summary");
    assert_eq!((counted.len(), counted[0]["target"].as_str()), (1, Some("tokens.create")), "{counted:?}");
    assert!(counted[0]["detail"].as_str().unwrap().starts_with("50 more refusals"), "{counted:?}");
    assert_eq!(panel.root("GET", "/audit/verify", "").json()["ok"], true);
}

#[test]
fn sec_06_the_mirror_survives_rotation_and_restarts() {
    let mut panel = Panel::start();
    let public = key(&panel);
    panel.root("POST", "/tokens", r#"{"name": "first"}"#);
    mirrored(&panel, "tokens.create");
    std::fs::rename(panel.path("log/audit.json"), panel.path("log/audit.json.1")).unwrap();
    panel.root("DELETE", "/tokens/019f0000-0000-7000-8000-000000000000", "");
    let second = mirrored(&panel, "tokens.revoke");
    assert!(!second.contains("tokens.create"), "what was written before is written again: {second}");
    panel.stop();
    std::fs::rename(panel.path("log/audit.json"), panel.path("log/audit.json.2")).unwrap();
    panel.again();
    panel.root("POST", "/tokens", r#"{"name": "third"}"#);
    let third = mirrored(&panel, "tokens.create");
    assert!(!third.contains("tokens.revoke"), "{third}");
    let base = panel.dir.path().to_owned();
    let read = |name: &str| std::fs::read_to_string(base.join(name)).unwrap();
    let all = read("log/audit.json.1") + &read("log/audit.json.2") + &third;
    let found = verify(&all, public);
    assert!(found.ok && found.first == Some(1), "{found:?}");
    // A line that was not finished is taken off at the next start.
    panel.stop();
    let path = panel.path("log/audit.json");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"kind\":\"entry\",\"seq\":99").unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    panel.again();
    panel.root("POST", "/tokens", r#"{"name": "fourth"}"#);
    panel.stop();
    let all = read("log/audit.json.1") + &read("log/audit.json.2") + &std::fs::read_to_string(&path).unwrap();
    let found = verify(&all, public);
    assert!(found.ok, "{found:?}");
}

#[test]
fn sec_06_an_end_that_was_taken_away_is_noticed() {
    let mut panel = Panel::start();
    panel.stop();
    let names = ["state.db", "state.db-wal"];
    // Whether there is a log depends on how far core came with closing.
    let copies = names.map(|name| std::fs::read(panel.path(&format!("state/{name}"))).ok());
    panel.again();
    for n in 0..5 {
        panel.root("POST", "/tokens", &json!({"name": format!("t{n}")}).to_string());
    }
    panel.stop();
    // An older database comes back.
    let _ = std::fs::remove_file(panel.path("state/state.db-shm"));
    for (name, copy) in names.iter().zip(copies) {
        let path = panel.path(&format!("state/{name}"));
        let _ = std::fs::remove_file(&path);
        if let Some(copy) = copy {
            std::fs::write(path, copy).unwrap();
        }
    }
    own(&panel);
    panel.again();
    let noticed = entries(&panel, "action=audit.truncated");
    assert_eq!(noticed.len(), 1, "{noticed:?}");
    // It is told once, and the new chain is whole.
    assert_eq!(panel.root("GET", "/audit/verify", "").json()["ok"], true);
    panel.stop();
    panel.again();
    assert_eq!(entries(&panel, "action=audit.truncated").len(), 1);
}

/// Has Python change the database `d` of a panel that is stopped.
fn edit(panel: &Panel, statements: &str) {
    let done = std::process::Command::new("python3")
        .arg("-c")
        .arg(format!("import sqlite3,sys; d=sqlite3.connect(sys.argv[1])\n{statements}\nd.commit(); d.close()"))
        .arg(panel.path("state/state.db"))
        .status()
        .unwrap();
    assert!(done.success());
    own(panel);
}

/// Gives core its files back.
fn own(panel: &Panel) {
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let path = panel.path(&format!("state/{name}"));
        if path.exists() && rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        }
    }
}

/// Changes entry 5, computes the chain anew as only who knows its form can, and takes the signatures over it away.
const FORGE: &str = r#"
import hashlib
d.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 5")
d.execute("DELETE FROM audit_checkpoints WHERE seq >= 5")
previous = d.execute("SELECT hash FROM audit WHERE seq = 4").fetchone()[0]
for row in d.execute("SELECT seq, at, actor, on_behalf, source, action, target, owner_id, account_id, outcome, detail, "
                     "before, after, request_id, job FROM audit WHERE seq >= 5 ORDER BY seq").fetchall():
    text = b"wcp360-audit-1\n"
    for field in (previous,) + row:
        value = None if field is None else str(field).encode()
        text += b"-\n" if value is None else b"%d:%s\n" % (len(value), value)
    hash = hashlib.sha256(text).hexdigest()
    d.execute("UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", (previous, hash, row[0]))
    previous = hash
"#;

#[test]
fn sec_06_a_trail_that_was_computed_anew_gets_no_signature() {
    let mut panel = Panel::start();
    for n in 0..10 {
        panel.root("POST", "/tokens", &json!({"name": format!("t{n}")}).to_string());
    }
    assert_eq!(panel.root("GET", "/audit/verify", "").json()["ok"], true);
    panel.stop();
    let anchor = |panel: &Panel| -> serde_json::Value {
        let text = std::fs::read_to_string(panel.path("state/audit.position")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["anchor"].clone()
    };
    let before = anchor(&panel);
    assert!(before["seq"].as_u64().unwrap() > 5, "{before}");
    edit(&panel, FORGE);
    // Starting adds entries, which would have been signed with all that is before them.
    panel.again();
    assert_eq!(entries(&panel, "action=audit.rewritten").len(), 1);
    for _ in 0..2 {
        let found = panel.root("GET", "/audit/verify", "").json();
        assert_eq!((&found["ok"], &found["fault"]["kind"]), (&json!(false), &json!("rewritten")), "{found}");
    }
    panel.stop();
    assert_eq!(anchor(&panel), before, "what was signed last is still known");
}

#[test]
fn sec_06_a_checkpoint_that_nobody_made_does_not_stop_signing() {
    let mut panel = Panel::start();
    panel.stop();
    edit(&panel, "d.execute(\"INSERT INTO audit_checkpoints VALUES (1000000, 'k', 'h', 0, 's')\")");
    panel.again();
    panel.root("POST", "/tokens", r#"{"name": "one"}"#);
    panel.stop();
    let text = std::fs::read_to_string(panel.path("state/audit.position")).unwrap();
    let position: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(position["anchor"]["seq"], position["seq"], "signed to the end: {position}");
}

#[test]
fn sec_06_a_changed_database_is_found_and_named() {
    let mut panel = Panel::start();
    for n in 0..10 {
        panel.root("POST", "/tokens", &json!({"name": format!("t{n}")}).to_string());
    }
    panel.stop();
    edit(&panel, "d.execute(\"UPDATE audit SET actor = 'nobody' WHERE seq = 7\")");
    panel.again();
    let found = panel.root("GET", "/audit/verify", "").json();
    assert_eq!(
        (&found["ok"], &found["fault"]["kind"], &found["fault"]["seq"]),
        (&json!(false), &json!("altered"), &json!(7))
    );
}

#[test]
fn sec_06_refusals_and_logins_are_recorded_and_bounded() {
    let panel = Panel::start();
    let cookie = panel.reseller("sam");
    let by_sam = entries(&panel, "actor=sam&action=session.login");
    assert_eq!(by_sam.len(), 1, "{by_sam:?}");
    assert_eq!((&by_sam[0]["outcome"], &by_sam[0]["target"]), (&json!("succeeded"), &json!("sam")));
    // Wrong passwords, wrong tokens, what a role may not do, also when it only reads.
    for _ in 0..60 {
        panel.call("", "POST", "/session", r#"{"username": "sam", "password": "wrong"}"#);
        panel.call("wcp_api_nonsense", "GET", "/accounts", "");
    }
    let header = format!("Cookie: {cookie}\r\n");
    for _ in 0..100 {
        assert_eq!(panel.call_with(&header, "GET", "/metrics", "").0, 403);
    }
    let login = entries(&panel, "action=session.login&outcome=refused");
    let reads = entries(&panel, "action=accounts.list");
    assert!(!login.is_empty() && !reads.is_empty());
    assert!(login.len() + reads.len() <= 30, "{} and {}", login.len(), reads.len());
    let metrics = entries(&panel, "actor=sam&action=metrics.show");
    assert!(!metrics.is_empty() && metrics.len() <= 60, "{}", metrics.len());
    // Everything of its own, nothing of others.
    let own = panel.call_with(&header, "GET", "/audit?limit=1000", "").json();
    assert!(own["items"].as_array().unwrap().iter().all(|e| e["actor"] == "sam"), "{own}");
    assert_eq!(panel.call_with(&header, "GET", "/audit/verify", "").0, 403);
    let part = panel.call_with(&header, "GET", "/audit/export", "");
    assert_eq!(part.0, 200);
    assert!(part.2.contains("\"chained\":false") && !part.2.contains("\"actor\":\"root\""), "{}", part.2);
}
