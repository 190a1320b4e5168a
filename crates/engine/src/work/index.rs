//! Making the index from the manifests (ENG-04, ENG-05).

use super::run::{Done, Run, StepError};
use crate::engine::Engine;
use jiff::Timestamp;
use std::collections::HashSet;
use wcp360_agent_proto::{ListRequest, ListedAccount};
use wcp360_store::accounts::NewAccount;
use wcp360_store::users::StoredUser;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, JobId, Role, UserId, Username};

/// Reads all manifests from the agent and makes the rows say what they say. Accounts that are being changed are left to their
/// jobs; manifests that can't be used are named and change nothing.
pub(super) async fn rebuild(engine: &Engine, run: &Run) -> Result<Done, StepError> {
    let (job, owner) = (run.job.id, run.job.subject.owner_id);
    let mut notes = Vec::new();
    let mut known: HashSet<Username> = HashSet::new();
    let mut request = ListRequest::default();
    loop {
        let page = engine.inner.agent.list(&request).await?;
        known.extend(page.accounts.iter().map(|account| account.username.clone()));
        let accounts = page.accounts;
        let told = engine.inner.db.write(move |tx| take_over(tx, accounts, owner, job)).await?;
        notes.extend(told);
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    let all = known.len();
    let gone = engine.inner.db.write(move |tx| drop_unknown(tx, &known, job)).await?;
    notes.push(format!("{all} accounts are indexed, {gone} that have no manifests were dropped"));
    Ok(Done { notes, ..Done::default() })
}

fn take_over(
    tx: &mut Tx<'_>,
    accounts: Vec<ListedAccount>,
    owner: UserId,
    job: JobId,
) -> Result<Vec<String>, StoreError> {
    let mut notes = Vec::new();
    for account in accounts {
        let Some(record) = account.record else {
            let why = account.error.unwrap_or_else(|| "no reason given".into());
            notes.push(format!("{}: its manifests are refused: {why}", account.username));
            continue;
        };
        let set = record.manifests;
        let id = match tx.account(Scope::All, &account.username)? {
            Some(known) if tx.is_lane_busy(&known.id.to_string())? => {
                notes.push(format!("{}: it is being changed, its job indexes it", account.username));
                continue;
            }
            Some(known) => known.id,
            None => insert(tx, &set, owner, job)?,
        };
        match tx.index_account(id, Some(&set), job) {
            Ok(()) => {}
            Err(StoreError::Taken(_)) => {
                notes.push(format!("{}: another account has one of its domains", account.username));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(notes)
}

fn insert(tx: &mut Tx<'_>, set: &ManifestSet, owner: UserId, job: JobId) -> Result<AccountId, StoreError> {
    let wanted = &set.account;
    let new = NewAccount {
        id: AccountId::new(),
        username: wanted.username.clone(),
        owner_id: owner,
        package: wanted.package.clone(),
        package_version: set.limits.package_version,
        primary_domain: wanted.primary_domain.clone(),
        contact_email: wanted.contact_email.clone(),
    };
    tx.reserve_account(&new, job, wanted.created_at)?;
    debug_assert!(set.domains.names().any(|(kind, _)| kind == DomainKind::Primary));
    let login = StoredUser {
        id: UserId::new(),
        username: wanted.username.to_string(),
        role: Role::Client,
        account_id: Some(new.id),
        suspended: false,
        password_hash: None,
        max_accounts: None,
    };
    match tx.insert_user(&login, Timestamp::now()) {
        // Somebody who is no client has the name: the account has no login of its own then.
        Ok(()) | Err(StoreError::Taken(_)) => Ok(new.id),
        Err(error) => Err(error),
    }
}

/// Drops accounts that the agent does not know, unless a job is about to make them.
fn drop_unknown(tx: &mut Tx<'_>, known: &HashSet<Username>, job: JobId) -> Result<u64, StoreError> {
    let mut gone = 0;
    for (id, name) in tx.account_names()? {
        if !known.contains(&name) && !tx.is_lane_busy(&id.to_string())? {
            tx.index_account(id, None, job)?;
            gone += 1;
        }
    }
    Ok(gone)
}
