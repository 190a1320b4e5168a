//! Packages.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::package;

const COLUMNS: &[&str] = &["name", "version", "owner", "accounts", "description"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("packages.list", Get, "/packages", "List packages")
            .needs(P::PackagesRead)
            .list::<package::Package>()
            .columns(COLUMNS),
        op("packages.show", Get, "/packages/{package}", "Show a package")
            .needs(P::PackagesRead)
            .gives::<package::Package>(200)
            .columns(COLUMNS),
        op("packages.create", Post, "/packages", "Create a package")
            .needs(P::PackagesManage)
            .body::<package::PackageSpec>()
            .gives::<package::Package>(201)
            .positional(&["name"])
            .columns(COLUMNS),
        op("packages.update", Put, "/packages/{package}", "Replace a package's content")
            .about("Accounts keep the limits they were given until their package is changed.")
            .needs(P::PackagesManage)
            .body::<package::PackageSpec>()
            .gives::<package::Package>(200)
            .columns(COLUMNS),
        op("packages.delete", Delete, "/packages/{package}", "Delete a package")
            .about("Refused while accounts use it.")
            .needs(P::PackagesManage)
            .gives_nothing(),
    ]
}
