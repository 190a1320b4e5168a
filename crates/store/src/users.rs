//! People who can log in.

use crate::db::{Row, params};
use crate::row::{Columns, columns, decode_cursor, page};
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::page::Page;
use wcp360_types::api::user::User;
use wcp360_types::{AccountId, Role, UserId};

/// A person with what only the server may know.
#[derive(Debug, Clone)]
pub struct StoredUser {
    /// Identifier.
    pub id: UserId,
    /// Login name.
    pub username: String,
    /// Role.
    pub role: Role,
    /// For a client: the account.
    pub account_id: Option<AccountId>,
    /// Whether it is suspended: a reseller by itself, a client with its account.
    pub suspended: bool,
    /// Argon2id hash in PHC form; absent: no login with a password.
    pub password_hash: Option<String>,
    /// For a reseller: how many accounts it may have.
    pub max_accounts: Option<u64>,
}

const STORED: &str = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, u.suspended_at \
                      FROM users u LEFT JOIN accounts a ON a.id = u.account_id";

pub(crate) fn stored(row: &Row) -> Result<StoredUser, StoreError> {
    let c = columns("users", row);
    Ok(StoredUser {
        id: c.parsed("id")?,
        username: c.text("username")?,
        role: c.parsed("role")?,
        account_id: c.maybe_parsed("account_id")?,
        suspended: stored_suspended(&c)?,
        password_hash: c.maybe_text("password_hash")?,
        max_accounts: c.maybe_number("max_accounts")?.map(|n| n.max(0) as u64),
    })
}

fn stored_suspended(c: &Columns<'_>) -> Result<bool, StoreError> {
    // Of one that is being deleted nobody asks any more whether it was suspended: nobody logs in to it.
    let by_account = matches!(c.maybe_text("state")?.as_deref(), Some("suspended" | "deleting"));
    Ok(by_account || c.maybe_number("suspended_at")?.is_some())
}

impl Tx<'_> {
    /// The person with this login name, in any case of letters as typed.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn user_by_name(&mut self, username: &str) -> Result<Option<StoredUser>, StoreError> {
        let sql = format!("{STORED} WHERE u.username = $1");
        let row = self.query_opt(&sql, params![username])?;
        row.as_ref().map(stored).transpose()
    }

    /// Gives a client's login that belongs to no account (any more) to the account of its name. Whether there was one.
    pub fn relink_client(&mut self, username: &str, account: AccountId) -> Result<bool, StoreError> {
        let sql = "UPDATE users SET account_id = $2 WHERE username = $1 AND role = $3 \
                   AND (account_id IS NULL OR account_id NOT IN (SELECT id FROM accounts))";
        Ok(self.execute(sql, params![username, account, Role::Client.as_str()])? > 0)
    }

    /// The person with this identifier.
    pub fn user(&mut self, id: UserId) -> Result<Option<StoredUser>, StoreError> {
        let row = self.query_opt(&format!("{STORED} WHERE u.id = $1"), params![id])?;
        row.as_ref().map(stored).transpose()
    }

    /// The people in a scope, by login name: a reseller sees itself and the clients of its accounts.
    pub fn users(&mut self, scope: Scope, limit: u32, cursor: Option<&str>) -> Result<Page<User>, StoreError> {
        let visible = match scope {
            Scope::All => "$1 = ''",
            Scope::Owner(_) => "(u.id = $1 OR a.owner_id = $1)",
            Scope::Account(_) => "u.account_id = $1",
        };
        let sql = format!(
            "SELECT u.id, u.username, u.role, u.max_accounts, u.limits, u.suspended_at, u.created_at, a.state, \
             a.username AS account, CASE WHEN u.password_hash IS NULL THEN 0 ELSE 1 END AS has_password \
             FROM users u LEFT JOIN accounts a ON a.id = u.account_id \
             WHERE {visible} AND u.username > $2 ORDER BY u.username LIMIT $3"
        );
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let rows = self.query(&sql, params![scope.key(), after, i64::from(limit) + 1])?;
        let users: Result<Vec<User>, StoreError> = rows
            .iter()
            .map(|row| {
                let c = columns("users", row);
                Ok(User {
                    id: c.parsed("id")?,
                    username: c.text("username")?,
                    role: c.parsed("role")?,
                    account: c.maybe_parsed("account")?,
                    max_accounts: c.maybe_number("max_accounts")?.map(|n| n.max(0) as u64),
                    limits: match c.parsed::<Role>("role")? {
                        Role::Reseller => Some(crate::resellers::limits(&c)?),
                        _ => None,
                    },
                    suspended: stored_suspended(&c)?,
                    has_password: c.number("has_password")? == 1,
                    created_at: c.time("created_at")?,
                })
            })
            .collect();
        Ok(page(users?, limit, |u| u.username.clone()))
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the login name exists.
    pub fn insert_user(&mut self, user: &StoredUser, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO users (id, username, role, account_id, password_hash, max_accounts, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.insert_new(
            sql,
            params![
                user.id,
                &user.username,
                user.role.as_str(),
                user.account_id,
                user.password_hash.as_deref(),
                user.max_accounts,
                now
            ],
            "username",
        )?;
        Ok(())
    }

    /// Sets a password and ends all sessions of the person.
    pub fn set_password(&mut self, user: UserId, hash: &str) -> Result<(), StoreError> {
        let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
        self.execute(sql, params![user, hash])?;
        self.execute("DELETE FROM sessions WHERE user_id = $1", params![user])?;
        Ok(())
    }

    /// Replaces the hash of a password that stays the same. Sessions go on.
    pub fn rehash_password(&mut self, user: UserId, hash: &str) -> Result<(), StoreError> {
        self.execute("UPDATE users SET password_hash = $2 WHERE id = $1", params![user, hash])?;
        Ok(())
    }

    /// Removes a person, their sessions and tokens.
    pub fn delete_user(&mut self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM users WHERE id = $1", params![user])?;
        self.execute("DELETE FROM default_packages WHERE owner_id = $1", params![user])?;
        Ok(())
    }

    /// How many accounts and packages belong to a person.
    pub fn possessions(&mut self, user: UserId) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM accounts WHERE owner_id = $1) AS accounts, \
                   (SELECT COUNT(*) FROM packages WHERE owner_id = $1) AS packages";
        let row = self.query_one(sql, params![user])?;
        let c = columns("users", &row);
        Ok((c.count("accounts")?, c.count("packages")?))
    }
}
