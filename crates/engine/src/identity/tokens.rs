//! API tokens: made, replaced, revoked, and recognised (SEC-03).

use super::refuse_suspended;
use crate::caller::{Caller, Origin};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::identity::uses::Due;
use crate::place::lies_in;
use crate::secret::{self, ApiToken};
use crate::security_log::Event;
use jiff::{SignedDuration, Timestamp};
use wcp360_api::Permission;
use wcp360_store::Tx;
use wcp360_store::tokens::StoredToken;
use wcp360_types::api::page::Page;
use wcp360_types::api::token::{CreateToken, CreatedToken, RotateToken, Token};
use wcp360_types::{Network, Problem, TokenId};

/// Tokens of one person, those that expired too.
const MOST: u64 = 1_000;
/// Networks of one token.
const NETWORKS: usize = 32;

impl Engine {
    /// The caller of a token. Without `uses` it is not counted.
    ///
    /// # Errors
    /// 401 if it is mistyped, unknown or expired; 403 if the account is suspended or the address is none of the token's.
    pub async fn by_token(&self, text: &str, origin: &Origin, uses: bool) -> Result<Caller, EngineError> {
        let unknown = || {
            if self.admits_unknown_token(&origin.source) {
                self.inner.security_log.note(Event::TokenFailed, &origin.source, "unknown", "-", &origin.request_id);
            }
            Problem::unauthenticated("The token is not known; check it, or make a new one.")
        };
        let token = ApiToken::parse(text).ok_or_else(unknown)?;
        let id = token.id;
        let found = self.inner.db.read(move |tx| tx.token(id)).await?.ok_or_else(unknown)?;
        if !secret::equal(&found.secret_hash, &secret::hash(&token.secret)) {
            return Err(unknown().into());
        }
        self.check_token(id, &found, origin, uses).await?;
        let mut caller = Caller::new(&found.user, "token", found.expires_at);
        caller.token_id = Some(id);
        caller.limited_to = permissions(found.scopes);
        caller.networks = found.networks;
        Ok(caller)
    }

    /// Refuses a token that has expired or is used from where it must not be; counts the use of another one.
    pub(super) async fn check_token(
        &self,
        id: TokenId,
        found: &StoredToken,
        origin: &Origin,
        uses: bool,
    ) -> Result<(), EngineError> {
        let now = Timestamp::now();
        if found.expires_at.is_some_and(|at| now >= at) {
            return Err(Problem::unauthenticated("The token has expired; make a new one.").into());
        }
        if let Some(networks) = &found.networks
            && !lies_in(&origin.source, networks)
        {
            let (log, who) = (&self.inner.security_log, &found.user.username);
            log.note(Event::TokenFailed, &origin.source, "address", who, &origin.request_id);
            let detail = format!("This token may not be used from {}; make one for that address.", origin.source);
            return Err(Problem::forbidden(detail).into());
        }
        refuse_suspended(&found.user)?;
        if uses && let Some(due) = self.inner.uses.count(id, &origin.source, now) {
            self.write_uses(vec![due]).await?;
        }
        Ok(())
    }

    pub(super) async fn write_uses(&self, all: Vec<Due>) -> Result<(), EngineError> {
        let written = self.inner.db.write(move |tx| {
            for Due { id, uses, source, last } in &all {
                tx.count_token_uses(*id, *uses, source, *last)?;
            }
            Ok::<(), wcp360_store::StoreError>(())
        });
        Ok(written.await?)
    }

    /// Tokens: the caller's own, or those of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller.
    pub async fn tokens(
        &self,
        caller: &Caller,
        of: Option<&str>,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<Token>, EngineError> {
        let user = self.oneself_or_below(caller, of).await?;
        Ok(self.inner.db.read(move |tx| tx.tokens(user, limit, cursor.as_deref())).await?)
    }

    /// Makes a token for the caller. Unless a token asks, the password is needed once more.
    ///
    /// # Errors
    /// 422 for a wrong password, values out of range, or scopes and networks beyond the caller's own.
    pub async fn create_token(
        &self,
        origin: &Origin,
        caller: &Caller,
        request: CreateToken,
    ) -> Result<CreatedToken, EngineError> {
        // To the millisecond, as it is stored: what is answered now is what lists say later.
        let now = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).map_err(|_| Problem::internal())?;
        if request.name.is_empty() || request.name.chars().count() > 64 || request.name.chars().any(char::is_control) {
            return Err(Problem::invalid("name", "use 1 to 64 characters").into());
        }
        if request.expires_in_days.is_some_and(|days| !(1..=3650).contains(&days)) {
            return Err(Problem::invalid("expires_in_days", "use 1 to 3650, or leave it out").into());
        }
        let scopes = scopes_within(caller, request.scopes.as_deref())?;
        let networks = networks_within(caller, request.networks)?;
        self.step_up(origin, caller, "password", request.password).await?;
        let wanted = request.expires_in_days.map(|days| now + SignedDuration::from_hours(24 * i64::from(days)));
        // A token does not outlive the one that makes it.
        let longest = caller.expires_at.filter(|_| caller.via == "token");
        let api_token = ApiToken::generate();
        let token = Token {
            id: api_token.id,
            name: request.name,
            owner: caller.username.clone(),
            scopes: scopes.map(|list| list.iter().map(|p| p.as_str().to_owned()).collect()),
            networks,
            created_at: now,
            rotated_at: None,
            expires_at: wanted.into_iter().chain(longest).min(),
            last_used_at: None,
            last_used_from: None,
            uses: 0,
        };
        let (stored, user, secret_hash) = (token.clone(), caller.user_id, secret::hash(&api_token.secret));
        let by = caller.clone();
        let inserted = self.inner.db.write(move |tx| {
            refuse_ended(tx, &by)?;
            if tx.token_count(user)? >= MOST {
                let message = format!("you have {MOST} tokens; revoke one that nothing uses first");
                return Err(Problem::limit_exceeded("name", message).into());
            }
            Ok::<_, EngineError>(tx.insert_token(&stored, user, &secret_hash, by.token_id)?)
        });
        inserted.await?;
        Ok(CreatedToken { token, secret: api_token.to_string() })
    }

    /// Gives a token of the caller a new secret; the old one ends at once. Everything else of it stays.
    ///
    /// # Errors
    /// There is no such token; a token asks for one that may more than itself; 422 for a wrong password.
    pub async fn rotate_token(
        &self,
        origin: &Origin,
        caller: &Caller,
        id: TokenId,
        request: RotateToken,
    ) -> Result<CreatedToken, EngineError> {
        let user = caller.user_id;
        let missing = || Problem::not_found("token", id);
        let token = self.inner.db.read(move |tx| tx.token_of(user, id)).await?.ok_or_else(missing)?;
        refuse_wider(caller, &token)?;
        self.step_up(origin, caller, "password", request.password).await?;
        let (api_token, now) = (ApiToken::renew(id), Timestamp::now());
        let (by, secret_hash) = (caller.clone(), secret::hash(&api_token.secret));
        let token = self
            .inner
            .db
            .write(move |tx| {
                refuse_ended(tx, &by)?;
                tx.rotate_token(user, id, &secret_hash, now)?;
                Ok::<_, EngineError>(tx.token_of(user, id)?)
            })
            .await?;
        Ok(CreatedToken { token: token.ok_or_else(missing)?, secret: api_token.to_string() })
    }

    /// Removes a token, with those that it made: of the caller, or of the person with this login name.
    ///
    /// # Errors
    /// There is no such person for the caller, or no such token.
    pub async fn revoke_token(&self, caller: &Caller, of: Option<&str>, id: TokenId) -> Result<(), EngineError> {
        let user = self.oneself_or_below(caller, of).await?;
        match self.inner.db.write(move |tx| tx.delete_token(user, id)).await? {
            true => Ok(()),
            false => Err(Problem::not_found("token", id).into()),
        }
    }
}

/// Refuses who was let in with what has ended meanwhile: a password that was reset ends sessions, and nothing that lasts may be
/// made by one of them at the last moment.
fn refuse_ended(tx: &mut Tx<'_>, caller: &Caller) -> Result<(), EngineError> {
    let there = match (caller.session_id, caller.token_id) {
        (Some(id), _) => tx.session_by_id(id)?.is_some(),
        (None, Some(id)) => tx.token(id)?.is_some(),
        (None, None) => true,
    };
    if there { Ok(()) } else { Err(Problem::unauthenticated("Your login has ended; log in again.").into()) }
}

/// Permissions by name. A scope that this version does not know gives nothing.
pub(super) fn permissions(names: Option<Vec<String>>) -> Option<Vec<Permission>> {
    names.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The scopes that are asked for, or those of the caller: a limited one makes no wider one.
pub(super) fn scopes_within(caller: &Caller, asked: Option<&[String]>) -> Result<Option<Vec<Permission>>, Problem> {
    let Some(names) = asked else { return Ok(caller.limited_to.clone()) };
    let mut scopes = Vec::new();
    for name in names {
        let permission: Permission = name.parse().map_err(|e| Problem::invalid("scopes", format!("{e}")))?;
        if !caller.may(permission) {
            return Err(Problem::invalid("scopes", format!("you don't hold \"{name}\" yourself; leave it out")));
        }
        if !scopes.contains(&permission) {
            scopes.push(permission);
        }
    }
    Ok(Some(scopes))
}

/// The networks that are asked for, or those of the caller.
fn networks_within(caller: &Caller, asked: Option<Vec<Network>>) -> Result<Option<Vec<Network>>, Problem> {
    let Some(mut networks) = asked else { return Ok(caller.networks.clone()) };
    networks.sort_unstable();
    networks.dedup();
    if networks.is_empty() || networks.len() > NETWORKS {
        let message = format!("name 1 to {NETWORKS} networks, or leave it out to allow every address");
        return Err(Problem::invalid("networks", message));
    }
    if let Some(own) = &caller.networks
        && let Some(wider) = networks.iter().find(|network| !own.iter().any(|o| o.covers(network)))
    {
        return Err(Problem::invalid("networks", format!("{wider} is not among those of the token that asks")));
    }
    Ok(Some(networks))
}

/// A limited token gets no secret of one that may more, from more addresses, or for longer.
fn refuse_wider(caller: &Caller, token: &Token) -> Result<(), Problem> {
    let scopes_fit = match (&caller.limited_to, &token.scopes) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(names)) => names.iter().all(|name| own.iter().any(|o| o.as_str() == name)),
    };
    let networks_fit = match (&caller.networks, &token.networks) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(theirs)) => theirs.iter().all(|network| own.iter().any(|o| o.covers(network))),
    };
    let end_fits = match (caller.expires_at.filter(|_| caller.via == "token"), token.expires_at) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(theirs)) => theirs <= own,
    };
    if scopes_fit && networks_fit && end_fits {
        return Ok(());
    }
    Err(Problem::forbidden("That token may more than the one you use; replace it with that one, or in a session."))
}
