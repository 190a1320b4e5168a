//! Accounts.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::account::{AccountFilter, CloneAccount, CreateAccount, SuspendAccount};
use wcp360_types::api::package::ChangePackage;
use wcp360_types::api::reseller::SetOwner;
use wcp360_types::content::Overrides;
use wcp360_types::{Problem, Username};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let filter: AccountFilter = call.query()?;
    let scope = call.caller()?.scope();
    let page = call.engine().db().read(move |tx| tx.accounts(scope, &filter, limit, cursor.as_deref())).await?;
    Ok(Reply::ok(&page))
}

pub(crate) async fn show(call: Call) -> Answer {
    let name: Username = call.param("account")?;
    let (scope, wanted) = (call.caller()?.scope(), name.clone());
    let detail = call.engine().db().read(move |tx| tx.account_detail(scope, &wanted)).await?;
    let detail = detail.ok_or_else(|| Problem::not_found("account", &name))?;
    let etag = detail.account.revision.as_ref().map(|revision| format!("\"{revision}\""));
    let reply = Reply::ok(&detail);
    Ok(match etag {
        Some(etag) => reply.header(http::header::ETAG, &etag),
        None => reply,
    })
}

pub(crate) async fn create(call: Call) -> Answer {
    let request: CreateAccount = call.body()?;
    let outcome = call.engine().create_account(call.caller()?, request, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn suspend(call: Call) -> Answer {
    let request: SuspendAccount = call.maybe_body()?;
    let name: Username = call.param("account")?;
    let how = call.job_request()?;
    let outcome = call.engine().suspend_account(call.caller()?, &name, request.reason, how).await?;
    call.outcome(outcome)
}

pub(crate) async fn unsuspend(call: Call) -> Answer {
    let outcome = call.engine().unsuspend_account(call.caller()?, &call.param("account")?, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn delete(call: Call) -> Answer {
    let outcome = call.engine().delete_account(call.caller()?, &call.param("account")?, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn change_package(call: Call) -> Answer {
    let request: ChangePackage = call.body()?;
    let (name, how) = (call.param("account")?, call.job_request()?);
    let outcome = call.engine().change_package(call.caller()?, &name, request, how).await?;
    call.outcome(outcome)
}

pub(crate) async fn set_overrides(call: Call) -> Answer {
    let overrides: Overrides = call.body()?;
    let (name, how) = (call.param("account")?, call.job_request()?);
    let outcome = call.engine().set_overrides(call.caller()?, &name, overrides, how).await?;
    call.outcome(outcome)
}

pub(crate) async fn clone(call: Call) -> Answer {
    let request: CloneAccount = call.body()?;
    let (name, how) = (call.param("account")?, call.job_request()?);
    let outcome = call.engine().clone_account(call.caller()?, &name, request, how).await?;
    call.outcome(outcome)
}

pub(crate) async fn set_owner(call: Call) -> Answer {
    let request: SetOwner = call.body()?;
    let account = call.engine().set_owner(call.caller()?, &call.param("account")?, &request.owner).await?;
    Ok(Reply::ok(&account))
}
