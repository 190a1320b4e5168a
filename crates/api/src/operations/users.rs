//! People who can log in.

use super::{op, session as own, tokens};
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{account, reseller, session, token, user};

const COLUMNS: &[&str] = &["username", "role", "account", "max_accounts", "created_at"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("users.list", Get, "/users", "List who can log in")
            .needs(P::UsersRead)
            .list::<user::User>()
            .columns(COLUMNS),
        op("users.create", Post, "/users", "Create an administrator or reseller")
            .needs(P::UsersManage)
            .body::<user::CreateUser>()
            .gives::<user::User>(201)
            .positional(&["username"])
            .columns(COLUMNS),
        op("users.usage", Get, "/users/{user}/usage", "Show what somebody's accounts use and were given")
            .about("A reseller sees its own.")
            .needs(P::UsersRead)
            .gives::<reseller::Usage>(200),
        op("users.limits", Get, "/users/{user}/limits", "Show what a reseller may give")
            .about("A reseller sees its own.")
            .needs(P::UsersRead)
            .gives::<reseller::ResellerLimits>(200),
        op("users.set-limits", Put, "/users/{user}/limits", "Set what a reseller may give")
            .about(
                "Replaces all of it. What is given already stays, be it more; then nothing can be added. `totals` counts \
                 what accounts are given, used or not; `domains` counts names in use.",
            )
            .needs(P::UsersManage)
            .body::<reseller::ResellerLimits>()
            .gives::<reseller::ResellerLimits>(200),
        op("users.suspend", Post, "/users/{user}/suspend", "Suspend a reseller with all its accounts")
            .about("Its logins and tokens stop at once; its accounts get a job each.")
            .needs(P::UsersManage)
            .maybe_body::<account::SuspendAccount>()
            .bulk(),
        op("users.unsuspend", Post, "/users/{user}/unsuspend", "Bring a suspended reseller back")
            .about("With the accounts that were suspended with it; those that were suspended by themselves stay so.")
            .needs(P::UsersManage)
            .bulk(),
        op("users.delete", Delete, "/users/{user}", "Delete an administrator or reseller")
            .about("Refused while accounts or packages belong to it.")
            .needs(P::UsersManage)
            .gives_nothing(),
        op("users.set-password", Put, "/users/{user}/password", "Set a password")
            .about("One's own, or of somebody one administers. All sessions of that person end.")
            .needs(P::SelfManage)
            .body::<user::SetPassword>()
            .gives_nothing(),
        op("users.sessions", Get, "/users/{user}/sessions", "List somebody's sessions")
            .about("Of people below you; so for all that follows.")
            .needs(P::AccessManage)
            .list::<session::Session>()
            .columns(own::SESSIONS),
        op("users.revoke-session", Delete, "/users/{user}/sessions/{session}", "End one of somebody's sessions")
            .needs(P::AccessManage)
            .gives_nothing(),
        op("users.end-sessions", Delete, "/users/{user}/sessions", "End all of somebody's sessions")
            .needs(P::AccessManage)
            .gives_nothing(),
        op("users.logins", Get, "/users/{user}/logins", "Show who logged in as somebody, and who tried")
            .needs(P::AccessManage)
            .query::<session::LoginFilter>()
            .list::<session::LoginRecord>()
            .columns(own::LOGINS),
        op("users.tokens", Get, "/users/{user}/tokens", "List somebody's API tokens")
            .needs(P::AccessManage)
            .list::<token::Token>()
            .columns(tokens::COLUMNS),
        op("users.revoke-token", Delete, "/users/{user}/tokens/{token}", "Revoke one of somebody's API tokens")
            .needs(P::AccessManage)
            .gives_nothing(),
    ]
}
