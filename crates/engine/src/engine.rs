//! The engine: what services and workers share.

use crate::EngineError;
use crate::admission::Admission;
use crate::audit::{AuditFiles, Auditor};
use crate::events::Events;
use crate::gateway::Gateway;
use crate::guard::Guard;
use crate::identity::{Minting, Uses};
use crate::security_log::SecurityLog;
use crate::vault::Vault;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::Notify;
use wcp360_agent_proto::AgentClient;
use wcp360_store::Db;
use wcp360_types::manifest::PhpVersion;
use wcp360_types::node::DriftConfig;

/// Where things are and how the node is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name the panel is reached under.
    pub hostname: String,
    /// Public port for HTTP, where the result of a change is checked.
    pub http_port: u16,
    /// The agent's socket.
    pub agent_socket: PathBuf,
    /// The audit trail's mirror, its position and its key.
    pub audit: AuditFiles,
    /// Where the one-time setup token is put for the administrator to read.
    pub setup_token_file: PathBuf,
    /// How often the machine is compared with the manifests, and what is done about differences.
    pub drift: DriftConfig,
    /// What firewalls watch for: failed logins, one line each.
    pub security_file: PathBuf,
    /// The keys that seal what must be read back; made at the first start.
    pub secrets_file: PathBuf,
    /// Days that jobs are kept after they ended.
    pub keep_jobs_days: u32,
    /// Jobs that are worked on at the same time.
    pub workers: usize,
}

/// Policy, jobs, audit and identity over one database and one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) agent: AgentClient,
    pub(crate) audit: Auditor,
    pub(crate) events: Events,
    pub(crate) guard: Guard,
    pub(crate) admission: Admission,
    pub(crate) security_log: SecurityLog,
    pub(crate) vault: Arc<Vault>,
    pub(crate) minting: Minting,
    pub(crate) uses: Uses,
    /// Wakes who seals values anew.
    pub(crate) reseal: Notify,
    pub(crate) gateway: Gateway,
    pub(crate) settings: Settings,
    /// Wakes workers when there is work.
    pub(crate) work: Notify,
    /// Wakes who looks after waiting jobs, when there is a new one.
    pub(crate) clock: Notify,
    /// When the machine was last compared with the manifests by itself.
    pub(crate) reconciled: Mutex<Timestamp>,
    /// Wakes who queues the jobs of bulk changes, when there is a new one.
    pub(crate) bulks: Notify,
    /// The PHP that new accounts get, and when the agent said so.
    pub(crate) default_php: Mutex<Option<(Instant, PhpVersion)>>,
}

impl Engine {
    /// An engine over an open database.
    ///
    /// # Errors
    /// The database's; the keys to its sealed values are lost or can't be read.
    pub async fn new(db: Db, settings: Settings) -> Result<Self, EngineError> {
        let events = Events::default();
        let audit = Auditor::open(db.clone(), &settings.audit, events.clone()).await?;
        let vault = Self::open_vault(&db, &settings.secrets_file).await?;
        let minting = Minting::load(&db, &vault).await?;
        let inner = Inner {
            agent: AgentClient::new(&settings.agent_socket),
            gateway: Gateway { port: settings.http_port },
            guard: Guard::default(),
            admission: Admission::default(),
            security_log: SecurityLog::new(&settings.security_file),
            vault: Arc::new(vault),
            minting,
            uses: Uses::default(),
            reseal: Notify::new(),
            work: Notify::new(),
            clock: Notify::new(),
            reconciled: Mutex::new(Timestamp::now()),
            bulks: Notify::new(),
            default_php: Mutex::new(None),
            db,
            audit,
            events,
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the file of the keys. Where the database holds sealed values, a missing one is not replaced.
    async fn open_vault(db: &Db, file: &Path) -> Result<Vault, EngineError> {
        let sealed: u64 = db.read(|tx| tx.sealed_counts()).await?.values().sum();
        if sealed > 0 && !Vault::exists(file) {
            return Err(EngineError::KeysLost { path: file.display().to_string(), values: sealed });
        }
        Ok(Vault::open(file)?)
    }

    /// The database, for reads that need no decision.
    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    /// The agent, for facts about the node.
    pub fn agent(&self) -> &AgentClient {
        &self.inner.agent
    }

    /// What happens, for those who listen.
    pub fn events(&self) -> &Events {
        &self.inner.events
    }

    /// The audit trail.
    pub fn audit(&self) -> &Auditor {
        &self.inner.audit
    }
}
