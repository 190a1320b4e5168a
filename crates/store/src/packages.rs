//! Packages.

use crate::db::Row;
use crate::row::{columns, decode_cursor, page, to_json};
use crate::{Db, Scope, StoreError, Tx};
use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use wcp360_types::api::package::{Package, PackageSpec, Visibility};
use wcp360_types::api::page::Page;
use wcp360_types::{PackageName, UserId};

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

impl Db {
    /// The packages in a scope, by name.
    ///
    /// # Errors
    /// The database's; so for all functions of this module.
    pub async fn packages(&self, scope: Scope, limit: u32, cursor: Option<&str>) -> Result<Page<Package>, StoreError> {
        let sql = format!("{} AND p.name > $2 ORDER BY p.name LIMIT $3", select(scope, true));
        let after = cursor.and_then(decode_cursor).unwrap_or_default();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(after).bind(i64::from(limit) + 1);
        let packages: Result<Vec<_>, _> = query.fetch_all(&self.read).await?.iter().map(package).collect();
        Ok(page(packages?, limit, |p| p.spec.name.to_string()))
    }

    /// A package in a scope.
    pub async fn package(&self, scope: Scope, name: &PackageName) -> Result<Option<Package>, StoreError> {
        self.package_with(scope, name, true).await
    }

    /// A package in a scope, without counting its accounts: `accounts` is 0.
    pub async fn package_content(&self, scope: Scope, name: &PackageName) -> Result<Option<Package>, StoreError> {
        self.package_with(scope, name, false).await
    }

    async fn package_with(
        &self,
        scope: Scope,
        name: &PackageName,
        counted: bool,
    ) -> Result<Option<Package>, StoreError> {
        let sql = format!("{} AND p.name = $2", select(scope, counted));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.key()).bind(name.as_str());
        query.fetch_optional(&self.read).await?.as_ref().map(package).transpose()
    }
}

impl Tx {
    /// Adds a package.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if the name exists.
    pub async fn insert_package(
        &mut self,
        owner: UserId,
        spec: &PackageSpec,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO packages (name, owner_id, visibility, spec, version, created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, 1, $5, $5)";
        sqlx::query(sql)
            .bind(spec.name.as_str())
            .bind(owner.to_string())
            .bind(visibility(spec))
            .bind(to_json(spec))
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await
            .map_err(|e| StoreError::taken(e, "name"))?;
        Ok(())
    }

    /// Replaces a package's content; whether there was one that `owner` may change (`None`: any).
    pub async fn update_package(
        &mut self,
        owner: Option<UserId>,
        spec: &PackageSpec,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE packages SET spec = $2, visibility = $3, version = version + 1, updated_at = $4 \
                   WHERE name = $1 AND ($5 = '' OR owner_id = $5)";
        let done = sqlx::query(sql)
            .bind(spec.name.as_str())
            .bind(to_json(spec))
            .bind(visibility(spec))
            .bind(now.as_millisecond())
            .bind(owner.map(|id| id.to_string()).unwrap_or_default())
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// How many accounts use a package.
    pub async fn package_uses(&mut self, name: &PackageName) -> Result<u64, StoreError> {
        let query = sqlx::query("SELECT COUNT(*) AS uses FROM accounts WHERE package = $1").bind(name.as_str());
        columns("accounts", &query.fetch_one(&mut *self.inner).await?).count("uses")
    }

    /// Removes a package; whether there was one that `owner` may remove (`None`: any).
    pub async fn delete_package(&mut self, owner: Option<UserId>, name: &PackageName) -> Result<bool, StoreError> {
        let sql = "DELETE FROM packages WHERE name = $1 AND ($2 = '' OR owner_id = $2)";
        let owner = owner.map(|id| id.to_string()).unwrap_or_default();
        let done = sqlx::query(sql).bind(name.as_str()).bind(owner).execute(&mut *self.inner).await?;
        Ok(done.rows_affected() > 0)
    }
}
