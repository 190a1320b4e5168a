//! Credentials that are none, and what a limited token may not get by detours.

use crate::host;
use crate::http::{Credential, browse, call};
use crate::report::Report;
use crate::world::{World, log_in, must, secret_of};
use serde_json::{Value, json};

fn text(credential: &Credential) -> &str {
    match credential {
        Credential::Token(text) | Credential::Session(text) => text,
        Credential::Nothing => "",
    }
}

/// `wcp_api_<id>_<secret>_<check>` with right check digits.
fn token(id: &str, secret: &str) -> Credential {
    let body = format!("wcp_api_{id}_{secret}");
    let check = host::sh(&format!("printf %s {body} | sha256sum | cut -c1-6"));
    Credential::Token(format!("{body}_{check}"))
}

/// Tokens and sessions that were, that are not yet, and that never were. `client_id` is the id of the client's token.
pub(crate) fn strangers(world: &World, client_id: &str) -> Vec<(String, Credential)> {
    let client = world.login(0);
    let made =
        |name: &str| must(&world.tokens[0], "POST", "/tokens", &json!({"name": name, "expires_in_days": 1}), 201);
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let (expired, revoked) = (made("expired"), made("revoked"));
    must(&world.tokens[0], "DELETE", &format!("/tokens/{}", id(&revoked)), &Value::Null, 204);
    let ended = log_in(&client, &world.password(&client));
    must(&ended, "DELETE", "/session", &Value::Null, 204);
    let idle = log_in(&client, &world.password(&client));
    let hash = |secret: &str| host::sh(&format!("printf %s {secret} | sha256sum | cut -d' ' -f1"));
    host::sql(&format!(
        "UPDATE tokens SET expires_at = 1 WHERE id = '{}';
         UPDATE sessions SET last_seen_at = last_seen_at - 3600 * 1000 WHERE secret_hash = '{}';",
        id(&expired),
        hash(text(&idle))
    ));
    let alive = log_in(&client, &world.password(&client));
    let good = text(&world.tokens[0]).to_owned();
    let parts: Vec<&str> = good.split('_').collect();
    let (good_id, secret) = (parts[2], parts[3]);
    let root_id = text(&world.tokens[3]).split('_').nth(2).expect("a token").to_owned();
    let other = format!("{}{}", if secret.starts_with('0') { '1' } else { '0' }, &secret[1..]);
    let stored = host::sql(&format!("SELECT secret_hash FROM tokens WHERE id = '{client_id}';"));
    let longer = format!("{good}0");
    let as_token = |text: &str| Credential::Token(text.to_owned());
    let jwt = |body: Value| {
        let made = must(&world.tokens[0], "POST", "/session/jwt", &body, 201);
        made["secret"].as_str().expect("a JWT").to_owned()
    };
    let api = jwt(json!({}));
    let parts_of_jwt: Vec<&str> = api.split('.').collect();
    let (claims, signature) = (parts_of_jwt[1], parts_of_jwt[2]);
    // {"alg":"none","typ":"at+jwt"} and {"alg":"HS256","typ":"at+jwt"}
    let (none, hmac) = ("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0", "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9");
    let minted = must(&world.tokens[0], "POST", "/tokens", &json!({"name": "mints"}), 201);
    let orphan = must(&secret_of(&minted), "POST", "/session/jwt", &json!({}), 201);
    must(&world.tokens[0], "DELETE", &format!("/tokens/{}", id(&minted)), &Value::Null, 204);
    let as_session = |text: &str| Credential::Session(text.to_owned());
    vec![
        ("an expired token".to_owned(), secret_of(&expired)),
        ("a revoked token".into(), secret_of(&revoked)),
        ("a token with another secret".into(), token(good_id, &other)),
        ("a token with root's id".into(), token(&root_id, secret)),
        ("a token with the stored hash as its secret".into(), token(good_id, &stored)),
        ("a mistyped token".into(), as_token(&longer)),
        ("a JWT for WebSockets".into(), as_token(&jwt(json!({"audience": "ws"})))),
        ("a JWT of a revoked token".into(), secret_of(&orphan)),
        ("a JWT without a signature".into(), as_token(&format!("{none}.{claims}."))),
        ("a JWT with another algorithm".into(), as_token(&format!("{hmac}.{claims}.{signature}"))),
        ("a JWT as a session".into(), Credential::Session(api.clone())),
        ("an empty token".into(), as_token("")),
        ("SQL as a token".into(), as_token("' OR '1'='1")),
        ("a token as a session".into(), as_session(&good)),
        ("a session as a token".into(), as_token(text(&alive))),
        ("an ended session".into(), ended),
        ("an idle session".into(), idle.clone()),
        ("a session with another secret".into(), as_session(&text(&alive).chars().rev().collect::<String>())),
        ("a session with the stored hash as its secret".into(), as_session(&hash(text(&alive)))),
        ("an empty session".into(), as_session("")),
        ("SQL as a session".into(), as_session("' OR '1'='1")),
    ]
}

#[test]
fn a_limited_token_gets_no_more_by_detours() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let scopes = json!(["self.manage", "accounts.read"]);
    let body = json!({"name": "limited", "scopes": scopes, "expires_in_days": 1});
    let made = must(&world.tokens[1], "POST", "/tokens", &body, 201);
    let limited = secret_of(&made);

    for wider in [json!(["packages.read"]), json!(["accounts.read", "accounts.manage"]), json!(["metrics.read"])] {
        let answer = call(&limited, "POST", "/tokens", &json!({"name": "wider", "scopes": wider}).to_string());
        report.equal(|| format!("a token with {wider} made by one with {scopes}"), answer.status, 422);
    }
    for name in [json!("inherits"), json!("lasts")] {
        let child = must(&limited, "POST", "/tokens", &json!({"name": name}), 201);
        report.equal(|| "the scopes of a token made by a limited one".into(), child["scopes"].clone(), scopes.clone());
        let status = call(&secret_of(&child), "GET", "/packages", "").status;
        report.equal(|| "what a token made by a limited one may".into(), status, 403);
        // ISO times compare as text.
        let (end, parents) = (child["expires_at"].as_str(), made["expires_at"].as_str());
        report.holds(end.is_some() && end <= parents, || {
            format!("a token that ends at {parents:?} makes one that ends at {end:?} (none: never)")
        });
    }
    // Who knows a person's password has all the person's rights.
    let person = world.person("riv");
    let rival = world.token_of(&person).0;
    let narrow = must(&rival, "POST", "/tokens", &json!({"name": "narrow", "scopes": ["self.manage"]}), 201);
    let body = json!({"password": world.password(&person)}).to_string();
    let answer = call(&secret_of(&narrow), "PUT", &format!("/users/{person}/password"), &body);
    report.equal(|| "a token limited to self.manage sets its owner's password".into(), answer.status, 403);

    // Neither a permission of a higher role nor one that does not exist.
    for scope in ["users.manage", "metrics.read", "everything", "accounts.*", ""] {
        let answer = call(&world.tokens[1], "POST", "/tokens", &json!({"name": "x", "scopes": [scope]}).to_string());
        report.equal(|| format!("a reseller's token with {scope:?}"), answer.status, 422);
    }
    report.end("limited tokens");
}

#[test]
fn a_password_alone_makes_no_token() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for role in 0..4 {
        let session = world.session(role);
        let bodies =
            [json!({"name": "x"}), json!({"name": "x", "password": ""}), json!({"name": "x", "password": null})];
        for body in bodies {
            let answer = browse(&session, "POST", "/tokens", &body.to_string(), "");
            report.equal(|| format!("role {role}, session, {body}"), answer.status, 422);
            report.holds(answer.json()["secret"].is_null(), || format!("{answer:?}"));
        }
    }
    report.end("sessions make no tokens");
}

#[test]
fn every_change_is_in_the_audit_trail_whatever_its_query_says() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for query in ["", "?dry_run=true", "?x=1&dry_run=true", "?dry_run=false", "?DRY_RUN=true"] {
        let name = world.fresh();
        let body = json!({"username": name, "role": "reseller", "password": "a fresh password"}).to_string();
        let made = call(&world.tokens[3], "POST", &format!("/users{query}"), &body);
        let there = call(&world.tokens[3], "GET", "/users?limit=1000", "").body.contains(&name);
        let entries = call(&world.tokens[3], "GET", &format!("/audit?target={name}&action=users.create"), "").json();
        let recorded = entries["items"].as_array().is_some_and(|items| !items.is_empty());
        report.holds(!there || recorded, || {
            format!("POST /users{query} answered {} and made a user, and the audit trail says nothing", made.status)
        });
    }
    report.end("audit of changes");
}
