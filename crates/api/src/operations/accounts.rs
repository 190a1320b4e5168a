//! Accounts.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::account;

const COLUMNS: &[&str] = &["username", "primary_domain", "state", "package", "owner", "domains", "uid"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("accounts.list", Get, "/accounts", "List accounts")
            .needs(P::AccountsRead)
            .query::<account::AccountFilter>()
            .list::<account::Account>()
            .columns(COLUMNS),
        op("accounts.show", Get, "/accounts/{account}", "Show an account with its manifests")
            .about("Answers with the revision as ETag.")
            .needs(P::AccountsRead)
            .gives::<account::AccountDetail>(200)
            .columns(COLUMNS),
        op("accounts.create", Post, "/accounts", "Create an account")
            .needs(P::AccountsManage)
            .body::<account::CreateAccount>()
            .job()
            .positional(&["username"]),
        op("accounts.suspend", Post, "/accounts/{account}/suspend", "Suspend an account")
            .about("Its sites answer with a suspended page, PHP and logins stop; nothing is lost.")
            .needs(P::AccountsManage)
            .body::<account::SuspendAccount>()
            .job()
            .if_match(),
        op("accounts.unsuspend", Post, "/accounts/{account}/unsuspend", "Bring a suspended account back")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
        op("accounts.delete", Delete, "/accounts/{account}", "Delete an account")
            .about("Its files wait in the trash for the node's retention time; everything else goes at once.")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
    ]
}
