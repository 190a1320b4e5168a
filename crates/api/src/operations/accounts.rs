//! Accounts.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{account, package, reseller};
use wcp360_types::content::Overrides;

const COLUMNS: &[&str] =
    &["username", "primary_domain", "state", "package", "package_version", "owner", "domains", "uid"];

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
            .maybe_body::<account::SuspendAccount>()
            .job()
            .if_match(),
        op("accounts.unsuspend", Post, "/accounts/{account}/unsuspend", "Bring a suspended account back")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
        op("accounts.change-package", Put, "/accounts/{account}/package", "Give an account another package")
            .about(
                "Or the newest version of its own. What was set for the account alone stays. Refused with everything that \
                 does not fit.",
            )
            .needs(P::AccountsManage)
            .body::<package::ChangePackage>()
            .job()
            .if_match()
            .positional(&["package"]),
        op("accounts.set-overrides", Put, "/accounts/{account}/overrides", "Set what an account gets besides its package")
            .about(
                "Replaces all that was set for the account alone; what is left out is as the package says. Within the \
                 package's ceilings, and what the account's reseller may give.",
            )
            .needs(P::AccountsManage)
            .body::<Overrides>()
            .job()
            .if_match(),
        op("accounts.clone", Post, "/accounts/{account}/clone", "Create an account like another one")
            .about(
                "With its package, what was set for it alone, and its domains under new names. Files, databases and mail \
                 are not copied.",
            )
            .needs(P::AccountsManage)
            .body::<account::CloneAccount>()
            .job()
            .positional(&["username"]),
        op("accounts.set-owner", Put, "/accounts/{account}/owner", "Give an account to another reseller")
            .about("Nothing changes on the machine but the note of whose it is. The new owner has to see the account's package and may give as much.")
            .needs(P::AccountsTransfer)
            .body::<reseller::SetOwner>()
            .gives::<account::Account>(200)
            .positional(&["owner"])
            .columns(COLUMNS),
        op("accounts.delete", Delete, "/accounts/{account}", "Delete an account")
            .about("Its files wait in the trash for the node's retention time, and come back if the job is undone; everything else goes at once.")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
    ]
}
