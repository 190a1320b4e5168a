//! What is taken away is gone within a second.

use crate::host;
use crate::http::{Credential, browse, call};
use crate::object::Relation;
use crate::report::Report;
use crate::world::{World, log_in, must, secret_of};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long it takes until a call is answered with a status; none: longer than a second.
fn within_a_second(who: &Credential, path: &str, status: u16) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        if call(who, "GET", path, "").status == status {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// One cell: within a second a call is answered with a status.
fn becomes(report: &mut Report, what: &str, who: &Credential, path: &str, status: u16) {
    let took = within_a_second(who, path, status);
    report.holds(took.is_some(), || format!("{what}: {path} is not answered with {status} within a second"));
}

/// A new person of a role with a token and a session.
fn somebody(world: &World, role: &str) -> (String, Credential, Credential) {
    let name = world.fresh();
    let body = json!({"username": name, "role": role, "password": world.password(&name)});
    must(&world.tokens[3], "POST", "/users", &body, 201);
    let token = world.token_of(&name).0;
    let session = log_in(&name, &world.password(&name));
    (name, token, session)
}

#[test]
fn a_demotion_counts_at_once() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let (name, token, session) = somebody(world, "admin");
    let foreign = format!("/accounts/{}", world.account(Relation::Foreign));
    for (what, who) in [("an admin's token", &token), ("an admin's session", &session)] {
        becomes(&mut report, what, who, "/metrics", 200);
        becomes(&mut report, what, who, &foreign, 200);
    }
    // There is no operation for it yet; whoever writes the row, it counts.
    host::sql(&format!("UPDATE users SET role = 'reseller' WHERE username = '{name}';"));
    for (what, who) in [("a demoted admin's token", &token), ("a demoted admin's session", &session)] {
        becomes(&mut report, what, who, "/metrics", 403);
        becomes(&mut report, what, who, &foreign, 404);
    }
    report.end("demotion");
}

#[test]
fn who_and_what_is_deleted_gets_no_answer() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let (name, token, session) = somebody(world, "reseller");
    becomes(&mut report, "a reseller", &token, "/session", 200);
    must(&world.tokens[3], "DELETE", &format!("/users/{name}"), &Value::Null, 204);
    becomes(&mut report, "a deleted reseller's token", &token, "/session", 401);
    becomes(&mut report, "a deleted reseller's session", &session, "/session", 401);

    let made = must(&world.tokens[1], "POST", "/tokens", &json!({"name": "short"}), 201);
    let short = secret_of(&made);
    becomes(&mut report, "a token", &short, "/session", 200);
    must(&world.tokens[1], "DELETE", &format!("/tokens/{}", made["id"].as_str().expect("an id")), &Value::Null, 204);
    becomes(&mut report, "a revoked token", &short, "/session", 401);
    becomes(&mut report, "the token that revoked it", &world.tokens[1], "/session", 200);
    report.end("deletion");
}

#[test]
fn an_owners_access_follows_the_account() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let name = world.fresh();
    let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter",
                      "password": world.password(&name)});
    must(&world.tokens[1], "POST", "/accounts", &body, 202);
    world.settle();
    let token = world.token_of(&name).0;
    let session = log_in(&name, &world.password(&name));
    becomes(&mut report, "a client's token", &token, "/session", 200);
    becomes(&mut report, "a client's session", &session, "/session", 200);

    must(&world.tokens[1], "POST", &format!("/accounts/{name}/suspend"), &json!({}), 202);
    world.settle();
    becomes(&mut report, "a suspended client's token", &token, "/session", 403);
    becomes(&mut report, "a suspended client's session", &session, "/session", 403);
    let login = json!({"username": name, "password": world.password(&name)}).to_string();
    let refused = browse(&Credential::Nothing, "POST", "/session", &login, "");
    report.equal(|| "a suspended client's login".into(), (refused.status, refused.session()), (403, None));

    must(&world.tokens[1], "POST", &format!("/accounts/{name}/unsuspend"), &Value::Null, 202);
    world.settle();
    becomes(&mut report, "an unsuspended client's token", &token, "/session", 200);

    must(&world.tokens[1], "DELETE", &format!("/accounts/{name}"), &Value::Null, 202);
    world.settle();
    becomes(&mut report, "a deleted client's token", &token, "/session", 401);
    becomes(&mut report, "a deleted client's session", &session, "/session", 401);
    report.end("accounts and their owners");
}
