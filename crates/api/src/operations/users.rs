//! People who can log in.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::user;

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
        op("users.delete", Delete, "/users/{user}", "Delete an administrator or reseller")
            .about("Refused while accounts or packages belong to it.")
            .needs(P::UsersManage)
            .gives_nothing(),
        op("users.set-password", Put, "/users/{user}/password", "Set a password")
            .about("One's own, or of somebody one administers. All sessions of that person end.")
            .needs(P::SelfManage)
            .body::<user::SetPassword>()
            .gives_nothing(),
    ]
}
