//! What a change of an account needs checked and reserved, within the transaction that queues its job.

use super::allot::{self, Gift};
use super::queue::Target;
use crate::allowance::{self, domain_limit};
use crate::caller::Caller;
use crate::change::{Change, added_kind};
use crate::error::EngineError;
use crate::policy::{self, Chosen};
use jiff::Timestamp;
use wcp360_store::accounts::{NewAccount, StoredAccount};
use wcp360_store::users::StoredUser;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::account::AccountState;
use wcp360_types::api::domain::AddDomain;
use wcp360_types::content::PackageContent;
use wcp360_types::limits::Limits;
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, Domain, JobId, PackageName, Problem, Revision, Role, UserId, Username};

/// Changes of one account that wait at the same time.
const MOST_WAITING: u64 = 50;

/// What a change is asked for with, besides itself.
#[derive(Debug, Default)]
pub(in crate::service) struct With {
    /// For a new account: whose.
    pub(super) owner: Option<String>,
    /// For a new account: the hash of its login's password.
    pub(super) password_hash: Option<String>,
    /// The revision that the caller saw.
    pub(super) if_match: Option<Revision>,
}

/// The package for a new account of somebody: the one that was asked for, or the default one.
pub(super) fn choose_package(
    tx: &mut Tx<'_>,
    caller: &Caller,
    owner: &StoredUser,
    wanted: Option<&PackageName>,
) -> Result<Chosen, EngineError> {
    let name = match wanted {
        Some(name) => name.clone(),
        None => tx.default_package(owner.id)?.ok_or_else(|| {
            Problem::invalid("package", "there is no default package; name one, \"wcp360 packages list\" shows them")
        })?,
    };
    visible_package(tx, caller, &name)
}

/// A package that the caller may give.
pub(super) fn visible_package(tx: &mut Tx<'_>, caller: &Caller, name: &PackageName) -> Result<Chosen, EngineError> {
    let package = tx.package_content(caller.scope(), name)?.ok_or_else(|| {
        let message = format!("there is no package \"{name}\"; \"wcp360 packages list\" shows them");
        Problem::invalid("package", message)
    })?;
    Ok((package.spec.name, package.version, package.gives))
}

/// Refuses a package that the caller may not give any more, or that was changed since: a change waits in a queue, in a bulk
/// change, or as a job that is tried again months later. Administrators may give what was.
fn refuse_withdrawn(tx: &mut Tx<'_>, caller: &Caller, name: &PackageName, version: u32) -> Result<(), EngineError> {
    let (_, newest, _) = visible_package(tx, caller, name)?;
    if newest != version && !caller.is_admin() {
        let detail = format!("The package \"{name}\" was changed since; ask for the change again.");
        return Err(Problem::conflict(detail).into());
    }
    Ok(())
}

/// Refuses a package that is gone by now.
fn refuse_gone(tx: &mut Tx<'_>, name: &PackageName) -> Result<(), EngineError> {
    match tx.package_content(Scope::All, name)? {
        Some(_) => Ok(()),
        None => Err(Problem::invalid("package", format!("there is no package \"{name}\" any more")).into()),
    }
}

/// Checks a change against what is there and reserves what it needs. Of an account that exists, what is written is written
/// last, so that a refusal leaves nothing behind even where others are reserved in the same transaction. `panel` is the panel's
/// own name.
pub(super) fn reserve(
    tx: &mut Tx<'_>,
    panel: &str,
    caller: &Caller,
    name: &Username,
    change: &Change,
    with: With,
    job: JobId,
) -> Result<Target, EngineError> {
    change.check(panel)?;
    match change {
        Change::Create { manifests } => {
            refuse_withdrawn(tx, caller, &manifests.account.package, manifests.limits.package_version)?;
            reserve_account(tx, caller, manifests, with, job)
        }
        // What it had when it was deleted is not given anew.
        Change::BringBack { manifests } => {
            refuse_gone(tx, &manifests.account.package)?;
            reserve_account(tx, caller, manifests, with, job)
        }
        _ => reserve_change(tx, caller, name, change, with.if_match.as_ref(), job),
    }
}

/// Reserves a new account with its names, its login and what it is given.
fn reserve_account(
    tx: &mut Tx<'_>,
    caller: &Caller,
    set: &ManifestSet,
    with: With,
    job: JobId,
) -> Result<Target, EngineError> {
    let now = Timestamp::now();
    let owner = owner_of(tx, caller, with.owner.as_deref())?;
    let content = given(set);
    allot::refuse_more_accounts(tx, &owner)?;
    // A package is within its own ceilings: only what was set for the account can be above.
    if let Some(package) = tx.package_version(&set.account.package, set.limits.package_version)? {
        allowance::refuse(allowance::above(&content.limits, &package.ceilings, "the package"))?;
    }
    let names: Vec<(DomainKind, Domain)> = set.domains.names().map(|(kind, name)| (kind, name.clone())).collect();
    for kind in allowance::LIMITED_KINDS {
        let (most, field) = domain_limit(&content.limits, kind);
        let there = allowance::domains_of(set, kind);
        if most.is_some_and(|most| there > most) {
            let message = format!("the account would have {there} of {field}, more than it is given");
            return Err(Problem::limit_exceeded("domains", message).into());
        }
    }
    allot::refuse_more_domains(tx, &owner, names.len() as u64)?;
    let account = NewAccount {
        id: AccountId::new(),
        username: set.account.username.clone(),
        owner_id: owner.id,
        package: set.account.package.clone(),
        package_version: set.limits.package_version,
        primary_domain: set.account.primary_domain.clone(),
        contact_email: set.account.contact_email.clone(),
    };
    for (kind, name) in &names {
        let field = if *kind == DomainKind::Primary { "primary_domain" } else { "domains" };
        refuse_overlap(tx, account.id, field, name)?;
    }
    let (name, domain) = (&account.username, &account.primary_domain);
    tx.reserve_account(&account, job, now).map_err(|e| taken(e, name, domain))?;
    for (kind, further) in names.iter().filter(|(kind, _)| *kind != DomainKind::Primary) {
        tx.reserve_domain(account.id, further, *kind, job).map_err(|e| taken(e, name, further))?;
    }
    let login = StoredUser {
        id: UserId::new(),
        username: account.username.to_string(),
        role: Role::Client,
        account_id: Some(account.id),
        suspended: false,
        password_hash: with.password_hash,
        max_accounts: None,
    };
    tx.insert_user(&login, now).map_err(|e| taken(e, name, domain))?;
    let gift = Gift { account: account.id, package: &account.package, content: &content };
    allot::allot(tx, &owner, &gift, job)?;
    let tenant = tenant(account.id, &owner);
    Ok(Target { id: account.id, name: account.username, owner: owner.id, tenant })
}

fn reserve_change(
    tx: &mut Tx<'_>,
    by: &Caller,
    name: &Username,
    change: &Change,
    if_match: Option<&Revision>,
    job: JobId,
) -> Result<Target, EngineError> {
    let account = tx.account(by.scope(), name)?.ok_or_else(|| Problem::not_found("account", name))?;
    if account.state == AccountState::Deleting {
        return Err(Problem::conflict("The account is being deleted.").into());
    }
    if tx.lane_length(&account.id.to_string())? >= MOST_WAITING {
        let detail =
            format!("{MOST_WAITING} changes of the account are waiting already; ask again when some are done.");
        return Err(Problem::conflict(detail).into());
    }
    if if_match.is_some() && if_match != account.revision.as_ref() {
        let detail = "The account is not as you saw it; read it again and repeat the change.";
        return Err(Problem::precondition_failed(detail).into());
    }
    policy::refuse_lifting(&account, change, by.role)?;
    // With other jobs before this one, what it will find is known only when it is its turn.
    if account.manifests.is_some() && !tx.is_lane_busy(&account.id.to_string())? {
        change.resolve(account.manifests.as_ref(), Timestamp::now())?;
    }
    match change {
        Change::AddDomain { request } => reserve_added_domain(tx, &account, request, job)?,
        Change::Restore { manifests: before, .. } => {
            if (&before.account.package, before.limits.package_version) != (&account.package, account.package_version) {
                refuse_withdrawn(tx, by, &before.account.package, before.limits.package_version)?;
            }
            let names = reserved_anew(tx, &account, before)?;
            reserve_given(tx, &account, &before.account.package, &given(before), job)?;
            for (kind, name) in names {
                tx.reserve_domain(account.id, &name, kind, job).map_err(|e| taken(e, &account.username, &name))?;
            }
        }
        Change::Delete => tx.set_account_state(account.id, AccountState::Deleting)?,
        Change::ChangePackage { package, version, content, keep_excess } => {
            refuse_withdrawn(tx, by, package, *version)?;
            let set = manifests(&account)?;
            let given = set.limits.overrides.over(content);
            // A package is within its own ceilings: only what was set for the account can be above.
            allowance::refuse(allowance::above(&given.limits, &content.ceilings, "the package"))?;
            allowance::refuse_misfits(allot::misfits(tx, account.id, set, &given)?, *keep_excess)?;
            reserve_given(tx, &account, package, &given, job)?;
        }
        Change::SetOverrides { overrides, package, content, .. } => {
            let set = manifests(&account)?;
            let given = overrides.over(content);
            allowance::refuse(allowance::above(&given.limits, &content.ceilings, "the package"))?;
            allowance::refuse_misfits(allot::misfits(tx, account.id, set, &given)?, false)?;
            reserve_given(tx, &account, package, &given, job)?;
        }
        _ => {}
    }
    Ok(target(tx, account)?)
}

/// Names that come back may have been taken by somebody else meanwhile.
fn reserved_anew(
    tx: &mut Tx<'_>,
    account: &StoredAccount,
    before: &ManifestSet,
) -> Result<Vec<(DomainKind, Domain)>, EngineError> {
    let has = |name: &Domain| account.manifests.as_ref().is_some_and(|set| set.domains.names().any(|(_, n)| n == name));
    let names: Vec<(DomainKind, Domain)> =
        before.domains.names().filter(|(_, name)| !has(name)).map(|(kind, name)| (kind, name.clone())).collect();
    for (_, name) in &names {
        refuse_overlap(tx, account.id, "domain", name)?;
    }
    if let Some(owner) = tx.user(account.owner_id)? {
        allot::refuse_more_domains(tx, &owner, names.len() as u64)?;
    }
    Ok(names)
}

/// What manifests say that an account is given.
fn given(set: &ManifestSet) -> PackageContent {
    PackageContent {
        limits: set.limits.limits.clone(),
        soft_limits: set.limits.soft_limits.clone(),
        features: set.limits.features.clone(),
        php: set.services.php.pool.clone(),
        storage: set.limits.storage.clone(),
        security: set.limits.security.clone(),
        ceilings: Limits::default(),
    }
}

fn manifests(account: &StoredAccount) -> Result<&ManifestSet, Problem> {
    let being_created = || Problem::conflict("The account is being created; wait for its job to end.");
    account.manifests.as_ref().ok_or_else(being_created)
}

fn reserve_given(
    tx: &mut Tx<'_>,
    account: &StoredAccount,
    package: &PackageName,
    given: &PackageContent,
    job: JobId,
) -> Result<(), EngineError> {
    refuse_gone(tx, package)?;
    let gift = Gift { account: account.id, package, content: given };
    match tx.user(account.owner_id)? {
        Some(owner) => allot::allot(tx, &owner, &gift, job),
        None => Ok(tx.allot(account.id, package, &given.limits, job)?),
    }
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
pub(super) fn owner_of(tx: &mut Tx<'_>, caller: &Caller, wanted: Option<&str>) -> Result<StoredUser, EngineError> {
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
    let kind = added_kind(manifests(account)?, request)?;
    allot::refuse_more_of_kind(tx, account, kind)?;
    if let Some(owner) = tx.user(account.owner_id)? {
        allot::refuse_more_domains(tx, &owner, 1)?;
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
