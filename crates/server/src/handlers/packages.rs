//! Packages.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::package::{ImportQuery, PackageFile, PackageSpec, Propagate};
use wcp360_types::api::reseller::DefaultPackage;
use wcp360_types::{PackageName, Problem};

pub(crate) async fn list(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let scope = call.caller()?.scope();
    Ok(Reply::ok(&call.engine().db().read(move |tx| tx.packages(scope, limit, cursor.as_deref())).await?))
}

pub(crate) async fn show(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().package(call.caller()?, &call.param("package")?).await?))
}

pub(crate) async fn create(call: Call) -> Answer {
    let spec: PackageSpec = call.body()?;
    Ok(Reply::created(&call.engine().create_package(call.caller()?, spec).await?))
}

pub(crate) async fn update(call: Call) -> Answer {
    let name: PackageName = call.param("package")?;
    let spec: PackageSpec = call.body()?;
    if spec.name != name {
        return Err(Problem::invalid("name", format!("it must be \"{name}\", as in the path")).into());
    }
    Ok(Reply::ok(&call.engine().update_package(call.caller()?, spec).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.engine().delete_package(call.caller()?, &call.param("package")?).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn versions(call: Call) -> Answer {
    let (limit, cursor) = call.page()?;
    let name: PackageName = call.param("package")?;
    Ok(Reply::ok(&call.engine().package_versions(call.caller()?, &name, limit, cursor).await?))
}

pub(crate) async fn propagate(call: Call) -> Answer {
    let request: Propagate = call.maybe_body()?;
    let (name, how) = (call.param("package")?, call.job_request()?);
    let outcome = call.engine().propagate_package(call.caller()?, &name, request, how).await?;
    call.bulk_outcome(outcome)
}

pub(crate) async fn default(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().default_package(call.caller()?).await?))
}

pub(crate) async fn set_default(call: Call) -> Answer {
    let request: DefaultPackage = call.body()?;
    Ok(Reply::ok(&call.engine().set_default_package(call.caller()?, request.package).await?))
}

pub(crate) async fn export(call: Call) -> Answer {
    Ok(Reply::ok(&call.engine().export_packages(call.caller()?).await?))
}

pub(crate) async fn import(call: Call) -> Answer {
    let file: PackageFile = call.body()?;
    let query: ImportQuery = call.query()?;
    let existing = query.existing.unwrap_or_default();
    let done = call.engine().import_packages(call.caller()?, file, existing, query.dry_run).await?;
    Ok(Reply::ok(&done))
}
