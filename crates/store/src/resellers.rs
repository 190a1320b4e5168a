//! Resellers: what they may give, what they gave, and whose accounts are whose (TEN-06).

use crate::db::params;
use crate::row::{Columns, columns, to_json};
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::reseller::{Count, ResellerLimits};
use wcp360_types::{AccountId, BulkId, UserId};

/// The limits in a row with the columns `limits` and `max_accounts`.
pub(crate) fn limits(c: &Columns<'_>) -> Result<ResellerLimits, StoreError> {
    let limits: Option<ResellerLimits> = c.maybe_json("limits")?;
    let accounts = c.maybe_number("max_accounts")?.map(|n| n.max(0) as u64);
    Ok(ResellerLimits { accounts, ..limits.unwrap_or_default() })
}

impl Tx<'_> {
    /// What somebody may give.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn reseller_limits(&mut self, user: UserId) -> Result<ResellerLimits, StoreError> {
        let row = self.query_opt("SELECT id, limits, max_accounts FROM users WHERE id = $1", params![user])?;
        row.map_or_else(|| Ok(ResellerLimits::default()), |row| limits(&columns("users", &row)))
    }

    /// Sets what a reseller may give.
    pub fn set_reseller_limits(&mut self, user: UserId, limits: &ResellerLimits) -> Result<(), StoreError> {
        let sql = "UPDATE users SET limits = $2, max_accounts = $3 WHERE id = $1";
        self.execute(sql, params![user, to_json(limits), limits.accounts])?;
        Ok(())
    }

    /// Suspends a reseller, by a bulk change of its accounts, if there are any. Its sessions end.
    pub fn suspend_user(&mut self, user: UserId, by: Option<BulkId>, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE users SET suspended_at = $2, suspended_by = $3 WHERE id = $1";
        self.execute(sql, params![user, now, by])?;
        self.execute("DELETE FROM sessions WHERE user_id = $1", params![user])?;
        Ok(())
    }

    /// Lets a suspended reseller in again.
    pub fn unsuspend_user(&mut self, user: UserId) -> Result<(), StoreError> {
        let sql = "UPDATE users SET suspended_at = NULL, suspended_by = NULL WHERE id = $1";
        self.execute(sql, params![user])?;
        Ok(())
    }

    /// The bulk change that suspended a reseller's accounts.
    pub fn suspended_by(&mut self, user: UserId) -> Result<Option<BulkId>, StoreError> {
        let row = self.query_opt("SELECT id, suspended_by FROM users WHERE id = $1", params![user])?;
        row.map_or(Ok(None), |row| columns("users", &row).maybe_parsed("suspended_by"))
    }

    /// Names of somebody's accounts, of all kinds, reserved ones included.
    pub fn domains_of(&mut self, owner: UserId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM domains d JOIN accounts a ON a.id = d.account_id WHERE a.owner_id = $1";
        columns("domains", &self.query_one(sql, params![owner])?).count("n")
    }

    /// Names of one account, of all kinds, reserved ones included.
    pub fn domains_in(&mut self, account: AccountId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM domains WHERE account_id = $1";
        columns("domains", &self.query_one(sql, params![account])?).count("n")
    }

    /// Packages of somebody.
    pub fn packages_of(&mut self, owner: UserId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM packages WHERE owner_id = $1";
        columns("packages", &self.query_one(sql, params![owner])?).count("n")
    }

    /// How many accounts of somebody are in each state.
    pub fn states_of(&mut self, owner: UserId) -> Result<Vec<Count>, StoreError> {
        self.counts(
            "SELECT state AS name, COUNT(*) AS n FROM accounts WHERE owner_id = $1 GROUP BY state ORDER BY state",
            owner,
        )
    }

    /// How many accounts of somebody have each package.
    pub fn packages_in_use(&mut self, owner: UserId) -> Result<Vec<Count>, StoreError> {
        let sql =
            "SELECT package AS name, COUNT(*) AS n FROM accounts WHERE owner_id = $1 GROUP BY package ORDER BY package";
        self.counts(sql, owner)
    }

    /// How many names of each kind the accounts of somebody have.
    pub fn domain_kinds_of(&mut self, owner: UserId) -> Result<Vec<Count>, StoreError> {
        let sql = "SELECT d.kind AS name, COUNT(*) AS n FROM domains d JOIN accounts a ON a.id = d.account_id \
                   WHERE a.owner_id = $1 GROUP BY d.kind ORDER BY d.kind";
        self.counts(sql, owner)
    }

    fn counts(&mut self, sql: &str, owner: UserId) -> Result<Vec<Count>, StoreError> {
        let rows = self.query(sql, params![owner])?;
        rows.iter()
            .map(|row| {
                let c = columns("accounts", row);
                Ok(Count { name: c.text("name")?, count: c.count("n")? })
            })
            .collect()
    }

    /// The login name of an account's owner; `None` if one of them is not there.
    pub fn owner_login(&mut self, account: AccountId) -> Result<Option<String>, StoreError> {
        let sql = "SELECT o.username FROM accounts a JOIN users o ON o.id = a.owner_id WHERE a.id = $1";
        let row = self.query_opt(sql, params![account])?;
        row.map(|row| columns("accounts", &row).text("username")).transpose()
    }

    /// Gives an account to somebody else, with the records of its jobs and its schedules.
    pub fn set_owner(&mut self, account: AccountId, owner: UserId) -> Result<(), StoreError> {
        self.execute("UPDATE accounts SET owner_id = $2 WHERE id = $1", params![account, owner])?;
        self.execute("UPDATE jobs SET owner_id = $2 WHERE account_id = $1", params![account, owner])?;
        self.execute("UPDATE schedules SET owner_id = $2 WHERE account_id = $1", params![account, owner])?;
        Ok(())
    }

    /// Whether somebody may see a package: its own, and the public ones of administrators.
    pub fn sees_package(&mut self, user: UserId, name: &wcp360_types::PackageName) -> Result<bool, StoreError> {
        Ok(self.package_content(Scope::Owner(user), name)?.is_some())
    }
}
