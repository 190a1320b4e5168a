//! What a package consists of, whole and as the difference from another one (TEN-03, TEN-05).

use crate::limits::{Features, FeaturesPatch, Limits, LimitsPatch, PhpLimits, PhpPatch, SoftLimits, given};
use crate::network::Network;
use crate::{FieldError, ValueError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Networks in one list of a security policy, at most.
pub const MAX_NETWORKS: usize = 64;

/// Where an account's files are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileStorage {
    /// On the node's own disks.
    #[default]
    Local,
    /// On a file server that the node has mounted.
    Nfs,
}

/// Where copies of an account's files are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupStorage {
    /// On the node's own disks.
    #[default]
    Local,
    /// On a file server that the node has mounted.
    Nfs,
    /// In an object store that speaks S3.
    S3,
}

/// Storage options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Where files are kept.
    pub files: FileStorage,
    /// Where copies are kept.
    pub backups: BackupStorage,
    /// Snapshots that are kept of an account's files, 0 to 365; 0 means none are made.
    #[schemars(range(max = 365))]
    pub snapshots: u16,
}

/// Some storage options: absent means as it is otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoragePatch {
    /// Where files are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileStorage>,
    /// Where copies are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupStorage>,
    /// Snapshots that are kept of an account's files, 0 to 365; 0 means none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 365))]
    pub snapshots: Option<u16>,
}

/// Security rules for an account's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityPolicy {
    /// Whether the owner has to log in with a second factor.
    pub require_two_factor: bool,
    /// API requests per minute, 1 to 100000; absent means the node's default.
    #[schemars(range(min = 1, max = 100_000))]
    pub api_requests_per_minute: Option<u32>,
    /// Panel sessions at the same time, 1 to 1000; absent means no limit.
    #[schemars(range(min = 1, max = 1000))]
    pub max_sessions: Option<u32>,
    /// Networks the owner may log in from; none means from everywhere.
    #[schemars(length(max = 64))]
    pub allowed_networks: Vec<Network>,
    /// Whether PHP may start other programs.
    pub php_may_start_programs: bool,
}

impl Default for SecurityPolicy {
    fn default() -> Self {
        Self {
            require_two_factor: false,
            api_requests_per_minute: None,
            max_sessions: None,
            allowed_networks: Vec::new(),
            php_may_start_programs: true,
        }
    }
}

/// Some security rules: absent means as it is otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityPatch {
    /// Whether the owner has to log in with a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_two_factor: Option<bool>,
    /// API requests per minute, 1 to 100000; `null` means the node's default.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub api_requests_per_minute: Option<Option<u32>>,
    /// Panel sessions at the same time, 1 to 1000; `null` means no limit.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_sessions: Option<Option<u32>>,
    /// Networks the owner may log in from; none means from everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub allowed_networks: Option<Vec<Network>>,
    /// Whether PHP may start other programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub php_may_start_programs: Option<bool>,
}

/// All that a package gives to an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PackageContent {
    /// Quotas and maxima.
    pub limits: Limits,
    /// From where on the owner is warned.
    pub soft_limits: SoftLimits,
    /// What is switched on.
    pub features: Features,
    /// PHP bounds.
    pub php: PhpLimits,
    /// Where files are kept.
    pub storage: Storage,
    /// Security rules.
    pub security: SecurityPolicy,
    /// How far the limits of a single account may be raised above the package's; absent means as far as one likes.
    pub ceilings: Limits,
}

/// What is set for one account besides its package. It stays when the package changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// Quotas and maxima.
    #[serde(skip_serializing_if = "LimitsPatch::is_empty")]
    pub limits: LimitsPatch,
    /// What is switched on or off.
    #[serde(skip_serializing_if = "FeaturesPatch::is_empty")]
    pub features: FeaturesPatch,
    /// PHP bounds.
    #[serde(skip_serializing_if = "PhpPatch::is_empty")]
    pub php: PhpPatch,
}

impl StoragePatch {
    /// `base` with what is given here in its place.
    pub fn over(&self, base: &Storage) -> Storage {
        Storage {
            files: self.files.unwrap_or(base.files),
            backups: self.backups.unwrap_or(base.backups),
            snapshots: self.snapshots.unwrap_or(base.snapshots),
        }
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl SecurityPatch {
    /// `base` with what is given here in its place.
    pub fn over(&self, base: &SecurityPolicy) -> SecurityPolicy {
        SecurityPolicy {
            require_two_factor: self.require_two_factor.unwrap_or(base.require_two_factor),
            api_requests_per_minute: self.api_requests_per_minute.unwrap_or(base.api_requests_per_minute),
            max_sessions: self.max_sessions.unwrap_or(base.max_sessions),
            allowed_networks: self.allowed_networks.clone().unwrap_or_else(|| base.allowed_networks.clone()),
            php_may_start_programs: self.php_may_start_programs.unwrap_or(base.php_may_start_programs),
        }
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Overrides {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.features.is_empty() && self.php.is_empty()
    }

    /// What an account gets from a package with these overrides.
    pub fn over(&self, package: &PackageContent) -> PackageContent {
        let limits = self.limits.over(&package.limits);
        PackageContent {
            soft_limits: package.soft_limits.within(&limits),
            limits,
            features: self.features.over(&package.features),
            php: self.php.over(&package.php),
            ..package.clone()
        }
    }
}

impl PackageContent {
    /// Everything that is out of range, or contradicts itself.
    pub fn problems(&self) -> Vec<FieldError> {
        let mut all = Vec::new();
        let mut add = |group: &str, found: Vec<(&'static str, ValueError)>| {
            all.extend(
                found
                    .into_iter()
                    .map(|(field, error)| FieldError { field: format!("{group}.{field}"), message: error.to_string() }),
            );
        };
        add("limits", self.limits.out_of_range());
        add("soft_limits", self.soft_limits.out_of_range());
        add("soft_limits", self.soft_limits.above(&self.limits));
        add("php", self.php.check().err().into_iter().collect());
        add("storage", self.storage.out_of_range());
        add("security", self.security.out_of_range());
        add("ceilings", self.ceilings.out_of_range());
        for ((name, limit), (_, ceiling)) in self.limits.entries().zip(self.ceilings.entries()) {
            if let Some(ceiling) = ceiling
                && limit.is_none_or(|limit| limit > ceiling)
            {
                let reason = "it is below the package's own limit";
                add("ceilings", vec![(name, ValueError::new(reason, "raise it, or lower the limit"))]);
            }
        }
        all
    }
}

impl Storage {
    /// The fields whose values are out of range, with the range.
    pub fn out_of_range(&self) -> Vec<(&'static str, ValueError)> {
        match self.snapshots {
            0..=365 => Vec::new(),
            many => vec![("snapshots", ValueError::new(format!("{many} is out of range"), "use 0 to 365"))],
        }
    }
}

impl SecurityPolicy {
    /// The fields whose values are out of range, with the range.
    pub fn out_of_range(&self) -> Vec<(&'static str, ValueError)> {
        let range = |field, value: Option<u32>, max: u32| {
            let value = value.filter(|value| !(1..=max).contains(value))?;
            Some((field, ValueError::new(format!("{value} is out of range"), format!("use 1 to {max}, or null"))))
        };
        let many = (self.allowed_networks.len() > MAX_NETWORKS).then(|| {
            let reason = format!("{} networks are too many", self.allowed_networks.len());
            ("allowed_networks", ValueError::new(reason, format!("use at most {MAX_NETWORKS}")))
        });
        [
            range("api_requests_per_minute", self.api_requests_per_minute, 100_000),
            range("max_sessions", self.max_sessions, 1000),
            many,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_03_a_package_is_checked_as_a_whole() {
        let content: PackageContent = serde_json::from_value(serde_json::json!({
            "limits": {"disk_mb": 10, "cpu_percent": 0},
            "soft_limits": {"disk_mb": 11},
            "php": {"max_children": 0},
            "storage": {"snapshots": 366},
            "security": {"max_sessions": 0, "api_requests_per_minute": 100_001},
            "ceilings": {"disk_mb": 9, "inodes": 5},
        }))
        .unwrap();
        let fields: Vec<_> = content.problems().into_iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            [
                "limits.cpu_percent",
                "soft_limits.disk_mb",
                "php.max_children",
                "storage.snapshots",
                "security.api_requests_per_minute",
                "security.max_sessions",
                "ceilings.disk_mb",
                "ceilings.inodes"
            ]
        );
        assert!(PackageContent::default().problems().is_empty());
    }

    #[test]
    fn ten_05_overrides_lie_over_the_package() {
        let package = PackageContent {
            limits: Limits { disk_mb: Some(100), databases: Some(2), ..Limits::default() },
            soft_limits: SoftLimits { disk_mb: Some(90), ..SoftLimits::default() },
            ..PackageContent::default()
        };
        let overrides: Overrides =
            serde_json::from_str(r#"{"limits": {"disk_mb": 50}, "features": {"ssh": true}}"#).unwrap();
        let given = overrides.over(&package);
        assert_eq!((given.limits.disk_mb, given.limits.databases), (Some(50), Some(2)));
        assert_eq!(given.soft_limits.disk_mb, Some(50));
        assert!(given.features.ssh && given.problems().is_empty());
        assert!(!overrides.is_empty() && Overrides::default().is_empty());
    }
}
