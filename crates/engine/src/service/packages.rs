//! Packages.

use crate::caller::Caller;
use crate::engine::Engine;
use crate::error::EngineError;
use jiff::Timestamp;
use wcp360_store::{StoreError, Tx};
use wcp360_types::api::package::{Package, PackageSpec};
use wcp360_types::limits::{Features, Limits, PhpLimits};
use wcp360_types::{PackageName, Problem, UserId};

impl Engine {
    /// Makes a package that belongs to the caller.
    ///
    /// # Errors
    /// A name that is taken, values out of range.
    pub async fn create_package(&self, caller: &Caller, spec: PackageSpec) -> Result<Package, EngineError> {
        check(&spec)?;
        let (owner, name, content) = (caller.user_id, spec.name.clone(), spec);
        let inserted = self.inner.db.write(move |tx| tx.insert_package(owner, &content, Timestamp::now())).await;
        inserted.map_err(|error| match error {
            StoreError::Taken(_) => {
                let message = format!("there is a package \"{name}\" already; choose another name");
                EngineError::from(Problem::field_conflict("name", message))
            }
            other => other.into(),
        })?;
        self.package(caller, &name).await
    }

    /// Replaces a package's content.
    ///
    /// # Errors
    /// It does not exist for the caller, values out of range.
    pub async fn update_package(&self, caller: &Caller, spec: PackageSpec) -> Result<Package, EngineError> {
        check(&spec)?;
        let (owner, name) = (own(caller), spec.name.clone());
        if !self.inner.db.write(move |tx| tx.update_package(owner, &spec, Timestamp::now())).await? {
            return Err(Problem::not_found("package", &name).into());
        }
        self.package(caller, &name).await
    }

    /// Removes a package that nobody uses.
    ///
    /// # Errors
    /// It does not exist for the caller, or is in use.
    pub async fn delete_package(&self, caller: &Caller, name: &PackageName) -> Result<(), EngineError> {
        let (owner, name) = (own(caller), name.clone());
        self.inner
            .db
            .write(move |tx| {
                tx.lock_names()?;
                let uses = tx.package_uses(&name)?;
                if !tx.delete_package(owner, &name)? {
                    return Err(Problem::not_found("package", &name).into());
                }
                if uses > 0 {
                    let detail =
                        format!("{uses} accounts use \"{name}\"; give them another package or delete them first.");
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
}

/// Administrators may change every package, others only their own.
fn own(caller: &Caller) -> Option<UserId> {
    (!caller.is_admin()).then_some(caller.user_id)
}

fn check(spec: &PackageSpec) -> Result<(), Problem> {
    if spec.description.chars().count() > 500 || spec.description.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::invalid("description", "use at most 500 characters of plain text"));
    }
    spec.php.check().map_err(|(field, error)| Problem::invalid(&format!("php.{field}"), error.to_string()))
}

/// The packages that a new installation has.
pub(crate) fn insert_defaults(tx: &mut Tx<'_>, owner: UserId, now: Timestamp) -> Result<(), StoreError> {
    let package = |name: &str, description: &str, tier, limits, features| PackageSpec {
        name: PackageName::parse(name).expect("a valid name"),
        description: description.into(),
        tier,
        visibility: Default::default(),
        limits,
        features,
        php: PhpLimits::default(),
        storage: Default::default(),
        security: Default::default(),
    };
    let starter = Limits {
        cpu_percent: Some(100),
        memory_mb: Some(512),
        disk_mb: Some(5 * 1024),
        inodes: Some(200_000),
        bandwidth_mb: Some(100 * 1024),
        processes: Some(60),
        addon_domains: Some(1),
        subdomains: Some(10),
        alias_domains: Some(5),
        databases: Some(2),
        database_users: Some(4),
        mailboxes: Some(10),
        ftp_accounts: Some(2),
        cron_jobs: Some(5),
        ..Limits::default()
    };
    let business = Limits {
        cpu_percent: Some(200),
        memory_mb: Some(2048),
        disk_mb: Some(50 * 1024),
        inodes: Some(1_000_000),
        bandwidth_mb: None,
        processes: Some(200),
        addon_domains: Some(25),
        subdomains: Some(250),
        alias_domains: Some(50),
        databases: Some(25),
        database_users: Some(50),
        mailboxes: Some(250),
        ftp_accounts: Some(25),
        cron_jobs: Some(50),
        ..Limits::default()
    };
    let more = Features {
        ssh: true,
        cron: true,
        git: true,
        staging: true,
        dns: true,
        backup: true,
        api: true,
        custom_php: true,
        advanced_logs: true,
        ..Features::default()
    };
    for spec in [
        package(
            "starter",
            "One site and its mail",
            10,
            starter,
            Features { backup: true, dns: true, ..Features::default() },
        ),
        package("business", "Several sites with more of everything", 20, business, more.clone()),
        package("unlimited", "No limits but the machine's own", 30, Limits::default(), more),
    ] {
        match tx.insert_package(owner, &spec, now) {
            Ok(()) | Err(StoreError::Taken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
