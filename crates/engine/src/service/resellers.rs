//! Resellers: what they may give, what they gave, and their suspension (TEN-06).

use super::account_package::invalid;
use super::bulk::{BulkOutcome, NewBulk};
use super::queue::JobRequest;
use crate::caller::Caller;
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use wcp360_store::users::StoredUser;
use wcp360_store::{Scope, Tx};
use wcp360_types::api::account::{AccountFilter, AccountState};
use wcp360_types::api::bulk::BulkAction;
use wcp360_types::api::reseller::{Given, ResellerLimits, Usage};
use wcp360_types::limits::Limits;
use wcp360_types::{Problem, Role, Username};

/// Accounts of one reseller that are suspended with it, at most.
const MOST: u32 = 1_000_000;

impl Engine {
    /// What somebody's accounts use and were given.
    ///
    /// # Errors
    /// There is no such person for the caller.
    pub async fn usage(&self, caller: &Caller, name: &str) -> Result<Usage, EngineError> {
        let (by, name) = (caller.clone(), name.to_owned());
        self.inner.db.read(move |tx| usage(tx, &by, &name)).await
    }

    /// What a reseller may give.
    ///
    /// # Errors
    /// There is no such reseller for the caller.
    pub async fn reseller_limits(&self, caller: &Caller, name: &str) -> Result<ResellerLimits, EngineError> {
        let (by, name) = (caller.clone(), name.to_owned());
        self.inner
            .db
            .read(move |tx| {
                let user = owner(tx, &by, &name)?;
                Ok(tx.reseller_limits(user.id)?)
            })
            .await
    }

    /// Sets what a reseller may give. What is given already stays, be it more: then nothing can be added.
    ///
    /// # Errors
    /// There is no such reseller, values out of range.
    pub async fn set_reseller_limits(
        &self,
        caller: &Caller,
        name: &str,
        limits: ResellerLimits,
    ) -> Result<ResellerLimits, EngineError> {
        invalid(limits.problems())?;
        let (by, name, stored) = (caller.clone(), name.to_owned(), limits.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let user = reseller(tx, &by, &name)?;
                tx.set_reseller_limits(user.id, &stored).map_err(EngineError::from)
            })
            .await?;
        Ok(limits)
    }

    /// Suspends a reseller: its logins and tokens stop at once, its accounts with a bulk change.
    ///
    /// # Errors
    /// There is no such reseller, or it is suspended already.
    pub async fn suspend_reseller(
        &self,
        caller: &Caller,
        name: &str,
        reason: Option<String>,
        how: JobRequest,
    ) -> Result<BulkOutcome, EngineError> {
        let new = NewBulk { action: BulkAction::Suspend, package: None, change: Change::Suspend { reason } };
        let (by, name) = (caller.clone(), name.to_owned());
        let target = name.clone();
        self.begin_bulk(caller, new, Some(target), how, move |tx, id| {
            let user = reseller(tx, &by, &name)?;
            if user.suspended {
                return Err(Problem::conflict("The reseller is suspended already.").into());
            }
            let filter = AccountFilter::default();
            let active = |account: &wcp360_types::api::account::Account| {
                matches!(account.state, AccountState::Active | AccountState::Provisioning)
            };
            let accounts = tx.accounts(Scope::Owner(user.id), &filter, MOST, None)?.items;
            let names = accounts.into_iter().filter(active).map(|account| account.username).collect();
            tx.suspend_user(user.id, Some(id), Timestamp::now())?;
            Ok(names)
        })
        .await
    }

    /// Brings a suspended reseller back, with the accounts that were suspended with it; others stay suspended.
    ///
    /// # Errors
    /// There is no such reseller, or it is not suspended.
    pub async fn unsuspend_reseller(
        &self,
        caller: &Caller,
        name: &str,
        how: JobRequest,
    ) -> Result<BulkOutcome, EngineError> {
        let new = NewBulk { action: BulkAction::Unsuspend, package: None, change: Change::Unsuspend };
        let (by, name) = (caller.clone(), name.to_owned());
        let target = name.clone();
        self.begin_bulk(caller, new, Some(target), how, move |tx, _| {
            let user = reseller(tx, &by, &name)?;
            if !user.suspended {
                return Err(Problem::conflict("The reseller is not suspended.").into());
            }
            let mut names: Vec<Username> = Vec::new();
            if let Some(bulk) = tx.suspended_by(user.id)? {
                tx.refuse_pending_items(bulk, "the reseller was brought back before it was this account's turn")?;
                for name in tx.bulk_changed(bulk)? {
                    if tx.account(Scope::Owner(user.id), &name)?.is_some() {
                        names.push(name);
                    }
                }
            }
            tx.unsuspend_user(user.id)?;
            Ok(names)
        })
        .await
    }
}

/// Somebody who can own accounts: for a reseller itself alone.
fn owner(tx: &mut Tx<'_>, by: &Caller, name: &str) -> Result<StoredUser, EngineError> {
    let user = tx.user_by_name(name)?.filter(|user| user.role != Role::Client);
    let user = user.filter(|user| by.is_admin() || user.id == by.user_id);
    Ok(user.ok_or_else(|| Problem::not_found("user", name))?)
}

fn reseller(tx: &mut Tx<'_>, by: &Caller, name: &str) -> Result<StoredUser, EngineError> {
    let user = owner(tx, by, name)?;
    match user.role {
        Role::Reseller => Ok(user),
        _ => Err(Problem::conflict(format!("\"{name}\" is no reseller.")).into()),
    }
}

fn usage(tx: &mut Tx<'_>, by: &Caller, name: &str) -> Result<Usage, EngineError> {
    let user = owner(tx, by, name)?;
    let limits = match user.role {
        Role::Reseller => tx.reseller_limits(user.id)?,
        _ => ResellerLimits::default(),
    };
    let sums = tx.allotted(user.id, None, Limits::NAMES)?;
    let given = limits
        .totals
        .entries()
        .map(|(name, total)| {
            let sum = sums.get(name).copied().unwrap_or_default();
            Given { name: name.into(), given: sum.given, unlimited: sum.unlimited, total }
        })
        .collect();
    Ok(Usage {
        username: user.username,
        suspended: user.suspended,
        accounts: tx.accounts_of(user.id)?,
        states: tx.states_of(user.id)?,
        packages: tx.packages_in_use(user.id)?,
        own_packages: tx.packages_of(user.id)?,
        domains: tx.domains_of(user.id)?,
        domain_kinds: tx.domain_kinds_of(user.id)?,
        given,
        limits,
    })
}
