//! Changes of accounts: what each needs checked and reserved.

use super::queue::{JobRequest, Outcome};
pub(super) use super::reserve::{With, reserve};
use super::reserve::{choose_package, owner_of};
use crate::caller::Caller;
use crate::change::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::{password, policy};
use jiff::Timestamp;
use std::time::{Duration, Instant};
use wcp360_store::Tx;
use wcp360_types::api::account::CreateAccount;
use wcp360_types::api::domain::AddDomain;
use wcp360_types::manifest::PhpVersion;
use wcp360_types::{Domain, Problem, Username};

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
        let password_hash = new_password(request.password.as_deref(), &request.username, how.dry_run).await?;
        let (by, wanted) = (caller.clone(), request.clone());
        let chosen = self.inner.db.read(move |tx| {
            let owner = owner_of(tx, &by, wanted.owner.as_deref())?;
            choose_package(tx, &by, &owner, wanted.package.as_ref())
        });
        let chosen = chosen.await?;
        let php = self.default_php().await?;
        let manifests = policy::new_account(&request, &chosen, php, Timestamp::now());
        // What agrees with nothing that could be given is told before anything is reserved.
        manifests.validate().map_err(|e| Problem::invalid(&e.field, e.error.to_string()))?;
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

    /// Queues a change of an account that exists, or plans it.
    pub(super) async fn change_account(
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
        let panel = self.inner.settings.hostname.clone();
        let reserving = move |tx: &mut Tx<'_>, job| reserve(tx, &panel, &by, &wanted, &planned, with, job);
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

/// The hash of a new account's password, if it gets one. Limited tokens may give one too: it is the login of nothing but the
/// account that they make, and billing systems work like that.
pub(super) async fn new_password(
    password: Option<&str>,
    name: &Username,
    dry_run: bool,
) -> Result<Option<String>, EngineError> {
    let Some(text) = password else { return Ok(None) };
    password::check("password", text, name.as_str())?;
    // A plan must not cost a hash.
    Ok(if dry_run { None } else { Some(password::hash(text.to_owned()).await?) })
}
