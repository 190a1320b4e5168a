//! API tokens. Only the SHA-256 of a token's secret is stored.

use crate::db::params;
use crate::row::{columns, decode_cursor, page, to_json};
use crate::users::StoredUser;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::page::Page;
use wcp360_types::api::token::Token;
use wcp360_types::{TokenId, UserId};

/// A token with its owner and what only the server may know.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Whose.
    pub user: StoredUser,
    /// SHA-256 of the secret, hexadecimal.
    pub secret_hash: String,
    /// Names of the permissions it is limited to.
    pub scopes: Option<Vec<String>>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl Tx<'_> {
    /// The token with this id, expired or not.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn token(&mut self, id: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let sql = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, \
                   t.secret_hash, t.scopes, t.expires_at, t.last_used_at FROM tokens t JOIN users u ON u.id = t.user_id \
                   LEFT JOIN accounts a ON a.id = u.account_id WHERE t.id = $1";
        let row = self.query_opt(sql, params![id])?;
        row.map(|row| {
            let c = columns("tokens", &row);
            Ok(StoredToken {
                user: crate::users::stored(&row)?,
                secret_hash: c.text("secret_hash")?,
                scopes: c.maybe_json("scopes")?,
                expires_at: c.maybe_time("expires_at")?,
                last_used_at: c.maybe_time("last_used_at")?,
            })
        })
        .transpose()
    }

    /// The tokens of a person, by id.
    pub fn tokens(&mut self, user: UserId, limit: u32, cursor: Option<&str>) -> Result<Page<Token>, StoreError> {
        let sql = "SELECT t.id, t.name, u.username, t.scopes, t.created_at, t.expires_at, t.last_used_at \
                   FROM tokens t JOIN users u ON u.id = t.user_id \
                   WHERE t.user_id = $1 AND t.id > $2 ORDER BY t.id LIMIT $3";
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let tokens: Result<Vec<Token>, StoreError> = self
            .query(sql, params![user, after, i64::from(limit) + 1])?
            .iter()
            .map(|row| {
                let c = columns("tokens", row);
                Ok(Token {
                    id: c.parsed("id")?,
                    name: c.text("name")?,
                    owner: c.text("username")?,
                    scopes: c.maybe_json("scopes")?,
                    created_at: c.time("created_at")?,
                    expires_at: c.maybe_time("expires_at")?,
                    last_used_at: c.maybe_time("last_used_at")?,
                })
            })
            .collect();
        Ok(page(tokens?, limit, |t| t.id.to_string()))
    }

    /// Notes that a token is in use.
    pub fn touch_token(&mut self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET last_used_at = $2 WHERE id = $1";
        self.execute(sql, params![id, now])?;
        Ok(())
    }

    /// Removes a token of a person; whether there was one.
    pub fn delete_token(&mut self, user: UserId, id: TokenId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tokens WHERE id = $1 AND user_id = $2";
        let done = self.execute(sql, params![id, user])?;
        Ok(done > 0)
    }
}

impl Tx<'_> {
    /// Adds a token.
    ///
    /// # Errors
    /// The database's.
    pub fn insert_token(&mut self, token: &Token, user: UserId, secret_hash: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (id, user_id, name, secret_hash, scopes, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.execute(
            sql,
            params![
                token.id,
                user,
                &token.name,
                secret_hash,
                token.scopes.as_ref().map(to_json),
                token.created_at,
                token.expires_at
            ],
        )?;
        Ok(())
    }
}
