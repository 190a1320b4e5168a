//! Changes: from the manifests that are to the manifests that shall be. Pure.

use crate::allowance;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wcp360_types::api::domain::{AddDomain, AddedDomainKind};
use wcp360_types::content::{Overrides, PackageContent};
use wcp360_types::manifest::{AccountStatus, Alias, DomainKind, ManifestSet, Site};
use wcp360_types::{DocumentRoot, Domain, PackageName, Problem, Revision};

/// A change of one account, as it is stored in a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A new account.
    Create {
        /// What it shall be; the agent adds uid, gid and home directory.
        manifests: Box<ManifestSet>,
    },
    /// A deleted account again, with its files.
    BringBack {
        /// What it was, with its uid.
        manifests: Box<ManifestSet>,
    },
    /// Sites, PHP and logins stop.
    Suspend {
        /// Why.
        reason: Option<String>,
    },
    /// Back to what it was.
    Unsuspend,
    /// Gone.
    Delete,
    /// One more name.
    AddDomain {
        /// What was asked for.
        request: AddDomain,
    },
    /// One name less.
    RemoveDomain {
        /// The name.
        domain: Domain,
    },
    /// Back to what it was before another change.
    Restore {
        /// What it was.
        manifests: Box<ManifestSet>,
        /// What that change had made of it.
        from: Revision,
    },
    /// Another package, or another version of it.
    ChangePackage {
        /// The package.
        package: PackageName,
        /// Its version.
        version: u32,
        /// What that gives.
        content: Box<PackageContent>,
        /// Leave what is more than the package allows.
        keep_excess: bool,
    },
    /// Something else than the package gives.
    SetOverrides {
        /// All that is set for the account alone.
        overrides: Box<Overrides>,
        /// The package that the account has.
        package: PackageName,
        /// Its version.
        version: u32,
        /// What that gives.
        content: Box<PackageContent>,
    },
}

impl Change {
    /// Whether a suspended account would be active after it.
    pub(crate) fn lifts_suspension(&self) -> bool {
        match self {
            Change::Unsuspend => true,
            Change::Restore { manifests, .. } => manifests.account.status == AccountStatus::Active,
            _ => false,
        }
    }

    /// The manifests after the change; `None`: no account.
    ///
    /// # Errors
    /// The change does not fit what is there.
    pub fn resolve(&self, current: Option<&ManifestSet>, now: Timestamp) -> Result<Option<ManifestSet>, Problem> {
        if let Change::Create { manifests } | Change::BringBack { manifests } = self {
            return match current {
                Some(set) => Err(exists(set)),
                None => Ok(Some((**manifests).clone())),
            };
        }
        let Some(current) = current else {
            return Err(Problem::new(404, "not-found", "Not found", "The account does not exist any more."));
        };
        let mut set = current.clone();
        match self {
            Change::Create { .. } | Change::BringBack { .. } => return Err(exists(current)),
            Change::Suspend { reason } => {
                if set.account.status == AccountStatus::Suspended {
                    return Err(Problem::conflict("The account is suspended already."));
                }
                set.account.status = AccountStatus::Suspended;
                set.account.suspended_reason = reason.clone();
            }
            Change::Unsuspend => {
                if set.account.status == AccountStatus::Active {
                    return Err(Problem::conflict("The account is not suspended."));
                }
                set.account.status = AccountStatus::Active;
                set.account.suspended_reason = None;
            }
            Change::Delete => return Ok(None),
            Change::AddDomain { request } => add_domain(&mut set, request)?,
            Change::RemoveDomain { domain } => remove_domain(&mut set, domain)?,
            Change::Restore { manifests, from } => {
                if current.revision() != *from {
                    let detail = "The account was changed again since; undo the later changes first.";
                    return Err(Problem::conflict(detail));
                }
                set = (**manifests).clone();
            }
            Change::ChangePackage { package, version, content, keep_excess } => {
                if set.account.package == *package && set.limits.package_version == *version {
                    let detail = format!("The account has version {version} of \"{package}\" already.");
                    return Err(Problem::conflict(detail));
                }
                let given = set.limits.overrides.over(content);
                let count = |kind| allowance::domains_of(current, kind);
                allowance::refuse_misfits(allowance::misfits(current, &given, count), *keep_excess)?;
                allowance::give(&mut set, package, *version, &given);
            }
            Change::SetOverrides { overrides, package, version, content } => {
                if set.account.package != *package || set.limits.package_version != *version {
                    let detail = "The account's package was changed meanwhile; look again and repeat the change.";
                    return Err(Problem::conflict(detail));
                }
                let given = overrides.over(content);
                let count = |kind| allowance::domains_of(current, kind);
                allowance::refuse_misfits(allowance::misfits(current, &given, count), false)?;
                set.limits.overrides = (**overrides).clone();
                allowance::give(&mut set, package, *version, &given);
            }
        }
        set.account.updated_at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        set.validate().map_err(|e| Problem::invalid(&e.field, e.error.to_string()))?;
        Ok(Some(set))
    }
}

fn exists(set: &ManifestSet) -> Problem {
    Problem::field_conflict("username", format!("\"{}\" exists already; choose another name", set.account.username))
}

/// What an added domain becomes.
///
/// # Errors
/// The request contradicts itself or the account.
pub fn added_kind(set: &ManifestSet, request: &AddDomain) -> Result<DomainKind, Problem> {
    let under_own = set.domains.sites().any(|(_, site)| request.domain.is_under(&site.domain));
    let kind = match request.kind {
        Some(AddedDomainKind::Alias) => DomainKind::Alias,
        Some(AddedDomainKind::Sub) => DomainKind::Sub,
        Some(AddedDomainKind::Addon) => DomainKind::Addon,
        None if request.target.is_some() => DomainKind::Alias,
        None if under_own => DomainKind::Sub,
        None => DomainKind::Addon,
    };
    match kind {
        DomainKind::Sub if !under_own => {
            let message = format!("\"{}\" is not under a domain of this account; add it as addon", request.domain);
            Err(Problem::invalid("kind", message))
        }
        DomainKind::Alias if request.document_root.is_some() => {
            Err(Problem::invalid("document_root", "an alias shows its target's files; leave it out"))
        }
        DomainKind::Addon | DomainKind::Sub if request.target.is_some() => {
            Err(Problem::invalid("target", "only an alias has a target; leave it out or use kind alias"))
        }
        _ => Ok(kind),
    }
}

fn add_domain(set: &mut ManifestSet, request: &AddDomain) -> Result<(), Problem> {
    let domain = request.domain.clone();
    if set.domains.names().any(|(_, name)| *name == domain) {
        return Err(Problem::field_conflict("domain", format!("\"{domain}\" is in the account already")));
    }
    let www_of = |site: &Site| site.www && site.domain.www().as_ref() == Some(&domain);
    if let Some((_, site)) = set.domains.sites().find(|(_, site)| www_of(site)) {
        let message = format!("\"{domain}\" is served already, as the www name of \"{}\"", site.domain);
        return Err(Problem::field_conflict("domain", message));
    }
    let kind = added_kind(set, request)?;
    // People expect www in front of a domain of its own, not in front of a subdomain.
    let www = kind != DomainKind::Sub && domain.www().is_some();
    let site = || Site {
        domain: domain.clone(),
        document_root: request.document_root.clone().unwrap_or_else(|| DocumentRoot::for_domain(&domain)),
        www,
    };
    match kind {
        DomainKind::Addon | DomainKind::Primary => set.domains.addon.push(site()),
        DomainKind::Sub => set.domains.sub.push(site()),
        DomainKind::Alias => {
            let target = request.target.clone().unwrap_or_else(|| set.domains.primary.domain.clone());
            set.domains.alias.push(Alias { domain, target, www });
        }
    }
    Ok(())
}

fn remove_domain(set: &mut ManifestSet, domain: &Domain) -> Result<(), Problem> {
    if set.domains.primary.domain == *domain {
        let message = "the primary domain can't be removed; delete the account, or make another domain primary first";
        return Err(Problem::field_conflict("domain", message));
    }
    if let Some(alias) = set.domains.alias.iter().find(|a| a.target == *domain) {
        let message = format!("\"{}\" is an alias of it; remove that first", alias.domain);
        return Err(Problem::field_conflict("domain", message));
    }
    let before = set.domains.names().count();
    set.domains.addon.retain(|site| site.domain != *domain);
    set.domains.sub.retain(|site| site.domain != *domain);
    set.domains.alias.retain(|alias| alias.domain != *domain);
    if set.domains.names().count() == before {
        return Err(Problem::not_found("domain", domain));
    }
    let orphan = set.domains.sub.iter().find(|s| !set.domains.sites().any(|(_, site)| s.domain.is_under(&site.domain)));
    if let Some(sub) = orphan {
        let message = format!("\"{}\" lies under it; remove that first", sub.domain);
        return Err(Problem::field_conflict("domain", message));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::new_account;
    use wcp360_types::api::account::CreateAccount;

    pub(crate) fn alice() -> ManifestSet {
        let request: CreateAccount =
            serde_json::from_value(serde_json::json!({"username": "alice", "primary_domain": "alice.test"})).unwrap();
        let package = ("starter".parse().unwrap(), 1, PackageContent::default());
        new_account(&request, &package, "8.2".parse().unwrap(), Timestamp::UNIX_EPOCH)
    }

    fn add(set: &ManifestSet, json: serde_json::Value) -> Result<ManifestSet, Problem> {
        let request = serde_json::from_value(json).unwrap();
        Change::AddDomain { request }.resolve(Some(set), Timestamp::now()).map(Option::unwrap)
    }

    #[test]
    fn web_01_kinds_follow_from_the_name() {
        let set = add(&alice(), serde_json::json!({"domain": "shop.alice.test"})).unwrap();
        let set = add(&set, serde_json::json!({"domain": "other.test"})).unwrap();
        let set = add(&set, serde_json::json!({"domain": "third.test", "target": "other.test"})).unwrap();
        let kinds: Vec<_> = set.domains.names().map(|(k, n)| (k, n.as_str())).collect();
        assert_eq!(
            kinds[1..],
            [
                (DomainKind::Addon, "other.test"),
                (DomainKind::Sub, "shop.alice.test"),
                (DomainKind::Alias, "third.test")
            ]
        );
        let hosts = set.domains.hosts_of(&set.domains.addon[0]);
        let hosts: Vec<_> = hosts.iter().map(|h| h.as_str()).collect();
        assert_eq!(hosts, ["other.test", "third.test", "www.other.test", "www.third.test"]);
    }

    #[test]
    fn web_01_contradictions_are_refused() {
        for (json, field) in [
            (serde_json::json!({"domain": "alice.test"}), "domain"),
            (serde_json::json!({"domain": "www.alice.test"}), "domain"),
            (serde_json::json!({"domain": "x.test", "kind": "sub"}), "kind"),
            (serde_json::json!({"domain": "x.test", "kind": "addon", "target": "alice.test"}), "target"),
            (serde_json::json!({"domain": "x.test", "kind": "alias", "document_root": "x"}), "document_root"),
            (serde_json::json!({"domain": "x.test", "target": "missing.test"}), "domains.json: alias"),
        ] {
            let problem = add(&alice(), json.clone()).unwrap_err();
            assert_eq!(problem.errors[0].field, field, "{json}");
        }
    }

    #[test]
    fn suspend_and_back_is_the_same_but_for_the_time() {
        let before = alice();
        let suspended = Change::Suspend { reason: Some("bill".into()) }.resolve(Some(&before), Timestamp::now());
        let suspended = suspended.unwrap().unwrap();
        assert!(Change::Suspend { reason: None }.resolve(Some(&suspended), Timestamp::now()).is_err());
        let mut after = Change::Unsuspend.resolve(Some(&suspended), Timestamp::now()).unwrap().unwrap();
        after.account.updated_at = before.account.updated_at;
        assert_eq!(after, before);
    }

    #[test]
    fn removing_keeps_what_depends_on_it() {
        let set = add(&alice(), serde_json::json!({"domain": "other.test"})).unwrap();
        let set = add(&set, serde_json::json!({"domain": "a.other.test"})).unwrap();
        let remove = |set: &ManifestSet, name: &str| {
            Change::RemoveDomain { domain: name.parse().unwrap() }.resolve(Some(set), Timestamp::now())
        };
        assert_eq!(remove(&set, "alice.test").unwrap_err().status, 409);
        assert_eq!(remove(&set, "other.test").unwrap_err().status, 409);
        assert_eq!(remove(&set, "missing.test").unwrap_err().status, 404);
        let set = remove(&set, "a.other.test").unwrap().unwrap();
        assert!(remove(&set, "other.test").is_ok());
    }

    fn content(json: serde_json::Value) -> Box<PackageContent> {
        serde_json::from_value(json).unwrap()
    }

    fn change_package(
        set: &ManifestSet,
        version: u32,
        json: serde_json::Value,
        keep: bool,
    ) -> Result<ManifestSet, Problem> {
        let change = Change::ChangePackage {
            package: "starter".parse().unwrap(),
            version,
            content: content(json),
            keep_excess: keep,
        };
        change.resolve(Some(set), Timestamp::now()).map(Option::unwrap)
    }

    fn set_overrides(set: &ManifestSet, version: u32, overrides: serde_json::Value) -> Result<ManifestSet, Problem> {
        let change = Change::SetOverrides {
            overrides: serde_json::from_value(overrides).unwrap(),
            package: "starter".parse().unwrap(),
            version,
            content: content(serde_json::json!({"limits": {"disk_mb": 100, "databases": 2}})),
        };
        change.resolve(Some(set), Timestamp::now()).map(Option::unwrap)
    }

    #[test]
    fn ten_05_a_change_of_package_keeps_what_was_set_for_the_account() {
        let set = set_overrides(&alice(), 1, serde_json::json!({"limits": {"disk_mb": 500}, "php": {"upload_mb": 9}}));
        let set = set.unwrap();
        assert_eq!((set.limits.limits.disk_mb, set.limits.limits.databases), (Some(500), Some(2)));
        let set =
            change_package(&set, 2, serde_json::json!({"limits": {"disk_mb": 7, "databases": 9}}), false).unwrap();
        assert_eq!((set.limits.limits.disk_mb, set.limits.limits.databases), (Some(500), Some(9)));
        assert_eq!((set.services.php.pool.upload_mb, set.limits.package_version), (9, 2));
        // Taken away again: the package's values are back.
        let before = set_overrides(&set, 1, serde_json::json!({})).unwrap_err();
        assert_eq!(before.status, 409, "the account has another version by now");
        let set = set_overrides(&set, 2, serde_json::json!({})).unwrap();
        assert_eq!((set.limits.limits.disk_mb, set.services.php.pool.upload_mb), (Some(100), 64));
        assert!(set.limits.overrides.is_empty());
    }

    #[test]
    fn ten_05_a_smaller_package_names_what_does_not_fit() {
        let set = add(&alice(), serde_json::json!({"domain": "one.test"})).unwrap();
        let set = add(&set, serde_json::json!({"domain": "two.test"})).unwrap();
        let set = add(&set, serde_json::json!({"domain": "a.alice.test"})).unwrap();
        let small = serde_json::json!({"limits": {"addon_domains": 1, "subdomains": 0, "alias_domains": 0}});
        let problem = change_package(&set, 2, small.clone(), false).unwrap_err();
        let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!((problem.status, fields), (422, vec!["limits.addon_domains", "limits.subdomains"]));
        let kept = change_package(&set, 2, small, true).unwrap();
        assert_eq!((kept.domains.addon.len(), kept.limits.limits.addon_domains), (2, Some(1)));
        // Nothing is lost even so: what would stop working is refused with any word.
        assert_eq!(
            change_package(&set, 2, serde_json::json!({"features": {"php": false}}), true).unwrap_err().status,
            422
        );
        assert_eq!(change_package(&kept, 2, serde_json::json!({}), true).unwrap_err().status, 409);
    }
}
