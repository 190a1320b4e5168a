//! API tokens.

use crate::call::{Answer, Call, Reply};
use wcp360_types::TokenId;
use wcp360_types::api::token::{CreateToken, RotateToken};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    Ok(Reply::ok(&call.engine().tokens(call.caller()?, None, limit, cursor).await?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateToken = call.body()?;
    let created = call.engine().create_token(&call.origin, call.caller()?, request).await?;
    call.note.target(created.token.id);
    Ok(Reply::created(&created))
}

pub(crate) async fn rotate(call: Call) -> Answer {
    let id: TokenId = call.param("token")?;
    let request: RotateToken = call.maybe_body()?;
    Ok(Reply::ok(&call.engine().rotate_token(&call.origin, call.caller()?, id, request).await?))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    call.engine().revoke_token(call.caller()?, None, call.param("token")?).await?;
    Ok(Reply::nothing())
}
