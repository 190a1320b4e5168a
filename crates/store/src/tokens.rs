//! API tokens. Only the SHA-256 of a token's secret is stored.

use crate::row::{columns, decode_cursor, page, to_json};
use crate::users::StoredUser;
use crate::{Db, StoreError, Tx};
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

impl Db {
    /// The token with this id, expired or not.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub async fn token(&self, id: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let sql = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, \
                   t.secret_hash, t.scopes, t.expires_at, t.last_used_at FROM tokens t JOIN users u ON u.id = t.user_id \
                   LEFT JOIN accounts a ON a.id = u.account_id WHERE t.id = $1";
        let row = sqlx::query(sql).bind(id.to_string()).fetch_optional(&self.read).await?;
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
    pub async fn tokens(&self, user: UserId, limit: u32, cursor: Option<&str>) -> Result<Page<Token>, StoreError> {
        let sql = "SELECT t.id, t.name, u.username, t.scopes, t.created_at, t.expires_at, t.last_used_at \
                   FROM tokens t JOIN users u ON u.id = t.user_id \
                   WHERE t.user_id = $1 AND t.id > $2 ORDER BY t.id LIMIT $3";
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let query = sqlx::query(sql).bind(user.to_string()).bind(after).bind(i64::from(limit) + 1);
        let tokens: Result<Vec<Token>, StoreError> = query
            .fetch_all(&self.read)
            .await?
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
    pub async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET last_used_at = $2 WHERE id = $1";
        sqlx::query(sql).bind(id.to_string()).bind(now.as_millisecond()).execute(&self.write).await?;
        Ok(())
    }

    /// Removes a token of a person; whether there was one.
    pub async fn delete_token(&self, user: UserId, id: TokenId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tokens WHERE id = $1 AND user_id = $2";
        let done = sqlx::query(sql).bind(id.to_string()).bind(user.to_string()).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }
}

impl Tx {
    /// Adds a token.
    ///
    /// # Errors
    /// The database's.
    pub async fn insert_token(&mut self, token: &Token, user: UserId, secret_hash: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (id, user_id, name, secret_hash, scopes, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(sql)
            .bind(token.id.to_string())
            .bind(user.to_string())
            .bind(&token.name)
            .bind(secret_hash)
            .bind(token.scopes.as_ref().map(to_json))
            .bind(token.created_at.as_millisecond())
            .bind(token.expires_at.map(|t| t.as_millisecond()))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
