//! Changes of accounts: check, reserve, queue; or only say what would be done.

use crate::caller::{Caller, Origin};
use crate::change::{Change, added_kind};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::job::{Payload, STEPS};
use crate::{password, policy};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use wcp360_agent_proto::PlanRequest;
use wcp360_store::accounts::{NewAccount, StoredAccount};
use wcp360_store::audit::NewAudit;
use wcp360_store::jobs::NewJob;
use wcp360_store::users::StoredUser;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::account::{AccountState, CreateAccount};
use wcp360_types::api::domain::AddDomain;
use wcp360_types::api::job::Job;
use wcp360_types::manifest::PhpVersion;
use wcp360_types::plan::Plan;
use wcp360_types::{AccountId, Domain, JobId, Problem, Revision, Role, UserId, Username};

/// How a change is asked for.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// The operation.
    pub operation: &'static str,
    /// Where the request came from.
    pub origin: Origin,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The revision that the caller saw.
    pub if_match: Option<Revision>,
    /// The key under which the same request may be repeated, and a digest of the request.
    pub idempotency: Option<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// A job was queued, or had been by the same request before.
    Queued(Box<Job>),
    /// What would be done.
    Planned(Plan),
}

/// The account that a change is about, and the job that is to make it.
struct Target {
    id: AccountId,
    name: Username,
    owner: UserId,
    job: JobId,
}

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
                if how.dry_run { None } else { Some(password::hash(text.clone()).await) }
            }
            None => None,
        };
        let package = self.inner.db.package_content(caller.scope(), &request.package).await?;
        let package = package.ok_or_else(|| {
            let message = format!("there is no package \"{}\"; \"wcp360 packages list\" shows them", request.package);
            Problem::invalid("package", message)
        })?;
        let php = self.default_php().await?;
        let now = Timestamp::now();

        let mut tx = self.inner.db.begin().await?;
        if let Some(job) = self.repeated(&mut tx, caller, &how).await? {
            return self.accepted(tx, caller, &how, &request.username, job).await;
        }
        let owner = owner_of(&mut tx, caller, request.owner.as_deref()).await?;
        if let Some(most) = owner.max_accounts
            && tx.accounts_of(owner.id).await? >= most
        {
            let message = format!("\"{}\" may have {most} accounts and has them; delete one first", owner.username);
            return Err(Problem::limit_exceeded("owner", message).into());
        }
        let new = NewAccount {
            id: AccountId::new(),
            username: request.username.clone(),
            owner_id: owner.id,
            package: package.spec.name.clone(),
            primary_domain: request.primary_domain.clone(),
            contact_email: request.contact_email.clone(),
        };
        refuse_overlap(&mut tx, new.id, "primary_domain", &new.primary_domain).await?;
        let job = JobId::new();
        tx.reserve_account(&new, job, now).await.map_err(|e| taken(e, &new.username, &new.primary_domain))?;
        let login = StoredUser {
            id: UserId::new(),
            username: new.username.to_string(),
            role: Role::Client,
            account_id: Some(new.id),
            suspended: false,
            password_hash,
            max_accounts: None,
        };
        tx.insert_user(&login, now).await.map_err(|e| taken(e, &new.username, &new.primary_domain))?;
        let manifests = policy::new_account(&request, &package, php, now);
        let change = Change::Create { manifests: Box::new(manifests) };
        let target = Target { id: new.id, name: new.username, owner: owner.id, job };
        self.plan_or_queue(tx, caller, target, change, how).await
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
        let mut tx = self.inner.db.begin().await?;
        if let Some(job) = self.repeated(&mut tx, caller, &how).await? {
            return self.accepted(tx, caller, &how, name, job).await;
        }
        let account = tx.account(caller.scope(), name).await?.ok_or_else(|| Problem::not_found("account", name))?;
        if account.state == AccountState::Deleting {
            return Err(Problem::conflict("The account is being deleted.").into());
        }
        if how.if_match.is_some() && how.if_match != account.revision {
            let detail = "The account is not as you saw it; read it again and repeat the change.";
            return Err(Problem::precondition_failed(detail).into());
        }
        // With other jobs before this one, what it will find is known only when it is its turn.
        if account.manifests.is_some() && !tx.has_open_jobs(account.id).await? {
            change.resolve(account.manifests.as_ref(), Timestamp::now())?;
        }
        let job = JobId::new();
        match &change {
            Change::AddDomain { request } => reserve_added_domain(&mut tx, &account, request, job).await?,
            Change::Delete => tx.set_account_state(account.id, AccountState::Deleting).await?,
            _ => {}
        }
        let target = Target { id: account.id, name: account.username, owner: account.owner_id, job };
        self.plan_or_queue(tx, caller, target, change, how).await
    }

    /// With `dry_run` everything reserved is dropped again and the agent says what it would do; else a job is queued.
    async fn plan_or_queue(
        &self,
        mut tx: Tx,
        caller: &Caller,
        target: Target,
        change: Change,
        how: JobRequest,
    ) -> Result<Outcome, EngineError> {
        if how.dry_run {
            drop(tx);
            return self.plan(&target.name, &change).await.map(Outcome::Planned);
        }
        let now = Timestamp::now();
        let payload = Payload { change, base: how.if_match.clone() };
        let job = NewJob {
            id: target.job,
            operation: how.operation,
            account_id: target.id,
            account: target.name,
            owner_id: target.owner,
            actor: caller.username.clone(),
            request_id: how.origin.request_id.clone(),
            payload: serde_json::to_string(&payload).expect("plain data has a JSON form"),
            steps: STEPS,
        };
        tx.insert_job(&job, now).await?;
        if let Some((key, request)) = &how.idempotency {
            tx.remember_key(caller.user_id, key, request, job.id, now).await?;
        }
        self.accepted(tx, caller, &how, &job.account, job.id).await
    }

    async fn plan(&self, name: &Username, change: &Change) -> Result<Plan, EngineError> {
        let current = match self.inner.agent.account(name).await {
            Ok(record) => Some(record.manifests),
            Err(error) if error.code == wcp360_agent_proto::AgentErrorCode::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let desired = change.resolve(current.as_ref(), Timestamp::now())?;
        let request = PlanRequest { base_revision: current.map(|set| set.revision()), desired };
        Ok(self.inner.agent.plan(name, &request).await?)
    }

    /// Commits, with the entry that says so in the audit trail, and gives the job.
    async fn accepted(
        &self,
        mut tx: Tx,
        caller: &Caller,
        how: &JobRequest,
        account: &Username,
        job: JobId,
    ) -> Result<Outcome, EngineError> {
        let entry = NewAudit {
            actor: &caller.username,
            source: &how.origin.source,
            action: how.operation,
            target: Some(account.as_str()),
            owner: (!caller.is_admin()).then_some(caller.user_id),
            outcome: "accepted",
            detail: None,
            request_id: &how.origin.request_id,
            job: Some(job),
        };
        tx.append_audit(&entry, Timestamp::now()).await?;
        tx.commit().await?;
        self.inner.work.notify_one();
        self.inner.audit.mirror_soon();
        // Not scoped: it is the caller's own, and may be over already with the account and the scope.
        let job = self.inner.db.job(Scope::All, job).await?.ok_or_else(Problem::internal)?;
        Ok(Outcome::Queued(Box::new(job)))
    }

    /// The job that an earlier request with the same key made.
    async fn repeated(&self, tx: &mut Tx, caller: &Caller, how: &JobRequest) -> Result<Option<JobId>, EngineError> {
        let Some((key, request)) = &how.idempotency else { return Ok(None) };
        match tx.idempotent(caller.user_id, key).await? {
            None => Ok(None),
            Some((before, job)) if before == *request => Ok(Some(job)),
            Some(_) => {
                let message = "the key was used for another request; use a new one for every new request";
                Err(Problem::invalid("Idempotency-Key", message).into())
            }
        }
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

/// Who a new account belongs to: the caller, or with an administrator's word a reseller.
async fn owner_of(tx: &mut Tx, caller: &Caller, wanted: Option<&str>) -> Result<StoredUser, EngineError> {
    let name = wanted.unwrap_or(&caller.username);
    let owner = tx.user_by_name(name).await?.filter(|user| user.role != Role::Client);
    match owner {
        Some(owner) if owner.id == caller.user_id || caller.is_admin() => Ok(owner),
        _ => Err(Problem::invalid("owner", format!("there is no reseller \"{name}\" that you may give it to")).into()),
    }
}

async fn reserve_added_domain(
    tx: &mut Tx,
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
        && tx.domain_count(account.id, kind).await? >= most
    {
        let message = format!("the package \"{}\" allows {most} of {field}; choose a larger one", set.account.package);
        return Err(Problem::limit_exceeded("domain", message).into());
    }
    refuse_overlap(tx, account.id, "domain", &request.domain).await?;
    tx.reserve_domain(account.id, &request.domain, kind, job)
        .await
        .map_err(|e| taken(e, &account.username, &request.domain))
}

/// Nobody may take a name that is another's, lies under another's, or has another's under it.
async fn refuse_overlap(tx: &mut Tx, id: AccountId, field: &str, name: &Domain) -> Result<(), EngineError> {
    match tx.foreign_overlap(id, name).await? {
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
