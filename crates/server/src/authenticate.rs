//! Who is asking: the one place that reads credentials out of a request.

use crate::call::App;
use http::HeaderMap;
use wcp360_engine::{Caller, EngineError, Origin};
use wcp360_types::Problem;
use wcp360_types::api::session::Audience;

/// The cookie of a session. The prefix makes browsers insist on HTTPS, no Domain and path `/`.
pub(crate) const SESSION_COOKIE: &str = "__Host-wcp360";

/// The caller by token, JWT or session; `None` if none was sent. `audience` is what a JWT has to be for. Without `uses` the
/// credential is looked at: no use is counted and no session is kept awake.
pub(crate) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    audience: Audience,
    origin: &Origin,
    uses: bool,
) -> Result<Option<Caller>, Problem> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION) {
        let credential = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
        let credential =
            credential.ok_or_else(|| Problem::unauthenticated("Use \"Authorization: Bearer <token>\"."))?;
        // No token of ours holds a dot, and every JWT does.
        let caller = if credential.contains('.') {
            app.engine.by_jwt(credential, audience, origin, uses).await
        } else {
            app.engine.by_token(credential, origin, uses).await
        };
        return caller.map(Some).map_err(EngineError::into_problem);
    }
    match session_of(headers) {
        Some(session) => app.engine.by_session(session, uses).await.map(Some).map_err(EngineError::into_problem),
        None => Ok(None),
    }
}

/// The secret in the session cookie.
pub(crate) fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(http::header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}
