//! The index of accounts and their domains.
//!
//! Rows follow the manifests: [`Tx::index_account`] makes them say what a set of manifests says. Before a job has run there
//! are reservations, so that no name is given twice and no limit is exceeded however many requests come at once.

use crate::db::Row;
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Db, Scope, StoreError, Tx};
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use wcp360_types::api::account::{Account, AccountDetail, AccountFilter, AccountState};
use wcp360_types::api::page::Page;
use wcp360_types::manifest::{DomainKind, ManifestSet};
use wcp360_types::{AccountId, Domain, EmailAddress, JobId, PackageName, Revision, UserId, Username};

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
    /// First domain.
    pub primary_domain: Domain,
    /// Where its owner can be reached.
    pub contact_email: Option<EmailAddress>,
}

const COLUMNS: &str = "a.id, a.username, a.owner_id, a.package, a.state, a.primary_domain, a.contact_email, a.uid, \
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
        owner: c.text("owner")?,
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

impl Db {
    /// The accounts in a scope, by name.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub async fn accounts(
        &self,
        scope: Scope,
        filter: &AccountFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Account>, StoreError> {
        // Only the conditions in use are in the statement, so that each form has its index.
        let mut conditions = scope.condition("a.id").replace("owner_id", "a.owner_id");
        if filter.search.is_some() {
            conditions += " AND (a.username LIKE $4 OR a.primary_domain LIKE $4)";
        } else {
            conditions += " AND $4 = ''";
        }
        conditions += if filter.package.is_some() { " AND a.package = $5" } else { " AND $5 = ''" };
        conditions += if filter.state.is_some() { " AND a.state = $6" } else { " AND $6 = ''" };
        let sql = format!(
            "SELECT {COLUMNS}, o.username AS owner, \
             (SELECT COUNT(*) FROM domains d WHERE d.account_id = a.id) AS domains \
             FROM accounts a LEFT JOIN users o ON o.id = a.owner_id \
             WHERE a.username > $2 AND {conditions} ORDER BY a.username LIMIT $3"
        );
        // What LIKE gives a meaning to can't be in a name anyway.
        let search = filter.search.as_ref().map(|s| format!("%{}%", s.to_lowercase().replace(['%', '_', '\\'], "")));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(scope.key())
            .bind(cursor.and_then(decode_cursor).unwrap_or_default())
            .bind(i64::from(limit) + 1)
            .bind(search.unwrap_or_default())
            .bind(filter.package.as_ref().map(PackageName::to_string).unwrap_or_default())
            .bind(filter.state.map(AccountState::as_str).unwrap_or_default())
            .fetch_all(&self.read)
            .await?;
        let accounts: Result<Vec<_>, _> = rows.iter().map(listed).collect();
        Ok(page(accounts?, limit, |a| a.username.to_string()))
    }

    /// An account in a scope, with its manifests.
    pub async fn account_detail(&self, scope: Scope, name: &Username) -> Result<Option<AccountDetail>, StoreError> {
        let condition = scope.condition("a.id").replace("owner_id", "a.owner_id");
        let sql = format!(
            "SELECT {COLUMNS}, a.manifests, o.username AS owner, \
             (SELECT COUNT(*) FROM domains d WHERE d.account_id = a.id) AS domains \
             FROM accounts a LEFT JOIN users o ON o.id = a.owner_id WHERE a.username = $2 AND {condition}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(name.as_str());
        let Some(row) = query.fetch_optional(&self.read).await? else { return Ok(None) };
        let manifests = columns("accounts", &row).maybe_json("manifests")?;
        Ok(Some(AccountDetail { account: listed(&row)?, manifests }))
    }

    /// An account in a scope, for the services of core.
    pub async fn account(&self, scope: Scope, name: &Username) -> Result<Option<StoredAccount>, StoreError> {
        let condition = scope.condition("a.id").replace("owner_id", "a.owner_id");
        let sql = format!("SELECT {COLUMNS}, a.manifests FROM accounts a WHERE a.username = $2 AND {condition}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(name.as_str());
        query.fetch_optional(&self.read).await?.as_ref().map(stored).transpose()
    }

    /// How many accounts there are in each state.
    pub async fn account_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows =
            sqlx::query("SELECT state, COUNT(*) AS n FROM accounts GROUP BY state").fetch_all(&self.read).await?;
        rows.iter()
            .map(|row| {
                let c = columns("accounts", row);
                Ok((c.text("state")?, c.count("n")?))
            })
            .collect()
    }
}

impl Tx {
    /// An account in a scope, as this transaction sees it.
    pub async fn account(&mut self, scope: Scope, name: &Username) -> Result<Option<StoredAccount>, StoreError> {
        let condition = scope.condition("a.id").replace("owner_id", "a.owner_id");
        let sql = format!("SELECT {COLUMNS}, a.manifests FROM accounts a WHERE a.username = $2 AND {condition}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(name.as_str());
        query.fetch_optional(&mut *self.inner).await?.as_ref().map(stored).transpose()
    }

    /// How many accounts belong to somebody.
    pub async fn accounts_of(&mut self, owner: UserId) -> Result<u64, StoreError> {
        let query = sqlx::query("SELECT COUNT(*) AS n FROM accounts WHERE owner_id = $1").bind(owner.to_string());
        columns("accounts", &query.fetch_one(&mut *self.inner).await?).count("n")
    }

    /// Reserves an account with its first domain.
    ///
    /// # Errors
    /// [`StoreError::Taken`] names the field.
    pub async fn reserve_account(&mut self, new: &NewAccount, job: JobId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO accounts (id, username, owner_id, package, state, primary_domain, contact_email, \
                   created_at, updated_at) VALUES ($1, $2, $3, $4, 'provisioning', $5, $6, $7, $7)";
        sqlx::query(sql)
            .bind(new.id.to_string())
            .bind(new.username.as_str())
            .bind(new.owner_id.to_string())
            .bind(new.package.as_str())
            .bind(new.primary_domain.as_str())
            .bind(new.contact_email.as_ref().map(EmailAddress::to_string))
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await
            .map_err(|e| StoreError::taken(e, "username"))?;
        self.reserve_domain(new.id, &new.primary_domain, DomainKind::Primary, job).await
    }

    /// Reserves a domain for an account, for the job that is to add it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if it exists.
    pub async fn reserve_domain(
        &mut self,
        id: AccountId,
        name: &Domain,
        kind: DomainKind,
        job: JobId,
    ) -> Result<(), StoreError> {
        self.insert_domain(id, name, kind, Some(job)).await
    }

    async fn insert_domain(
        &mut self,
        id: AccountId,
        name: &Domain,
        kind: DomainKind,
        job: Option<JobId>,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO domains (name, reversed, account_id, kind, job_id) VALUES ($1, $2, $3, $4, $5)")
            .bind(name.as_str())
            .bind(reversed(name.as_str()))
            .bind(id.to_string())
            .bind(kind.as_str())
            .bind(job.map(|job| job.to_string()))
            .execute(&mut *self.inner)
            .await
            .map_err(|e| StoreError::taken(e, "domain"))?;
        Ok(())
    }

    /// A name that `name` collides with and that belongs to another account: itself, one above it or one under it.
    pub async fn foreign_overlap(&mut self, id: AccountId, name: &Domain) -> Result<Option<Domain>, StoreError> {
        let mut above: Vec<&str> = vec![name.as_str()];
        above.extend(name.parents());
        for candidate in above {
            let sql = "SELECT name FROM domains WHERE name = $1 AND account_id <> $2";
            let query = sqlx::query(sql).bind(candidate).bind(id.to_string());
            if let Some(row) = query.fetch_optional(&mut *self.inner).await? {
                return Ok(Some(columns("domains", &row).parsed("name")?));
            }
        }
        let prefix = reversed(name.as_str());
        let sql = "SELECT name FROM domains WHERE reversed > $1 AND reversed < $2 AND account_id <> $3 LIMIT 1";
        let query = sqlx::query(sql).bind(&prefix).bind(after_prefix(&prefix)).bind(id.to_string());
        let row = query.fetch_optional(&mut *self.inner).await?;
        row.map(|row| columns("domains", &row).parsed("name")).transpose()
    }

    /// How many names of each kind an account holds, reserved ones included.
    pub async fn domain_count(&mut self, id: AccountId, kind: DomainKind) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM domains WHERE account_id = $1 AND kind = $2";
        let query = sqlx::query(sql).bind(id.to_string()).bind(kind.as_str());
        columns("domains", &query.fetch_one(&mut *self.inner).await?).count("n")
    }

    /// Marks what a job is about to do to an account.
    pub async fn set_account_state(&mut self, id: AccountId, state: AccountState) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET state = $2 WHERE id = $1";
        sqlx::query(sql).bind(id.to_string()).bind(state.as_str()).execute(&mut *self.inner).await?;
        Ok(())
    }

    /// Makes the index say what `manifests` say; `None`: the account is gone, with its logins.
    ///
    /// `job` is over with it: what it had reserved is dropped or becomes real. What other jobs reserved stays.
    pub async fn index_account(
        &mut self,
        id: AccountId,
        manifests: Option<&ManifestSet>,
        job: JobId,
    ) -> Result<(), StoreError> {
        let Some(set) = manifests else {
            // Sessions and tokens follow their user, domains their account.
            sqlx::query("DELETE FROM users WHERE account_id = $1")
                .bind(id.to_string())
                .execute(&mut *self.inner)
                .await?;
            sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id.to_string()).execute(&mut *self.inner).await?;
            return Ok(());
        };
        let sql = "UPDATE accounts SET package = $2, state = $3, primary_domain = $4, contact_email = $5, uid = $6, \
                   revision = $7, manifests = $8, updated_at = $9 WHERE id = $1";
        sqlx::query(sql)
            .bind(id.to_string())
            .bind(set.account.package.as_str())
            .bind(AccountState::from(set.account.status).as_str())
            .bind(set.account.primary_domain.as_str())
            .bind(set.account.contact_email.as_ref().map(EmailAddress::to_string))
            .bind(set.account.uid.map(i64::from))
            .bind(set.revision().as_str())
            .bind(to_json(set))
            .bind(set.account.updated_at.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        sqlx::query("DELETE FROM domains WHERE account_id = $1 AND (job_id IS NULL OR job_id = $2)")
            .bind(id.to_string())
            .bind(job.to_string())
            .execute(&mut *self.inner)
            .await?;
        for (kind, name) in set.domains.names() {
            self.insert_domain(id, name, kind, None).await?;
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
