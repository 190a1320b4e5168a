//! What a package allows (TEN-03).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A maximum; `null` in JSON means unlimited.
pub type Limit = Option<u64>;

/// Quotas and maxima of a package, copied into each account's `limits.json` when it is created or its package changes.
///
/// Every field is optional: absent means unlimited. Units are in the names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// CPU time, in percent of one core: 150 is one and a half cores.
    pub cpu_percent: Limit,
    /// Memory of all processes together, in MiB.
    pub memory_mb: Limit,
    /// Disk space, in MiB.
    pub disk_mb: Limit,
    /// Files and folders.
    pub inodes: Limit,
    /// Traffic per calendar month, in MiB.
    pub bandwidth_mb: Limit,
    /// Processes and threads at the same time.
    pub processes: Limit,
    /// Reading from disk, in MiB per second.
    pub io_read_mbps: Limit,
    /// Writing to disk, in MiB per second.
    pub io_write_mbps: Limit,
    /// Addon domains, besides the primary one.
    pub addon_domains: Limit,
    /// Subdomains.
    pub subdomains: Limit,
    /// Alias domains.
    pub alias_domains: Limit,
    /// Databases.
    pub databases: Limit,
    /// Database users.
    pub database_users: Limit,
    /// Mailboxes.
    pub mailboxes: Limit,
    /// FTP accounts.
    pub ftp_accounts: Limit,
    /// Cron jobs.
    pub cron_jobs: Limit,
}

/// What a package switches on (TEN-03). Absent means off, except PHP and SSL, which every site expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// PHP.
    pub php: bool,
    /// Certificates.
    pub ssl: bool,
    /// SFTP and SSH access.
    pub ssh: bool,
    /// Cron jobs.
    pub cron: bool,
    /// Deployment from git.
    pub git: bool,
    /// Staging copies.
    pub staging: bool,
    /// DNS zones.
    pub dns: bool,
    /// Backups by the account's owner.
    pub backup: bool,
    /// API tokens for the account's owner.
    pub api: bool,
    /// Node.js applications.
    pub node: bool,
    /// Python applications.
    pub python: bool,
    /// PHP settings of the owner's choice.
    pub custom_php: bool,
    /// Advanced logs and statistics.
    pub advanced_logs: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            php: true,
            ssl: true,
            ssh: false,
            cron: false,
            git: false,
            staging: false,
            dns: false,
            backup: false,
            api: false,
            node: false,
            python: false,
            custom_php: false,
            advanced_logs: false,
        }
    }
}

/// PHP bounds of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhpLimits {
    /// Requests that PHP works on at the same time, 1 to 200.
    #[schemars(range(min = 1, max = 200))]
    pub max_children: u16,
    /// Memory of one request, in MiB, 16 to 4096.
    #[schemars(range(min = 16, max = 4096))]
    pub memory_limit_mb: u32,
    /// Run time of one request, in seconds, 1 to 3600.
    #[schemars(range(min = 1, max = 3600))]
    pub max_execution_seconds: u32,
    /// Size of one upload, in MiB, 1 to 8192.
    #[schemars(range(min = 1, max = 8192))]
    pub upload_mb: u32,
}

impl Default for PhpLimits {
    fn default() -> Self {
        Self { max_children: 5, memory_limit_mb: 128, max_execution_seconds: 60, upload_mb: 64 }
    }
}

impl PhpLimits {
    /// Checks the ranges that the schema states.
    ///
    /// # Errors
    /// The field and the allowed range.
    pub fn check(&self) -> Result<(), (&'static str, crate::ValueError)> {
        let range = |field, value: u32, min: u32, max: u32| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err((field, crate::ValueError::new(format!("{value} is out of range"), format!("use {min} to {max}"))))
            }
        };
        range("max_children", self.max_children.into(), 1, 200)?;
        range("memory_limit_mb", self.memory_limit_mb, 16, 4096)?;
        range("max_execution_seconds", self.max_execution_seconds, 1, 3600)?;
        range("upload_mb", self.upload_mb, 1, 8192)
    }
}
