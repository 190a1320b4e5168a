//! What must never be in an answer. Every answer of every test is looked through.

use crate::http::{Answer, Credential, call};
use crate::report::Report;
use crate::world::World;
use std::sync::OnceLock;

/// Hashes as they are stored, and passwords.
static SECRETS: OnceLock<Vec<String>> = OnceLock::new();

/// Looks through an answer for secrets.
///
/// # Panics
/// If there is one.
pub(crate) fn look_for(answer: &Answer) {
    let always = ["$argon2", "password_hash", "secret_hash"];
    let known = SECRETS.get().into_iter().flatten().map(String::as_str);
    for secret in always.into_iter().chain(known) {
        assert!(!contains(answer, secret), "{secret:?} is in an answer: {answer:?}");
    }
}

/// Has these looked for from now on.
pub(crate) fn remember(secrets: Vec<String>) {
    SECRETS.set(secrets).expect("the world is made once");
}

#[test]
fn secrets_are_known_and_would_be_found() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    let known = SECRETS.get().map_or(0, Vec::len);
    report.holds(known > 30, || format!("only {known} secrets are looked for"));
    // Where a secret is shown on purpose, looking must find it: a token, once, to who made it.
    let answer = call(&world.tokens[0], "POST", "/tokens", r#"{"name":"shown"}"#);
    let shown = answer.json()["secret"].as_str().expect("a secret").to_owned();
    report.holds(contains(&answer, &shown), || "a secret in an answer is not found".into());
    let again = call(&Credential::Token(shown.clone()), "GET", "/tokens", "");
    report.holds(again.status == 200 && !contains(&again, &shown), || format!("a token is shown again: {again:?}"));
    report.end("secrets");
}

fn contains(answer: &Answer, secret: &str) -> bool {
    answer.body.contains(secret) || answer.headers.iter().any(|(_, value)| value.contains(secret))
}
