//! The login history: who tried to log in as whom, from where, and how it ended (SEC-02, SEC-04).

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page};
use crate::{StoreError, Tx};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use wcp360_types::api::page::Page;
use wcp360_types::api::session::{LoginFailure, LoginFilter, LoginOutcome, LoginRecord};
use wcp360_types::{LoginId, UserId};

/// Successes and failures that are kept of a person, each: who fails often does not push out who succeeded.
const KEPT: i64 = 200;

/// Where a login comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub source: String,
    /// The address without the part that changes by itself.
    pub network: String,
    /// What the browser says about itself, cleaned.
    pub user_agent: String,
    /// The same without version numbers.
    pub agent: String,
}

/// An attempt to log in.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// As whom.
    pub user: UserId,
    /// From where.
    pub place: Place,
    /// Why it failed; `None`: it succeeded.
    pub failure: Option<LoginFailure>,
}

/// What the history knows of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Whether the person ever logged in.
    pub anywhere: bool,
    /// Whether from this network.
    pub network: bool,
    /// Whether with this browser.
    pub agent: bool,
}

impl Tx<'_> {
    /// What the history knows of a place, by the logins that succeeded.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn known_place(&mut self, user: UserId, place: &Place) -> Result<Known, StoreError> {
        let sql = "SELECT COUNT(*) AS logins, \
                   COALESCE(CAST(SUM(CASE WHEN network = $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS from_network, \
                   COALESCE(CAST(SUM(CASE WHEN agent = $3 THEN 1 ELSE 0 END) AS BIGINT), 0) AS with_agent \
                   FROM logins WHERE user_id = $1 AND outcome = 'success'";
        let row = self.query_one(sql, params![user, &place.network, &place.agent])?;
        let c = columns("logins", &row);
        Ok(Known {
            anywhere: c.count("logins")? > 0,
            network: c.count("from_network")? > 0,
            agent: c.count("with_agent")? > 0,
        })
    }

    /// Adds an attempt and forgets the oldest ones of its kind beyond the bound. Whether somebody should look at it.
    pub fn insert_login(&mut self, new: &NewLogin, now: Timestamp) -> Result<LoginRecord, StoreError> {
        let known = self.known_place(new.user, &new.place)?;
        let outcome = if new.failure.is_none() { LoginOutcome::Success } else { LoginOutcome::Failure };
        let record = LoginRecord {
            id: LoginId::new(),
            username: String::new(),
            at: now,
            outcome,
            reason: new.failure,
            source: new.place.source.clone(),
            user_agent: new.place.user_agent.clone(),
            new_address: !known.network,
            new_agent: !known.agent,
            // The first one ever is new in every respect, and nothing to look at.
            alert: new.failure.is_none() && known.anywhere && !(known.network && known.agent),
        };
        let sql = "INSERT INTO logins (id, user_id, at, outcome, reason, source, user_agent, network, agent, \
                   new_address, new_agent, alert) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        self.execute(
            sql,
            params![
                record.id,
                new.user,
                now,
                outcome.as_str(),
                new.failure.map(LoginFailure::as_str),
                &record.source,
                &record.user_agent,
                &new.place.network,
                &new.place.agent,
                record.new_address,
                record.new_agent,
                record.alert
            ],
        )?;
        let trim = "DELETE FROM logins WHERE user_id = $1 AND outcome = $2 AND id <= \
                    (SELECT id FROM logins WHERE user_id = $1 AND outcome = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";
        self.execute(trim, params![new.user, outcome.as_str(), KEPT])?;
        Ok(record)
    }

    /// The login history of a person, newest first.
    pub fn logins(
        &mut self,
        user: UserId,
        filter: &LoginFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<LoginRecord>, StoreError> {
        let sql = "SELECT l.id, u.username, l.at, l.outcome, l.reason, l.source, l.user_agent, l.new_address, \
                   l.new_agent, l.alert FROM logins l JOIN users u ON u.id = l.user_id \
                   WHERE l.user_id = $1 AND ($2 = '' OR l.id < $2) AND ($3 = -1 OR l.alert = $3) \
                   ORDER BY l.id DESC LIMIT $4";
        let before = cursor.and_then(decode_cursor).unwrap_or_default();
        let alert = filter.alert.map_or(-1i64, i64::from);
        let rows = self.query(sql, params![user, before, alert, i64::from(limit) + 1])?;
        let records: Result<Vec<LoginRecord>, StoreError> = rows.iter().map(record).collect();
        Ok(page(records?, limit, |record| record.id.to_string()))
    }

    /// Forgets attempts before a moment; how many.
    pub fn purge_logins(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM logins WHERE at < $1", params![before])
    }
}

fn record(row: &Row) -> Result<LoginRecord, StoreError> {
    let c = columns("logins", row);
    let reason = c.maybe_text("reason")?;
    Ok(LoginRecord {
        id: c.parsed("id")?,
        username: c.text("username")?,
        at: c.time("at")?,
        outcome: word(&c.text("outcome")?).map_err(|e| c.corrupt("outcome", e))?,
        reason: reason.map(|text| word(&text)).transpose().map_err(|e| c.corrupt("reason", e))?,
        source: c.text("source")?,
        user_agent: c.text("user_agent")?,
        new_address: c.number("new_address")? == 1,
        new_agent: c.number("new_agent")? == 1,
        alert: c.number("alert")? == 1,
    })
}

/// One of the words of an enumeration, as JSON has it.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
}
