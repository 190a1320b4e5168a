//! API tokens.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::token::CreateToken;

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let user = call.caller()?.user_id;
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.tokens(user, limit, cursor.as_deref())).await?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateToken = call.body()?;
    let created = call.engine().create_token(&call.origin.source, call.caller()?, request).await?;
    call.note.target(created.token.id);
    Ok(Reply::created(&created))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    call.engine().revoke_token(call.caller()?, call.param("token")?).await?;
    Ok(Reply::nothing())
}
