//! People who can log in.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::user::{CreateUser, SetPassword};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.users(scope, limit, cursor.as_deref())).await?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateUser = call.body()?;
    Ok(Reply::created(&call.engine().create_user(call.caller()?, request).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let name: String = call.param("user")?;
    call.engine().delete_user(call.caller()?, &name).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn set_password(call: Call) -> Answer {
    let name: String = call.param("user")?;
    let request: SetPassword = call.body()?;
    call.engine().set_password(call.caller()?, &name, request).await?;
    Ok(Reply::nothing())
}
