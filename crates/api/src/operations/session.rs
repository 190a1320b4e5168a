//! Sessions, JWTs and the login history.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::session;

pub(super) const SESSIONS: &[&str] = &["id", "source", "user_agent", "created_at", "last_seen_at", "current"];
pub(super) const LOGINS: &[&str] = &["at", "outcome", "reason", "source", "user_agent", "alert"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("session.login", Post, "/session", "Log in with a password")
            .about("Sets an HttpOnly session cookie.")
            .body::<session::Login>()
            .gives::<session::Identity>(200)
            .command("-"),
        op("session.show", Get, "/session", "Who am I")
            .needs(P::SelfManage)
            .gives::<session::Identity>(200)
            .command("whoami"),
        op("session.jwt", Post, "/session/jwt", "Mint a short-lived JWT")
            .about(
                "Signed with this installation's key (EdDSA), for the API or for WebSockets. It ends with the session or token \
                 it was minted from, and can't be used to get other credentials.",
            )
            .needs(P::SelfManage)
            .maybe_body::<session::MintJwt>()
            .gives::<session::MintedJwt>(201)
            .command("jwt"),
        op("session.logout", Delete, "/session", "Log out").needs(P::SelfManage).gives_nothing().command("-"),
        op("sessions.list", Get, "/sessions", "List your sessions")
            .needs(P::SelfManage)
            .list::<session::Session>()
            .columns(SESSIONS),
        op("sessions.revoke", Delete, "/sessions/{session}", "End one of your sessions")
            .needs(P::SelfManage)
            .gives_nothing(),
        op("sessions.revoke-others", Delete, "/sessions", "End all your sessions but this one")
            .needs(P::SelfManage)
            .gives_nothing(),
        op("logins.list", Get, "/logins", "Show who logged in as you, and who tried")
            .about("Newest first; 90 days, and at most 200 successes and 200 failures.")
            .needs(P::SelfManage)
            .query::<session::LoginFilter>()
            .list::<session::LoginRecord>()
            .columns(LOGINS),
    ]
}
