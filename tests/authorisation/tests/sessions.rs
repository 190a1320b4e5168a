//! Sessions: begun by the panel alone, ended for good, and not to be fixed by somebody else.

use crate::caller::ROLES;
use crate::http::{Answer, Credential, browse, call, call_with};
use crate::report::Report;
use crate::world::{World, log_in};
use serde_json::json;

fn log_in_with(world: &World, role: usize, cookie: &str) -> Answer {
    let login = world.login(role);
    let body = json!({"username": login, "password": world.password(&login)}).to_string();
    browse(&Credential::Nothing, "POST", "/session", &body, &format!("Cookie: {cookie}\r\n"))
}

#[test]
fn a_session_can_not_be_fixed() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for (role, name) in ROLES.iter().enumerate() {
        let Credential::Session(before) = world.session(role) else { continue };
        for planted in ["0".repeat(64), "chosen".into(), before.clone(), String::new()] {
            let answer = log_in_with(world, role, &format!("__Host-wcp360={planted}"));
            report.equal(|| format!("a login of {name} with {planted} planted"), answer.status, 200);
            let begun = answer.session().unwrap_or_default();
            report.holds(begun.len() >= 43 && begun != planted, || format!("{name} gets {begun:?} of {planted:?}"));
            let cookie = answer.header("set-cookie").unwrap_or_default().to_owned();
            for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
                report.holds(cookie.split("; ").any(|part| part == attribute), || format!("{attribute} in {cookie}"));
            }
            report.holds(!cookie.contains("Domain"), || cookie.clone());
            if planted != before {
                let status = call(&Credential::Session(planted), "GET", "/session", "").status;
                report.equal(|| format!("what was planted before {name}"), status, 401);
            }
        }
        // Two cookies of the name: one of another site's making must not hide or replace the real one.
        let both = format!("Cookie: __Host-wcp360={}; __Host-wcp360={before}\r\n", "0".repeat(64));
        let answer = call_with(&Credential::Nothing, "GET", "/session", "", &both);
        report.holds([200, 401].contains(&answer.status), || format!("{answer:?}"));
        // A name that only looks like it.
        for other in ["wcp360", "__Secure-wcp360", "__host-wcp360", "x__Host-wcp360"] {
            let answer =
                call_with(&Credential::Nothing, "GET", "/session", "", &format!("Cookie: {other}={before}\r\n"));
            report.equal(|| format!("a session under the name {other}"), answer.status, 401);
        }
    }
    report.end("session fixation");
}

#[test]
fn a_session_ends_for_good() {
    let world = World::get();
    let _quiet = world.quiet();
    let mut report = Report::default();
    for (role, name) in ROLES.iter().enumerate() {
        let login = world.login(role);
        let (one, two) = (log_in(&login, &world.password(&login)), log_in(&login, &world.password(&login)));
        let answer = call(&one, "DELETE", "/session", "");
        report.equal(|| format!("logout of {name}"), answer.status, 204);
        let cookie = answer.header("set-cookie").unwrap_or_default();
        report.holds(cookie.contains("Max-Age=0"), || format!("the cookie is not taken back: {answer:?}"));
        report.equal(|| format!("{name} after logout"), call(&one, "GET", "/session", "").status, 401);
        report.equal(|| format!("{name}'s other session"), call(&two, "GET", "/session", "").status, 200);
        // A new password ends all of them.
        let password = world.password(&login);
        let body = json!({"current_password": password, "password": password}).to_string();
        let answer = call(&world.tokens[role], "PUT", &format!("/users/{login}/password"), &body);
        report.equal(|| format!("a password for {name}"), answer.status, 204);
        report.equal(|| format!("{name}'s session after it"), call(&two, "GET", "/session", "").status, 401);
    }
    report.end("ends of sessions");
}
