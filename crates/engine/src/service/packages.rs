//! Packages: their versions, and those that extend others (TEN-03, TEN-05).

use super::account_package::{invalid, refuse_invalid};
use crate::allowance;
use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use wcp360_store::packages::StoredPackage;
use wcp360_store::{Scope, StoreError, Tx};
use wcp360_types::api::package::{Package, PackageFile, PackageSpec, PackageVersion, Visibility};
use wcp360_types::api::page::Page;
use wcp360_types::api::reseller::DefaultPackage;
use wcp360_types::content::PackageContent;
use wcp360_types::{FieldError, PackageName, Problem, Role, UserId};

/// How many packages may extend each other in a row.
const MAX_DEPTH: usize = 8;

impl Engine {
    /// Makes a package that belongs to the caller.
    ///
    /// # Errors
    /// A name that is taken, values out of range, a package to extend that there is not, more than a reseller may give.
    pub async fn create_package(&self, caller: &Caller, spec: PackageSpec) -> Result<Package, EngineError> {
        let (by, name) = (caller.clone(), spec.name.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                create(tx, &by, &spec, Timestamp::now())
            })
            .await?;
        self.package(caller, &name).await
    }

    /// Replaces a package's content: a new version of it, and of those that extend it as far as they change.
    ///
    /// # Errors
    /// It does not exist for the caller; as for [`Engine::create_package`].
    pub async fn update_package(&self, caller: &Caller, spec: PackageSpec) -> Result<Package, EngineError> {
        let (by, name) = (caller.clone(), spec.name.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                update(tx, &by, &spec, Timestamp::now()).map(|_| ())
            })
            .await?;
        self.package(caller, &name).await
    }

    /// Removes a package that nobody uses, with its versions.
    ///
    /// # Errors
    /// It does not exist for the caller, or is in use.
    pub async fn delete_package(&self, caller: &Caller, name: &PackageName) -> Result<(), EngineError> {
        let (owner, name) = (own(caller), name.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let (uses, heirs) = (tx.package_uses(&name)?, tx.package_heirs(&name)?);
                if !tx.delete_package(owner, &name)? {
                    return Err(Problem::not_found("package", &name).into());
                }
                if uses > 0 {
                    let detail =
                        format!("{uses} accounts use \"{name}\"; give them another package or delete them first.");
                    return Err(Problem::conflict(detail).into());
                }
                if !heirs.is_empty() {
                    let detail = format!("{} packages extend \"{name}\"; change or delete those first.", heirs.len());
                    return Err(Problem::conflict(detail).into());
                }
                Ok(())
            })
            .await
    }

    /// A package that the caller may see.
    ///
    /// # Errors
    /// There is none.
    pub async fn package(&self, caller: &Caller, name: &PackageName) -> Result<Package, EngineError> {
        let (scope, wanted) = (caller.scope(), name.clone());
        let found = self.inner.db.read(move |tx| tx.package(scope, &wanted)).await?;
        Ok(found.ok_or_else(|| Problem::not_found("package", name))?)
    }

    /// The versions of a package that the caller may see, newest first.
    ///
    /// # Errors
    /// There is no such package.
    pub async fn package_versions(
        &self,
        caller: &Caller,
        name: &PackageName,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Page<PackageVersion>, EngineError> {
        let (scope, wanted) = (caller.scope(), name.clone());
        let found = self.inner.db.read(move |tx| match tx.package_content(scope, &wanted)? {
            Some(_) => tx.package_versions(scope, &wanted, limit, cursor.as_deref()).map(Some),
            None => Ok(None),
        });
        Ok(found.await?.ok_or_else(|| Problem::not_found("package", name))?)
    }

    /// The package that accounts of the caller get which ask for none.
    ///
    /// # Errors
    /// None was chosen.
    pub async fn default_package(&self, caller: &Caller) -> Result<DefaultPackage, EngineError> {
        let user = caller.user_id;
        let found = self.inner.db.read(move |tx| tx.default_package(user)).await?;
        let none = || Problem::new(404, "not-found", "Not found", "No default package was chosen.");
        Ok(DefaultPackage { package: found.ok_or_else(none)? })
    }

    /// Chooses the package that accounts get which ask for none: for the installation, or for a reseller's own accounts.
    ///
    /// # Errors
    /// There is no such package for the caller, or for the installation it is a private one.
    pub async fn set_default_package(&self, caller: &Caller, name: PackageName) -> Result<DefaultPackage, EngineError> {
        let (by, wanted) = (caller.clone(), name.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let package = tx.package_content(by.scope(), &wanted)?;
                let Some(package) = package else {
                    let message = format!("there is no package \"{wanted}\"; \"wcp360 packages list\" shows them");
                    return Err(EngineError::from(Problem::invalid("package", message)));
                };
                let owner = own(&by);
                if owner.is_none() && !is_public(tx, &package)? {
                    let message = "resellers don't see it; choose a public package of an administrator";
                    return Err(Problem::invalid("package", message).into());
                }
                Ok(tx.set_default_package(owner, &wanted)?)
            })
            .await?;
        Ok(DefaultPackage { package: name })
    }
}

fn is_public(tx: &mut Tx<'_>, package: &StoredPackage) -> Result<bool, EngineError> {
    let owner = tx.user(package.owner_id)?;
    let by_admin = owner.is_some_and(|owner| matches!(owner.role, Role::Root | Role::Admin));
    Ok(by_admin && package.spec.visibility == Visibility::Public)
}

/// Administrators may change every package, others only their own.
fn own(caller: &Caller) -> Option<UserId> {
    (!caller.is_admin()).then_some(caller.user_id)
}

/// Makes a package, under the lock of names.
pub(super) fn create(tx: &mut Tx<'_>, by: &Caller, spec: &PackageSpec, now: Timestamp) -> Result<(), EngineError> {
    check_text(spec)?;
    if by.role == Role::Reseller
        && let Some(most) = tx.reseller_limits(by.user_id)?.packages
        && tx.packages_of(by.user_id)? >= most
    {
        let message = format!("you may have {most} packages and have them; delete one first");
        return Err(Problem::limit_exceeded("name", message).into());
    }
    let gives = resolve(tx, by.scope(), spec)?;
    refuse_beyond(tx, by.user_id, &gives)?;
    tx.insert_package(by.user_id, spec, &gives, &by.username, now).map_err(|error| match error {
        StoreError::Taken(_) => {
            let message = format!("there is a package \"{}\" already; choose another name", spec.name);
            EngineError::from(Problem::field_conflict("name", message))
        }
        other => other.into(),
    })
}

/// Replaces a package, under the lock of names; whether anything is different.
pub(super) fn update(tx: &mut Tx<'_>, by: &Caller, spec: &PackageSpec, now: Timestamp) -> Result<bool, EngineError> {
    let package = changeable(tx, by, &spec.name)?.ok_or_else(|| Problem::not_found("package", &spec.name))?;
    check_text(spec)?;
    // Whoever changes it, it can extend what its owner sees.
    let scope = match tx.user(package.owner_id)?.map(|owner| owner.role) {
        Some(Role::Reseller) => Scope::Owner(package.owner_id),
        _ => by.scope(),
    };
    let gives = resolve(tx, scope, spec)?;
    refuse_beyond(tx, package.owner_id, &gives)?;
    if *spec == package.spec && gives == package.gives {
        return Ok(false);
    }
    let heirs = tx.package_heirs(&spec.name)?;
    if spec.visibility == Visibility::Private && heirs.iter().any(|heir| heir.owner_id != package.owner_id) {
        let message = "packages of others extend it; it has to stay public";
        return Err(Problem::field_conflict("visibility", message).into());
    }
    tx.update_package(spec, &gives, package.version + 1, &by.username, now)?;
    inherit(tx, by, &spec.name, &gives, now, 0)?;
    Ok(true)
}

/// A package that the caller may change.
pub(super) fn changeable(
    tx: &mut Tx<'_>,
    by: &Caller,
    name: &PackageName,
) -> Result<Option<StoredPackage>, EngineError> {
    let found = tx.package_content(by.scope(), name)?;
    Ok(found.filter(|package| by.is_admin() || package.owner_id == by.user_id))
}

/// New versions of the packages that extend one which changed.
fn inherit(
    tx: &mut Tx<'_>,
    by: &Caller,
    name: &PackageName,
    base: &PackageContent,
    now: Timestamp,
    depth: usize,
) -> Result<(), EngineError> {
    for heir in tx.package_heirs(name)? {
        let mut gives = heir.spec.over(base);
        // What is told before a limit is reached goes down with the limit: nobody's package stands in the way of a lower one.
        gives.soft_limits = gives.soft_limits.within(&gives.limits);
        if gives == heir.gives {
            continue;
        }
        if depth >= MAX_DEPTH {
            return Err(too_deep().into());
        }
        let problems = gives.problems().into_iter().map(|error| FieldError {
            message: format!("in \"{}\", which extends it: {}", heir.spec.name, error.message),
            ..error
        });
        invalid(problems.collect())?;
        tx.update_package(&heir.spec, &gives, heir.version + 1, &by.username, now)?;
        inherit(tx, by, &heir.spec.name, &gives, now, depth + 1)?;
    }
    Ok(())
}

/// What a package gives, with what comes from the one that it extends.
fn resolve(tx: &mut Tx<'_>, scope: Scope, spec: &PackageSpec) -> Result<PackageContent, EngineError> {
    let base = match &spec.extends {
        None => PackageContent::default(),
        Some(name) => {
            let parent = tx.package_content(scope, name)?.filter(|_| *name != spec.name);
            let Some(parent) = parent else {
                let message = match *name == spec.name {
                    true => "a package can't extend itself; name another one".to_owned(),
                    false => format!("there is no package \"{name}\"; \"wcp360 packages list\" shows them"),
                };
                return Err(Problem::invalid("extends", message).into());
            };
            refuse_cycle(tx, spec, &parent)?;
            parent.gives
        }
    };
    let gives = spec.over(&base);
    refuse_invalid(&gives)?;
    Ok(gives)
}

fn refuse_cycle(tx: &mut Tx<'_>, spec: &PackageSpec, parent: &StoredPackage) -> Result<(), EngineError> {
    let mut above = parent.spec.extends.clone();
    // Those that extend this one come below it.
    let below = heirs_below(tx, &spec.name, 0)?;
    for _ in below..MAX_DEPTH {
        let Some(name) = above else { return Ok(()) };
        if name == spec.name {
            let message =
                format!("\"{}\" extends \"{}\" already; one has to be the first", parent.spec.name, spec.name);
            return Err(Problem::invalid("extends", message).into());
        }
        above = tx.package_content(Scope::All, &name)?.and_then(|package| package.spec.extends);
    }
    Err(too_deep().into())
}

/// How many packages in a row extend this one.
fn heirs_below(tx: &mut Tx<'_>, name: &PackageName, depth: usize) -> Result<usize, EngineError> {
    if depth >= MAX_DEPTH {
        return Ok(depth);
    }
    let mut most = depth;
    for heir in tx.package_heirs(name)? {
        most = most.max(heirs_below(tx, &heir.spec.name, depth + 1)?);
    }
    Ok(most)
}

fn too_deep() -> Problem {
    let message = format!("{MAX_DEPTH} packages in a row extend each other already; extend one nearer to the first");
    Problem::invalid("extends", message)
}

/// A reseller's packages stay within what it may give to one account.
fn refuse_beyond(tx: &mut Tx<'_>, owner: UserId, gives: &PackageContent) -> Result<(), EngineError> {
    if tx.user(owner)?.is_none_or(|owner| owner.role != Role::Reseller) {
        return Ok(());
    }
    let limits = tx.reseller_limits(owner)?;
    Ok(allowance::refuse(allowance::beyond(&limits, &gives.limits, &gives.features))?)
}

fn check_text(spec: &PackageSpec) -> Result<(), Problem> {
    if spec.description.chars().count() > 500 || spec.description.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::invalid("description", "use at most 500 characters of plain text"));
    }
    Ok(())
}

/// The packages that a new installation has.
fn defaults() -> PackageFile {
    serde_json::from_str(include_str!("../../default-packages.json")).expect("a test reads it")
}

/// Gives a new installation its packages; the first of them is the default.
pub(crate) fn insert_defaults(tx: &mut Tx<'_>, owner: UserId, now: Timestamp) -> Result<(), StoreError> {
    let packages = defaults().packages;
    for spec in &packages {
        match tx.insert_package(owner, spec, &spec.over(&PackageContent::default()), "installation", now) {
            Ok(()) | Err(StoreError::Taken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    match packages.first() {
        Some(first) => tx.set_default_package(None, &first.name),
        None => Ok(()),
    }
}

#[cfg(test)]
mod checks {
    #[test]
    fn ten_05_the_packages_of_a_new_installation_can_be_read() {
        let file = super::defaults();
        assert!(
            file.packages
                .iter()
                .all(|spec| spec.extends.is_none() && spec.over(&Default::default()).problems().is_empty())
        );
        assert_eq!(file.packages.len(), 3);
    }
}
