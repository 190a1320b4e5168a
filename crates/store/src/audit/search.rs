//! Reading the trail: with filters newest first, and in order.

use super::{ENTRY, entry};
use crate::db::{Param, params};
use crate::row::{columns, decode_cursor, encode_cursor};
use crate::{Scope, StoreError, Tx};
use jiff::{SignedDuration, Timestamp};
use wcp360_types::api::audit::{AuditEntry, AuditFilter};
use wcp360_types::api::page::Page;
use wcp360_types::{AccountId, JobId, UserId};

/// Positions that one page looks through when no index leads to what is wanted: the page may then be short, and says where to
/// go on.
const WINDOW: u64 = 50_000;
/// Entries get their place moments after they are recorded, and several processes' clocks differ: so far a time may be out
/// of the order of positions and is found all the same.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// What is wanted of the trail.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// As the caller says.
    pub filter: AuditFilter,
    /// The account that `filter.tenant` names.
    pub account: Option<AccountId>,
    /// The reseller that `filter.tenant` names.
    pub owner: Option<UserId>,
}

/// Conditions, and what they bind.
struct Conditions {
    sql: String,
    values: Vec<Param>,
    /// Conditions that an index leads to.
    leading: u32,
    /// Conditions that are tried row by row.
    trying: u32,
}

impl Conditions {
    fn only(&mut self, sql: &str, value: impl Into<Param>) {
        self.values.push(value.into());
        self.sql += &format!(" AND {}", sql.replace('?', &format!("${}", self.values.len())));
    }
}

impl Tx<'_> {
    /// Entries in a scope, newest first. A page can be short although there are more: its cursor says so.
    ///
    /// # Errors
    /// The database's.
    pub fn audit(
        &mut self,
        scope: Scope,
        wanted: &Wanted,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let cursor = cursor.and_then(decode_cursor).and_then(|text| text.parse::<u64>().ok());
        let Some((low, high)) = self.span(&wanted.filter)? else {
            return Ok(Page { items: Vec::new(), next_cursor: None });
        };
        let before = cursor.unwrap_or(u64::MAX).min(high.saturating_add(1));
        let mut wish = conditions(scope, wanted);
        // One condition that an index leads to needs no bound; several, or others, would try row after row.
        let bounded = wish.trying > 0 || wish.leading > 1;
        let floor = if bounded { before.saturating_sub(WINDOW).max(low) } else { low };
        wish.only("seq < ?", before);
        wish.only("seq >= ?", floor);
        wish.values.push(Param::from(i64::from(limit) + 1));
        let sql = format!("{ENTRY} WHERE {} ORDER BY seq DESC LIMIT ${}", wish.sql, wish.values.len());
        let mut items = self.query(&sql, &wish.values)?.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = match items.last() {
            Some(last) if more => Some(last.seq),
            _ if floor > low => Some(floor),
            _ => None,
        };
        Ok(Page { items, next_cursor: next.map(|seq| encode_cursor(&seq.to_string())) })
    }

    /// Entries in a scope after a position and up to another, oldest first, at most `limit`. The position to go on after, if
    /// there is more.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_between(
        &mut self,
        scope: Scope,
        wanted: &Wanted,
        after: u64,
        until: u64,
        limit: u32,
    ) -> Result<(Vec<AuditEntry>, Option<u64>), StoreError> {
        let Some((low, high)) = self.span(&wanted.filter)? else { return Ok((Vec::new(), None)) };
        let until = until.min(high);
        let after = after.max(low.saturating_sub(1));
        let ceiling = after.saturating_add(WINDOW).min(until);
        let mut wish = conditions(scope, wanted);
        wish.only("seq > ?", after);
        wish.only("seq <= ?", ceiling);
        wish.values.push(Param::from(limit));
        let sql = format!("{ENTRY} WHERE {} ORDER BY seq LIMIT ${}", wish.sql, wish.values.len());
        let items = self.query(&sql, &wish.values)?.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let next = match items.last() {
            Some(last) if items.len() == limit as usize => Some(last.seq),
            _ if ceiling < until => Some(ceiling),
            _ => None,
        };
        Ok((items, next))
    }

    /// Entries after a position, oldest first, at most 1000: for the mirror file.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_after(&mut self, seq: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("{ENTRY} WHERE seq > $1 ORDER BY seq LIMIT 1000");
        self.query(&sql, params![seq])?.iter().map(entry).collect()
    }

    /// All entries that name a job, oldest first, at most 100.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_of_job(&mut self, job: JobId) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = format!("{ENTRY} WHERE job = $1 ORDER BY seq LIMIT 100");
        self.query(&sql, params![job])?.iter().map(entry).collect()
    }

    /// Position and time of the oldest entry that is there.
    ///
    /// # Errors
    /// The database's.
    pub fn audit_begin(&mut self) -> Result<Option<(u64, Timestamp)>, StoreError> {
        let row = self.query_opt("SELECT seq, at FROM audit ORDER BY seq LIMIT 1", &[])?;
        let read = |row| {
            let c = columns("audit", &row);
            Ok((c.count("seq")?, c.time("at")?))
        };
        row.map(read).transpose()
    }

    /// The positions between which a filter's times lie; `None`: there are no entries.
    fn span(&mut self, filter: &AuditFilter) -> Result<Option<(u64, u64)>, StoreError> {
        let Some((last, _)) = self.audit_end()? else { return Ok(None) };
        let mut first = |sql: &str, at: Timestamp| {
            let row = self.query_opt(sql, params![at])?;
            row.map(|row| columns("audit", &row).count("seq")).transpose()
        };
        let low = match filter.since {
            None => 1,
            Some(since) => {
                let sql = "SELECT seq FROM audit WHERE at >= $1 ORDER BY at, seq LIMIT 1";
                match first(sql, earlier(since))? {
                    Some(seq) => seq,
                    None => return Ok(None),
                }
            }
        };
        let high = match filter.until {
            None => last,
            Some(until) => {
                let sql = "SELECT seq FROM audit WHERE at < $1 ORDER BY at DESC, seq DESC LIMIT 1";
                match first(sql, later(until))? {
                    Some(seq) => seq,
                    None => return Ok(None),
                }
            }
        };
        Ok((low <= high).then_some((low, high)))
    }
}

fn earlier(at: Timestamp) -> Timestamp {
    at.checked_sub(SKEW).unwrap_or(Timestamp::MIN)
}

fn later(at: Timestamp) -> Timestamp {
    at.checked_add(SKEW).unwrap_or(Timestamp::MAX)
}

fn conditions(scope: Scope, wanted: &Wanted) -> Conditions {
    let filter = &wanted.filter;
    let leading = u32::from(scope != Scope::All);
    let mut wish = Conditions {
        sql: scope.condition("account_id", "owner_id"),
        values: vec![Param::from(scope.key())],
        leading,
        trying: 0,
    };
    for (sql, value) in [("actor = ?", &filter.actor), ("target = ?", &filter.target)] {
        if let Some(value) = value {
            wish.only(sql, value);
            wish.leading += 1;
        }
    }
    if let Some(account) = wanted.account {
        wish.only("account_id = ?", account);
        wish.leading += 1;
    } else if let Some(owner) = wanted.owner {
        wish.only("owner_id = ?", owner);
        wish.leading += 1;
    } else if let Some(gone) = &filter.tenant {
        // Nobody of that name is there (any more): what was recorded under it.
        wish.only("target = ?", gone);
        wish.leading += 1;
    }
    match &filter.action {
        Some(action) if action.ends_with('.') => {
            // All that sorts between "accounts." and "accounts/".
            wish.only("action >= ?", action);
            wish.only("action < ?", format!("{}/", action.trim_end_matches('.')));
            wish.trying += 1;
        }
        Some(action) => {
            wish.only("action = ?", action);
            wish.leading += 1;
        }
        None => {}
    }
    for (sql, value) in [("outcome = ?", &filter.outcome), ("source = ?", &filter.source)] {
        if let Some(value) = value {
            wish.only(sql, value);
            wish.trying += 1;
        }
    }
    if let Some(text) = &filter.text {
        let literal = text.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        wish.only("LOWER(detail) LIKE ? ESCAPE '\\'", format!("%{literal}%"));
        wish.trying += 1;
    }
    if let Some(since) = filter.since {
        wish.only("at >= ?", since);
        wish.trying += 1;
    }
    if let Some(until) = filter.until {
        wish.only("at < ?", until);
        wish.trying += 1;
    }
    wish
}
