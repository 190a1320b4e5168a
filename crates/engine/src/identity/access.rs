//! Short-lived JWTs: minted from a session or token, and good for as long as that is (SEC-02).

use super::jwt::{Claims, LIFETIME};
use super::tokens::{permissions, scopes_within};
use crate::caller::{Caller, Origin};
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use wcp360_api::Permission;
use wcp360_types::Problem;
use wcp360_types::api::session::{Audience, MintJwt, MintedJwt};

/// Seconds, unless something else is asked for.
const USUAL: u32 = 300;
const SHORTEST: i64 = 30;

impl Engine {
    /// Mints a JWT from the caller's session or token, with no more rights than that has now.
    ///
    /// # Errors
    /// 403 for a caller with a JWT; 422 for values out of range or scopes beyond the caller's own.
    pub fn mint_jwt(&self, caller: &Caller, request: &MintJwt) -> Result<MintedJwt, Problem> {
        if caller.via == "jwt" {
            return Err(Problem::forbidden("A JWT mints no other one; use the session or token it was minted from."));
        }
        let seconds = i64::from(request.expires_in_seconds.unwrap_or(USUAL));
        if !(SHORTEST..=LIFETIME).contains(&seconds) {
            let rule = format!("use {SHORTEST} to {LIFETIME}, or leave it out");
            return Err(Problem::invalid("expires_in_seconds", rule));
        }
        let scopes = match scopes_within(caller, request.scopes.as_deref())? {
            Some(scopes) => scopes,
            None => Permission::ALL.to_vec(),
        };
        // Named one by one, so that what a role is given later is not in it.
        let scopes: Vec<String> =
            scopes.into_iter().filter(|p| caller.may(*p)).map(|p| p.as_str().to_owned()).collect();
        let now = Timestamp::now().as_second();
        let left = caller.expires_at.map_or(seconds, |end| end.as_second() - now);
        let claims = Claims::new(caller.user_id, request.audience, scopes.join(" "), now, seconds.min(left));
        let claims = claims.minted_from(caller.session_id, caller.token_id);
        Ok(MintedJwt {
            secret: self.inner.minting.sign(&claims),
            audience: request.audience,
            scopes,
            expires_at: Timestamp::from_second(claims.exp).map_err(|_| Problem::internal())?,
        })
    }

    /// The caller of a JWT. The session or token it was minted from is looked up each time, so that it ends with that, and
    /// has no rights that its owner has no more. Without `uses` nothing is counted and no session is kept awake.
    ///
    /// # Errors
    /// 401 if it is none of ours, for another audience or over, or if what it was minted from is; 403 if the account is
    /// suspended or the address is none of the token's.
    pub async fn by_jwt(
        &self,
        text: &str,
        audience: Audience,
        origin: &Origin,
        uses: bool,
    ) -> Result<Caller, EngineError> {
        let ended = || Problem::unauthenticated("What the JWT was minted from has ended; log in again.");
        let claims = self.verify_jwt(text, audience).await?;
        let expires_at = Timestamp::from_second(claims.exp).ok();
        let scopes = permissions(Some(claims.scope.split(' ').map(str::to_owned).collect()));
        let caller = match (claims.sid, claims.tid) {
            (Some(id), None) => {
                let found = self.inner.db.read(move |tx| tx.session_by_id(id)).await?.ok_or_else(ended)?;
                self.check_session(&found, uses).await?;
                Caller { session_id: Some(id), limited_to: scopes, ..Caller::new(&found.user, "jwt", expires_at) }
            }
            (None, Some(id)) => {
                let found = self.inner.db.read(move |tx| tx.token(id)).await?.ok_or_else(ended)?;
                self.check_token(id, &found, origin, uses).await?;
                let within = permissions(found.scopes);
                let both = |p: &Permission| within.as_ref().is_none_or(|own| own.contains(p));
                Caller {
                    token_id: Some(id),
                    limited_to: scopes.map(|scopes| scopes.into_iter().filter(both).collect()),
                    networks: found.networks,
                    ..Caller::new(&found.user, "jwt", expires_at)
                }
            }
            _ => return Err(ended().into()),
        };
        if caller.user_id != claims.sub {
            return Err(ended().into());
        }
        Ok(caller)
    }
}
