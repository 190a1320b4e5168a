//! The index of accounts and their domains.
//!
//! Rows follow the manifests: [`Tx::index_account`] makes them say what a set of manifests says. Before a job has run there
//! are reservations, so that no name is given twice and no limit is exceeded however many requests come at once.

use crate::db::{Param, Row, params};
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Lock, Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::account::{Account, AccountDetail, AccountFilter, AccountState};
use wcp360_types::api::page::Page;
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, Domain, EmailAddress, JobId, PackageName, Revision, Role, UserId, Username};

/// An account as the index knows it, for the services of core.
#[derive(Debug, Clone)]
pub struct StoredAccount {
    /// Identifier.
    pub id: AccountId,
    /// Name.
    pub username: Username,
    /// Whose.
    pub owner_id: UserId,
    /// What it is now.
    pub state: AccountState,
    /// The role of who suspended it last, whether it is suspended now or not.
    pub suspended_by: Option<Role>,
    /// The package it was given.
    pub package: PackageName,
    /// The version of the package.
    pub package_version: u32,
    /// The revision the index was made from.
    pub revision: Option<Revision>,
    /// The manifests the index was made from.
    pub manifests: Option<ManifestSet>,
}

/// An account to be reserved.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Identifier.
    pub id: AccountId,
    /// Name.
    pub username: Username,
    /// Whose.
    pub owner_id: UserId,
    /// Package.
    pub package: PackageName,
    /// Version of the package.
    pub package_version: u32,
    /// First domain.
    pub primary_domain: Domain,
    /// Where its owner can be reached.
    pub contact_email: Option<EmailAddress>,
}

const COLUMNS: &str = "a.id, a.username, a.owner_id, a.package, a.package_version, a.state, a.primary_domain, a.contact_email, a.uid, \
                       a.revision, a.created_at, a.updated_at";

fn state(text: &str) -> Result<AccountState, String> {
    use AccountState::*;
    [Provisioning, Active, Suspended, Deleting]
        .into_iter()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| format!("unknown state {text:?}"))
}

fn listed(row: &Row) -> Result<Account, StoreError> {
    let c = columns("accounts", row);
    let text = c.text("state")?;
    Ok(Account {
        username: c.parsed("username")?,
        primary_domain: c.parsed("primary_domain")?,
        state: state(&text).map_err(|reason| StoreError::Corrupt { table: "accounts", row: text, reason })?,
        package: c.parsed("package")?,
        package_version: c.count("package_version")? as u32,
        // Whoever it was: a list must not fail because somebody is gone.
        owner: c.maybe_text("owner")?.unwrap_or_else(|| "-".into()),
        uid: c.maybe_number("uid")?.map(|n| n as u32),
        domains: c.count("domains")?,
        contact_email: c.maybe_parsed("contact_email")?,
        revision: c.maybe_parsed("revision")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn stored(row: &Row) -> Result<StoredAccount, StoreError> {
    let c = columns("accounts", row);
    let text = c.text("state")?;
    Ok(StoredAccount {
        id: c.parsed("id")?,
        username: c.parsed("username")?,
        owner_id: c.parsed("owner_id")?,
        state: state(&text).map_err(|reason| StoreError::Corrupt { table: "accounts", row: text, reason })?,
        package: c.parsed("package")?,
        package_version: c.count("package_version")? as u32,
        suspended_by: c.maybe_parsed("suspended_by")?,
        revision: c.maybe_parsed("revision")?,
        manifests: c.maybe_json("manifests")?,
    })
}

/// `www.example.test` as `test.example.www.`: names under a domain share its prefix.
fn reversed(domain: &str) -> String {
    let mut text: String = domain.rsplit('.').collect::<Vec<_>>().join(".");
    text.push('.');
    text
}

/// The text that follows `prefix` and all its extensions in byte order. The last byte is always a dot.
fn after_prefix(prefix: &str) -> String {
    format!("{}/", &prefix[..prefix.len() - 1])
}

impl Tx<'_> {
    /// The accounts in a scope, by name.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn accounts(
        &mut self,
        scope: Scope,
        filter: &AccountFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Account>, StoreError> {
        // Only the conditions in use are in the statement, so that each form has its index.
        let mut conditions = scope.condition("a.id", "a.owner_id");
        if filter.search.is_some() {
            conditions += " AND (a.username LIKE $4 OR a.primary_domain LIKE $4)";
        } else {
            conditions += " AND $4 = ''";
        }
        conditions += if filter.package.is_some() { " AND a.package = $5" } else { " AND $5 = ''" };
        conditions += if filter.state.is_some() { " AND a.state = $6" } else { " AND $6 = ''" };
        conditions += if filter.owner.is_some() { " AND o.username = $7" } else { " AND $7 = ''" };
        let sql = format!(
            "SELECT {COLUMNS}, o.username AS owner, \
             (SELECT COUNT(*) FROM domains d WHERE d.account_id = a.id) AS domains \
             FROM accounts a LEFT JOIN users o ON o.id = a.owner_id \
             WHERE a.username > $2 AND {conditions} ORDER BY a.username LIMIT $3"
        );
        // What LIKE gives a meaning to can't be in a name anyway.
        let search = filter.search.as_ref().map(|s| format!("%{}%", s.to_lowercase().replace(['%', '_', '\\'], "")));
        let rows = self.query(
            &sql,
            params![
                scope.key(),
                cursor.and_then(decode_cursor).unwrap_or_default(),
                i64::from(limit) + 1,
                search.unwrap_or_default(),
                filter.package.as_ref().map(PackageName::to_string).unwrap_or_default(),
                filter.state.map(AccountState::as_str).unwrap_or_default(),
                filter.owner.as_deref().unwrap_or_default()
            ],
        )?;
        let accounts: Result<Vec<_>, _> = rows.iter().map(listed).collect();
        Ok(page(accounts?, limit, |a| a.username.to_string()))
    }

    /// An account in a scope, with its manifests.
    pub fn account_detail(&mut self, scope: Scope, name: &Username) -> Result<Option<AccountDetail>, StoreError> {
        let condition = scope.condition("a.id", "a.owner_id");
        let sql = format!(
            "SELECT {COLUMNS}, a.manifests, o.username AS owner, \
             (SELECT COUNT(*) FROM domains d WHERE d.account_id = a.id) AS domains \
             FROM accounts a LEFT JOIN users o ON o.id = a.owner_id WHERE a.username = $2 AND {condition}"
        );
        let Some(row) = self.query_opt(&sql, params![scope.key(), name.as_str()])? else { return Ok(None) };
        let manifests = columns("accounts", &row).maybe_json("manifests")?;
        Ok(Some(AccountDetail { account: listed(&row)?, manifests }))
    }

    /// An account in a scope, for the services of core.
    pub fn account(&mut self, scope: Scope, name: &Username) -> Result<Option<StoredAccount>, StoreError> {
        let condition = scope.condition("a.id", "a.owner_id");
        let sql = format!(
            "SELECT {COLUMNS}, a.manifests, a.suspended_by FROM accounts a WHERE a.username = $2 AND {condition}"
        );
        self.query_opt(&sql, params![scope.key(), name.as_str()])?.as_ref().map(stored).transpose()
    }

    /// All accounts by name, for comparing.
    pub fn account_names(&mut self) -> Result<Vec<(AccountId, Username)>, StoreError> {
        let rows = self.query("SELECT id, username FROM accounts ORDER BY username", &[])?;
        rows.iter()
            .map(|row| {
                let c = columns("accounts", row);
                Ok((c.parsed("id")?, c.parsed("username")?))
            })
            .collect()
    }

    /// The names of the accounts in a scope that a filter fits, in order, `most` at most.
    pub fn accounts_like(
        &mut self,
        scope: Scope,
        filter: &AccountFilter,
        most: u32,
    ) -> Result<Vec<Username>, StoreError> {
        let page = self.accounts(scope, filter, most, None)?;
        Ok(page.items.into_iter().map(|account| account.username).collect())
    }

    /// How many accounts there are in each state.
    pub fn account_counts(&mut self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = self.query("SELECT state, COUNT(*) AS n FROM accounts GROUP BY state", params![])?;
        rows.iter()
            .map(|row| {
                let c = columns("accounts", row);
                Ok((c.text("state")?, c.count("n")?))
            })
            .collect()
    }
}

impl Tx<'_> {
    /// Waits until nobody else checks and reserves names or counts against limits, until the end of the transaction.
    pub fn lock_names(&mut self) -> Result<(), StoreError> {
        self.lock(Lock::Names)
    }

    /// How many accounts belong to somebody.
    pub fn accounts_of(&mut self, owner: UserId) -> Result<u64, StoreError> {
        columns("accounts", &self.query_one("SELECT COUNT(*) AS n FROM accounts WHERE owner_id = $1", params![owner])?)
            .count("n")
    }

    /// Reserves an account with its first domain.
    ///
    /// # Errors
    /// [`StoreError::Taken`] names the field.
    pub fn reserve_account(&mut self, new: &NewAccount, job: JobId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO accounts (id, username, owner_id, package, package_version, state, primary_domain, \
                   contact_email, created_at, updated_at) VALUES ($1, $2, $3, $4, $8, 'provisioning', $5, $6, $7, $7)";
        self.insert_new(
            sql,
            params![
                new.id,
                new.username.as_str(),
                new.owner_id,
                new.package.as_str(),
                new.primary_domain.as_str(),
                new.contact_email.as_ref().map(EmailAddress::to_string),
                now,
                new.package_version
            ],
            "username",
        )?;
        self.reserve_domain(new.id, &new.primary_domain, DomainKind::Primary, job)
    }

    /// Reserves a domain for an account, for the job that is to add it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if it exists.
    pub fn reserve_domain(
        &mut self,
        id: AccountId,
        name: &Domain,
        kind: DomainKind,
        job: JobId,
    ) -> Result<(), StoreError> {
        self.insert_domain(id, name, kind, Some(job))
    }

    fn insert_domain(
        &mut self,
        id: AccountId,
        name: &Domain,
        kind: DomainKind,
        job: Option<JobId>,
    ) -> Result<(), StoreError> {
        self.insert_new(
            "INSERT INTO domains (name, reversed, account_id, kind, job_id) VALUES ($1, $2, $3, $4, $5)",
            params![name.as_str(), reversed(name.as_str()), id, kind.as_str(), job],
            "domain",
        )?;
        Ok(())
    }

    /// A name that `name` collides with and that belongs to another account: itself, one above it or one under it.
    pub fn foreign_overlap(&mut self, id: AccountId, name: &Domain) -> Result<Option<Domain>, StoreError> {
        let prefix = reversed(name.as_str());
        let mut values = params![id, &prefix, after_prefix(&prefix), name.as_str()].to_vec();
        values.extend(name.parents().map(Param::from));
        let names: Vec<String> = (4..=values.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT name FROM domains WHERE name IN ({}) AND account_id <> $1 UNION ALL \
             SELECT name FROM domains WHERE reversed > $2 AND reversed < $3 AND account_id <> $1 LIMIT 1",
            names.join(", ")
        );
        let row = self.query_opt(&sql, &values)?;
        row.map(|row| columns("domains", &row).parsed("name")).transpose()
    }

    /// How many names of each kind an account holds, reserved ones included.
    pub fn domain_count(&mut self, id: AccountId, kind: DomainKind) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM domains WHERE account_id = $1 AND kind = $2";
        columns("domains", &self.query_one(sql, params![id, kind.as_str()])?).count("n")
    }

    /// Marks what a job is about to do to an account.
    pub fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET state = $2 WHERE id = $1";
        self.execute(sql, params![id, state.as_str()])?;
        Ok(())
    }

    /// Notes who suspended an account.
    pub fn set_suspended_by(&mut self, id: AccountId, role: Option<Role>) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET suspended_by = $2 WHERE id = $1";
        self.execute(sql, params![id, role.map(Role::as_str)])?;
        Ok(())
    }

    /// Makes the index say what `manifests` say; `None`: the account is gone, with its logins.
    ///
    /// `job` is over with it: what it had reserved is dropped or becomes real. What other jobs reserved stays.
    pub fn index_account(
        &mut self,
        id: AccountId,
        manifests: Option<&ManifestSet>,
        job: JobId,
    ) -> Result<(), StoreError> {
        let Some(set) = manifests else {
            // Sessions and tokens follow their user, domains their account.
            self.execute("DELETE FROM users WHERE account_id = $1", params![id])?;
            self.execute("DELETE FROM accounts WHERE id = $1", params![id])?;
            return Ok(());
        };
        let sql = "UPDATE accounts SET package = $2, state = $3, primary_domain = $4, contact_email = $5, uid = $6, \
                   revision = $7, manifests = $8, updated_at = $9, created_at = $10, package_version = $11 \
                   WHERE id = $1";
        self.execute(
            sql,
            params![
                id,
                set.account.package.as_str(),
                AccountState::from(set.account.status).as_str(),
                set.account.primary_domain.as_str(),
                set.account.contact_email.as_ref().map(EmailAddress::to_string),
                set.account.uid.map(i64::from),
                set.revision().as_str(),
                to_json(set),
                set.account.updated_at,
                set.account.created_at,
                set.limits.package_version
            ],
        )?;
        self.settle_allotment(id, &set.account.package, &set.limits.limits, job)?;
        self.execute(
            "DELETE FROM domains WHERE account_id = $1 AND (job_id IS NULL OR job_id = $2)",
            params![id, job],
        )?;
        for (kind, name) in set.domains.names() {
            self.insert_domain(id, name, kind, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_01_names_under_a_domain_are_a_range() {
        let prefix = reversed("a.test");
        let end = after_prefix(&prefix);
        for under in ["b.a.test", "c.b.a.test", "xn--a.a.test"] {
            let r = reversed(under);
            assert!(r > prefix && r < end, "{under}");
        }
        for beside in ["a.test", "ab.test", "b.test", "a-b.test", "test.a"] {
            let r = reversed(beside);
            assert!(!(r > prefix && r < end), "{beside}");
        }
    }
}
