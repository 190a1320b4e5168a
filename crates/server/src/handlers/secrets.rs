//! The keys that seal the panel's secrets.

use crate::call::{Answer, Call, Reply};

pub(crate) async fn show(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().secrets().await?))
}

pub(crate) async fn rotate(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().rotate_secrets().await?))
}
