//! The API: errors, keys, pages, documents.

use serde_json::{Value, json};
use wcp360_api::{Access, operations};
use wcp360_e2e::{Answer, Host};

fn field(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn bad_input_is_answered_with_the_field_and_changes_nothing() {
    let host = Host::get();
    let admin = host.admin();
    host.create("holder");
    let account = |username: &str, domain: &str, package: &str| json!({"username": username, "primary_domain": domain, "package": package});
    for (body, status, at) in [
        (account("Al", "new-a.test", "starter"), 422, "username"),
        (account("9lives", "new-a.test", "starter"), 422, "username"),
        (account("a;rm", "new-a.test", "starter"), 422, "username"),
        (account("root", "new-a.test", "starter"), 422, "username"),
        (account("www-data", "new-a.test", "starter"), 422, "username"),
        (account("holder", "new-a.test", "starter"), 409, "username"),
        (account("newone", "not a domain", "starter"), 422, "primary_domain"),
        (account("newone", "x.test\n", "starter"), 422, "primary_domain"),
        (account("newone", "localhost", "starter"), 422, "primary_domain"),
        (account("newone", "co.uk", "starter"), 422, "primary_domain"),
        (account("newone", "holder.test", "starter"), 409, "primary_domain"),
        (account("newone", "HOLDER.test.", "starter"), 409, "primary_domain"),
        (account("newone", "sub.holder.test", "starter"), 409, "primary_domain"),
        (account("newone", "new-a.test", "nothing-like-it"), 422, "package"),
        (json!({"username": "newone"}), 422, "primary_domain"),
        (json!({"username": "newone", "primary_domain": "new-a.test", "package": "starter", "uid": 0}), 422, "uid"),
        (json!({"username": 7, "primary_domain": "new-a.test", "package": "starter"}), 422, "username"),
    ] {
        let answer = host.api(admin, "POST", "/accounts", Some(&body));
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert_eq!(field(&answer), at, "{body}: {answer:?}");
        assert!(answer.json()["errors"][0]["message"].as_str().unwrap().len() > 10, "{answer:?}");
    }
    let huge = json!({"username": "newone", "primary_domain": "x".repeat(10 * 1024 * 1024)});
    assert_eq!(host.api(admin, "POST", "/accounts", Some(&huge)).status, 413);
    let not_json = host.exec_with(
        &[
            "curl",
            "-s",
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
            "-H",
            &format!("Authorization: Bearer {admin}"),
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            "http://127.0.0.1:2098/api/v1/accounts",
        ],
        b"{\"username\": ",
    );
    assert_eq!(not_json.out, "400");
    assert!(!host.test("id newone || ls /var/lib/wcp360/web/names | grep -q new-a"));
    assert_eq!(host.api(admin, "GET", "/accounts?search=newone", None).json()["items"].as_array().unwrap().len(), 0);
}

#[test]
fn sec_03_tokens_expire_are_limited_and_revoked() {
    let host = Host::get();
    let admin = host.admin();
    let made = host.api(
        admin,
        "POST",
        "/tokens",
        Some(&json!({"name": "t", "scopes": ["accounts.read", "self.manage"], "expires_in_days": 1})),
    );
    assert_eq!(made.status, 201, "{made:?}");
    let (secret, id) =
        (made.json()["secret"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    assert_eq!(host.api(&secret, "GET", "/accounts", None).status, 200);
    assert_eq!(host.api(&secret, "GET", "/packages", None).status, 403, "outside its scopes");
    // A limited token makes no wider one.
    let wider = host.api(&secret, "POST", "/tokens", Some(&json!({"name": "w", "scopes": ["packages.read"]})));
    assert_eq!(wider.status, 422, "{wider:?}");
    let same = host.api(&secret, "POST", "/tokens", Some(&json!({"name": "w"})));
    assert_eq!(host.api(same.json()["secret"].as_str().unwrap(), "GET", "/packages", None).status, 403);
    // Its time is over.
    let sql = format!("UPDATE tokens SET expires_at = 1 WHERE id = '{id}'");
    host.sh(&format!("sqlite3 -cmd '.timeout 20000' /var/lib/wcp360/state.db \"{sql}\""));
    let expired = host.api(&secret, "GET", "/accounts", None);
    assert_eq!(expired.status, 401);
    assert!(expired.json()["detail"].as_str().unwrap().contains("expired"), "{expired:?}");
    assert_eq!(host.api(admin, "DELETE", &format!("/tokens/{id}"), None).status, 204);
    assert_eq!(host.api(&secret, "GET", "/accounts", None).status, 401);
    for bad in ["x", "wcp_api_1_2_3", &secret[..secret.len() - 1]] {
        assert_eq!(host.api(bad, "GET", "/accounts", None).status, 401, "{bad}");
    }
}

#[test]
fn sec_01_nothing_without_a_login() {
    let host = Host::get();
    for operation in operations() {
        let mut path = operation.path.to_owned();
        for (name, value) in [("{account}", "demo"), ("{domain}", "demo.test"), ("{package}", "starter")] {
            path = path.replace(name, value);
        }
        let path = path.split('/').map(|p| if p.starts_with('{') { "x" } else { p }).collect::<Vec<_>>().join("/");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = host.api("", method, &path, Some(&json!({})));
            let declared = |m: &str| {
                operations().iter().any(|o| o.path == operation.path && o.method.as_str() == m.to_lowercase())
            };
            let public = |m: &str| {
                operations().iter().any(|o| {
                    o.path == operation.path && o.method.as_str() == m.to_lowercase() && o.access == Access::Public
                })
            };
            if public(method) {
                assert_ne!(answer.status, 401, "{method} {path}");
            } else if declared(method) {
                assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            }
        }
    }
}

#[test]
fn eng_03_a_key_makes_a_request_repeatable() {
    let host = Host::get();
    let body = json!({"username": "repeated", "primary_domain": "repeated.test", "package": "starter"});
    let key = ["Idempotency-Key: the-same-key"];
    let first = host.api_with(host.admin(), "POST", "/accounts", Some(&body), &key);
    let second = host.api_with(host.admin(), "POST", "/accounts", Some(&body), &key);
    assert_eq!((first.status, second.status), (202, 202), "{second:?}");
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(first.header("location").unwrap(), format!("/api/v1/jobs/{}", first.json()["id"].as_str().unwrap()));
    let other = json!({"username": "different", "primary_domain": "different.test", "package": "starter"});
    assert_eq!(host.api_with(host.admin(), "POST", "/accounts", Some(&other), &key).status, 422);
    assert_eq!(host.wait_job(&first)["state"], "succeeded");
}

#[test]
fn api_01_if_match_refuses_what_has_moved() {
    let host = Host::get();
    host.create("etagged");
    let etag = host.api(host.admin(), "GET", "/accounts/etagged", None).header("etag").unwrap().to_owned();
    let header = format!("If-Match: {etag}");
    let add = |name: &str| {
        host.api_with(host.admin(), "POST", "/accounts/etagged/domains", Some(&json!({"domain": name})), &[&header])
    };
    let first = add("one-etagged.test");
    assert_eq!(host.wait_job(&first)["state"], "succeeded");
    assert_eq!(add("two-etagged.test").status, 412);
}

#[test]
fn api_01_pages_follow_cursors() {
    let host = Host::get();
    for name in ["pageda", "pagedb", "pagedc"] {
        host.create(name);
    }
    let mut names: Vec<String> = Vec::new();
    let mut cursor = String::new();
    for _ in 0..200 {
        let page = host.api(host.admin(), "GET", &format!("/accounts?limit=1&search=paged{cursor}"), None).json();
        names.extend(page["items"].as_array().unwrap().iter().map(|a| a["username"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["pageda", "pagedb", "pagedc"]);
    assert_eq!(host.api(host.admin(), "GET", "/accounts?limit=0", None).status, 422);
}

#[test]
fn obs_01_health_metrics_and_the_document() {
    let host = Host::get();
    let health = host.api("", "GET", "/health", None);
    assert_eq!(health.status, 200, "{health:?}");
    assert_eq!(host.cli(&["health"]).code, 0);
    let metrics = host.api(host.admin(), "GET", "/metrics", None);
    assert!(metrics.body.contains("wcp360_http_requests_total{operation=\"health.show\""), "{}", metrics.body);
    assert!(metrics.body.contains("wcp360_accounts{state=\"active\"}"));
    let document = host.api("", "GET", "/openapi.json", None).json();
    assert_eq!(document["openapi"], "3.1.0");
    // Logs: JSON with the request's id.
    let answer = host.api(host.admin(), "GET", "/accounts/demo", None);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let line = host.sh(&format!("grep {id} /var/log/wcp360/core.log | tail -1"));
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["span"]["operation"].as_str().or(line["spans"][0]["operation"].as_str()), Some("accounts.show"));
}

#[test]
fn sec_06_changes_are_audited_and_mirrored() {
    let host = Host::get();
    host.create("audited");
    let entries = host.api(host.admin(), "GET", "/audit?target=audited", None).json();
    let outcomes: Vec<_> =
        entries["items"].as_array().unwrap().iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["succeeded", "accepted"], "newest first: {entries}");
    assert!(entries["items"][0]["after"].as_str().unwrap().starts_with("sha256:"), "{entries}");
    // The mirror follows in a moment.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mirrored = host.sh("grep -c '\"target\":\"audited\"' /var/log/wcp360/audit.json");
    assert_eq!(mirrored, outcomes.len().to_string());
    // No secret in the trail or the logs.
    let token = host.admin();
    assert!(!host.test(&format!("grep -rqF {token} /var/log/wcp360 /var/lib/wcp360/state.db")));
}
