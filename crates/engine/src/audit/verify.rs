//! Verifying the trail where it is stored, and the key that others verify it with.

use super::{Auditor, key};
use crate::{Caller, EngineError};
use std::sync::Arc;
use std::time::Instant;
use wcp360_audit_chain::{KEY_ACTION, Verifier};
use wcp360_store::StoreError;
use wcp360_store::audit::NewAudit;
use wcp360_types::Problem;
use wcp360_types::api::audit::{AuditKey, AuditVerification};
use wcp360_types::api::event::AlertSeverity;

/// Rows per transaction: others get their turn in between.
const ROWS: u32 = 2000;

impl Auditor {
    /// The key that signs now, and those that the trail names.
    ///
    /// # Errors
    /// The database's.
    pub async fn public_key(&self) -> Result<AuditKey, EngineError> {
        let public = self.key().public();
        let (all, last) = self.db.read(|tx| Ok::<_, StoreError>((tx.audit_keys()?, tx.last_checkpoint()?))).await?;
        Ok(AuditKey {
            id: public.id(),
            public_key: public.to_string(),
            all,
            signed_through: last.map(|checkpoint| checkpoint.seq),
        })
    }

    /// Replaces the key. The old one signs the entry that names the new one, and is gone.
    ///
    /// # Errors
    /// The database's, or the file can't be written.
    pub async fn rotate_key(&self, caller: &Caller, source: &str, request_id: &str) -> Result<AuditKey, EngineError> {
        let failed = |error: std::io::Error| {
            tracing::error!(%error, "the key of the audit trail can't be replaced");
            EngineError::from(Problem::unavailable(format!("The new key can't be kept: {error}.")))
        };
        let next = key::generate().map_err(failed)?;
        let entry = NewAudit {
            actor: caller.username.clone(),
            source: source.to_owned(),
            action: KEY_ACTION.into(),
            target: Some(next.public().to_string()),
            outcome: "succeeded".into(),
            detail: Some("this key signs from the next checkpoint on".into()),
            request_id: request_id.to_owned(),
            ..NewAudit::default()
        };
        self.record(entry).await?;
        self.sign().await?;
        {
            // Nobody signs meanwhile: with the key in the file, and no other.
            let _one = self.mirror.lock().await;
            key::store(&self.key_file, &next).map_err(failed)?;
            *self.key.write().expect("no panic while writing") = Arc::new(next);
        }
        self.sign().await?;
        self.public_key().await
    }

    /// Verifies the whole trail in the database: the chain, the checkpoints, and that it goes as far as it is known to have
    /// gone.
    ///
    /// # Errors
    /// The database's; 409 while another verification runs.
    pub async fn verify(&self) -> Result<AuditVerification, EngineError> {
        let busy = || Problem::conflict("The trail is being verified at this moment; ask again when that is done.");
        let _one = self.verifying.try_acquire().map_err(|_| busy())?;
        let began = Instant::now();
        // What is known outside of the database, as it was before anything of it is signed here.
        let known = self.mirror.lock().await.mirror.position.clone();
        self.sign().await?;
        let reached = self.mirror.lock().await.mirror.position.reached();
        let mut verifier = Verifier::new([self.key().public()]);
        verifier.expect_last(reached);
        if let Some(anchor) = known.anchor {
            verifier.expect_checkpoint(anchor);
        }
        let mut after = Some(0);
        while let Some(from) = after {
            (verifier, after) = self
                .db
                .read(move |tx| {
                    let next = tx.verify_audit(&mut verifier, from, ROWS)?;
                    Ok::<_, StoreError>((verifier, next))
                })
                .await?;
        }
        let mut found = verifier.finish();
        found.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(fault) = &found.fault {
            let message = format!("The audit trail is damaged from entry {} on: {}.", fault.seq, fault.detail);
            tracing::error!("{message}");
            self.events.alert(AlertSeverity::Critical, message);
        }
        Ok(found)
    }
}
