//! Counts what accounts are given against what their owners may give, and writes it down, under the lock of names: so that
//! however many ask at once, no maximum is exceeded by one.

use crate::allowance::{self, LIMITED_KINDS, Misfit, domain_limit};
use crate::error::EngineError;
use wcp360_store::Tx;
use wcp360_store::accounts::StoredAccount;
use wcp360_store::users::StoredUser;
use wcp360_types::content::PackageContent;
use wcp360_types::limits::{Limit, Limits};
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, FieldError, JobId, PackageName, Problem, Role};

/// What a change gives to an account.
pub(super) struct Gift<'a> {
    pub(super) account: AccountId,
    pub(super) package: &'a PackageName,
    pub(super) content: &'a PackageContent,
}

/// Gives an account what a change says, for the job that makes it.
pub(super) fn allot(tx: &mut Tx<'_>, owner: &StoredUser, gift: &Gift<'_>, job: JobId) -> Result<(), EngineError> {
    let had = tx.most_allotted(gift.account)?;
    refuse_beyond(tx, owner, gift, had.as_ref())?;
    Ok(tx.allot(gift.account, gift.package, &gift.content.limits, job)?)
}

/// Refuses what the owner of an account may not give. What does not grow beyond `had` is let be: an administrator may lower
/// a reseller's totals below what is given already.
pub(super) fn refuse_beyond(
    tx: &mut Tx<'_>,
    owner: &StoredUser,
    gift: &Gift<'_>,
    had: Option<&Limits>,
) -> Result<(), EngineError> {
    if owner.role != Role::Reseller {
        return Ok(());
    }
    let reseller = tx.reseller_limits(owner.id)?;
    let mut errors = allowance::beyond(&reseller, &gift.content.limits, &gift.content.features);
    let totals: Vec<(&'static str, u64)> =
        reseller.totals.entries().filter_map(|(name, total)| Some((name, total?))).collect();
    let names: Vec<&'static str> = totals.iter().map(|(name, _)| *name).collect();
    let sums = tx.allotted(owner.id, Some(gift.account), &names)?;
    for (name, total) in totals {
        let wanted = value(&gift.content.limits, name);
        if had.is_some_and(|had| !is_more(wanted, value(had, name))) {
            continue;
        }
        let others = sums.get(name).copied().unwrap_or_default();
        let rest = if others.unlimited > 0 { 0 } else { total.saturating_sub(others.given) };
        if is_more(wanted, Some(rest)) {
            let wanted = wanted.map_or_else(|| "unlimited".to_owned(), |wanted| wanted.to_string());
            let message = format!(
                "\"{}\" may give {total} in all and has {rest} left; {wanted} is too much for this account",
                owner.username
            );
            errors.push(FieldError { field: format!("limits.{name}"), message });
        }
    }
    Ok(allowance::refuse(errors)?)
}

/// Refuses more names than the owner of accounts may have.
pub(super) fn refuse_more_domains(tx: &mut Tx<'_>, owner: &StoredUser, more: u64) -> Result<(), EngineError> {
    if owner.role != Role::Reseller {
        return Ok(());
    }
    let Some(most) = tx.reseller_limits(owner.id)?.domains else { return Ok(()) };
    if tx.domains_of(owner.id)? + more <= most {
        return Ok(());
    }
    let message = format!("the accounts of \"{}\" may have {most} domains together and have them", owner.username);
    Err(Problem::limit_exceeded("domain", message).into())
}

/// Refuses one more account than an owner may have.
pub(super) fn refuse_more_accounts(tx: &mut Tx<'_>, owner: &StoredUser) -> Result<(), EngineError> {
    if owner.suspended {
        let message = format!("\"{}\" is suspended and gets no accounts", owner.username);
        return Err(Problem::invalid("owner", message).into());
    }
    if let Some(most) = owner.max_accounts
        && tx.accounts_of(owner.id)? >= most
    {
        let message = format!("\"{}\" may have {most} accounts and has them; delete one first", owner.username);
        return Err(Problem::limit_exceeded("owner", message).into());
    }
    Ok(())
}

/// Refuses one more name of a kind than an account may have, now or after one of its queued changes.
pub(super) fn refuse_more_of_kind(
    tx: &mut Tx<'_>,
    account: &StoredAccount,
    kind: DomainKind,
) -> Result<(), EngineError> {
    if kind == DomainKind::Primary {
        return Ok(());
    }
    let (_, field) = domain_limit(&Limits::default(), kind);
    if let Some(most) = tx.tightest(account.id, field)?
        && tx.domain_count(account.id, kind)? >= most
    {
        let message = format!("the package \"{}\" allows {most} of {field}; choose a larger one", account.package);
        return Err(Problem::limit_exceeded("domain", message).into());
    }
    Ok(())
}

/// What of an account does not fit, names that are only reserved included.
pub(super) fn misfits(
    tx: &mut Tx<'_>,
    id: AccountId,
    set: &ManifestSet,
    given: &PackageContent,
) -> Result<Vec<Misfit>, EngineError> {
    let mut counts = Vec::new();
    for kind in LIMITED_KINDS {
        counts.push((kind, tx.domain_count(id, kind)?));
    }
    let count = |kind| counts.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| *n);
    Ok(allowance::misfits(set, given, count))
}

fn value(limits: &Limits, name: &str) -> Limit {
    limits.entries().find(|(n, _)| *n == name).and_then(|(_, limit)| limit)
}

fn is_more(wanted: Limit, than: Limit) -> bool {
    match (wanted, than) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wanted), Some(than)) => wanted > than,
    }
}
