//! What a package means for an account, and which names may be taken.

use crate::allowance;
use crate::change::Change;
use jiff::Timestamp;
use wcp360_store::accounts::StoredAccount;
use wcp360_types::api::account::AccountState;
use wcp360_types::api::account::CreateAccount;
use wcp360_types::content::PackageContent;
use wcp360_types::manifest::*;
use wcp360_types::{DocumentRoot, Domain, PackageName, Problem, Role};

/// A version of a package, with what it gives.
pub(crate) type Chosen = (PackageName, u32, PackageContent);

/// The manifests of a new account.
pub(crate) fn new_account(request: &CreateAccount, package: &Chosen, php: PhpVersion, now: Timestamp) -> ManifestSet {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let (package, version, content) = package;
    let given = request.overrides.over(content);
    let mut set = ManifestSet {
        account: AccountManifest {
            schema_version: SCHEMA_VERSION,
            username: request.username.clone(),
            uid: None,
            gid: None,
            primary_domain: request.primary_domain.clone(),
            home_dir: None,
            shell: Shell::NoLogin,
            status: AccountStatus::Active,
            suspended_reason: None,
            created_at: now,
            updated_at: now,
            package: package.clone(),
            contact_email: request.contact_email.clone(),
        },
        limits: LimitsManifest {
            schema_version: SCHEMA_VERSION,
            package_version: *version,
            limits: Default::default(),
            soft_limits: Default::default(),
            features: Default::default(),
            storage: Default::default(),
            security: Default::default(),
            overrides: request.overrides.clone(),
        },
        domains: DomainsManifest {
            schema_version: SCHEMA_VERSION,
            primary: Site {
                domain: request.primary_domain.clone(),
                document_root: DocumentRoot::primary(),
                www: request.primary_domain.www().is_some(),
            },
            addon: Vec::new(),
            sub: Vec::new(),
            alias: Vec::new(),
        },
        services: ServicesManifest {
            schema_version: SCHEMA_VERSION,
            php: PhpService {
                enabled: given.features.php,
                version: php,
                pool: given.php.clone(),
                open_basedir: vec![".".into()],
            },
        },
        ssh: SshManifest { schema_version: SCHEMA_VERSION, mode: SshMode::Disabled },
    };
    allowance::give(&mut set, package, *version, &given);
    set
}

impl Change {
    /// Refuses what no state of an account could make right: names that nobody can own, and a reason that is none. `panel`
    /// is the panel's own name.
    ///
    /// # Errors
    /// 422 or 409 that names the field.
    pub(crate) fn check(&self, panel: &str) -> Result<(), Problem> {
        match self {
            Change::Create { manifests } | Change::BringBack { manifests } => {
                manifests.domains.names().try_for_each(|(kind, name)| {
                    check_name(if kind == DomainKind::Primary { "primary_domain" } else { "domains" }, name, panel)
                })
            }
            Change::AddDomain { request } => check_name("domain", &request.domain, panel),
            Change::Suspend { reason } => check_reason(reason.as_deref()),
            _ => Ok(()),
        }
    }
}

/// Refuses that somebody lifts a suspension who is below who suspended: `by` is a role.
///
/// # Errors
/// 403.
pub(crate) fn refuse_lifting(account: &StoredAccount, change: &Change, by: Role) -> Result<(), Problem> {
    let by_admin = matches!(account.suspended_by, Some(Role::Root | Role::Admin));
    let lifts = account.state == AccountState::Suspended && change.lifts_suspension();
    if lifts && by_admin && !matches!(by, Role::Root | Role::Admin) {
        return Err(Problem::forbidden("An administrator suspended the account; ask them to bring it back."));
    }
    Ok(())
}

/// A reason is one line that an account's owner can read.
fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    match reason {
        Some(reason) if reason.chars().count() > 200 || reason.chars().any(char::is_control) => {
            Err(Problem::invalid("reason", "use one line of 200 characters at most"))
        }
        _ => Ok(()),
    }
}

/// Refuses names that nobody can own: public suffixes such as `co.uk`, and the panel's own name.
///
/// # Errors
/// 422 or 409 about `field`.
fn check_name(field: &str, name: &Domain, panel: &str) -> Result<(), Problem> {
    if psl::suffix_str(name.as_str()) == Some(name.as_str()) {
        let message = format!("\"{name}\" is a suffix under which others register names; give a name below it");
        return Err(Problem::invalid(field, message));
    }
    if let Ok(panel) = Domain::parse(panel)
        && (*name == panel || name.is_under(&panel))
    {
        let message = format!("\"{name}\" belongs to the panel itself; choose another name");
        return Err(Problem::field_conflict(field, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_01_names_nobody_can_own() {
        let check = |name: &str| check_name("domain", &Domain::parse(name).unwrap(), "panel.host.test");
        for bad in ["co.uk", "github.io", "panel.host.test", "x.panel.host.test"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for good in ["example.co.uk", "demo.test", "host.test", "me.github.io"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }
}
