//! Comparing the machine with the manifests, and repairs (ENG-07).

use super::account::{account, index, reference};
use super::payload::{Applied, PICK_UP, Payload};
use super::run::{Done, Ending, Run, StepError, json};
use crate::engine::Engine;
use crate::service::queue::panel_job;
use jiff::Timestamp;
use wcp360_agent_proto::{NodeRepairRequest, PickUpRequest, RepairRequest, ScanRequest};
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::drift::{
    AccountDrift, DriftFound, DriftItem, DriftPolicy, DriftReport, DriftedAccount, ManifestsState, RepairAction,
    RepairItem, RepairOutcome, RepairedItem,
};
use wcp360_types::node::DriftConfig;
use wcp360_types::{OperationId, Revision};

/// Accounts in a report.
const REPORTED: usize = 200;

/// The job's own name, so that asking twice does it once.
pub(super) fn operation(run: &Run) -> Result<OperationId, StepError> {
    run.job.id.to_string().parse().map_err(|error| StepError::Final(format!("{error}")))
}

/// Acts on differences of an account.
pub(super) async fn repair(engine: &Engine, run: &Run, items: &[RepairItem]) -> Result<Done, StepError> {
    let (_, name) = account(&run.job)?;
    let items = match items {
        [] => engine.inner.agent.drift(name).await?.items.iter().map(repairing).collect(),
        some => some.to_vec(),
    };
    let request = RepairRequest { operation: operation(run)?, items, audit: reference(&run.job) };
    let done = engine.inner.agent.repair(name, &request).await?;
    outcome(&done.items, done.left)
}

fn repairing(item: &DriftItem) -> RepairItem {
    RepairItem { key: item.key.clone(), action: RepairAction::Repair, digest: None }
}

/// Repairs things of the node.
pub(super) async fn repair_node(engine: &Engine, run: &Run, keys: &[String]) -> Result<Done, StepError> {
    let request = NodeRepairRequest { operation: operation(run)?, keys: keys.to_vec(), audit: reference(&run.job) };
    let done = engine.inner.agent.node_repair(&request).await?;
    outcome(&done.items, done.left)
}

fn outcome(items: &[RepairedItem], left: u32) -> Result<Done, StepError> {
    let told = |item: &RepairedItem| {
        let message = item.message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        format!("{}: {:?} {:?}{message}", item.key, item.action, item.outcome).to_lowercase()
    };
    let bad: Vec<String> = items
        .iter()
        .filter(|item| !matches!(item.outcome, RepairOutcome::Done | RepairOutcome::Healthy))
        .map(told)
        .collect();
    if !bad.is_empty() {
        return Err(StepError::Final(bad.join("; ")));
    }
    let mut notes: Vec<String> = items.iter().map(told).collect();
    notes.push(format!("{left} differences are left"));
    Ok(Done { notes, ..Done::default() })
}

/// Converges to manifests that were edited by hand.
pub(super) async fn pick_up(engine: &Engine, run: &Run, revision: &Revision) -> Result<Done, StepError> {
    let (id, name) = account(&run.job)?;
    let request = PickUpRequest { operation: operation(run)?, revision: revision.clone(), audit: reference(&run.job) };
    let done = engine.inner.agent.pick_up(name, &request).await?;
    let after = done.record.map(|record| record.manifests);
    let mut notes = done.notes;
    notes.extend(done.applied.resources.iter().map(|r| format!("{} ({})", r.key, r.summary)));
    let artifact = json(&Applied { after: after.clone(), plan: done.applied });
    Ok(Done { artifact: Some(artifact), notes, write: Some(index(id, after, run.job.id)) })
}

/// The revision that was picked up.
pub(super) fn picked_up(run: &Run) -> Ending {
    let applied = run.artifact::<Applied>(PICK_UP).ok();
    Ending { before: None, after: applied.and_then(|applied| applied.after).map(|set| set.revision()) }
}

/// Compares all accounts and the node, and queues what the node's policy says.
pub(super) async fn compare(engine: &Engine, report_only: bool) -> Result<Done, StepError> {
    let policy = &engine.inner.settings.drift;
    let mut report = DriftReport { at: Some(Timestamp::now()), ..DriftReport::default() };
    let mut repairs = Vec::new();
    let mut request = ScanRequest::default();
    loop {
        let page = engine.inner.agent.scan(&request).await?;
        report.compared += u64::from(page.compared);
        report.busy += page.busy.len() as u64;
        report.drifted += (page.drifted.len() + page.errors.len()) as u64;
        for drift in &page.drifted {
            let (found, payload) = decide(drift, policy, report_only);
            repairs.extend(payload.map(|payload| (drift.account.clone(), payload)));
            report.accounts.push(found);
        }
        report.accounts.extend(page.errors.into_iter().map(|error| DriftedAccount {
            account: error.account,
            items: Vec::new(),
            job: None,
            error: Some(error.error),
        }));
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    for item in engine.inner.agent.node_drift().await?.items {
        report.node.push(DriftFound { key: item.key, summary: item.summary, policy: DriftPolicy::Report });
    }
    let jobs = engine.inner.db.write(move |tx| queue_repairs(tx, repairs)).await?;
    if !jobs.is_empty() {
        engine.inner.work.notify_one();
    }
    for (name, job) in &jobs {
        if let Some(account) = report.accounts.iter_mut().find(|account| account.account == *name) {
            account.job = Some(*job);
        }
    }
    report.accounts.truncate(REPORTED);
    let note = format!(
        "compared {} accounts: {} differ, {} are being changed; {} repairs queued",
        report.compared,
        report.drifted,
        report.busy,
        jobs.len()
    );
    let text = json(&report);
    let write = Box::new(move |tx: &mut Tx<'_>| tx.set_setting(wcp360_store::settings::DRIFT_REPORT, &text));
    Ok(Done { notes: vec![note], write: Some(write), ..Done::default() })
}

type Repairs = Vec<(wcp360_types::Username, Payload)>;

fn queue_repairs(
    tx: &mut Tx<'_>,
    repairs: Repairs,
) -> Result<Vec<(wcp360_types::Username, wcp360_types::JobId)>, StoreError> {
    let now = Timestamp::now();
    let mut jobs = Vec::new();
    for (name, payload) in repairs {
        // An account that is being changed is compared again later.
        let Some(account) = tx.account(Scope::All, &name)? else { continue };
        if tx.is_lane_busy(&account.id.to_string())? {
            continue;
        }
        let job = panel_job("drift.reconcile", &payload, Some(&account));
        tx.insert_job(&job, now)?;
        jobs.push((name, job.id));
    }
    Ok(jobs)
}

/// What is done about an account's differences.
fn decide(drift: &AccountDrift, config: &DriftConfig, report_only: bool) -> (DriftedAccount, Option<Payload>) {
    let mut items = Vec::new();
    let mut acts = Vec::new();
    for item in &drift.items {
        let wanted = if report_only { DriftPolicy::Report } else { config.policy(item.class) };
        let action = match wanted {
            DriftPolicy::Repair => Some(RepairAction::Repair),
            DriftPolicy::Adopt => Some(RepairAction::Adopt),
            DriftPolicy::Ignore => Some(RepairAction::Ignore),
            DriftPolicy::Report => None,
        };
        let action = action.filter(|action| item.actions.contains(action));
        let policy = if action.is_some() { wanted } else { DriftPolicy::Report };
        items.push(DriftFound { key: item.key.clone(), summary: item.summary.clone(), policy });
        acts.extend(action.map(|action| RepairItem {
            key: item.key.clone(),
            action,
            // What changed again meanwhile was not decided upon.
            digest: Some(item.digest.clone()),
        }));
    }
    let (error, payload) = match &drift.manifests {
        ManifestsState::Edited { revision, .. } if config.manifests == DriftPolicy::Adopt && !report_only => {
            (Some("its manifests were edited".to_owned()), Some(Payload::PickUp { revision: revision.clone() }))
        }
        ManifestsState::Edited { .. } => (Some("its manifests were edited".into()), None),
        ManifestsState::Refused { file, field, error } => {
            let field = field.as_deref().map(|field| format!(", {field}")).unwrap_or_default();
            (Some(format!("{file}{field}: {error}")), None)
        }
        ManifestsState::Missing => (Some("its manifests are missing".into()), None),
        ManifestsState::Same => (None, None),
    };
    let payload = payload.or_else(|| (!acts.is_empty()).then_some(Payload::Repair { items: acts }));
    (DriftedAccount { account: drift.account.clone(), items, job: None, error }, payload)
}
