//! Packages (hosting plans).

use crate::PackageName;
use crate::content::{PackageContent, SecurityPatch, StoragePatch};
use crate::limits::{FeaturesPatch, LimitsPatch, PhpPatch, SoftLimitsPatch};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the format of package files.
pub const PACKAGE_FILE_VERSION: u32 = 1;

/// Packages in one file, at most.
pub const MAX_PACKAGES_IN_FILE: usize = 500;

/// Who may give a package to accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its owner and everybody above and below.
    #[default]
    Public,
    /// Its owner only.
    Private,
}

/// A package as it is written: with `extends` only what differs from the other package, else only what differs from no
/// limits at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageSpec {
    /// Name.
    pub name: PackageName,
    /// For people.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub description: String,
    /// Orders packages from small to large.
    #[serde(default)]
    pub tier: u16,
    /// Who may use it.
    #[serde(default)]
    pub visibility: Visibility,
    /// The package from which everything comes that is not set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<PackageName>,
    /// Quotas and maxima.
    #[serde(default, skip_serializing_if = "LimitsPatch::is_empty")]
    pub limits: LimitsPatch,
    /// From where on the owner is warned.
    #[serde(default, skip_serializing_if = "SoftLimitsPatch::is_empty")]
    pub soft_limits: SoftLimitsPatch,
    /// What is switched on.
    #[serde(default, skip_serializing_if = "FeaturesPatch::is_empty")]
    pub features: FeaturesPatch,
    /// PHP bounds.
    #[serde(default, skip_serializing_if = "PhpPatch::is_empty")]
    pub php: PhpPatch,
    /// Where files are kept.
    #[serde(default, skip_serializing_if = "StoragePatch::is_empty")]
    pub storage: StoragePatch,
    /// Security rules.
    #[serde(default, skip_serializing_if = "SecurityPatch::is_empty")]
    pub security: SecurityPatch,
    /// How far the limits of a single account may be raised above the package's; absent means as far as one likes.
    #[serde(default, skip_serializing_if = "LimitsPatch::is_empty")]
    pub ceilings: LimitsPatch,
}

impl PackageSpec {
    /// A package of this name that sets nothing.
    pub fn named(name: PackageName) -> Self {
        Self {
            name,
            description: String::new(),
            tier: 0,
            visibility: Visibility::default(),
            extends: None,
            limits: LimitsPatch::default(),
            soft_limits: SoftLimitsPatch::default(),
            features: FeaturesPatch::default(),
            php: PhpPatch::default(),
            storage: StoragePatch::default(),
            security: SecurityPatch::default(),
            ceilings: LimitsPatch::default(),
        }
    }

    /// What the package gives, over the content of the one that it extends.
    pub fn over(&self, base: &PackageContent) -> PackageContent {
        PackageContent {
            limits: self.limits.over(&base.limits),
            soft_limits: self.soft_limits.over(&base.soft_limits),
            features: self.features.over(&base.features),
            php: self.php.over(&base.php),
            storage: self.storage.over(&base.storage),
            security: self.security.over(&base.security),
            ceilings: self.ceilings.over(&base.ceilings),
        }
    }
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// As it is written.
    #[serde(flatten)]
    pub spec: PackageSpec,
    /// What it gives in the end, with what comes from the packages that it extends.
    pub gives: PackageContent,
    /// Login of the administrator or reseller it belongs to.
    pub owner: String,
    /// Counts its changes, from 1.
    pub version: u32,
    /// How many accounts use it (of those you may see).
    pub accounts: u64,
    /// How many of these have an older version of it.
    pub outdated: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A version of a package. They are kept as long as the package is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageVersion {
    /// Which one, from 1.
    pub version: u32,
    /// As it was written.
    pub spec: PackageSpec,
    /// What it gave.
    pub gives: PackageContent,
    /// Login of who changed it; the package that it extends may have been what changed.
    pub changed_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many accounts have this version (of those you may see).
    pub accounts: u64,
}

/// Packages as a file: what `export` gives and `import` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Version of this format: 1.
    pub schema_version: u32,
    /// The packages, in any order.
    #[schemars(length(max = 500))]
    pub packages: Vec<PackageSpec>,
}

/// What an import does with a package whose name exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// Refuse the whole file.
    #[default]
    Refuse,
    /// Keep what is there.
    Skip,
    /// Replace it: a new version of it.
    Replace,
}

/// How an import is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImportQuery {
    /// What to do with a package whose name exists.
    pub existing: Option<Existing>,
    /// Only check the file and say what would change.
    pub dry_run: bool,
}

/// What an import did with one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportAction {
    /// It is new.
    Created,
    /// It was replaced.
    Replaced,
    /// It was like that already.
    Unchanged,
    /// It exists and was kept as it is.
    Skipped,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The field, e.g. `limits.disk_mb`.
    pub field: String,
    /// What it is; `null` if it is not set.
    pub before: serde_json::Value,
    /// What it becomes; `null` if it is not set any more.
    pub after: serde_json::Value,
}

/// One package of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// Its name.
    pub name: PackageName,
    /// What was done, or with `dry_run` would be.
    pub action: ImportAction,
    /// What is different in how it is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// What an import did, or with `dry_run` would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportResult {
    /// The packages, in the order of the file.
    pub items: Vec<Imported>,
}

/// A package to be given to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePackage {
    /// The package.
    pub package: PackageName,
    /// Change it although the account has more of something than the package allows: what is there stays, and nothing can
    /// be added. Refused all the same where something would stop working.
    #[serde(default)]
    pub keep_excess: bool,
}

/// How a package's newest version is given to its accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Propagate {
    /// Change accounts that have more of something than the package allows: what is there stays, and nothing can be added.
    pub keep_excess: bool,
}
