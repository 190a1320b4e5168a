//! Packages, their versions, and which one accounts get by default.

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::package::{Package, PackageSpec, PackageVersion, Visibility};
use wcp360_types::api::page::Page;
use wcp360_types::content::{PackageContent, SecurityPolicy};
use wcp360_types::{AccountId, PackageName, Role, UserId, Username};

/// A package as the services of core need it.
#[derive(Debug, Clone)]
pub struct StoredPackage {
    /// As it is written.
    pub spec: PackageSpec,
    /// What it gives.
    pub gives: PackageContent,
    /// Counts its changes, from 1.
    pub version: u32,
    /// Whose.
    pub owner_id: UserId,
}

/// Who sees which packages: everybody the public ones of administrators, resellers their own besides.
fn visible(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "$1 = ''",
        Scope::Owner(_) => "(p.owner_id = $1 OR (p.visibility = 'public' AND o.role IN ('root', 'admin')))",
        Scope::Account(_) => "$1 = '' AND 1 = 0",
    }
}

/// With the numbers of accounts (of those in the scope) or with 0 in their place, as counting takes longer the more there
/// are.
fn select(scope: Scope, counted: bool) -> String {
    let own = if matches!(scope, Scope::Owner(_)) { " AND a.owner_id = $1" } else { "" };
    let count = |more: &str| match counted {
        true => format!("(SELECT COUNT(*) FROM accounts a WHERE a.package = p.name{own}{more})"),
        false => "0".to_owned(),
    };
    format!(
        "SELECT p.name, p.spec, p.gives, p.version, p.created_at, p.updated_at, o.username AS owner, p.owner_id, \
         {} AS accounts, {} AS outdated \
         FROM packages p JOIN users o ON o.id = p.owner_id WHERE {}",
        count(""),
        count(" AND a.package_version < p.version"),
        visible(scope)
    )
}

fn package(row: &Row) -> Result<Package, StoreError> {
    let c = columns("packages", row);
    Ok(Package {
        spec: c.json("spec")?,
        gives: c.json("gives")?,
        owner: c.text("owner")?,
        version: c.count("version")? as u32,
        accounts: c.count("accounts")?,
        outdated: c.count("outdated")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn stored(row: &Row) -> Result<StoredPackage, StoreError> {
    let c = columns("packages", row);
    Ok(StoredPackage {
        spec: c.json("spec")?,
        gives: c.json("gives")?,
        version: c.count("version")? as u32,
        owner_id: c.parsed("owner_id")?,
    })
}

fn visibility(spec: &PackageSpec) -> &'static str {
    match spec.visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    }
}

const STORED: &str = "SELECT p.name, p.spec, p.gives, p.version, p.owner_id FROM packages p";

impl Tx<'_> {
    /// The packages in a scope, by name.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub fn packages(&mut self, scope: Scope, limit: u32, cursor: Option<&str>) -> Result<Page<Package>, StoreError> {
        let sql = format!("{} AND p.name > $2 ORDER BY p.name LIMIT $3", select(scope, true));
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let packages: Result<Vec<_>, _> =
            self.query(&sql, params![scope.key(), after, i64::from(limit) + 1])?.iter().map(package).collect();
        Ok(page(packages?, limit, |p| p.spec.name.to_string()))
    }

    /// A package in a scope.
    pub fn package(&mut self, scope: Scope, name: &PackageName) -> Result<Option<Package>, StoreError> {
        let sql = format!("{} AND p.name = $2", select(scope, true));
        self.query_opt(&sql, params![scope.key(), name.as_str()])?.as_ref().map(package).transpose()
    }

    /// A package in a scope, without counting its accounts.
    pub fn package_content(&mut self, scope: Scope, name: &PackageName) -> Result<Option<StoredPackage>, StoreError> {
        let sql = format!("{} AND p.name = $2", select(scope, false));
        self.query_opt(&sql, params![scope.key(), name.as_str()])?.as_ref().map(stored).transpose()
    }

    /// The packages that extend one, whosever they are.
    pub fn package_heirs(&mut self, name: &PackageName) -> Result<Vec<StoredPackage>, StoreError> {
        let sql = format!("{STORED} WHERE p.extends = $1 ORDER BY p.name");
        self.query(&sql, params![name.as_str()])?.iter().map(stored).collect()
    }

    /// The packages of somebody, as they are written, by name; `None`: all.
    pub fn package_specs(&mut self, owner: Option<UserId>) -> Result<Vec<PackageSpec>, StoreError> {
        let sql = format!("{STORED} WHERE ($1 = '' OR p.owner_id = $1) ORDER BY p.name");
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        let rows = self.query(&sql, params![owner])?;
        rows.iter().map(|row| columns("packages", row).json("spec")).collect()
    }

    /// The versions of a package, newest first, with the number of accounts in the scope that have each.
    pub fn package_versions(
        &mut self,
        scope: Scope,
        name: &PackageName,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<PackageVersion>, StoreError> {
        let own = if matches!(scope, Scope::Owner(_)) { "a.owner_id = $1" } else { "$1 = ''" };
        let before = cursor.and_then(decode_cursor).and_then(|text| text.parse::<i64>().ok()).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT v.package, v.version, v.spec, v.gives, v.changed_by, v.created_at, \
             (SELECT COUNT(*) FROM accounts a WHERE a.package = v.package AND a.package_version = v.version AND {own}) \
             AS accounts FROM package_versions v WHERE v.package = $2 AND v.version < $3 ORDER BY v.version DESC LIMIT $4"
        );
        let rows = self.query(&sql, params![scope.key(), name.as_str(), before, i64::from(limit) + 1])?;
        let versions: Result<Vec<_>, StoreError> = rows
            .iter()
            .map(|row| {
                let c = columns("package_versions", row);
                Ok(PackageVersion {
                    version: c.count("version")? as u32,
                    spec: c.json("spec")?,
                    gives: c.json("gives")?,
                    changed_by: c.text("changed_by")?,
                    created_at: c.time("created_at")?,
                    accounts: c.count("accounts")?,
                })
            })
            .collect();
        Ok(page(versions?, limit, |v| v.version.to_string()))
    }

    /// What a version of a package gave.
    pub fn package_version(&mut self, name: &PackageName, version: u32) -> Result<Option<PackageContent>, StoreError> {
        let sql = "SELECT package, gives FROM package_versions WHERE package = $1 AND version = $2";
        let row = self.query_opt(sql, params![name.as_str(), version])?;
        row.map(|row| columns("package_versions", &row).json("gives")).transpose()
    }
}

impl Tx<'_> {
    /// Adds a package, as its version 1.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the name exists.
    pub fn insert_package(
        &mut self,
        owner: UserId,
        spec: &PackageSpec,
        gives: &PackageContent,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO packages (name, owner_id, visibility, extends, spec, gives, version, created_at, \
                   updated_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)";
        self.insert_new(
            sql,
            params![
                spec.name.as_str(),
                owner,
                visibility(spec),
                spec.extends.as_ref().map(|name| name.as_str()),
                to_json(spec),
                to_json(gives),
                now
            ],
            "name",
        )?;
        self.keep_version(spec, gives, 1, by, now)
    }

    /// Replaces a package's content, as its version `version`.
    pub fn update_package(
        &mut self,
        spec: &PackageSpec,
        gives: &PackageContent,
        version: u32,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE packages SET spec = $2, gives = $3, visibility = $4, extends = $5, version = $6, \
                   updated_at = $7 WHERE name = $1";
        self.execute(
            sql,
            params![
                spec.name.as_str(),
                to_json(spec),
                to_json(gives),
                visibility(spec),
                spec.extends.as_ref().map(|name| name.as_str()),
                version,
                now
            ],
        )?;
        self.keep_version(spec, gives, version, by, now)
    }

    fn keep_version(
        &mut self,
        spec: &PackageSpec,
        gives: &PackageContent,
        version: u32,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO package_versions (package, version, spec, gives, changed_by, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        self.execute(sql, params![spec.name.as_str(), version, to_json(spec), to_json(gives), by, now])?;
        Ok(())
    }

    /// How many accounts use a package, or will when their queued changes are made.
    pub fn package_uses(&mut self, name: &PackageName) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS uses FROM accounts WHERE package = $1 \
                   OR id IN (SELECT account_id FROM allotments WHERE package = $1)";
        columns("accounts", &self.query_one(sql, params![name.as_str()])?).count("uses")
    }

    /// The accounts in a scope that have an older version of a package, by name, `most` at most.
    pub fn outdated_accounts(
        &mut self,
        scope: Scope,
        name: &PackageName,
        version: u32,
        most: u32,
    ) -> Result<Vec<Username>, StoreError> {
        let sql = format!(
            "SELECT a.username FROM accounts a WHERE a.package = $2 AND a.package_version < $3 AND {} \
             AND a.state IN ('active', 'suspended') ORDER BY a.username LIMIT $4",
            scope.condition("a.id", "a.owner_id")
        );
        let rows = self.query(&sql, params![scope.key(), name.as_str(), version, most])?;
        rows.iter().map(|row| columns("accounts", row).parsed("username")).collect()
    }

    /// Removes a package with its versions; whether there was one that `owner` may remove (`None`: any).
    pub fn delete_package(&mut self, owner: Option<UserId>, name: &PackageName) -> Result<bool, StoreError> {
        let sql = "DELETE FROM packages WHERE name = $1 AND ($2 = '' OR owner_id = $2)";
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        let done = self.execute(sql, params![name.as_str(), owner])?;
        Ok(done > 0)
    }

    /// The security rules that an account was given with its package; those of no package if there is no such account.
    pub fn security_policy(&mut self, account: AccountId) -> Result<SecurityPolicy, StoreError> {
        let sql = "SELECT v.package, v.gives FROM accounts a JOIN package_versions v \
                   ON v.package = a.package AND v.version = a.package_version WHERE a.id = $1";
        let row = self.query_opt(sql, params![account])?;
        let gives = row.map(|row| columns("package_versions", &row).json::<PackageContent>("gives")).transpose()?;
        Ok(gives.map(|gives| gives.security).unwrap_or_default())
    }

    /// The role of who owns an account's package.
    pub fn package_owner(&mut self, account: AccountId) -> Result<Option<Role>, StoreError> {
        let sql = "SELECT u.role FROM accounts a JOIN packages p ON p.name = a.package JOIN users u ON u.id = p.owner_id \
                   WHERE a.id = $1";
        self.query_opt(sql, params![account])?.map(|row| columns("users", &row).parsed("role")).transpose()
    }

    /// The package that accounts get which ask for none: the owner's choice, else that of the installation.
    pub fn default_package(&mut self, owner: UserId) -> Result<Option<PackageName>, StoreError> {
        let sql =
            "SELECT owner_id, package FROM default_packages WHERE owner_id IN ($1, '') ORDER BY owner_id DESC LIMIT 1";
        let row = self.query_opt(sql, params![owner])?;
        row.map(|row| columns("default_packages", &row).parsed("package")).transpose()
    }

    /// Chooses the package that accounts get which ask for none; `None`: for the installation.
    pub fn set_default_package(&mut self, owner: Option<UserId>, name: &PackageName) -> Result<(), StoreError> {
        let sql = "INSERT INTO default_packages (owner_id, package) VALUES ($1, $2) \
                   ON CONFLICT (owner_id) DO UPDATE SET package = $2";
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        self.execute(sql, params![owner, name.as_str()])?;
        Ok(())
    }
}
