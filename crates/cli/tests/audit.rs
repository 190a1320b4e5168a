//! `audit verify --file`: without any panel (SEC-06).

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use wcp360_audit_chain::{Checkpoint, End, FORMAT, Head, KEY_ACTION, SigningKey, entry_line, hash_of, json_line};
use wcp360_types::api::audit::AuditEntry;

fn key() -> SigningKey {
    SigningKey::from_seed([3; 32]).unwrap()
}

fn export() -> String {
    let head =
        Head { format: FORMAT.into(), keys: vec![key().public().to_string()], chained: true, ends: true, note: None };
    let mut text = json_line("head", &head);
    let mut previous = String::new();
    for seq in 1..=20 {
        let mut entry: AuditEntry = serde_json::from_value(serde_json::json!({
            "seq": seq, "at": "2026-11-21T12:00:00.5Z", "actor": "root", "source": "local",
            "action": if seq == 1 { KEY_ACTION } else { "accounts.create" },
            "target": key().public().to_string(), "outcome": "succeeded", "request_id": "r",
            "previous": previous, "hash": "",
        }))
        .unwrap();
        entry.hash = hash_of(&entry);
        previous.clone_from(&entry.hash);
        text += &entry_line(&entry);
        if seq % 10 == 0 {
            text += &json_line("checkpoint", &Checkpoint::sign(&key(), seq, &entry.hash, entry.at));
        }
    }
    text + &json_line("end", &End { entries: 20, last: Some(20) })
}

fn verify(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wcp360"))
        .args(["--json", "audit", "verify"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn written(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn sec_06_a_file_is_verified_without_a_panel() {
    let dir = tempfile::tempdir().unwrap();
    let (text, public) = (export(), key().public().to_string());
    let file = written(dir.path(), "trail.jsonl", &text);
    let shown = serde_json::json!({ "id": "x", "public_key": public }).to_string();
    let (shown, plain) =
        (written(dir.path(), "key.json", &shown), written(dir.path(), "key.txt", &format!("{public}\n")));
    for trusted in [public.as_str(), shown.as_str(), plain.as_str()] {
        let done = verify(&["--file", &file, "--key", trusted], "");
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!((&found["ok"], &found["signed_through"]), (&true.into(), &20.into()));
    }
    assert_eq!(verify(&["--file", "-"], &text).status.code(), Some(0));
    for (arguments, input, kind) in [
        (vec!["--file", "-"], text.replacen("\"actor\":\"root\"", "\"actor\":\"toor\"", 1), "altered"),
        (
            vec!["--file", "-"],
            text.lines().filter(|l| !l.contains("\"seq\":7,")).collect::<Vec<_>>().join("\n"),
            "removed",
        ),
        (vec!["--file", "-", "--expect-last", "21"], text.clone(), "truncated"),
    ] {
        let done = verify(&arguments, &input);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(found["fault"]["kind"], kind);
    }
    let stranger = SigningKey::from_seed([4; 32]).unwrap().public().to_string();
    let done = verify(&["--file", &file, "--key", &stranger], "");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    // Wrong usage and files that are not there.
    assert_eq!(verify(&["--key", &public], "").status.code(), Some(2));
    for bad in [
        ["--file", "/nowhere", "--key", &public],
        ["--file", &file, "--key", "/nowhere"],
        ["--file", &file, "--key", &file],
    ] {
        let done = verify(&bad, "");
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(!done.stderr.is_empty());
    }
}
