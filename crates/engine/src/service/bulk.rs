//! Changes of many accounts at once (TEN-05): written down in one transaction, then a job for each account, some accounts per
//! transaction, so that others come in between. What is not finished when a process ends is gone on with by the next.

use super::node::maintenance;
use super::queue::{JobRequest, accepted, queue, repeated};
use super::reserve::{With, reserve, visible_package};
use crate::caller::{Caller, Origin};
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use wcp360_store::audit::NewAudit;
use wcp360_store::bulk::StoredBulk;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::bulk::{Bulk, BulkAction, BulkItem, BulkPlan, BulkPlanItem, MAX_BULK, StartBulk};
use wcp360_types::api::package::Propagate;
use wcp360_types::api::page::Page;
use wcp360_types::{BulkId, JobId, PackageName, Problem, Username};

/// Accounts that get their jobs in one transaction.
const CHUNK: u32 = 50;
/// Jobs of bulk changes come after those that somebody waits for.
const PRIORITY: i64 = -5;
/// How often what a process that is gone left behind is looked for.
const LOOK: Duration = Duration::from_secs(30);

/// What came of a request for a bulk change.
#[derive(Debug)]
pub enum BulkOutcome {
    /// It was written down, or had been by the same request before.
    Started(Box<Bulk>),
    /// What would be done.
    Planned(BulkPlan),
}

/// A bulk change, before its accounts are known.
pub(super) struct NewBulk {
    pub(super) action: BulkAction,
    pub(super) package: Option<PackageName>,
    pub(super) change: Change,
}

impl Engine {
    /// Begins a change of many accounts.
    ///
    /// # Errors
    /// A request that contradicts itself, more than 10,000 accounts, no such package.
    pub async fn start_bulk(
        &self,
        caller: &Caller,
        request: StartBulk,
        how: JobRequest,
    ) -> Result<BulkOutcome, EngineError> {
        let new = self.new_bulk(caller, &request).await?;
        let by = caller.clone();
        self.begin_bulk(caller, new, None, how, move |tx, _| chosen(tx, &by, request)).await
    }

    /// Gives the newest version of a package to those of its accounts that have an older one.
    ///
    /// # Errors
    /// There is no such package for the caller, or more than 10,000 accounts.
    pub async fn propagate_package(
        &self,
        caller: &Caller,
        name: &PackageName,
        request: Propagate,
        how: JobRequest,
    ) -> Result<BulkOutcome, EngineError> {
        let (scope, wanted) = (caller.scope(), name.clone());
        let package = self.inner.db.read(move |tx| tx.package_content(scope, &wanted)).await?;
        let package = package.ok_or_else(|| Problem::not_found("package", name))?;
        let version = package.version;
        let change = Change::ChangePackage {
            package: name.clone(),
            version,
            content: Box::new(package.gives),
            keep_excess: request.keep_excess,
        };
        let new = NewBulk { action: BulkAction::ChangePackage, package: Some(name.clone()), change };
        let wanted = name.clone();
        self.begin_bulk(caller, new, Some(name.to_string()), how, move |tx, _| {
            bounded(tx.outdated_accounts(scope, &wanted, version, MAX_BULK as u32 + 1)?)
        })
        .await
    }

    async fn new_bulk(&self, caller: &Caller, request: &StartBulk) -> Result<NewBulk, EngineError> {
        let only = |field: &str, given: bool, action: BulkAction| match given && request.action != action {
            true => Err(Problem::invalid(field, format!("only {} takes it; leave it out", action.as_str()))),
            false => Ok(()),
        };
        only("package", request.package.is_some(), BulkAction::ChangePackage)?;
        only("keep_excess", request.keep_excess, BulkAction::ChangePackage)?;
        only("reason", request.reason.is_some(), BulkAction::Suspend)?;
        let change = match request.action {
            BulkAction::Suspend => Change::Suspend { reason: request.reason.clone() },
            BulkAction::Unsuspend => Change::Unsuspend,
            BulkAction::Delete => Change::Delete,
            BulkAction::ChangePackage => {
                let name = request.package.clone();
                let name = name.ok_or_else(|| Problem::invalid("package", "name the package to change to"))?;
                let by = caller.clone();
                let (package, version, content) = self.inner.db.read(move |tx| visible_package(tx, &by, &name)).await?;
                let keep_excess = request.keep_excess;
                Change::ChangePackage { package, version, content: Box::new(content), keep_excess }
            }
        };
        Ok(NewBulk { action: request.action, package: request.package.clone(), change })
    }

    /// Writes a bulk change down over the accounts that `choose` gives, or says what it would do.
    pub(super) async fn begin_bulk<F>(
        &self,
        caller: &Caller,
        new: NewBulk,
        target: Option<String>,
        how: JobRequest,
        choose: F,
    ) -> Result<BulkOutcome, EngineError>
    where
        F: FnOnce(&mut Tx<'_>, BulkId) -> Result<Vec<Username>, EngineError> + Send + 'static,
    {
        let (by, id, panel) = (caller.clone(), BulkId::new(), self.inner.settings.hostname.clone());
        // What fits no account is told before any is looked at.
        new.change.check(&panel)?;
        if how.dry_run {
            // All in one go, as what one account is given counts for the next; and nothing of it is kept.
            let plan = move |tx: &mut Tx<'_>| {
                tx.lock_names()?;
                let names = choose(tx, id)?;
                plan(tx, &panel, &by, &new.change, names)
            };
            return self.inner.db.rehearse(plan).await.map(BulkOutcome::Planned);
        }
        let begin = move |tx: &mut Tx<'_>| {
            tx.lock_names()?;
            let now = Timestamp::now();
            let id = match repeated(tx, &by, &how)? {
                Some(before) => before,
                None => {
                    let names = choose(tx, id)?;
                    tx.insert_bulk(&stored(id, &by, &new, &how), &names, now)?;
                    if let Some((key, request)) = &how.idempotency {
                        tx.remember_key(by.user_id, key, request, id, now)?;
                    }
                    tx.append_audit(&begun(&by, &how, target, &new, id, names.len()), now)?;
                    id
                }
            };
            tx.bulk(Scope::All, id)?.ok_or_else(|| EngineError::from(Problem::internal()))
        };
        let bulk = self.inner.db.write(begin).await.map_err(|error: EngineError| match error {
            EngineError::Store(StoreError::Taken("idempotency key")) => {
                Problem::conflict("The same request is being accepted at this moment; repeat it.").into()
            }
            other => other,
        })?;
        self.inner.bulks.notify_one();
        self.inner.audit.mirror_soon();
        Ok(BulkOutcome::Started(Box::new(bulk)))
    }

    /// Queues the jobs of bulk changes until `stop` turns true.
    pub async fn run_bulks(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let woken = self.inner.bulks.notified();
            let pause = match self.advance_bulks().await {
                Ok(true) => continue,
                Ok(false) => LOOK,
                Err(error) => {
                    tracing::error!(%error, "bulk changes can't be gone on with");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Queues the jobs of some accounts of each bulk change; whether there were any.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn advance_bulks(&self) -> Result<bool, EngineError> {
        let open = self.inner.db.read(|tx| {
            let of_admins = maintenance(tx)?.enabled;
            tx.open_bulks(of_admins)
        });
        let open = open.await?;
        for bulk in &open {
            let (id, panel) = (bulk.id, self.inner.settings.hostname.clone());
            self.inner.db.write(move |tx| advance(tx, &panel, id)).await?;
            self.inner.work.notify_one();
            self.inner.audit.mirror_soon();
        }
        Ok(!open.is_empty())
    }

    /// A bulk change that the caller may see.
    ///
    /// # Errors
    /// There is none.
    pub async fn bulk(&self, caller: &Caller, id: BulkId) -> Result<Bulk, EngineError> {
        let scope = caller.scope();
        let found = self.inner.db.read(move |tx| tx.bulk(scope, id)).await?;
        Ok(found.ok_or_else(|| Problem::not_found("bulk", id))?)
    }

    /// The accounts of a bulk change that the caller may see.
    ///
    /// # Errors
    /// There is no such change.
    pub async fn bulk_items(
        &self,
        caller: &Caller,
        id: BulkId,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<BulkItem>, EngineError> {
        let scope = caller.scope();
        let found = self.inner.db.read(move |tx| match tx.is_bulk_visible(scope, id)? {
            true => tx.bulk_items(id, limit, cursor.as_deref()).map(Some),
            false => Ok(None),
        });
        Ok(found.await?.ok_or_else(|| Problem::not_found("bulk", id))?)
    }
}

/// The accounts that a request names.
fn chosen(tx: &mut Tx<'_>, by: &Caller, request: StartBulk) -> Result<Vec<Username>, EngineError> {
    match (request.accounts, request.filter) {
        (Some(names), None) if !names.is_empty() => {
            bounded(names.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
        }
        (None, Some(filter)) => bounded(tx.accounts_like(by.scope(), &filter.into(), MAX_BULK as u32 + 1)?),
        _ => Err(Problem::invalid("accounts", "name the accounts, or give a filter; one of the two").into()),
    }
}

fn bounded(names: Vec<Username>) -> Result<Vec<Username>, EngineError> {
    if names.len() > MAX_BULK {
        let message = format!("more than {MAX_BULK} accounts are too many at once; narrow it down");
        return Err(Problem::invalid("accounts", message).into());
    }
    Ok(names)
}

fn plan(
    tx: &mut Tx<'_>,
    panel: &str,
    by: &Caller,
    change: &Change,
    names: Vec<Username>,
) -> Result<BulkPlan, EngineError> {
    let mut items = Vec::with_capacity(names.len());
    for account in names {
        items.push(match reserve(tx, panel, by, &account, change, With::default(), JobId::new()) {
            Ok(_) => BulkPlanItem { account, fits: true, error: None, errors: Vec::new() },
            Err(EngineError::Problem(problem)) => {
                BulkPlanItem { account, fits: false, error: Some(problem.detail), errors: problem.errors }
            }
            Err(other) => return Err(other),
        });
    }
    let changes = items.iter().filter(|item| item.fits).count() as u64;
    Ok(BulkPlan { changes, refused: items.len() as u64 - changes, items })
}

/// Queues the jobs of the next accounts.
fn advance(tx: &mut Tx<'_>, panel: &str, id: BulkId) -> Result<(), EngineError> {
    tx.lock_names()?;
    let Some(bulk) = tx.stored_bulk(id)? else { return Ok(()) };
    let who = tx.user(bulk.actor_id)?.filter(|user| !user.suspended);
    let (Some(who), Ok(change)) = (who, serde_json::from_str::<Change>(&bulk.payload)) else {
        return Ok(tx.refuse_pending_items(id, "who asked for it may not do so any more")?);
    };
    let by = Caller::new(&who, "bulk", None);
    // The rest waits until maintenance is over.
    if !by.is_admin() && maintenance(tx)?.enabled {
        return Ok(());
    }
    let how = JobRequest {
        operation: match bulk.action {
            BulkAction::Suspend => "accounts.suspend",
            BulkAction::Unsuspend => "accounts.unsuspend",
            BulkAction::ChangePackage => "accounts.change-package",
            BulkAction::Delete => "accounts.delete",
        },
        origin: Origin { source: bulk.source, request_id: bulk.request_id },
        dry_run: false,
        if_match: None,
        idempotency: None,
        undoes: None,
        authority: None,
        schedule: None,
        priority: PRIORITY,
    };
    for name in tx.take_bulk_items(id, CHUNK)? {
        let (job, now) = (JobId::new(), Timestamp::now());
        match reserve(tx, panel, &by, &name, &change, With::default(), job) {
            Ok(target) => {
                queue(tx, &by, &how, job, target, change.clone(), now)?;
                tx.append_audit(&accepted(&by, &how, Some(&name), job), now)?;
                tx.settle_bulk_item(id, &name, Ok(job))?;
            }
            Err(EngineError::Problem(problem)) => tx.settle_bulk_item(id, &name, Err(&problem.detail))?,
            Err(other) => return Err(other),
        }
    }
    if !tx.has_pending_items(id)? {
        tx.close_bulk(id)?;
    }
    Ok(())
}

fn stored(id: BulkId, by: &Caller, new: &NewBulk, how: &JobRequest) -> StoredBulk {
    StoredBulk {
        id,
        operation: how.operation.into(),
        action: new.action,
        package: new.package.clone(),
        payload: serde_json::to_string(&new.change).expect("plain data has a JSON form"),
        actor: by.username.clone(),
        actor_id: by.user_id,
        source: how.origin.source.clone(),
        request_id: how.origin.request_id.clone(),
    }
}

fn begun(
    by: &Caller,
    how: &JobRequest,
    target: Option<String>,
    new: &NewBulk,
    id: BulkId,
    accounts: usize,
) -> NewAudit {
    NewAudit {
        actor: by.username.clone(),
        source: how.origin.source.clone(),
        action: how.operation.into(),
        target,
        owner: (!by.is_admin()).then_some(by.user_id),
        outcome: "accepted".into(),
        detail: Some(format!("{} of {accounts} accounts, bulk {id}", new.action.as_str())),
        request_id: how.origin.request_id.clone(),
        ..NewAudit::default()
    }
}
