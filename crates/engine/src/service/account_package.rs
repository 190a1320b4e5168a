//! An account's package, what is set for it alone, its owner, and accounts made like it (TEN-05, TEN-06).

use super::accounts::new_password;
use super::allot::{self, Gift};
use super::queue::{JobRequest, Outcome, panel_job};
use super::reserve::{With, visible_package};
use crate::allowance;
use crate::caller::Caller;
use crate::change::Change;
use crate::cloning::cloned;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::policy;
use crate::work::payload::Payload;
use jiff::Timestamp;
use wcp360_store::{Scope, Tx};
use wcp360_types::api::account::{Account, AccountState, CloneAccount};
use wcp360_types::api::package::ChangePackage;
use wcp360_types::content::{Overrides, PackageContent};
use wcp360_types::{FieldError, Problem, Role, Username};

impl Engine {
    /// Gives an account another package, or the newest version of its own. What is set for the account alone stays.
    ///
    /// # Errors
    /// No such account or package for the caller; everything that does not fit; what its owner may not give.
    pub async fn change_package(
        &self,
        caller: &Caller,
        name: &Username,
        request: ChangePackage,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let (by, wanted, package) = (caller.clone(), name.clone(), request.package.clone());
        let chosen = self.inner.db.read(move |tx| {
            // Whoever can't see the account is told so first.
            tx.account(by.scope(), &wanted)?.ok_or_else(|| Problem::not_found("account", &wanted))?;
            visible_package(tx, &by, &package)
        });
        let (package, version, content) = chosen.await?;
        let content = Box::new(content);
        let change = Change::ChangePackage { package, version, content, keep_excess: request.keep_excess };
        self.change_account(caller, name, change, how).await
    }

    /// Sets what an account gets besides its package, or less than it. What is not given here is as the package says.
    ///
    /// # Errors
    /// No such account for the caller; values that are out of range, above the package's ceilings or beyond what its owner
    /// may give; what would not fit.
    pub async fn set_overrides(
        &self,
        caller: &Caller,
        name: &Username,
        overrides: Overrides,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let (by, wanted) = (caller.clone(), name.clone());
        let (package, version, content) = self.inner.db.read(move |tx| package_of(tx, &by, &wanted)).await?;
        refuse_invalid(&overrides.over(&PackageContent { ceilings: Default::default(), ..content.clone() }))?;
        let (overrides, content) = (Box::new(overrides), Box::new(content));
        self.change_account(caller, name, Change::SetOverrides { overrides, package, version, content }, how).await
    }

    /// Makes an account like another one: with its package, what is set for it alone, and its domains under new names. Files
    /// and databases are not copied.
    ///
    /// # Errors
    /// As for a new account; names that the other account does not have.
    pub async fn clone_account(
        &self,
        caller: &Caller,
        source: &Username,
        request: CloneAccount,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let password_hash = new_password(request.password.as_deref(), &request.username, how.dry_run).await?;
        let (by, wanted, asked) = (caller.clone(), source.clone(), request.owner.clone());
        let found = self.inner.db.read(move |tx| {
            let account = tx.account(by.scope(), &wanted)?.ok_or_else(|| Problem::not_found("account", &wanted))?;
            let owner = match asked {
                Some(name) => Some(name),
                None => tx.user(account.owner_id)?.map(|user| user.username),
            };
            let set = account.manifests.ok_or_else(|| Problem::conflict("The account is being created; wait."))?;
            // What that account has may be withdrawn by now, or less.
            let chosen = visible_package(tx, &by, &set.account.package)?;
            Ok::<_, EngineError>((set, owner, chosen))
        });
        let (set, owner, (package, version, content)) = found.await?;
        let mut manifests = cloned(&set, &request, Timestamp::now())?;
        let given = manifests.limits.overrides.over(&content);
        allowance::give(&mut manifests, &package, version, &given);
        manifests.validate().map_err(|e| Problem::invalid(&e.field, e.error.to_string()))?;
        let change = Change::Create { manifests: Box::new(manifests) };
        let with = With { owner, password_hash, if_match: None };
        self.change(caller, request.username, change, with, how).await
    }

    /// Gives an account to another reseller or administrator: a matter of the panel alone, which the manifests note.
    ///
    /// # Errors
    /// No such account, nobody to own it, a package that the new owner does not see, or more than the new owner may give.
    pub async fn set_owner(&self, caller: &Caller, name: &Username, owner: &str) -> Result<Account, EngineError> {
        let (by, name, owner) = (caller.clone(), name.clone(), owner.to_owned());
        let account = self.inner.db.write(move |tx| move_account(tx, &by, &name, &owner)).await?;
        self.inner.work.notify_one();
        Ok(account)
    }
}

fn move_account(tx: &mut Tx<'_>, by: &Caller, name: &Username, owner: &str) -> Result<Account, EngineError> {
    tx.lock_names()?;
    let account = tx.account(by.scope(), name)?.ok_or_else(|| Problem::not_found("account", name))?;
    if account.state == AccountState::Deleting {
        return Err(Problem::conflict("The account is being deleted.").into());
    }
    let Some(to) = tx.user_by_name(owner)?.filter(|user| user.role != Role::Client) else {
        let message = format!("there is no reseller or administrator \"{owner}\"");
        return Err(Problem::invalid("owner", message).into());
    };
    if to.id != account.owner_id {
        allot::refuse_more_accounts(tx, &to)?;
        if to.role == Role::Reseller && !tx.sees_package(to.id, &account.package)? {
            let message =
                format!("\"{owner}\" does not see the package \"{}\"; give the account another one", account.package);
            return Err(Problem::invalid("owner", message).into());
        }
        let domains = tx.domains_in(account.id)?;
        allot::refuse_more_domains(tx, &to, domains)?;
        // The larger of what holds and what is queued.
        if let Some(limits) = tx.most_allotted(account.id)? {
            let features = account.manifests.as_ref().map(|set| set.limits.features.clone()).unwrap_or_default();
            let content = PackageContent { limits, features, ..PackageContent::default() };
            let gift = Gift { account: account.id, package: &account.package, content: &content };
            allot::refuse_beyond(tx, &to, &gift, None)?;
        }
        tx.set_owner(account.id, to.id)?;
        // The manifests say it too, so that it survives the loss of this database. By a job: the agent may be away.
        let mut job = panel_job("accounts.set-owner", &Payload::Owner {}, Some(&account));
        job.subject.owner_id = to.id;
        (job.request.actor, job.request.actor_id) = (by.username.clone(), Some(by.user_id));
        tx.insert_job(&job, Timestamp::now())?;
    }
    let detail = tx.account_detail(Scope::All, name)?.ok_or_else(|| Problem::not_found("account", name))?;
    Ok(detail.account)
}

/// The package that an account has, with what its version gives.
fn package_of(tx: &mut Tx<'_>, by: &Caller, name: &Username) -> Result<policy::Chosen, EngineError> {
    let account = tx.account(by.scope(), name)?.ok_or_else(|| Problem::not_found("account", name))?;
    let content = tx.package_version(&account.package, account.package_version)?.ok_or_else(|| {
        let detail = format!(
            "Version {} of the package \"{}\" is not known any more; change the account's package first.",
            account.package_version, account.package
        );
        Problem::conflict(detail)
    })?;
    Ok((account.package, account.package_version, content))
}

/// Refuses values that are out of range.
pub(super) fn refuse_invalid(content: &PackageContent) -> Result<(), Problem> {
    invalid(content.problems())
}

/// 422 with all of these, if there are any.
pub(super) fn invalid(errors: Vec<FieldError>) -> Result<(), Problem> {
    let Some(first) = errors.first() else { return Ok(()) };
    let mut problem = Problem::invalid(&first.field, first.message.clone());
    problem.errors = errors;
    Err(problem)
}
