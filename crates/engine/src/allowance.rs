//! What an account is given, and whether it fits: a package's content with what is set for the account alone. Pure.

use wcp360_types::api::reseller::ResellerLimits;
use wcp360_types::content::PackageContent;
use wcp360_types::limits::{Features, Limit, Limits};
use wcp360_types::manifest::{DomainKind, ManifestSet, SshMode};
use wcp360_types::{FieldError, PackageName, Problem};

/// Something of an account that does not fit what it would be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) error: FieldError,
    /// Whether something would stop working; else there is only more of it than could be made anew.
    pub(crate) stops: bool,
}

/// The kinds of domains that have a maximum.
pub(crate) const LIMITED_KINDS: [DomainKind; 3] = [DomainKind::Addon, DomainKind::Sub, DomainKind::Alias];

/// The maximum for a kind of domain, with the name of its field.
pub(crate) fn domain_limit(limits: &Limits, kind: DomainKind) -> (Limit, &'static str) {
    match kind {
        DomainKind::Primary => (None, "primary"),
        DomainKind::Addon => (limits.addon_domains, "addon_domains"),
        DomainKind::Sub => (limits.subdomains, "subdomains"),
        DomainKind::Alias => (limits.alias_domains, "alias_domains"),
    }
}

/// Makes the manifests say what a version of a package gives.
pub(crate) fn give(set: &mut ManifestSet, package: &PackageName, version: u32, given: &PackageContent) {
    let had_php = set.limits.features.php;
    set.account.package = package.clone();
    set.limits.package_version = version;
    set.limits.limits = given.limits.clone();
    set.limits.soft_limits = given.soft_limits.clone();
    set.limits.features = given.features.clone();
    set.limits.storage = given.storage.clone();
    set.limits.security = given.security.clone();
    set.services.php.pool = given.php.clone();
    if given.features.php != had_php {
        set.services.php.enabled = given.features.php;
    }
}

/// How many names of a kind the manifests have.
pub(crate) fn domains_of(set: &ManifestSet, kind: DomainKind) -> u64 {
    set.domains.names().filter(|(k, _)| *k == kind).count() as u64
}

/// Everything of an account that does not fit. `count` says how many names of a kind there are.
pub(crate) fn misfits(set: &ManifestSet, given: &PackageContent, count: impl Fn(DomainKind) -> u64) -> Vec<Misfit> {
    let mut all = Vec::new();
    for kind in LIMITED_KINDS {
        let (limit, field) = domain_limit(&given.limits, kind);
        let (most, there) = (limit.unwrap_or(u64::MAX), count(kind));
        let had = domain_limit(&set.limits.limits, kind).0;
        // What was too much before is not made worse by a change that leaves this maximum alone.
        if there > most && had.is_none_or(|had| most < had) {
            let message = format!("there are {there} and {most} would be allowed; remove {} first", there - most);
            all.push(Misfit { error: error(&format!("limits.{field}"), message), stops: false });
        }
    }
    if set.services.php.enabled && !given.features.php {
        let message = "the sites' PHP would stop; choose a package with PHP".to_owned();
        all.push(Misfit { error: error("features.php", message), stops: true });
    }
    if set.ssh.mode != SshMode::Disabled && !given.features.ssh {
        let message = "logins over SSH are in use and would stop; switch them off first".to_owned();
        all.push(Misfit { error: error("features.ssh", message), stops: true });
    }
    all
}

/// Refuses what does not fit; with `keep_excess` only what would stop working.
///
/// # Errors
/// 422 that names everything that does not fit.
pub(crate) fn refuse_misfits(misfits: Vec<Misfit>, keep_excess: bool) -> Result<(), Problem> {
    refuse(misfits.into_iter().filter(|misfit| misfit.stops || !keep_excess).map(|misfit| misfit.error).collect())
}

/// The values that are above a ceiling.
pub(crate) fn above(limits: &Limits, ceilings: &Limits, whose: &str) -> Vec<FieldError> {
    let pairs = limits.entries().zip(ceilings.entries());
    pairs
        .filter_map(|((name, limit), (_, ceiling))| {
            let ceiling = ceiling.filter(|ceiling| limit.is_none_or(|limit| limit > *ceiling))?;
            let value = limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            Some(error(
                &format!("limits.{name}"),
                format!("{value} is more than {whose} allows; use at most {ceiling}"),
            ))
        })
        .collect()
}

/// What one account, or a package, has that its reseller may not give to any.
pub(crate) fn beyond(reseller: &ResellerLimits, limits: &Limits, features: &Features) -> Vec<FieldError> {
    let mut all = above(limits, &reseller.per_account, "the reseller");
    let on = features.entries().filter(|(name, on)| *on && reseller.without.contains(name));
    all.extend(on.map(|(name, _)| {
        let message = "the reseller can't give this; switch it off, or ask the administrator".to_owned();
        error(&format!("features.{}", name.as_str()), message)
    }));
    all
}

/// 422 with all of these, if there are any.
///
/// # Errors
/// So.
pub(crate) fn refuse(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() {
        return Ok(());
    }
    let detail: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    let mut problem = Problem::new(422, "limit-exceeded", "A limit would be exceeded", detail.join(". "));
    problem.errors = errors;
    Err(problem)
}

pub(crate) fn error(field: &str, message: String) -> FieldError {
    FieldError { field: field.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::tests::alice;

    #[test]
    fn ten_05_what_does_not_fit_is_named_all_at_once() {
        let mut set = alice();
        set.ssh.mode = SshMode::Sftp;
        let mut given = PackageContent::default();
        given.limits.addon_domains = Some(1);
        given.limits.subdomains = Some(2);
        given.features.php = false;
        let found = misfits(&set, &given, |kind| if kind == DomainKind::Addon { 3 } else { 2 });
        let fields: Vec<_> = found.iter().map(|m| (m.error.field.as_str(), m.stops)).collect();
        assert_eq!(fields, [("limits.addon_domains", false), ("features.php", true), ("features.ssh", true)]);
        assert_eq!(refuse_misfits(found.clone(), false).unwrap_err().errors.len(), 3);
        assert_eq!(refuse_misfits(found.clone(), true).unwrap_err().errors.len(), 2);
        assert!(refuse_misfits(found[..1].to_vec(), true).is_ok());
    }

    #[test]
    fn ten_06_ceilings_of_a_reseller() {
        let reseller: ResellerLimits =
            serde_json::from_str(r#"{"per_account": {"disk_mb": 10}, "without": ["ssh"]}"#).unwrap();
        let limits = |disk| Limits { disk_mb: disk, ..Limits::default() };
        let ssh = Features { ssh: true, ..Features::default() };
        assert!(beyond(&reseller, &limits(Some(10)), &Features::default()).is_empty());
        assert_eq!(beyond(&reseller, &limits(Some(11)), &Features::default()).len(), 1);
        assert_eq!(beyond(&reseller, &limits(None), &ssh).len(), 2);
    }
}
