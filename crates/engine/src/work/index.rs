//! Making the index from the manifests (ENG-04, ENG-05).

use super::account;
use super::run::{Done, Run, StepError};
use crate::engine::Engine;
use jiff::Timestamp;
use std::collections::HashSet;
use wcp360_agent_proto::{ListRequest, ListedAccount};
use wcp360_store::accounts::NewAccount;
use wcp360_store::users::StoredUser;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, Domain, JobId, LoginName, Role, UserId, Username};

/// Reads all manifests from the agent and makes the rows say what they say. Accounts that are being changed are left to their
/// jobs; manifests that can't be used are named and change nothing.
pub(super) async fn rebuild(engine: &Engine, run: &Run) -> Result<Done, StepError> {
    let (job, owner, started) = (run.job.id, run.job.subject.owner_id, Timestamp::now());
    let mut notes = Vec::new();
    let mut known: HashSet<Username> = HashSet::new();
    let mut request = ListRequest::default();
    loop {
        let page = engine.inner.agent.list(&request).await?;
        known.extend(page.accounts.iter().map(|account| account.username.clone()));
        let accounts = page.accounts;
        let told = engine.inner.db.write(move |tx| take_over(tx, accounts, owner, job, started)).await?;
        notes.extend(told);
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    let all = known.len();
    let unknown = engine.inner.db.read(move |tx| tx.account_names()).await?;
    let mut gone = 0;
    for (id, name) in unknown.into_iter().filter(|(_, name)| !known.contains(name)) {
        // It may have come after its place in the list was passed.
        if account::current(engine, &name).await?.is_none()
            && engine.inner.db.write(move |tx| drop_unknown(tx, id, job, started)).await?
        {
            gone += 1;
        }
    }
    notes.push(format!("{all} accounts are indexed, {gone} that have no manifests were dropped"));
    Ok(Done { notes, ..Done::default() })
}

fn take_over(
    tx: &mut Tx<'_>,
    accounts: Vec<ListedAccount>,
    owner: UserId,
    job: JobId,
    started: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let mut notes = Vec::new();
    for account in accounts {
        let Some(record) = account.record else {
            let why = account.error.unwrap_or_else(|| "no reason given".into());
            notes.push(format!("{}: its manifests are refused: {why}", account.username));
            continue;
        };
        let set = record.manifests;
        let known = tx.account(Scope::All, &account.username)?;
        if let Some(known) = &known
            && tx.is_lane_moving(&known.id.to_string(), started)?
        {
            notes.push(format!("{}: it is being changed, its job indexes it", account.username));
            continue;
        }
        // Before anything of it is written, so that nothing is half written.
        if let Some(other) = overlap(tx, known.as_ref().map(|known| known.id), &set)? {
            notes.push(format!("{}: another account has \"{other}\" or a name above or under it", account.username));
            continue;
        }
        let noted = noted_owner(tx, record.meta.owner.as_ref())?;
        let id = match known {
            Some(known) => {
                if let Noted::Known(owner) = noted
                    && owner != known.owner_id
                {
                    tx.set_owner(known.id, owner)?;
                    notes.push(format!("{}: its owner is the one that its manifests name", account.username));
                }
                known.id
            }
            None => {
                let (owner, note) = new_owner(&account.username, noted, owner);
                notes.extend(note);
                insert(tx, &set, owner, job)?
            }
        };
        tx.index_account(id, Some(&set), job)?;
    }
    Ok(notes)
}

/// What manifests say of their account's owner.
enum Noted {
    /// Somebody who is there.
    Known(UserId),
    /// Somebody who is not there, or owns nothing.
    Gone(LoginName),
    /// Nothing: an older release wrote them.
    Nothing,
}

fn noted_owner(tx: &mut Tx<'_>, login: Option<&LoginName>) -> Result<Noted, StoreError> {
    let Some(login) = login else { return Ok(Noted::Nothing) };
    let user = tx.user_by_name(login.as_str())?.filter(|user| user.role != Role::Client);
    Ok(user.map_or_else(|| Noted::Gone(login.clone()), |user| Noted::Known(user.id)))
}

/// Whose an account is that the index did not have, and what is said about it. Somebody has to own it: who else, `caller`.
fn new_owner(name: &Username, noted: Noted, caller: UserId) -> (UserId, Option<String>) {
    match noted {
        Noted::Known(owner) => (owner, None),
        Noted::Gone(login) => {
            let note = format!(
                "{name}: it belonged to \"{login}\", who is not there, and is yours now; make that login again and rebuild the \
                 index once more, or give it to somebody else: wcp360 accounts set-owner {name} NAME"
            );
            (caller, Some(note))
        }
        Noted::Nothing => (caller, Some(format!("{name}: its manifests don't say whose it is; it is yours now"))),
    }
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
    // Where only the accounts were lost, its login is still there, with its password.
    if tx.relink_client(wanted.username.as_str(), new.id)? {
        return Ok(new.id);
    }
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

/// A name of the manifests that another account has.
fn overlap(tx: &mut Tx<'_>, id: Option<AccountId>, set: &ManifestSet) -> Result<Option<Domain>, StoreError> {
    // Of an account that is new all names are others'.
    let id = id.unwrap_or_else(AccountId::new);
    for (_, name) in set.domains.names() {
        if let Some(other) = tx.foreign_overlap(id, name)? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Drops an account that the agent does not know, unless a job makes it or has made it since `started`; whether it did.
fn drop_unknown(tx: &mut Tx<'_>, id: AccountId, job: JobId, started: Timestamp) -> Result<bool, StoreError> {
    if tx.is_lane_moving(&id.to_string(), started)? {
        return Ok(false);
    }
    tx.index_account(id, None, job)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wcp360_agent_proto::AccountRecord;
    use wcp360_store::Db;
    use wcp360_types::manifest::{AuditReference, MetaManifest};

    fn listed(name: &str, owner: Option<&str>) -> ListedAccount {
        let manifests: ManifestSet = serde_json::from_value(serde_json::json!({
            "account": { "schema_version": 1, "username": name, "uid": 20_000, "gid": 20_000,
                "primary_domain": format!("{name}.test"), "shell": "/usr/sbin/nologin", "status": "active",
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "package": "starter" },
            "limits": { "schema_version": 1, "package_version": 1, "limits": {}, "features": {} },
            "domains": { "schema_version": 1,
                "primary": { "domain": format!("{name}.test"), "document_root": "public_html", "www": true } },
            "services": { "schema_version": 1,
                "php": { "enabled": true, "version": "8.2", "pool": {}, "open_basedir": [] } },
            "ssh": { "schema_version": 1, "mode": "disabled" },
        }))
        .unwrap();
        let meta = MetaManifest {
            schema_version: 1,
            last_applied_revision: manifests.revision(),
            last_applied_at: Timestamp::now(),
            last_audit_action: AuditReference { action: "t".into(), actor: "t".into(), job: JobId::new() },
            owner: owner.map(|owner| LoginName::parse(owner).unwrap()),
        };
        let record = AccountRecord { revision: manifests.revision(), manifests, meta, on_disk: None };
        ListedAccount { username: name.parse().unwrap(), record: Some(record), error: None }
    }

    #[tokio::test]
    async fn eng_05_owners_come_back_if_they_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("state.db")).await.unwrap();
        let person = async |name: &str, role| {
            let user = StoredUser {
                id: UserId::new(),
                username: name.into(),
                role,
                account_id: None,
                suspended: false,
                password_hash: None,
                max_accounts: None,
            };
            let id = user.id;
            db.write(move |tx| tx.insert_user(&user, Timestamp::now())).await.unwrap();
            id
        };
        let (caller, bob) = (person("boss", Role::Root).await, person("bob", Role::Reseller).await);
        let accounts = || vec![listed("one", Some("bob")), listed("two", Some("carol")), listed("three", None)];
        let rebuild = async || {
            db.write(move |tx| take_over(tx, accounts(), caller, JobId::new(), Timestamp::now())).await.unwrap()
        };
        let owner = async |name: &'static str| {
            let found = db.read(move |tx| tx.account(Scope::All, &name.parse().unwrap())).await.unwrap();
            found.unwrap().owner_id
        };
        let notes = rebuild().await;
        assert_eq!((owner("one").await, owner("two").await, owner("three").await), (bob, caller, caller));
        assert!(
            notes.len() == 2 && notes[0].contains("belonged to \"carol\"") && notes[1].contains("three"),
            "{notes:?}"
        );
        // Once the missing one is there again, its accounts find it; a client of that name would own nothing.
        let carol = person("carol", Role::Reseller).await;
        let notes = rebuild().await;
        assert_eq!((owner("one").await, owner("two").await, owner("three").await), (bob, carol, caller));
        assert_eq!(notes, ["two: its owner is the one that its manifests name"]);
        assert!(rebuild().await.is_empty());
        // Each has its login, and only one.
        let one = db.read(|tx| tx.user_by_name("one")).await.unwrap().unwrap();
        let account = db.read(|tx| tx.account(Scope::All, &"one".parse().unwrap())).await.unwrap().unwrap();
        assert_eq!((one.role, one.account_id), (Role::Client, Some(account.id)));
    }
}
