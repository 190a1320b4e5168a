//! The node as a whole: drift, the index, maintenance.

use super::queue::{JobRequest, accepted, panel_job};
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::work::payload::Payload;
use jiff::Timestamp;
use wcp360_store::settings::{DRIFT_REPORT, MAINTENANCE};
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::drift::{
    AccountDrift, DriftReport, ManifestsState, NodeDrift, Reconcile, RepairDrift, RepairNode,
};
use wcp360_types::api::job::Job;
use wcp360_types::api::maintenance::Maintenance;
use wcp360_types::{Problem, Username};

impl Engine {
    /// What the last comparison of all accounts found; nothing if there was none yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn drift_report(&self) -> Result<DriftReport, EngineError> {
        let text = self.inner.db.read(|tx| tx.setting(DRIFT_REPORT)).await?;
        // What an older version left and this one can't read is as good as none.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// How an account differs from its manifests at this moment.
    ///
    /// # Errors
    /// There is no such account, or the agent's.
    pub async fn account_drift(&self, caller: &Caller, name: &Username) -> Result<AccountDrift, EngineError> {
        let (scope, wanted) = (caller.scope(), name.clone());
        let known = self.inner.db.read(move |tx| tx.account(scope, &wanted)).await?;
        known.ok_or_else(|| Problem::not_found("account", name))?;
        Ok(self.inner.agent.drift(name).await?)
    }

    /// How the node itself differs at this moment.
    ///
    /// # Errors
    /// The agent's.
    pub async fn node_drift(&self) -> Result<NodeDrift, EngineError> {
        Ok(self.inner.agent.node_drift().await?)
    }

    /// Compares all accounts with their manifests, as a job.
    ///
    /// # Errors
    /// The database's; so for all jobs here.
    pub async fn reconcile(&self, caller: &Caller, request: Reconcile, how: JobRequest) -> Result<Job, EngineError> {
        self.queue_panel_job(caller, Payload::Reconcile { report_only: request.report_only }, None, how).await
    }

    /// Acts on differences of an account, as a job.
    ///
    /// # Errors
    /// There is no such account.
    pub async fn repair_account(
        &self,
        caller: &Caller,
        name: &Username,
        request: RepairDrift,
        how: JobRequest,
    ) -> Result<Job, EngineError> {
        if request.items.len() > 1000 {
            return Err(Problem::invalid("items", "use at most 1000; leave it out to repair all").into());
        }
        self.queue_panel_job(caller, Payload::Repair { items: request.items }, Some(name), how).await
    }

    /// Converges to an account's manifests that were edited by hand, as a job.
    ///
    /// # Errors
    /// There is no such account, its manifests were not edited, or they are not valid.
    pub async fn pick_up(&self, caller: &Caller, name: &Username, how: JobRequest) -> Result<Job, EngineError> {
        let revision = match self.account_drift(caller, name).await?.manifests {
            ManifestsState::Edited { revision, .. } => revision,
            ManifestsState::Same => return Err(Problem::conflict("The manifests were not edited.").into()),
            ManifestsState::Missing => {
                return Err(Problem::conflict("The manifests are missing; repair puts them back.").into());
            }
            ManifestsState::Refused { file, field, error } => {
                let field = field.map(|field| format!(", {field}")).unwrap_or_default();
                return Err(Problem::conflict(format!("{file}{field}: {error}")).into());
            }
        };
        self.queue_panel_job(caller, Payload::PickUp { revision }, Some(name), how).await
    }

    /// Repairs things of the node, as a job.
    ///
    /// # Errors
    /// The database's.
    pub async fn repair_node(&self, caller: &Caller, request: RepairNode, how: JobRequest) -> Result<Job, EngineError> {
        self.queue_panel_job(caller, Payload::RepairNode { keys: request.keys }, None, how).await
    }

    /// Makes the index from the manifests, as a job.
    ///
    /// # Errors
    /// The database's.
    pub async fn rebuild_index(&self, caller: &Caller, how: JobRequest) -> Result<Job, EngineError> {
        self.queue_panel_job(caller, Payload::Rebuild {}, None, how).await
    }

    async fn queue_panel_job(
        &self,
        caller: &Caller,
        payload: Payload,
        account: Option<&Username>,
        how: JobRequest,
    ) -> Result<Job, EngineError> {
        let (caller, account) = (caller.clone(), account.cloned());
        let job = self
            .inner
            .db
            .write(move |tx| {
                let found = match &account {
                    Some(name) => {
                        let found = tx.account(caller.scope(), name)?;
                        Some(found.ok_or_else(|| Problem::not_found("account", name))?)
                    }
                    None => None,
                };
                let now = Timestamp::now();
                let mut job = panel_job(how.operation, &payload, found.as_ref());
                job.request.actor = caller.username.clone();
                job.request.actor_id = Some(caller.user_id);
                job.request.source = how.origin.source.clone();
                job.request.request_id = how.origin.request_id.clone();
                job.priority = 0;
                if found.is_none() {
                    job.subject.owner_id = caller.user_id;
                }
                tx.insert_job(&job, now)?;
                tx.append_audit(&accepted(&caller, &how, account.as_ref(), job.id), now)?;
                tx.job(Scope::All, job.id)?.ok_or_else(|| EngineError::from(Problem::internal()))
            })
            .await?;
        self.inner.work.notify_one();
        self.inner.audit.mirror_soon();
        Ok(job)
    }

    /// Compares by itself, as often as the node's settings say.
    pub(crate) async fn reconcile_if_due(&self, now: Timestamp) -> Result<(), StoreError> {
        let every = self.inner.settings.drift.every_minutes;
        if every == 0 {
            return Ok(());
        }
        let pause = jiff::SignedDuration::from_mins(i64::from(every));
        {
            let mut last = self.inner.reconciled.lock().expect("no panic while looking");
            // The first time a while after the start, when there is less to do.
            if now.duration_since(*last) < pause {
                return Ok(());
            }
            *last = now;
        }
        let queued = self.inner.db.write(move |tx| {
            if tx.is_lane_busy("node")? {
                return Ok::<_, StoreError>(false);
            }
            tx.insert_job(&panel_job("drift.reconcile", &Payload::Reconcile { report_only: false }, None), now)?;
            Ok(true)
        });
        if queued.await? {
            self.inner.work.notify_one();
        }
        Ok(())
    }

    /// Whether only administrators may change something.
    ///
    /// # Errors
    /// The database's.
    pub async fn maintenance(&self) -> Result<Maintenance, EngineError> {
        Ok(self.inner.db.read(maintenance).await?)
    }

    /// Switches maintenance on or off.
    ///
    /// # Errors
    /// The message is too long.
    pub async fn set_maintenance(&self, request: Maintenance) -> Result<Maintenance, EngineError> {
        if request.message.chars().count() > 200 || request.message.chars().any(char::is_control) {
            return Err(Problem::invalid("message", "use at most 200 characters in one line").into());
        }
        let text = serde_json::to_string(&request).expect("plain data has a JSON form");
        self.inner.db.write(move |tx| tx.set_setting(MAINTENANCE, &text)).await?;
        // What was held back goes on.
        self.inner.clock.notify_one();
        self.inner.bulks.notify_one();
        Ok(request)
    }

    /// Refuses changes by resellers and clients while there is maintenance.
    ///
    /// # Errors
    /// 503 with the administrator's words.
    pub async fn refuse_in_maintenance(&self, caller: &Caller) -> Result<(), EngineError> {
        if caller.is_admin() {
            return Ok(());
        }
        let maintenance = self.maintenance().await?;
        if !maintenance.enabled {
            return Ok(());
        }
        let words = if maintenance.message.is_empty() { "Please try again later." } else { &maintenance.message };
        Err(Problem::unavailable(format!("The panel is being maintained; changes have to wait. {words}")).into())
    }
}

/// Whether only administrators may change something: schedules and bulk changes of others are held back too.
pub(crate) fn maintenance(tx: &mut Tx<'_>) -> Result<Maintenance, StoreError> {
    let text = tx.setting(MAINTENANCE)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}
