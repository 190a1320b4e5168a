//! Changes of accounts: what each needs checked and reserved.

use super::queue::{JobRequest, Outcome, Target};
use crate::caller::Caller;
use crate::change::{Change, added_kind};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::{password, policy};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use wcp360_store::accounts::{NewAccount, StoredAccount};
use wcp360_store::users::StoredUser;
use wcp360_store::{StoreError, Tx};
use wcp360_types::api::account::{AccountState, CreateAccount};
use wcp360_types::api::domain::AddDomain;
use wcp360_types::manifest::{DomainKind, ManifestSet, PhpVersion};
use wcp360_types::{AccountId, Domain, JobId, Problem, Revision, Role, UserId, Username};

impl Engine {
    /// Creates an account.
    ///
    /// # Errors
    /// Names that are taken, limits, an unknown package or owner; so for all changes here.
    pub async fn create_account(
        &self,
        caller: &Caller,
        request: CreateAccount,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        policy::check_name("primary_domain", &request.primary_domain, &self.inner.settings.hostname)?;
        let password_hash = match &request.password {
            Some(text) => {
                password::check("password", text, request.username.as_str())?;
                // A plan must not cost a hash.
                if how.dry_run { None } else { Some(password::hash(text.clone()).await?) }
            }
            None => None,
        };
        let (scope, wanted) = (caller.scope(), request.package.clone());
        let package = self.inner.db.read(move |tx| tx.package_content(scope, &wanted)).await?;
        let package = package.ok_or_else(|| {
            let message = format!("there is no package \"{}\"; \"wcp360 packages list\" shows them", request.package);
            Problem::invalid("package", message)
        })?;
        let php = self.default_php().await?;
        let manifests = policy::new_account(&request, &package, php, Timestamp::now());
        let change = Change::Create { manifests: Box::new(manifests) };
        let name = request.username.clone();
        let with = With { owner: request.owner, password_hash, if_match: None };
        self.change(caller, name, change, with, how).await
    }

    /// Suspends an account.
    ///
    /// # Errors
    /// As [`Engine::create_account`].
    pub async fn suspend_account(
        &self,
        caller: &Caller,
        name: &Username,
        reason: Option<String>,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        if let Some(reason) = &reason
            && (reason.chars().count() > 200 || reason.chars().any(char::is_control))
        {
            return Err(Problem::invalid("reason", "use one line of 200 characters at most").into());
        }
        self.change_account(caller, name, Change::Suspend { reason }, how).await
    }

    /// Brings a suspended account back.
    ///
    /// # Errors
    /// As [`Engine::create_account`].
    pub async fn unsuspend_account(
        &self,
        caller: &Caller,
        name: &Username,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        self.change_account(caller, name, Change::Unsuspend, how).await
    }

    /// Deletes an account.
    ///
    /// # Errors
    /// As [`Engine::create_account`].
    pub async fn delete_account(
        &self,
        caller: &Caller,
        name: &Username,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        self.change_account(caller, name, Change::Delete, how).await
    }

    /// Adds a domain to an account.
    ///
    /// # Errors
    /// As [`Engine::create_account`].
    pub async fn add_domain(
        &self,
        caller: &Caller,
        name: &Username,
        request: AddDomain,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        policy::check_name("domain", &request.domain, &self.inner.settings.hostname)?;
        self.change_account(caller, name, Change::AddDomain { request }, how).await
    }

    /// Removes a domain from an account.
    ///
    /// # Errors
    /// As [`Engine::create_account`].
    pub async fn remove_domain(
        &self,
        caller: &Caller,
        name: &Username,
        domain: Domain,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        self.change_account(caller, name, Change::RemoveDomain { domain }, how).await
    }

    async fn change_account(
        &self,
        caller: &Caller,
        name: &Username,
        change: Change,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let with = With { if_match: how.if_match.clone(), ..With::default() };
        self.change(caller, name.clone(), change, with, how).await
    }

    pub(super) async fn change(
        &self,
        caller: &Caller,
        name: Username,
        change: Change,
        with: With,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        let (by, wanted, planned) = (caller.clone(), name.clone(), change.clone());
        let reserving = move |tx: &mut Tx<'_>, job| reserve(tx, &by, &wanted, &planned, with, job);
        self.queue_or_plan(caller, name, change, how, reserving).await
    }

    /// The newest PHP of the node. Asked for anew after half a minute: packages are installed rarely, and the agent looks at
    /// all services to answer.
    async fn default_php(&self) -> Result<PhpVersion, EngineError> {
        const GOOD_FOR: Duration = Duration::from_secs(30);
        let known = self.inner.default_php.lock().expect("no panic while reading").clone();
        if let Some((_, version)) = known.filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return Ok(version);
        }
        let node = self.inner.agent.node().await?;
        let missing = || Problem::unavailable("No PHP is installed on this node; install php-fpm and try again.");
        let version = node.php_versions.into_iter().next().ok_or_else(missing)?;
        *self.inner.default_php.lock().expect("no panic while writing") = Some((Instant::now(), version.clone()));
        Ok(version)
    }
}
/// What a change is asked for with, besides itself.
#[derive(Debug, Default)]
pub(super) struct With {
    /// For a new account: whose.
    pub(super) owner: Option<String>,
    /// For a new account: the hash of its login's password.
    pub(super) password_hash: Option<String>,
    /// The revision that the caller saw.
    pub(super) if_match: Option<Revision>,
}

/// Checks a change against what is there and reserves what it needs.
pub(super) fn reserve(
    tx: &mut Tx<'_>,
    caller: &Caller,
    name: &Username,
    change: &Change,
    with: With,
    job: JobId,
) -> Result<Target, EngineError> {
    if let Change::Create { manifests } = change {
        return reserve_account(tx, caller, manifests, with, job);
    }
    let account = tx.account(caller.scope(), name)?.ok_or_else(|| Problem::not_found("account", name))?;
    if account.state == AccountState::Deleting {
        return Err(Problem::conflict("The account is being deleted.").into());
    }
    if with.if_match.is_some() && with.if_match != account.revision {
        let detail = "The account is not as you saw it; read it again and repeat the change.";
        return Err(Problem::precondition_failed(detail).into());
    }
    // With other jobs before this one, what it will find is known only when it is its turn.
    if account.manifests.is_some() && !tx.is_lane_busy(&account.id.to_string())? {
        change.resolve(account.manifests.as_ref(), Timestamp::now())?;
    }
    match change {
        Change::AddDomain { request } => reserve_added_domain(tx, &account, request, job)?,
        Change::Restore { manifests, .. } => reserve_restored_names(tx, &account, manifests, job)?,
        Change::Delete => tx.set_account_state(account.id, AccountState::Deleting)?,
        _ => {}
    }
    Ok(target(tx, account)?)
}

fn reserve_account(
    tx: &mut Tx<'_>,
    caller: &Caller,
    manifests: &ManifestSet,
    with: With,
    job: JobId,
) -> Result<Target, EngineError> {
    let now = Timestamp::now();
    let wanted = &manifests.account;
    let owner = owner_of(tx, caller, with.owner.as_deref())?;
    if let Some(most) = owner.max_accounts
        && tx.accounts_of(owner.id)? >= most
    {
        let message = format!("\"{}\" may have {most} accounts and has them; delete one first", owner.username);
        return Err(Problem::limit_exceeded("owner", message).into());
    }
    let new = NewAccount {
        id: AccountId::new(),
        username: wanted.username.clone(),
        owner_id: owner.id,
        package: wanted.package.clone(),
        primary_domain: wanted.primary_domain.clone(),
        contact_email: wanted.contact_email.clone(),
    };
    for (_, name) in manifests.domains.names() {
        refuse_overlap(tx, new.id, "primary_domain", name)?;
    }
    tx.reserve_account(&new, job, now).map_err(|e| taken(e, &new.username, &new.primary_domain))?;
    for (kind, name) in manifests.domains.names().filter(|(kind, _)| *kind != DomainKind::Primary) {
        tx.reserve_domain(new.id, name, kind, job).map_err(|e| taken(e, &new.username, name))?;
    }
    let login = StoredUser {
        id: UserId::new(),
        username: new.username.to_string(),
        role: Role::Client,
        account_id: Some(new.id),
        suspended: false,
        password_hash: with.password_hash,
        max_accounts: None,
    };
    tx.insert_user(&login, now).map_err(|e| taken(e, &new.username, &new.primary_domain))?;
    Ok(Target { id: new.id, name: new.username, owner: owner.id, tenant: tenant(new.id, &owner) })
}

/// Names that come back may have been taken by somebody else meanwhile.
fn reserve_restored_names(
    tx: &mut Tx<'_>,
    account: &StoredAccount,
    before: &ManifestSet,
    job: JobId,
) -> Result<(), EngineError> {
    for (kind, name) in before.domains.names() {
        let has = account.manifests.as_ref().is_some_and(|set| set.domains.names().any(|(_, own)| own == name));
        if !has {
            refuse_overlap(tx, account.id, "domain", name)?;
            tx.reserve_domain(account.id, name, kind, job).map_err(|e| taken(e, &account.username, name))?;
        }
    }
    Ok(())
}

/// Whose turn a job uses up: a reseller's accounts share one, accounts of administrators have one each.
fn tenant(account: AccountId, owner: &StoredUser) -> String {
    match owner.role {
        Role::Reseller => owner.id.to_string(),
        _ => account.to_string(),
    }
}

fn target(tx: &mut Tx<'_>, account: StoredAccount) -> Result<Target, StoreError> {
    let owner = tx.user(account.owner_id)?;
    let tenant = owner.map_or_else(|| account.id.to_string(), |owner| tenant(account.id, &owner));
    Ok(Target { id: account.id, name: account.username, owner: account.owner_id, tenant })
}

/// Who a new account belongs to: the caller, or with an administrator's word a reseller.
fn owner_of(tx: &mut Tx<'_>, caller: &Caller, wanted: Option<&str>) -> Result<StoredUser, EngineError> {
    let name = wanted.unwrap_or(&caller.username);
    let owner = tx.user_by_name(name)?.filter(|user| user.role != Role::Client);
    match owner {
        Some(owner) if owner.id == caller.user_id || caller.is_admin() => Ok(owner),
        _ => Err(Problem::invalid("owner", format!("there is no reseller \"{name}\" that you may give it to")).into()),
    }
}

fn reserve_added_domain(
    tx: &mut Tx<'_>,
    account: &StoredAccount,
    request: &AddDomain,
    job: JobId,
) -> Result<(), EngineError> {
    let Some(set) = &account.manifests else {
        return Err(Problem::conflict("The account is being created; wait for its job to end.").into());
    };
    let kind = added_kind(set, request)?;
    let (limit, field) = policy::domain_limit(&set.limits.limits, kind);
    if let Some(most) = limit
        && tx.domain_count(account.id, kind)? >= most
    {
        let message = format!("the package \"{}\" allows {most} of {field}; choose a larger one", set.account.package);
        return Err(Problem::limit_exceeded("domain", message).into());
    }
    refuse_overlap(tx, account.id, "domain", &request.domain)?;
    tx.reserve_domain(account.id, &request.domain, kind, job).map_err(|e| taken(e, &account.username, &request.domain))
}

/// Nobody may take a name that is another's, lies under another's, or has another's under it.
fn refuse_overlap(tx: &mut Tx<'_>, id: AccountId, field: &str, name: &Domain) -> Result<(), EngineError> {
    match tx.foreign_overlap(id, name)? {
        None => Ok(()),
        Some(other) => {
            let message = if other == *name {
                format!("\"{name}\" belongs to another account; choose another name")
            } else if name.is_under(&other) {
                format!("\"{name}\" lies under a domain of another account; ask its owner, or choose another name")
            } else {
                format!("another account has a name under \"{name}\"; choose another name")
            };
            Err(Problem::field_conflict(field, message).into())
        }
    }
}

fn taken(error: StoreError, username: &Username, domain: &Domain) -> EngineError {
    match error {
        StoreError::Taken("username") => {
            Problem::field_conflict("username", format!("\"{username}\" is taken; choose another name")).into()
        }
        StoreError::Taken(_) => {
            Problem::field_conflict("domain", format!("\"{domain}\" is taken; choose another name")).into()
        }
        other => other.into(),
    }
}
