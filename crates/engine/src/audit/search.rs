//! Looking through the trail.

use super::Auditor;
use crate::{Caller, EngineError};
use wcp360_store::audit::Wanted;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::Role;
use wcp360_types::api::audit::{AuditEntry, AuditFilter};
use wcp360_types::api::page::Page;

impl Auditor {
    /// Entries that a caller may see, newest first, with those that were recorded a moment ago. From which address others
    /// worked on an account is not told to its client.
    ///
    /// # Errors
    /// The database's.
    pub async fn entries(
        &self,
        caller: &Caller,
        filter: AuditFilter,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<AuditEntry>, EngineError> {
        self.mirror().await?;
        let scope = caller.scope();
        let mut page = self
            .db
            .read(move |tx| {
                let wanted = resolve(tx, scope, filter)?;
                tx.audit(scope, &wanted, limit, cursor.as_deref())
            })
            .await?;
        if caller.role == Role::Client {
            for entry in page.items.iter_mut().filter(|entry| entry.actor != caller.username) {
                entry.source = "-".into();
            }
        }
        Ok(page)
    }
}

/// Finds who a filter's tenant is, within a scope: an account, or a reseller.
pub(super) fn resolve(tx: &mut Tx<'_>, scope: Scope, filter: AuditFilter) -> Result<Wanted, StoreError> {
    let mut wanted = Wanted { filter, ..Wanted::default() };
    if let Some(tenant) = &wanted.filter.tenant {
        if let Ok(name) = tenant.parse() {
            wanted.account = tx.account_owner(scope, &name)?.map(|(id, _)| id);
        }
        if wanted.account.is_none() {
            let user = tx.user_by_name(tenant)?.filter(|user| user.role == Role::Reseller);
            wanted.owner = user.map(|user| user.id).filter(|id| scope == Scope::All || scope == Scope::Owner(*id));
        }
    }
    Ok(wanted)
}
