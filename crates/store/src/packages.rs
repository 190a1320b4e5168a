//! Packages.

use crate::db::{Row, params};
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Scope, StoreError, Tx};
use jiff::Timestamp;
use wcp360_types::api::package::{Package, PackageSpec, SecurityPolicy, Visibility};
use wcp360_types::api::page::Page;
use wcp360_types::{AccountId, PackageName, UserId};

/// Who sees which packages: everybody the public ones of administrators, resellers their own besides.
fn visible(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "$1 = ''",
        Scope::Owner(_) => "(p.owner_id = $1 OR (p.visibility = 'public' AND o.role IN ('root', 'admin')))",
        Scope::Account(_) => "$1 = '' AND 1 = 0",
    }
}

/// With the number of accounts (of those in the scope) or with 0 in its place, as counting takes longer the more there are.
fn select(scope: Scope, counted: bool) -> String {
    let accounts = match scope {
        _ if !counted => "0",
        Scope::Owner(_) => "(SELECT COUNT(*) FROM accounts a WHERE a.package = p.name AND a.owner_id = $1)",
        _ => "(SELECT COUNT(*) FROM accounts a WHERE a.package = p.name)",
    };
    format!(
        "SELECT p.name, p.spec, p.version, p.created_at, p.updated_at, o.username AS owner, p.owner_id, \
         {accounts} AS accounts \
         FROM packages p JOIN users o ON o.id = p.owner_id WHERE {}",
        visible(scope)
    )
}

fn package(row: &Row) -> Result<Package, StoreError> {
    let c = columns("packages", row);
    Ok(Package {
        spec: c.json("spec")?,
        owner: c.text("owner")?,
        version: c.count("version")? as u32,
        accounts: c.count("accounts")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn visibility(spec: &PackageSpec) -> &'static str {
    match spec.visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    }
}

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
        self.package_with(scope, name, true)
    }

    /// A package in a scope, without counting its accounts: `accounts` is 0.
    pub fn package_content(&mut self, scope: Scope, name: &PackageName) -> Result<Option<Package>, StoreError> {
        self.package_with(scope, name, false)
    }

    fn package_with(&mut self, scope: Scope, name: &PackageName, counted: bool) -> Result<Option<Package>, StoreError> {
        let sql = format!("{} AND p.name = $2", select(scope, counted));
        self.query_opt(&sql, params![scope.key(), name.as_str()])?.as_ref().map(package).transpose()
    }
}

impl Tx<'_> {
    /// Adds a package.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the name exists.
    pub fn insert_package(&mut self, owner: UserId, spec: &PackageSpec, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO packages (name, owner_id, visibility, spec, version, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, 1, $5, $5)";
        self.insert_new(sql, params![spec.name.as_str(), owner, visibility(spec), to_json(spec), now], "name")?;
        Ok(())
    }

    /// Replaces a package's content; whether there was one that `owner` may change (`None`: any).
    pub fn update_package(
        &mut self,
        owner: Option<UserId>,
        spec: &PackageSpec,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE packages SET spec = $2, visibility = $3, version = version + 1, updated_at = $4 \
                   WHERE name = $1 AND ($5 = '' OR owner_id = $5)";
        let done = self.execute(
            sql,
            params![
                spec.name.as_str(),
                to_json(spec),
                visibility(spec),
                now,
                owner.map(|id| id.to_string()).unwrap_or_default()
            ],
        )?;
        Ok(done > 0)
    }

    /// How many accounts use a package.
    pub fn package_uses(&mut self, name: &PackageName) -> Result<u64, StoreError> {
        columns(
            "accounts",
            &self.query_one("SELECT COUNT(*) AS uses FROM accounts WHERE package = $1", params![name.as_str()])?,
        )
        .count("uses")
    }

    /// Removes a package; whether there was one that `owner` may remove (`None`: any).
    pub fn delete_package(&mut self, owner: Option<UserId>, name: &PackageName) -> Result<bool, StoreError> {
        let sql = "DELETE FROM packages WHERE name = $1 AND ($2 = '' OR owner_id = $2)";
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        let done = self.execute(sql, params![name.as_str(), owner])?;
        Ok(done > 0)
    }

    /// The security rules of an account's package; those of no package if there is no such account.
    pub fn security_policy(&mut self, account: AccountId) -> Result<SecurityPolicy, StoreError> {
        let sql = "SELECT p.name, p.spec FROM accounts a JOIN packages p ON p.name = a.package WHERE a.id = $1";
        let row = self.query_opt(sql, params![account])?;
        let spec = row.map(|row| columns("packages", &row).json::<PackageSpec>("spec")).transpose()?;
        Ok(spec.map(|spec| spec.security).unwrap_or_default())
    }
}
