//! What is sent.

#![allow(clippy::unwrap_used)]

mod panel;

use panel::Panel;
use serde_json::{Value, json};

fn accepting() -> Panel {
    Panel::new(|seen, _| match seen.method.as_str() {
        "DELETE" => (204, Value::Null),
        _ => (200, json!({ "items": [] })),
    })
}

#[test]
fn flags_become_the_body() {
    let panel = accepting();
    let args = [
        "packages",
        "create",
        "starter",
        "--limits.disk-mb",
        "500",
        "--features.ssh",
        "--features.php=false",
        "--visibility",
        "private",
        "--limits.inodes",
        "none",
    ];
    let ended = panel.run(&args);
    assert_eq!(ended.code, 0, "{ended:?}");
    let seen = &panel.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v1/packages"));
    assert_eq!(seen.header("authorization"), Some("Bearer the-token"));
    let expected = json!({ "name": "starter", "visibility": "private", "features": { "ssh": true, "php": false },
                           "limits": { "disk_mb": 500, "inodes": null } });
    assert_eq!(seen.json(), expected);
}

#[test]
fn a_json_body_is_changed_by_flags() {
    let panel = accepting();
    let body = r#"{ "name": "big", "limits": { "disk_mb": 1 } }"#;
    let ended = panel.run_with(&["packages", "create", "bigger", "--from-json", "-", "--tier", "3"], body);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(panel.seen()[0].json(), json!({ "name": "bigger", "tier": 3, "limits": { "disk_mb": 1 } }));
    let ended = panel.run_with(&["packages", "create", "--from-json", "-"], body);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(panel.seen()[1].json()["name"], "big");
    for (wrong, word) in [("[]", "object"), ("{", "JSON")] {
        let ended = panel.run_with(&["packages", "create", "--from-json", "-"], wrong);
        assert!(ended.code == 1 && ended.err.contains(word), "{ended:?}");
    }
}

#[test]
fn what_is_replaced_can_keep_what_is_there() {
    let panel = Panel::new(|seen, _| match seen.method.as_str() {
        "GET" => (200, json!({ "name": "s", "version": 4, "tier": 7, "limits": { "disk_mb": 1, "inodes": 9 } })),
        _ => (200, json!({ "name": "s" })),
    });
    assert_eq!(panel.run(&["packages", "update", "s", "--keep", "--limits.disk-mb", "2"]).code, 0);
    let expected = json!({ "name": "s", "tier": 7, "limits": { "disk_mb": 2, "inodes": 9 } });
    assert_eq!(panel.seen()[1].json(), expected);
    assert_eq!(panel.run(&["packages", "update", "s", "--tier", "1"]).code, 0);
    assert_eq!(panel.seen()[2].json(), json!({ "name": "s", "tier": 1 }));
}

#[test]
fn names_and_filters_are_encoded() {
    let panel = accepting();
    assert_eq!(panel.run(&["accounts", "list", "--search", "a&b=c d", "--state", "active", "--limit", "5"]).code, 0);
    assert_eq!(panel.run(&["tokens", "revoke", "a/../b"]).code, 0);
    let paths: Vec<String> = panel.seen().into_iter().map(|s| s.path).collect();
    assert_eq!(paths, ["/api/v1/accounts?search=a%26b%3Dc%20d&state=active&limit=5", "/api/v1/tokens/a%2F..%2Fb"]);
    assert_eq!(panel.run(&["tokens", "revoke", ".."]).code, 2);
}

#[test]
fn secrets_come_from_files_or_standard_input() {
    let panel = accepting();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "once\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["setup", "--username", "root1", "--setup-token-file", file, "--password-stdin"];
    let ended = panel.run_with(&args, "correct horse\nsecond line\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    let seen = &panel.seen()[0];
    let expected = json!({ "username": "root1", "setup_token": "once", "password": "correct horse" });
    assert_eq!(seen.json(), expected);
    assert_eq!(seen.header("authorization"), None, "nobody is logged in yet");

    let twice = ["setup", "--username", "root1", "--setup-token-stdin", "--password-stdin"];
    assert_eq!(panel.run_with(&twice, "x\n").code, 2);
    let none = panel.run(&["setup", "--username", "root1", "--setup-token-file", file]);
    assert!(none.code == 2 && none.err.contains("--password-file"), "{none:?}");
    let empty = panel.run_with(&args, "\n");
    assert_eq!(empty.code, 2, "{empty:?}");
    assert_eq!(panel.seen().len(), 1);
}

#[test]
fn plt_04_admin_create_is_users_create() {
    let panel = Panel::new(|_, _| (201, json!({ "username": "ann" })));
    let ended = panel.run_with(&["admin", "create", "ann", "--password-stdin"], "long enough\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    let seen = &panel.seen()[0];
    assert_eq!(seen.path, "/api/v1/users");
    assert_eq!(seen.json(), json!({ "username": "ann", "role": "admin", "password": "long enough" }));
}

#[test]
fn a_token_that_is_shown_once_is_saved_or_nothing_happens() {
    use std::os::unix::fs::PermissionsExt;
    let panel = Panel::new(|_, _| (201, json!({ "name": "billing", "secret": "shown-once" })));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let place = path.to_str().unwrap();
    let ended = panel.run(&["tokens", "create", "billing", "--save-token", "/nonexistent/directory/file"]);
    assert_eq!((ended.code, panel.seen().len()), (1, 0), "{ended:?}");
    let ended = panel.run(&["tokens", "create", "billing", "--save-token", place]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.out.contains("shown-once") && !ended.err.contains("shown-once"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "shown-once\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(panel.run(&["tokens", "create", "billing"]).out.contains("shown-once"));
}

/// A panel that is set up by the first request that comes through, and then knows that token; `lost` answers are lost on
/// the way.
fn first_boot(lost: usize) -> Panel {
    let known = std::sync::Mutex::new(None);
    Panel::new(move |seen, before| {
        let mut known = known.lock().unwrap();
        let answer = match (seen.path.as_str(), known.clone()) {
            ("/api/v1/setup", None) => {
                *known = Some(format!("Bearer {}", seen.json()["api_token"].as_str().unwrap()));
                (201, json!({ "username": "ann", "token": seen.json()["api_token"] }))
            }
            ("/api/v1/setup", _) => (409, problem(409)),
            (_, known) if known.is_some() && seen.header("authorization") == known.as_deref() => {
                (200, json!({ "username": "ann", "role": "root" }))
            }
            _ => (401, problem(401)),
        };
        if before < lost { (0, Value::Null) } else { answer }
    })
}

fn problem(status: u16) -> Value {
    json!({ "type": "urn:wcp360:problem:x", "title": "No", "status": status, "detail": "no" })
}

#[test]
fn plt_04_setup_loses_nothing_whenever_it_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "long enough").unwrap();
    let (secret, key) = (secret.to_str().unwrap(), directory.path().join("api.key"));
    let args = [
        "setup",
        "--username",
        "ann",
        "--password-file",
        secret,
        "--setup-token-file",
        secret,
        "--save-token",
        key.to_str().unwrap(),
    ];
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    // Lost answers: none; to the setup only; to what asks how it went, too, until we give up and are run again.
    for lost in [0, 1, 100] {
        let _ = std::fs::remove_file(&key);
        let panel = first_boot(lost);
        let ended = panel.run(&args);
        if lost == 100 {
            assert!(ended.code == 7 && !key.exists(), "{ended:?}");
            // The panel is there again, and was set up by the request whose answer nobody saw.
            let panel_now = first_boot(0);
            let sent = panel.seen()[0].json()["api_token"].clone();
            let earlier = std::fs::read_to_string(directory.path().join("api.key.new")).unwrap();
            assert_eq!(sent, earlier.trim());
            assert_eq!(panel_now.run(&args).code, 0);
            assert_eq!(panel_now.seen().last().unwrap().json()["api_token"], sent);
        } else {
            assert_eq!(ended.code, 0, "{ended:?}");
            assert!(ended.out.contains("ann") && !ended.out.contains("wcp_api_"), "{ended:?}");
            let saved = std::fs::read_to_string(&key).unwrap();
            assert_eq!(panel.seen()[0].json()["api_token"], saved.trim());
            // Too late for another one, which leaves everything as it is.
            assert_eq!(panel.run(&args).code, 5);
            assert_eq!(std::fs::read_to_string(&key).unwrap(), saved);
        }
        assert_eq!(files(), 2, "lost {lost}");
    }
}

#[test]
fn revisions_are_sent_as_etags() {
    let panel = Panel::new(|_, _| (200, json!({ "account": "alice", "resources": [], "services": [] })));
    assert_eq!(panel.run(&["accounts", "delete", "alice", "--dry-run", "--if-match", "sha256:ab"]).code, 0);
    let seen = &panel.seen()[0];
    assert_eq!(seen.header("if-match"), Some("\"sha256:ab\""));
    assert_eq!(seen.path, "/api/v1/accounts/alice?dry_run=true");
}

#[test]
fn values_are_checked_before_anything_is_sent() {
    let panel = accepting();
    for wrong in [
        vec!["packages", "create", "x", "--tier", "70000"],
        vec!["packages", "create", "x", "--tier", "none"],
        vec!["packages", "create", "x", "--limits.disk-mb", "many"],
        vec!["packages", "create", "x", "--visibility", "secret"],
        vec!["packages", "create"],
        vec!["accounts", "list", "--limit", "0"],
        vec!["accounts", "explode"],
        vec!["--server", "http://panel.example.com", "accounts", "list"],
        vec!["--server", "ftp://x", "accounts", "list"],
    ] {
        let ended = panel.run(&wrong);
        assert!(ended.code == 2 && !ended.err.is_empty(), "{wrong:?}: {ended:?}");
    }
    assert!(panel.seen().is_empty());
}

#[test]
fn sec_a_stranger_in_the_panels_place_is_told_nothing() {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("only root can become somebody else: left out");
        return;
    }
    // Another user of this machine, who listens where the panel would.
    let script = "import socket,sys\n\
        s=socket.create_server(('127.0.0.1',0))\n\
        print(s.getsockname()[1],flush=True)\n\
        while True:\n c,_=s.accept()\n print('got',c.recv(9999),flush=True)\n c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}')\n c.close()\n";
    use std::io::{BufRead, BufReader, Read};
    let mut stranger = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    /// Ends it also when the test fails.
    struct End(std::process::Child);
    impl Drop for End {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut said = BufReader::new(stranger.stdout.take().unwrap());
    let stranger = End(stranger);
    let mut port = String::new();
    said.read_line(&mut port).unwrap();
    let run = |server: String, more: &[&str]| -> panel::Ended {
        let args = [&["whoami", "--server", &server][..], more].concat();
        panel::command().args(args).env("WCP360_TOKEN", "the-token").output().unwrap().into()
    };
    for host in ["127.0.0.1", "localhost"] {
        let ended = run(format!("http://{host}:{}", port.trim()), &[]);
        assert_eq!(ended.code, 7, "{ended:?}");
        assert!(ended.err.contains("user 65534 listens there") && ended.err.contains("--insecure"), "{ended:?}");
    }
    assert_eq!(run(format!("http://127.0.0.1:{}", port.trim()), &["--insecure"]).code, 0);
    drop(stranger);
    let mut heard = String::new();
    said.read_to_string(&mut heard).unwrap();
    assert_eq!(heard.matches("the-token").count(), 1, "only what was trusted on purpose: {heard}");
}
