//! Every method on every path, and paths in disguise.

use crate::document::{self, Operation};
use crate::http::{Answer, Credential, call, call_with, raw};
use crate::object::{Relation, fill};
use crate::policy::{self, PUBLIC_PATHS};
use crate::report::Report;
use crate::world::World;
use std::collections::BTreeMap;

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "QUERY",
    "get", "X",
];

/// Paths with the operations on them.
fn paths() -> BTreeMap<&'static str, Vec<&'static Operation>> {
    let mut paths: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in document::operations() {
        paths.entry(&operation.path).or_default().push(operation);
    }
    paths
}

#[test]
fn methods_that_are_not_in_the_document_are_refused() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let callers = [
        ("anonymous", Credential::Nothing),
        ("client", world.tokens[0].clone()),
        ("root", world.tokens[3].clone()),
        ("a client's session", world.session(0)),
    ];
    for (template, operations) in paths() {
        let kind = policy::find(&operations[0].id).object;
        let names = world.names(kind, Relation::Own, 0);
        let path = fill(template, &names, &world.fresh());
        for (who, credential) in &callers {
            for method in METHODS {
                let there = operations.iter().find(|operation| operation.method == *method);
                if there.is_some() && !(*who == "anonymous" && there.is_some_and(|operation| !operation.public)) {
                    continue;
                }
                let answer = call(credential, method, &path, if *method == "HEAD" { "" } else { "{}" });
                let what = || format!("{method} {template} by {who}: {answer:?}");
                let reads = operations.iter().find(|operation| operation.reads());
                match (there, reads) {
                    (Some(_), _) => report.holds(answer.status == 401, what),
                    (None, Some(_)) if *method == "HEAD" => {
                        // HEAD is GET without a body (RFC 9110, 9.3.2), and refused like it.
                        let get = call(credential, "GET", &path, "");
                        report.holds(answer.status == get.status && answer.body.is_empty(), what);
                    }
                    _ => report.cell(not_allowed(&answer, &operations).map(|text| format!("{} {text}", what()))),
                }
            }
        }
    }
    report.end("methods");
}

/// 405 naming the methods there are, or 404.
fn not_allowed(answer: &Answer, operations: &[&Operation]) -> Option<String> {
    match answer.status {
        404 => return None,
        405 => {}
        _ => return Some("neither 405 nor 404".into()),
    }
    let mut named: Vec<&str> = answer.header("allow").unwrap_or_default().split(',').map(str::trim).collect();
    named.retain(|method| *method != "HEAD");
    named.sort_unstable();
    let mut expected: Vec<&str> = operations.iter().map(|operation| operation.method.as_str()).collect();
    expected.sort_unstable();
    (named != expected).then(|| format!("Allow should name {expected:?}"))
}

#[test]
fn a_header_or_a_field_changes_no_method() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for (template, operations) in paths() {
        let Some(get) = operations.iter().find(|operation| operation.reads() && !operation.public) else { continue };
        let names = world.names(policy::find(&get.id).object, Relation::Own, 0);
        let path = fill(template, &names, "");
        let plain = call(&world.tokens[0], "GET", &path, "").status;
        for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
            let header = format!("{name}: DELETE\r\n");
            let answer = call_with(&world.tokens[0], "GET", &path, "", &header);
            report.equal(|| format!("GET {template} with {name}: DELETE"), answer.status, plain);
            let answer = call_with(&Credential::Nothing, "GET", &path, "", &header);
            report.equal(|| format!("GET {template} with {name}: DELETE by nobody"), answer.status, 401);
        }
        let answer = call(&world.tokens[0], "GET", &format!("{path}?_method=DELETE"), "");
        report.equal(|| format!("GET {template}?_method=DELETE"), answer.status, plain);
    }
    let account = world.account(Relation::Own);
    let still = call(&world.tokens[0], "GET", &format!("/accounts/{account}"), "").status;
    report.equal(|| "the account afterwards".into(), still, 200);
    report.end("method overrides");
}

#[test]
fn a_path_in_disguise_opens_nothing() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let account = world.account(Relation::Own);
    let foreign = world.account(Relation::Foreign);
    for path in PUBLIC_PATHS {
        report.equal(|| format!("{path} by nobody"), call(&Credential::Nothing, "GET", path, "").status, 200);
    }
    let (client, nobody) = (&world.tokens[0], &Credential::Nothing);
    for (who, credential, name) in [("nobody", nobody, &account), ("the client", client, &foreign)] {
        for target in [
            format!("/api/v1/accounts/{name}/"),
            format!("/api/v1//accounts/{name}"),
            format!("//api/v1/accounts/{name}"),
            format!("/api/v1/health/../accounts/{name}"),
            format!("/api/v1/accounts/{account}/../{name}"),
            format!("/api/v1/accounts/{account}/%2e%2e/{name}"),
            format!("/api/v1/accounts/{account}%2f..%2f{name}"),
            format!("/api/v1/accounts/{account}%2F..%2F{name}"),
            format!("/api/v1/accounts/{account};/../{name}"),
            format!("/api/v1/accounts/{name}%00"),
            format!("/api/v1/accounts/{name}%20"),
            format!("/api/v1/accounts/{name}.json"),
            format!("/api/v1/accounts/{}", name.to_uppercase()),
            format!("/api/v1/accounts/%{:02x}{}", name.as_bytes()[0], &name[1..]),
            format!("/api/v1/accounts/{name}?account={account}"),
            format!("/api/v1/accounts/{name}#/health"),
            format!("/API/V1/accounts/{name}"),
            format!("/api/v2/accounts/{name}"),
            format!("/accounts/{name}"),
            format!("http://127.0.0.1:2098/api/v1/accounts/{name}"),
            format!("http://health/api/v1/accounts/{name}"),
            format!("/api/v1/openapi.json/../accounts/{name}"),
        ] {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n", credential.header());
            let answer = raw(request.as_bytes());
            let refused = matches!(answer.status, 400 | 401 | 403 | 404);
            report.holds(refused, || format!("GET {target} by {who}: {answer:?}"));
        }
    }
    report.end("paths in disguise");
}
