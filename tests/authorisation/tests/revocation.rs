//! What is taken away is gone within a second.

use crate::http::{Credential, browse, call};
use crate::object::Relation;
use crate::report::Report;
use crate::world::{World, log_in, must, secret_of};
use crate::{host, world};
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
fn what_is_taken_away_is_gone_within_a_second() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let root = &world.tokens[3];
    let mut gone = |what: &str, who: &Credential, path: &str, status: u16| {
        let took = within_a_second(who, path, status);
        report.holds(took.is_some(), || format!("{what}: {path} is not answered with {status} within a second"));
    };

    // An administrator becomes a reseller. There is no operation for it yet; whoever writes the row, it counts at once.
    let (name, token, session) = somebody(world, "admin");
    gone("an admin", &token, "/metrics", 200);
    gone("an admin", &session, "/metrics", 200);
    host::sql(&format!("UPDATE users SET role = 'reseller' WHERE username = '{name}';"));
    gone("a demoted admin's token", &token, "/metrics", 403);
    gone("a demoted admin's session", &session, "/metrics", 403);
    gone("a demoted admin's token", &token, &format!("/accounts/{}", world.account(Relation::Own)), 404);
    gone("a demoted admin's session", &session, &format!("/accounts/{}", world.account(Relation::Own)), 404);

    // A person goes.
    let (name, token, session) = somebody(world, "reseller");
    gone("a reseller", &token, "/session", 200);
    must(root, "DELETE", &format!("/users/{name}"), &Value::Null, 204);
    gone("a deleted reseller's token", &token, "/session", 401);
    gone("a deleted reseller's session", &session, "/session", 401);

    // A token goes, while another is in use.
    let made = must(&world.tokens[1], "POST", "/tokens", &json!({"name": "short"}), 201);
    let short = secret_of(&made);
    gone("a token", &short, "/session", 200);
    must(&world.tokens[1], "DELETE", &format!("/tokens/{}", made["id"].as_str().expect("an id")), &Value::Null, 204);
    gone("a revoked token", &short, "/session", 401);

    // An account is suspended, comes back, and is deleted: its owner's access follows as soon as the job has done it.
    let name = world.fresh();
    let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "starter",
                      "password": world.password(&name)});
    must(&world.tokens[1], "POST", "/accounts", &body, 202);
    world.settle();
    let token = world.token_of(&name).0;
    let session = log_in(&name, &world.password(&name));
    gone("a client's token", &token, "/session", 200);
    must(&world.tokens[1], "POST", &format!("/accounts/{name}/suspend"), &json!({}), 202);
    world.settle();
    gone("a suspended client's token", &token, "/session", 403);
    let login = json!({"username": name, "password": world.password(&name)}).to_string();
    let refused = browse(&Credential::Nothing, "POST", "/session", &login, "");
    report.equal(|| "a suspended client's login".into(), (refused.status, refused.session()), (403, None));
    must(&world.tokens[1], "POST", &format!("/accounts/{name}/unsuspend"), &Value::Null, 202);
    world.settle();
    let mut gone = |what: &str, who: &Credential, path: &str, status: u16| {
        let took = within_a_second(who, path, status);
        report.holds(took.is_some(), || format!("{what}: {path} is not answered with {status} within a second"));
    };
    gone("an unsuspended client's token", &token, "/session", 200);
    must(&world.tokens[1], "DELETE", &format!("/accounts/{name}"), &Value::Null, 202);
    world.settle();
    gone("a deleted client's token", &token, "/session", 401);
    gone("a deleted client's session", &session, "/session", 401);
    report.holds(world::secrets_known() > 20, || "hardly any secrets are looked for in answers".into());
    report.end("revocation");
}
