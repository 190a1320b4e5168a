//! Changes of many accounts at once, and what became of each (TEN-05).

use crate::db::{Param, Row, params};
use crate::row::{columns, decode_cursor, page};
use crate::schedules::by_admins;
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::bulk::{Bulk, BulkAction, BulkItem, BulkItemState, BulkState};
use wcp360_types::api::job::JobState;
use wcp360_types::api::page::Page;
use wcp360_types::{BulkId, JobId, PackageName, UserId, Username};

/// A bulk change, to be written down or gone on with.
#[derive(Debug, Clone)]
pub struct StoredBulk {
    /// Identifier.
    pub id: BulkId,
    /// The operation that made it.
    pub operation: String,
    /// What is done to each account.
    pub action: BulkAction,
    /// For a change of package: the package.
    pub package: Option<PackageName>,
    /// What the engine needs to go on with it, as JSON.
    pub payload: String,
    /// Login name of who asked.
    pub actor: String,
    /// Their identifier.
    pub actor_id: UserId,
    /// From where.
    pub source: String,
    /// The request.
    pub request_id: String,
}

/// With the numbers of accounts in each state. A job that is gone counts as failed: nobody can say what became of it.
const COUNTED: &str = "SELECT b.id, b.operation, b.action, b.package, b.payload, b.actor, b.actor_id, b.source, \
    b.request_id, b.open, b.created_at, \
    (SELECT COUNT(*) FROM bulk_items i WHERE i.bulk_id = b.id) AS accounts, \
    (SELECT COUNT(*) FROM bulk_items i WHERE i.bulk_id = b.id AND i.state = 'pending') AS pending, \
    (SELECT COUNT(*) FROM bulk_items i WHERE i.bulk_id = b.id AND i.state = 'refused') AS refused, \
    (SELECT COUNT(*) FROM bulk_items i JOIN jobs j ON j.id = i.job_id WHERE i.bulk_id = b.id \
     AND j.state IN ('queued', 'running', 'waiting')) AS running, \
    (SELECT COUNT(*) FROM bulk_items i JOIN jobs j ON j.id = i.job_id WHERE i.bulk_id = b.id \
     AND j.state = 'succeeded') AS succeeded FROM bulks b";

const STORED: &str =
    "SELECT id, operation, action, package, payload, actor, actor_id, source, request_id, open, created_at FROM bulks";

fn action(text: &str) -> Result<BulkAction, String> {
    use BulkAction::*;
    let all = [Suspend, Unsuspend, ChangePackage, Delete];
    all.into_iter().find(|a| a.as_str() == text).ok_or_else(|| format!("unknown action {text:?}"))
}

fn stored(row: &Row) -> Result<StoredBulk, StoreError> {
    let c = columns("bulks", row);
    Ok(StoredBulk {
        id: c.parsed("id")?,
        operation: c.text("operation")?,
        action: action(&c.text("action")?).map_err(|reason| c.corrupt("action", reason))?,
        package: c.maybe_parsed("package")?,
        payload: c.text("payload")?,
        actor: c.text("actor")?,
        actor_id: c.parsed("actor_id")?,
        source: c.text("source")?,
        request_id: c.text("request_id")?,
    })
}

fn counted(row: &Row) -> Result<Bulk, StoreError> {
    let c = columns("bulks", row);
    let StoredBulk { id, operation, action, package, actor, .. } = stored(row)?;
    let [accounts, pending, refused, running, succeeded] =
        [c.count("accounts")?, c.count("pending")?, c.count("refused")?, c.count("running")?, c.count("succeeded")?];
    let state = match () {
        () if pending + running > 0 || c.number("open")? == 1 => BulkState::Running,
        () if succeeded == accounts => BulkState::Succeeded,
        () => BulkState::Incomplete,
    };
    let failed = accounts.saturating_sub(pending + refused + running + succeeded);
    let created_at = c.time("created_at")?;
    Ok(Bulk {
        id,
        operation,
        action,
        package,
        actor,
        state,
        accounts,
        pending,
        running,
        succeeded,
        failed,
        refused,
        created_at,
    })
}

/// Who sees a bulk change: who began it, and administrators.
fn visible(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "$1 = ''",
        Scope::Owner(_) => "actor_id = $1",
        Scope::Account(_) => "$1 = '' AND 1 = 0",
    }
}

impl Tx<'_> {
    /// Writes a bulk change down, with its accounts.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_bulk(&mut self, new: &StoredBulk, accounts: &[Username], now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO bulks (id, operation, action, package, payload, actor, actor_id, source, request_id, open, \
                   created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        self.execute(
            sql,
            params![
                new.id,
                &new.operation,
                new.action.as_str(),
                new.package.as_ref().map(|name| name.as_str()),
                &new.payload,
                &new.actor,
                new.actor_id,
                &new.source,
                &new.request_id,
                !accounts.is_empty(),
                now
            ],
        )?;
        for chunk in accounts.chunks(500) {
            let rows: Vec<String> = (0..chunk.len()).map(|n| format!("($1, ${}, 'pending')", n + 2)).collect();
            let sql = format!("INSERT INTO bulk_items (bulk_id, account, state) VALUES {}", rows.join(", "));
            let mut values = params![new.id].to_vec();
            values.extend(chunk.iter().map(|name| Param::from(name.as_str())));
            self.execute(&sql, &values)?;
        }
        Ok(())
    }

    /// Bulk changes that were not gone through to the end, of all or of administrators only.
    pub fn open_bulks(&mut self, of_admins: bool) -> Result<Vec<StoredBulk>, StoreError> {
        let sql = format!("{STORED} WHERE open = 1 AND {} ORDER BY id LIMIT 100", by_admins(of_admins));
        self.query(&sql, &[])?.iter().map(stored).collect()
    }

    /// A bulk change as the engine needs it.
    pub fn stored_bulk(&mut self, id: BulkId) -> Result<Option<StoredBulk>, StoreError> {
        self.query_opt(&format!("{STORED} WHERE id = $1"), params![id])?.as_ref().map(stored).transpose()
    }

    /// Takes the next accounts of a bulk change that have no job; nobody else takes them until the end of the transaction.
    pub fn take_bulk_items(&mut self, id: BulkId, most: u32) -> Result<Vec<Username>, StoreError> {
        let sql = format!(
            "SELECT account FROM bulk_items WHERE bulk_id = $1 AND state = 'pending' ORDER BY account LIMIT $2 {}",
            self.skip_locked()
        );
        let rows = self.query(&sql, params![id, i64::from(most)])?;
        rows.iter().map(|row| columns("bulk_items", row).parsed("account")).collect()
    }

    /// Whether accounts of a bulk change have no job yet.
    pub fn has_pending_items(&mut self, id: BulkId) -> Result<bool, StoreError> {
        let sql = "SELECT account FROM bulk_items WHERE bulk_id = $1 AND state = 'pending' LIMIT 1";
        Ok(self.query_opt(sql, params![id])?.is_some())
    }

    /// Writes down what became of an account of a bulk change: its job, or why it has none.
    pub fn settle_bulk_item(
        &mut self,
        id: BulkId,
        account: &Username,
        outcome: Result<JobId, &str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE bulk_items SET state = $3, job_id = $4, error = $5 WHERE bulk_id = $1 AND account = $2";
        let (state, job, error) = match outcome {
            Ok(job) => ("queued", Some(job), None),
            Err(error) => ("refused", None, Some(error)),
        };
        self.execute(sql, params![id, account.as_str(), state, job, error])?;
        Ok(())
    }

    /// Refuses all accounts of a bulk change that have no job yet.
    pub fn refuse_pending_items(&mut self, id: BulkId, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE bulk_items SET state = 'refused', error = $2 WHERE bulk_id = $1 AND state = 'pending'";
        self.execute(sql, params![id, why])?;
        self.close_bulk(id)
    }

    /// Notes that all accounts of a bulk change were gone through.
    pub fn close_bulk(&mut self, id: BulkId) -> Result<(), StoreError> {
        self.execute("UPDATE bulks SET open = 0 WHERE id = $1", params![id])?;
        Ok(())
    }

    /// A bulk change in a scope, with its progress.
    pub fn bulk(&mut self, scope: Scope, id: BulkId) -> Result<Option<Bulk>, StoreError> {
        let sql = format!("{COUNTED} WHERE b.id = $2 AND {}", visible(scope));
        self.query_opt(&sql, params![scope.key(), id])?.as_ref().map(counted).transpose()
    }

    /// Whether a bulk change is in a scope.
    pub fn is_bulk_visible(&mut self, scope: Scope, id: BulkId) -> Result<bool, StoreError> {
        let sql = format!("SELECT id FROM bulks WHERE id = $2 AND {}", visible(scope));
        Ok(self.query_opt(&sql, params![scope.key(), id])?.is_some())
    }

    /// The bulk changes in a scope with their progress, newest first.
    pub fn bulks(&mut self, scope: Scope, limit: u32, cursor: Option<&str>) -> Result<Page<Bulk>, StoreError> {
        let before = cursor.and_then(decode_cursor).unwrap_or_else(|| "~".into());
        let sql = format!("{COUNTED} WHERE b.id < $2 AND {} ORDER BY b.id DESC LIMIT $3", visible(scope));
        let rows = self.query(&sql, params![scope.key(), before, i64::from(limit) + 1])?;
        let bulks: Result<Vec<_>, _> = rows.iter().map(counted).collect();
        Ok(page(bulks?, limit, |bulk| bulk.id.to_string()))
    }

    /// The accounts of a bulk change, by name.
    pub fn bulk_items(&mut self, id: BulkId, limit: u32, cursor: Option<&str>) -> Result<Page<BulkItem>, StoreError> {
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let sql = "SELECT i.account, i.state, i.job_id, i.error, j.state AS job_state, j.error AS job_error \
                   FROM bulk_items i LEFT JOIN jobs j ON j.id = i.job_id \
                   WHERE i.bulk_id = $1 AND i.account > $2 ORDER BY i.account LIMIT $3";
        let rows = self.query(sql, params![id, after, i64::from(limit) + 1])?;
        let items: Result<Vec<_>, _> = rows.iter().map(item).collect();
        Ok(page(items?, limit, |item| item.account.to_string()))
    }

    /// The accounts of a bulk change whose jobs succeeded, or may still.
    pub fn bulk_changed(&mut self, id: BulkId) -> Result<Vec<Username>, StoreError> {
        let sql = "SELECT i.account FROM bulk_items i JOIN jobs j ON j.id = i.job_id WHERE i.bulk_id = $1 \
                   AND j.state IN ('queued', 'running', 'waiting', 'succeeded') ORDER BY i.account";
        let rows = self.query(sql, params![id])?;
        rows.iter().map(|row| columns("bulk_items", row).parsed("account")).collect()
    }
}

fn item(row: &Row) -> Result<BulkItem, StoreError> {
    let c = columns("bulk_items", row);
    let job: Option<JobId> = c.maybe_parsed("job_id")?;
    let job_state: Option<JobState> = c.maybe_parsed("job_state")?;
    let state = match c.text("state")?.as_str() {
        "pending" => BulkItemState::Pending,
        "queued" => BulkItemState::Queued,
        "refused" => BulkItemState::Refused,
        other => return Err(c.corrupt("state", format!("unknown state {other:?}"))),
    };
    let gone = (job.is_some() && job_state.is_none()).then(|| "its job is not kept any more".to_owned());
    let error = match c.maybe_text("error")? {
        Some(error) => Some(error),
        None => c.maybe_text("job_error")?.or(gone),
    };
    Ok(BulkItem { account: c.parsed("account")?, state, job, job_state, error })
}
