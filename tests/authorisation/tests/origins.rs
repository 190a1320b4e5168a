//! Who stands between: foreign sites that use a visitor's cookie, and headers about the client that the client wrote.

use crate::document;
use crate::http::{Credential, browse, call, call_with};
use crate::object::{Relation, fill};
use crate::policy::{Access, POLICY, Reach};
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::world::World;
use crate::{caller::ROLES, host};
use serde_json::json;

#[test]
fn a_foreign_site_changes_nothing_with_a_cookie() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    world.settle();
    let before = Snapshot::take(world);
    let foreign = [
        "Host: panel.test\r\nOrigin: https://evil.test\r\n",
        "Host: panel.test\r\nOrigin: null\r\n",
        "Host: panel.test\r\nOrigin: https://panel.test.evil.test\r\n",
        "Host: panel.test\r\nOrigin: https://evil-panel.test\r\n",
        "Host: panel.test\r\nOrigin: https://panel.test:8443\r\n",
        "Host: panel.test\r\nOrigin: https://panel.test@evil.test\r\n",
        "Host: panel.test\r\nOrigin: \r\n",
        "Host: panel.test\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: panel.test\r\nSec-Fetch-Site: same-site\r\n",
        // A forged name of the panel makes no foreign site its own.
        "Host: panel.test\r\nX-Forwarded-Host: evil.test\r\nOrigin: https://evil.test\r\n",
        "Host: panel.test\r\nForwarded: host=evil.test\r\nOrigin: https://evil.test\r\n",
    ];
    for rule in POLICY {
        let operation = document::find(rule.operation);
        let Access::Needs(_, reach) = rule.access else { continue };
        if operation.reads() {
            continue;
        }
        for role in (0..4).filter(|role| reach[*role] != Reach::Never) {
            // Where it comes from is looked at first. What is missing can't be lost should that fail.
            let names = world.names(rule.object, Relation::Missing, role);
            let fresh = world.fresh();
            for headers in foreign {
                let query = if operation.dry_run { "?dry_run=true" } else { "" };
                let path = fill(&operation.path, &names, &fresh) + query;
                let body = fill(&rule.body.replace("{own}", &world.account(Relation::Own)), &names, &fresh);
                // If one of these ends the session, the others are still to be tried.
                let session = world.session(role);
                let answer = call_with(&session, &operation.method, &path, &body, headers);
                let what = || format!("{} by {}'s browser with {headers:?}: {answer:?}", operation.id, ROLES[role]);
                report.holds(answer.status == 403 && answer.header("set-cookie").is_none(), what);
            }
        }
    }
    // Logging a visitor in as somebody else is a change too.
    let body = json!({"username": world.login(0), "password": world.password(&world.login(0))}).to_string();
    for headers in foreign {
        let answer = call_with(&Credential::Nothing, "POST", "/session", &body, headers);
        let refused = answer.status == 403 && answer.session().is_none();
        report.holds(refused, || format!("a login with {headers:?}: {answer:?}"));
    }
    world.settle();
    let difference = before.difference(&Snapshot::take(world));
    report.cell(difference.map(|text| format!("a foreign site changed something:\n{text}")));
    report.end("foreign origins");
}

#[test]
fn the_panels_own_pages_change_things() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for headers in [
        "Host: panel.test\r\nOrigin: https://panel.test\r\n",
        "Host: panel.test:8443\r\nOrigin: https://panel.test:8443\r\n",
        "Host: panel.test\r\nOrigin: https://panel.test\r\nSec-Fetch-Site: same-origin\r\n",
        "Host: panel.test\r\nSec-Fetch-Site: same-origin\r\n",
        "Host: panel.test\r\n",
    ] {
        let body = json!({"name": world.fresh()}).to_string();
        let answer = browse(&world.session(1), "POST", "/packages", &body, headers);
        report.holds(answer.status == 201, || format!("{headers:?}: {answer:?}"));
    }
    // A token is not sent by itself: where it comes from does not matter.
    let body = json!({"name": world.fresh()}).to_string();
    let answer = call_with(&world.tokens[1], "POST", "/packages", &body, "Origin: https://evil.test\r\n");
    report.holds(answer.status == 201, || format!("{answer:?}"));
    report.end("own origin");
}

/// What a client could claim about itself.
const FORGED: &[&str] = &[
    "X-Real-IP: 6.6.6.6",
    "X-Forwarded-For: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=evil.test;proto=http",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Proto: http",
    "X-Client-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "X-Original-URL: /api/v1/health",
    "X-Rewrite-URL: /api/v1/health",
    "X-Remote-User: root",
    "Remote-User: root",
    "X-Forwarded-User: root",
    "X-Request-Id: 6.6.6.6",
];

#[test]
fn what_clients_say_about_themselves_is_not_believed() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let panel = host::sh("sed -n 's/^hostname: *//p' /etc/wcp360/wcp360.yaml | tr -d '\"'");
    let root = &world.tokens[3];
    let own = format!("/accounts/{}", world.account(Relation::Own));
    for header in FORGED {
        // From a process of this machine, and through nginx.
        let line = format!("{header}\r\n");
        let nobody = call_with(&Credential::Nothing, "GET", &own, "", &line);
        report.equal(|| format!("nobody with {header}"), nobody.status, 401);
        let answer = call_with(&world.tokens[0], "GET", &own, "", &line);
        report.equal(|| format!("the client with {header}"), answer.status, 200);
        for text in ["6.6.6.6", "evil.test"] {
            let told = format!("{:?}{}", answer.headers, answer.body);
            report.holds(!told.contains(text), || format!("{header} comes back: {answer:?}"));
        }
        for (through, source) in [("", "local"), (panel.as_str(), "127.0.0.1")] {
            let name = world.fresh();
            let body = json!({"name": name}).to_string();
            if through.is_empty() {
                call_with(root, "POST", "/packages", &body, &line);
            } else {
                let credential = root.header();
                let script = format!(
                    "curl -sk -o /dev/null --resolve {through}:443:127.0.0.1 -H '{header}' -H '{}' \
                     -H 'Content-Type: application/json' --data-binary @- https://{through}/api/v1/packages",
                    credential.trim()
                );
                host::sh_with(&script, body.as_bytes());
            }
            let entries = call(root, "GET", &format!("/audit?target={name}"), "").json();
            let sources: Vec<&str> =
                entries["items"].as_array().into_iter().flatten().filter_map(|e| e["source"].as_str()).collect();
            let right = !sources.is_empty() && sources.iter().all(|s| *s == source);
            report.holds(right, || format!("{header} through {through:?}: the trail says {sources:?}"));
        }
    }
    // A Host of somebody's choice is not the panel, and is in no answer; nor is the panel where another name is asked for.
    let statuses = host::sh(&format!(
        "for name in evil.test demo.test; do curl -sk -o /dev/null -w '%{{http_code}} ' --resolve $name:443:127.0.0.1 \
             https://$name/api/v1/health || true; done
         curl -sk -o /dev/null -w '%{{http_code}}' --resolve {panel}:443:127.0.0.1 -H 'Host: evil.test' \
             https://{panel}/api/v1/health || true"
    ));
    for status in statuses.split(' ').filter(|s| !s.is_empty()) {
        report.holds(status != "200", || format!("the panel answers under other names: {statuses}"));
    }
    let Credential::Session(cookie) = world.session(1) else { unreachable!("it is a session") };
    for (origin, status) in [("https://evil.test".to_owned(), "403"), (format!("https://{panel}"), "204")] {
        let answered = host::sh(&format!(
            "curl -sk -o /dev/null -w '%{{http_code}}' --resolve {panel}:443:127.0.0.1 -X DELETE -H 'X-Forwarded-Host: evil.test' \
             -H 'Origin: {origin}' -H 'Cookie: __Host-wcp360={cookie}' https://{panel}/api/v1/session"
        ));
        report.equal(|| format!("a logout through nginx by {origin}"), answered.as_str(), status);
    }
    let name = world.fresh();
    let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter"}).to_string();
    let answer =
        call_with(&world.tokens[1], "POST", "/accounts", &body, "Host: evil.test\r\nX-Forwarded-Host: evil.test\r\n");
    let told = format!("{:?}{}", answer.headers, answer.body);
    report.holds(answer.status == 202 && !told.contains("evil.test"), || format!("{answer:?}"));
    world.settle();
    report.end("forged headers");
}
