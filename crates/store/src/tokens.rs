//! API tokens. Only the SHA-256 of a token's secret is stored.

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page, to_json};
use crate::users::StoredUser;
use crate::{StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::page::Page;
use wcp360_types::api::token::Token;
use wcp360_types::{Network, TokenId, UserId};

/// A token with its owner and what only the server may know.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// Whose.
    pub user: StoredUser,
    /// SHA-256 of the secret, hexadecimal.
    pub secret_hash: String,
    /// Names of the permissions it is limited to.
    pub scopes: Option<Vec<String>>,
    /// Networks it may be used from.
    pub networks: Option<Vec<Network>>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "SELECT t.id, t.name, u.username, t.scopes, t.networks, t.created_at, t.rotated_at, t.expires_at, \
                       t.last_used_at, t.last_used_from, t.uses FROM tokens t JOIN users u ON u.id = t.user_id";

fn token(row: &Row) -> Result<Token, StoreError> {
    let c = columns("tokens", row);
    Ok(Token {
        id: c.parsed("id")?,
        name: c.text("name")?,
        owner: c.text("username")?,
        scopes: c.maybe_json("scopes")?,
        networks: c.maybe_json("networks")?,
        created_at: c.time("created_at")?,
        rotated_at: c.maybe_time("rotated_at")?,
        expires_at: c.maybe_time("expires_at")?,
        last_used_at: c.maybe_time("last_used_at")?,
        last_used_from: c.maybe_text("last_used_from")?,
        uses: c.count("uses")?,
    })
}

impl Tx<'_> {
    /// Adds a token, which another one may have made.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn insert_token(
        &mut self,
        token: &Token,
        user: UserId,
        secret_hash: &str,
        made_by: Option<TokenId>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens (id, user_id, name, secret_hash, scopes, networks, created_at, expires_at, uses, made_by) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)";
        self.execute(
            sql,
            params![
                token.id,
                user,
                &token.name,
                secret_hash,
                token.scopes.as_ref().map(to_json),
                token.networks.as_ref().map(to_json),
                token.created_at,
                token.expires_at,
                made_by
            ],
        )?;
        Ok(())
    }

    /// The token with this id, expired or not.
    pub fn token(&mut self, id: TokenId) -> Result<Option<StoredToken>, StoreError> {
        let sql = "SELECT u.id, u.username, u.role, u.account_id, u.password_hash, u.max_accounts, a.state, u.suspended_at, \
                   t.secret_hash, t.scopes, t.networks, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id \
                   LEFT JOIN accounts a ON a.id = u.account_id WHERE t.id = $1";
        let row = self.query_opt(sql, params![id])?;
        row.map(|row| {
            let c = columns("tokens", &row);
            Ok(StoredToken {
                user: crate::users::stored(&row)?,
                secret_hash: c.text("secret_hash")?,
                scopes: c.maybe_json("scopes")?,
                networks: c.maybe_json("networks")?,
                expires_at: c.maybe_time("expires_at")?,
            })
        })
        .transpose()
    }

    /// A token of a person, expired or not.
    pub fn token_of(&mut self, user: UserId, id: TokenId) -> Result<Option<Token>, StoreError> {
        let row = self.query_opt(&format!("{COLUMNS} WHERE t.id = $1 AND t.user_id = $2"), params![id, user])?;
        row.as_ref().map(token).transpose()
    }

    /// The tokens of a person, by id.
    pub fn tokens(&mut self, user: UserId, limit: u32, cursor: Option<&str>) -> Result<Page<Token>, StoreError> {
        let sql = format!("{COLUMNS} WHERE t.user_id = $1 AND t.id > $2 ORDER BY t.id LIMIT $3");
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let rows = self.query(&sql, params![user, after, i64::from(limit) + 1])?;
        let tokens: Result<Vec<Token>, StoreError> = rows.iter().map(token).collect();
        Ok(page(tokens?, limit, |t| t.id.to_string()))
    }

    /// Adds uses of a token, the last of them now and from `source`.
    pub fn count_token_uses(&mut self, id: TokenId, uses: u64, source: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET uses = uses + $2, last_used_at = $3, last_used_from = $4 WHERE id = $1";
        self.execute(sql, params![id, uses, now, source])?;
        Ok(())
    }

    /// Replaces the secret of a person's token; whether there was one.
    pub fn rotate_token(
        &mut self,
        user: UserId,
        id: TokenId,
        secret_hash: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE tokens SET secret_hash = $3, rotated_at = $4 WHERE id = $1 AND user_id = $2";
        Ok(self.execute(sql, params![id, user, secret_hash, now])? > 0)
    }

    /// How many tokens a person has, those that expired too.
    pub fn token_count(&mut self, user: UserId) -> Result<u64, StoreError> {
        let row = self.query_one("SELECT COUNT(*) AS n FROM tokens WHERE user_id = $1", params![user])?;
        columns("tokens", &row).count("n")
    }

    /// Removes a token of a person, with those that it made; whether there was one.
    pub fn delete_token(&mut self, user: UserId, id: TokenId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM tokens WHERE id = $1 AND user_id = $2";
        let done = self.execute(sql, params![id, user])?;
        Ok(done > 0)
    }
}
