//! The engine: makes the machine what an account's manifests say.
//!
//! There is one mechanism: converge from one set of manifests to another. Creating is converging from nothing, deleting is
//! converging to nothing, suspending is converging to the same with another status, undoing is converging back, repairing is
//! converging to what already is.
//!
//! ```text
//!  request ─► validate ─► journal "applying" ─► compare, apply ─► publish manifests ─► journal "done" ─► answer
//!                                                    │ fails
//!                                                    └─► journal "reverting" ─► compare, apply back ─► "rolled back"
//! ```

mod checkpoint;
mod converge;
mod difference;
mod drift;
mod kinds;
mod operation;
mod owner;
mod prepare;
mod recover;
mod request;
mod standing;
mod trash;
mod units;
mod upkeep;
mod validate;

use crate::applied::Applied;
use crate::fsx::{Fs, FsError};
use crate::journal::{Journal, JournalError};
use crate::manifests::{Manifests, ManifestsError};
use crate::names::{self, Names};
use crate::nginx::{Nginx, snippets};
use crate::quarantine::Quarantine;
use crate::services::ServiceManager;
use crate::services::starter::Starter;
use crate::uids::Uids;
use crate::userdb::{UserDb, UserDbError};
pub(crate) use drift::text;
use prepare::prepare_node;
pub use upkeep::BroughtUp;

use converge::{Sides, Steps};
use drift::accepted::AcceptedStore;
use kinds::Work;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wcp360_agent_proto::{
    AccountRecord, AccountSummary, AgentError, AgentErrorCode, ManifestsState, OperationsPage, OperationsRequest,
};
use wcp360_agent_render::{NodeFacts, RenderError, Resource};
use wcp360_types::manifest::ManifestSet;
use wcp360_types::{OperationId, Username};

/// Numbers of the system's own users and groups.
#[derive(Debug, Clone, Copy)]
pub struct SystemIds {
    /// User `www-data`.
    pub web_uid: u32,
    /// Group `www-data`.
    pub web_gid: u32,
    /// Group `wcp360`.
    pub panel_gid: u32,
}

/// Why the engine can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The user database.
    #[error(transparent)]
    Users(#[from] UserDbError),
    /// Manifests.
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A template.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Threads.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A user or group is missing.
    #[error("the system has no {0}; install {1}")]
    Missing(&'static str, &'static str),
    /// A resource of the node.
    #[error("can't prepare this node: {0}")]
    Node(String),
}

/// See the module.
pub struct Engine {
    pub(crate) fs: Arc<Fs>,
    pub(crate) facts: NodeFacts,
    pub(crate) ids: SystemIds,
    pub(crate) services: Arc<dyn ServiceManager>,
    pub(crate) starter: Starter,
    pub(crate) userdb: UserDb,
    pub(crate) nginx: Nginx,
    pub(crate) manifests: Manifests,
    pub(crate) journal: Journal,
    pub(crate) applied: Applied,
    pub(crate) accepted: AcceptedStore,
    pub(crate) quarantine: Quarantine,
    pub(crate) uids: Uids,
    pub(crate) names: Names,
    locks: Mutex<HashMap<Username, Arc<Mutex<()>>>>,
    /// Operations that neither got to their end nor could be taken back.
    unfinished: Mutex<HashMap<Username, OperationId>>,
    /// What an earlier process has finished and not put on disk, which may have been of another release.
    inherited: BTreeSet<OperationId>,
    /// Accounts that have nginx snippets, as far as their sites follow them.
    with_snippets: Mutex<BTreeSet<Username>>,
}

/// What the engine is made of; tests put their own in.
pub struct Parts {
    /// Files.
    pub fs: Arc<Fs>,
    /// Facts.
    pub facts: NodeFacts,
    /// Services.
    pub services: Arc<dyn ServiceManager>,
    /// nginx.
    pub nginx: Arc<dyn crate::nginx::NginxControl>,
}

impl Engine {
    /// Prepares the node and reads what there is. Unfinished operations are listed, not yet resumed: see
    /// [`Engine::recover`].
    ///
    /// # Errors
    /// The node can't be prepared.
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { fs, facts, services, nginx } = parts;
        let userdb = UserDb::start(Arc::clone(&fs))?;
        let ids = SystemIds {
            web_uid: userdb.user_id("www-data")?.ok_or(StartError::Missing("user www-data", "nginx-light"))?,
            web_gid: userdb.group_id("www-data")?.ok_or(StartError::Missing("group www-data", "nginx-light"))?,
            panel_gid: userdb.group_id("wcp360")?.ok_or(StartError::Missing("group wcp360", "wcp360 again"))?,
        };
        prepare_node(&fs, &facts, ids, &*services)?;
        let manifests = Manifests::new(Arc::clone(&fs));
        manifests.tidy_all()?;
        let journal = Journal::open(&fs)?;
        let applied = Applied::new(Arc::clone(&fs));
        // Within one boot and one release, nothing is rendered differently.
        let inherited = if upkeep::is_compared(&fs) { Vec::new() } else { journal.pending() };
        let inherited = inherited.into_iter().map(|(_, operation)| operation).collect();
        let names = Names::new(&facts.config.hostname);
        let mut used = userdb.numbers()?;
        used.insert(journal.highest_uid());
        for (account, domains) in checkpoint::domains(&journal, &applied, &manifests)? {
            match domains {
                Ok(domains) => {
                    if let Err(error) = names.claim(&account, &names::hosts(&domains)) {
                        tracing::error!(%account, %error, "two accounts claim the same name; remove it from one of them");
                    }
                }
                Err(error) => tracing::error!(%account, %error, "unreadable manifests"),
            }
        }
        // Trees in the trash still belong to numbers.
        for name in fs.list(&format!("{}/.trash", facts.base_dir))? {
            used.extend(name.split('-').nth(1).and_then(|uid| uid.parse::<u32>().ok()));
        }
        let uids = Uids::open(Arc::clone(&fs), facts.config.uid_min, facts.config.uid_max, &used)?;
        let base = wcp360_agent_render::nginx::base(&facts)?;
        let (nginx, live) = Nginx::start(Arc::clone(&fs), nginx, base)?;
        if let Err(error) = live {
            tracing::error!(%error, "the node's nginx configuration could not be brought up to date; the last good one stays");
        }
        let engine = Self {
            applied,
            accepted: AcceptedStore::new(Arc::clone(&fs)),
            quarantine: Quarantine::new(Arc::clone(&fs)),
            fs,
            facts,
            ids,
            starter: Starter::new(Arc::clone(&services))?,
            services,
            userdb,
            nginx,
            manifests,
            journal,
            uids,
            names,
            locks: Mutex::default(),
            unfinished: Mutex::default(),
            inherited,
            with_snippets: Mutex::default(),
        };
        engine.tidy_node()?;
        engine.find_unfinished()?;
        Ok(engine)
    }

    /// Facts about the node.
    pub fn facts(&self) -> &NodeFacts {
        &self.facts
    }

    /// The services.
    pub fn services(&self) -> &Arc<dyn ServiceManager> {
        &self.services
    }

    /// The files.
    pub fn fs(&self) -> &Arc<Fs> {
        &self.fs
    }

    /// How many operations are unfinished, or were taken by a power cut and are not carried out again yet.
    pub fn unfinished(&self) -> u64 {
        (guard(&self.unfinished).len() + self.journal.lost().len()) as u64
    }

    /// All accounts.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn accounts(&self) -> Result<Vec<AccountSummary>, AgentError> {
        let summary = |username: Username| match self.standing(&username) {
            Ok(Some(standing)) => AccountSummary { username, revision: Some(standing.record.revision), error: None },
            Ok(None) => AccountSummary { username, revision: None, error: Some("it was just deleted".into()) },
            Err(error) => AccountSummary { username, revision: None, error: Some(error.to_string()) },
        };
        Ok(self.all_names()?.into_iter().map(summary).collect())
    }

    /// One account.
    ///
    /// # Errors
    /// It does not exist, or its manifests can't be read.
    pub fn account(&self, name: &Username) -> Result<AccountRecord, AgentError> {
        let standing = self.standing(name)?.ok_or_else(|| not_found(name))?;
        let mut record = standing.record;
        record.on_disk = Some(standing.on_disk).filter(|state| *state != ManifestsState::Same);
        Ok(record)
    }

    /// A page of what was done so far, oldest first.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn operations(&self, request: &OperationsRequest) -> Result<OperationsPage, AgentError> {
        let limit = request.limit.unwrap_or(500).clamp(1, 2000) as usize;
        self.journal.operations(request.after, limit).map_err(|e| failed(&e))
    }

    /// Held while an account is changed. Others change meanwhile.
    fn lock_of(&self, name: &Username) -> Arc<Mutex<()>> {
        let mut locks = guard(&self.locks);
        // Those that nobody holds or waits for are not kept.
        if locks.len() > 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(name.clone()).or_default())
    }

    /// The resources of a set. A PHP version that was removed from the node must not keep an account from being changed or
    /// deleted, so what it was is rendered as if the version were there.
    fn resources(&self, set: Option<&ManifestSet>, former: bool) -> Result<Vec<Resource>, RenderError> {
        let Some(set) = set else { return Ok(Vec::new()) };
        self.resources_with(set, former, snippets::has(&self.fs, &set.account.username))
    }

    /// As if the account had snippets of nginx's configuration, or none.
    fn resources_with(&self, set: &ManifestSet, former: bool, snippets: bool) -> Result<Vec<Resource>, RenderError> {
        let version = &set.services.php.version;
        let gone = former && !self.facts.php_versions.contains(version);
        if !gone && !snippets {
            return wcp360_agent_render::render(set, &self.facts);
        }
        let mut facts = self.facts.clone();
        facts.snippets = snippets;
        if gone {
            facts.php_versions.push(version.clone());
        }
        wcp360_agent_render::render(set, &facts)
    }

    fn sides(&self, from: Option<&ManifestSet>, to: Option<&ManifestSet>) -> Result<Sides, RenderError> {
        Ok(Sides { from: self.resources(from, true)?, to: self.resources(to, false)? })
    }
}

pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the mutexes here guard is valid between any two statements; a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: &dyn std::fmt::Display) -> AgentError {
    AgentError::new(AgentErrorCode::Failed, error.to_string())
}

fn not_found(name: &Username) -> AgentError {
    AgentError::new(AgentErrorCode::NotFound, format!("there is no account \"{name}\" on this node"))
}
