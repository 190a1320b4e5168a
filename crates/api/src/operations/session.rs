//! Sessions.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::session;

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
        op("session.logout", Delete, "/session", "Log out").needs(P::SelfManage).gives_nothing().command("-"),
    ]
}
