//! The manifests: what an account should be (ENG-04).
//!
//! One folder per account under `/etc/wcp360/users/<name>/`, one JSON file per subject. They are the source of truth; the
//! database only indexes them. `meta.json` records what was applied and is not part of the revision.

use crate::content::{Overrides, SecurityPolicy, Storage};
use crate::limits::{Features, Limits, PhpLimits, SoftLimits};
use crate::validated_string;
use crate::{DocumentRoot, Domain, EmailAddress, PackageName, Revision, Username, ValueError};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the manifest format this program reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Whether an account is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Sites are served, logins work.
    Active,
    /// Sites answer with a suspended page; PHP and logins are stopped; nothing is lost.
    Suspended,
}

/// `account.json`: who the account is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// Name of the Linux user and group.
    pub username: Username,
    /// Numeric user id; absent only in a request to create, the agent assigns it and never reuses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric group id, equal to the uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The domain the account was created with.
    pub primary_domain: Domain,
    /// Home directory, e.g. `/srv/www/alice`; set by the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_dir: Option<String>,
    /// Login shell.
    pub shell: Shell,
    /// Whether the account is in use.
    pub status: AccountStatus,
    /// Why it is suspended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The package it was given.
    pub package: PackageName,
    /// Where its owner can be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_email: Option<EmailAddress>,
}

/// Login shells an account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Shell {
    /// No login.
    #[serde(rename = "/usr/sbin/nologin")]
    NoLogin,
    /// A shell.
    #[serde(rename = "/bin/bash")]
    Bash,
}

impl Shell {
    /// The path as it stands in passwd(5).
    pub fn path(self) -> &'static str {
        match self {
            Shell::NoLogin => "/usr/sbin/nologin",
            Shell::Bash => "/bin/bash",
        }
    }
}

/// `limits.json`: what the account was given: its package's content, with what was set for the account alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// The version of the package the values came from.
    pub package_version: u32,
    /// Quotas and maxima.
    pub limits: Limits,
    /// From where on the owner is warned.
    #[serde(default)]
    pub soft_limits: SoftLimits,
    /// What is switched on.
    pub features: Features,
    /// Where files are kept.
    #[serde(default)]
    pub storage: Storage,
    /// Security rules.
    #[serde(default)]
    pub security: SecurityPolicy,
    /// What of the above (and of PHP's bounds) was set for this account and not by its package.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// One domain of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The name it is served under.
    pub domain: Domain,
    /// Where its files are, relative to the home directory.
    pub document_root: DocumentRoot,
    /// Whether `www.` in front of the name is served too.
    pub www: bool,
}

/// A further name of an existing site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The further name.
    pub domain: Domain,
    /// The site it shows.
    pub target: Domain,
    /// Whether `www.` in front of the name is served too.
    pub www: bool,
}

/// `domains.json`: what is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainsManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// The primary domain's site.
    pub primary: Site,
    /// Sites of further domains.
    #[serde(default)]
    pub addon: Vec<Site>,
    /// Sites of subdomains of the account's own domains.
    #[serde(default)]
    pub sub: Vec<Site>,
    /// Further names of these sites.
    #[serde(default)]
    pub alias: Vec<Alias>,
}

/// What a domain is to its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// The one the account was created with.
    Primary,
    /// A further domain with a site of its own.
    Addon,
    /// A subdomain of one of the account's domains, with a site of its own.
    Sub,
    /// A further name of an existing site.
    Alias,
}

impl DomainKind {
    /// The name used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DomainKind::Primary => "primary",
            DomainKind::Addon => "addon",
            DomainKind::Sub => "sub",
            DomainKind::Alias => "alias",
        }
    }
}

impl DomainsManifest {
    /// All sites with their kind, the primary one first.
    pub fn sites(&self) -> impl Iterator<Item = (DomainKind, &Site)> {
        std::iter::once((DomainKind::Primary, &self.primary))
            .chain(self.addon.iter().map(|s| (DomainKind::Addon, s)))
            .chain(self.sub.iter().map(|s| (DomainKind::Sub, s)))
    }

    /// Every name of the account with its kind: sites and aliases, without their `www.` forms.
    pub fn names(&self) -> impl Iterator<Item = (DomainKind, &Domain)> {
        self.sites().map(|(kind, s)| (kind, &s.domain)).chain(self.alias.iter().map(|a| (DomainKind::Alias, &a.domain)))
    }

    /// Every host name that shows `site`: its own, its aliases, and the `www.` forms that no other entry claims.
    pub fn hosts_of(&self, site: &Site) -> Vec<Domain> {
        let mut hosts = vec![site.domain.clone()];
        let mut www: Vec<Domain> = site.www.then(|| site.domain.www()).flatten().into_iter().collect();
        for alias in self.alias.iter().filter(|a| a.target == site.domain) {
            hosts.push(alias.domain.clone());
            www.extend(alias.www.then(|| alias.domain.www()).flatten());
        }
        for host in www {
            if !self.names().any(|(_, name)| *name == host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// How the account's PHP runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhpService {
    /// Whether PHP runs at all.
    pub enabled: bool,
    /// Version, e.g. `8.2`.
    pub version: PhpVersion,
    /// Bounds, from the package.
    pub pool: PhpLimits,
    /// Directories PHP may open, relative to the home directory; the system's own PHP library is always allowed.
    pub open_basedir: Vec<String>,
}

validated_string!(
    /// A PHP version, two numbers: `8.2`.
    PhpVersion,
    schema = { "type": "string", "pattern": "^[5-9]\\.[0-9]$", "examples": ["8.2"] },
    parse = |value| match value.as_bytes() {
        [b'5'..=b'9', b'.', b'0'..=b'9'] => Ok(value.to_owned()),
        _ => Err(ValueError::new(format!("{value:?} is not a PHP version"), "give two numbers such as \"8.2\"")),
    }
);

/// `services.json`: what runs for the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicesManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// PHP.
    pub php: PhpService,
}

/// How far the account may log in over SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SshMode {
    /// Not at all.
    Disabled,
    /// Files only.
    Sftp,
    /// A shell that sees the account's own tree.
    Jailed,
}

/// `ssh.json`: remote access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// How far.
    pub mode: SshMode,
}

/// Who caused the last change, as the audit trail knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditReference {
    /// The operation, e.g. `accounts.suspend`.
    pub action: String,
    /// Who asked for it.
    pub actor: String,
    /// The job that did it.
    pub job: crate::JobId,
}

/// `meta.json`: what was applied last; not part of the revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetaManifest {
    /// Format of this file.
    pub schema_version: u32,
    /// The revision the machine was last converged to.
    pub last_applied_revision: Revision,
    /// When that was.
    pub last_applied_at: Timestamp,
    /// What caused it.
    pub last_audit_action: AuditReference,
    /// Whose the account is, by login name; absent if an older release wrote it. A matter of the panel, kept here so that
    /// it survives the loss of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<crate::LoginName>,
}

/// The manifests of one account, without `meta.json`: the unit of change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSet {
    /// Who the account is.
    pub account: AccountManifest,
    /// Quotas and maxima.
    pub limits: LimitsManifest,
    /// What is served.
    pub domains: DomainsManifest,
    /// What runs.
    pub services: ServicesManifest,
    /// Remote access.
    pub ssh: SshManifest,
}

/// Why a set of manifests was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {error}")]
pub struct ManifestError {
    /// File and field, e.g. `domains.json: addon[0].document_root`.
    pub field: String,
    /// The rule and the remedy.
    pub error: ValueError,
}

impl ManifestSet {
    /// The content revision of the set.
    pub fn revision(&self) -> Revision {
        Revision::of(self)
    }

    /// Checks what single types can't: that the parts agree with each other. Both core and agent call it.
    ///
    /// # Errors
    /// The first field that does not fit, with the remedy.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let fail = |field: &str, reason: String, remedy: &str| {
            Err(ManifestError { field: field.into(), error: ValueError::new(reason, remedy) })
        };
        for (file, version) in [
            ("account.json", self.account.schema_version),
            ("limits.json", self.limits.schema_version),
            ("domains.json", self.domains.schema_version),
            ("services.json", self.services.schema_version),
            ("ssh.json", self.ssh.schema_version),
        ] {
            if version != SCHEMA_VERSION {
                let remedy = "install a release that knows this version, or restore the file";
                return fail(&format!("{file}: schema_version"), format!("version {version} is unknown"), remedy);
            }
        }
        if self.account.primary_domain != self.domains.primary.domain {
            let reason = format!("it differs from \"{}\" in domains.json", self.domains.primary.domain);
            return fail("account.json: primary_domain", reason, "make both the same");
        }
        if self.account.uid != self.account.gid {
            return fail("account.json: gid", "it differs from the uid".into(), "make both the same");
        }
        let mut seen = std::collections::BTreeSet::new();
        for (_, name) in self.domains.names() {
            if !seen.insert(name) {
                return fail("domains.json", format!("\"{name}\" is listed twice"), "list every name once");
            }
        }
        for sub in &self.domains.sub {
            let owner = |site: &&Site| sub.domain.is_under(&site.domain);
            if !self.domains.sites().map(|(_, s)| s).any(|s| owner(&s)) {
                let reason = format!("\"{}\" is not under a domain of this account", sub.domain);
                return fail("domains.json: sub", reason, "add it as an addon domain");
            }
        }
        for alias in &self.domains.alias {
            if !self.domains.sites().any(|(_, s)| s.domain == alias.target) {
                let reason = format!("\"{}\" shows \"{}\", which is not a site here", alias.domain, alias.target);
                return fail("domains.json: alias", reason, "name a site of this account as its target");
            }
        }
        let groups = [
            ("limits", self.limits.limits.out_of_range()),
            ("soft_limits", self.limits.soft_limits.out_of_range()),
            ("storage", self.limits.storage.out_of_range()),
            ("security", self.limits.security.out_of_range()),
        ];
        for (group, found) in groups {
            if let Some((field, error)) = found.into_iter().next() {
                return Err(ManifestError { field: format!("limits.json: {group}.{field}"), error });
            }
        }
        if let Err((field, error)) = self.services.php.pool.check() {
            return Err(ManifestError { field: format!("services.json: php.pool.{field}"), error });
        }
        for dir in &self.services.php.open_basedir {
            if DocumentRoot::parse(dir).is_err() && !["tmp", "private", "."].contains(&dir.as_str()) {
                let reason = format!("{dir:?} is not a folder of the account");
                return fail("services.json: php.open_basedir", reason, "name folders relative to the home directory");
            }
        }
        let suspended = self.account.status == AccountStatus::Suspended;
        if self.account.suspended_reason.is_some() && !suspended {
            return fail("account.json: suspended_reason", "the account is active".into(), "remove it");
        }
        if let Some(reason) = &self.account.suspended_reason
            && (reason.chars().count() > 200 || reason.chars().any(char::is_control))
        {
            return fail("account.json: suspended_reason", "it is too long".into(), "use one line of 200 characters");
        }
        Ok(())
    }
}
