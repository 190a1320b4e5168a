//! Packages.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{package, reseller};

const COLUMNS: &[&str] = &["name", "version", "extends", "owner", "accounts", "outdated", "description"];

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
            .about(
                "Every change is a new version. Accounts keep the version they were given until their package is changed \
                 or propagated; packages that extend this one get a new version too.",
            )
            .needs(P::PackagesManage)
            .body::<package::PackageSpec>()
            .gives::<package::Package>(200)
            .columns(COLUMNS),
        op("packages.delete", Delete, "/packages/{package}", "Delete a package")
            .about("Refused while accounts use it or packages extend it. Its versions go with it.")
            .needs(P::PackagesManage)
            .gives_nothing(),
        op("packages.versions", Get, "/packages/{package}/versions", "List the versions of a package, newest first")
            .needs(P::PackagesRead)
            .list::<package::PackageVersion>()
            .columns(&["version", "changed_by", "created_at", "accounts"]),
        op("packages.propagate", Post, "/packages/{package}/propagate", "Give a package's newest version to its accounts")
            .about("To those that have an older one, of those you manage: a job each. With `dry_run`: which ones, and what would not fit.")
            .needs(P::AccountsManage)
            .maybe_body::<package::Propagate>()
            .bulk(),
        op("packages.default", Get, "/default-package", "Show which package accounts get that ask for none")
            .needs(P::PackagesRead)
            .gives::<reseller::DefaultPackage>(200),
        op("packages.set-default", Put, "/default-package", "Choose which package accounts get that ask for none")
            .about("Of the installation; a reseller chooses for its own accounts.")
            .needs(P::PackagesManage)
            .body::<reseller::DefaultPackage>()
            .gives::<reseller::DefaultPackage>(200)
            .positional(&["package"]),
        op("packages.export", Get, "/package-file", "Export packages as a file")
            .about("All of them; a reseller's own. Import takes the file as it is.")
            .needs(P::PackagesRead)
            .gives::<package::PackageFile>(200),
        op("packages.import", Post, "/package-file", "Import packages from a file")
            .about("All of them or none, after everything in the file was checked. With `dry_run`: what would change.")
            .needs(P::PackagesManage)
            .body::<package::PackageFile>()
            .query::<package::ImportQuery>()
            .planned()
            .gives::<package::ImportResult>(200)
            .columns(&["name", "action", "differences"]),
    ]
}
