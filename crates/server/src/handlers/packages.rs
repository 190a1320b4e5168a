//! Packages.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::package::PackageSpec;
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
