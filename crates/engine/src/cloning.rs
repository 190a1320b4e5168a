//! The manifests of an account that is made like another one (TEN-05). Pure.

use jiff::Timestamp;
use std::collections::BTreeMap;
use wcp360_types::api::account::CloneAccount;
use wcp360_types::manifest::{AccountStatus, Alias, ManifestSet, Site};
use wcp360_types::{DocumentRoot, Domain, FieldError, Problem};

/// The manifests of the clone.
///
/// # Errors
/// Names that the account does not have, or new names that contradict each other.
pub(crate) fn cloned(source: &ManifestSet, request: &CloneAccount, now: Timestamp) -> Result<ManifestSet, Problem> {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let names = new_names(source, request)?;
    let site = |site: &Site| {
        let name = names.get(&site.domain)?;
        let usual = site.document_root == DocumentRoot::for_domain(&site.domain);
        let document_root = if usual { DocumentRoot::for_domain(name) } else { site.document_root.clone() };
        Some(Site { domain: name.clone(), document_root, www: site.www && name.www().is_some() })
    };
    let mut set = source.clone();
    set.account.username = request.username.clone();
    set.account.uid = None;
    set.account.gid = None;
    set.account.home_dir = None;
    set.account.primary_domain = request.primary_domain.clone();
    set.account.contact_email = request.contact_email.clone();
    set.account.status = AccountStatus::Active;
    set.account.suspended_reason = None;
    set.account.created_at = now;
    set.account.updated_at = now;
    let primary = &source.domains.primary;
    set.domains.primary =
        site(primary).unwrap_or_else(|| Site { domain: request.primary_domain.clone(), ..primary.clone() });
    set.domains.primary.document_root = primary.document_root.clone();
    set.domains.addon = source.domains.addon.iter().filter_map(site).collect();
    // What a name lay under may have got another name, or none.
    let subs: Vec<Site> = source.domains.sub.iter().filter_map(site).collect();
    set.domains.sub = Vec::new();
    set.domains.sub = subs
        .iter()
        .filter(|sub| {
            let above = set.domains.sites().map(|(_, site)| site).chain(&subs);
            above.into_iter().any(|site| sub.domain.is_under(&site.domain))
        })
        .cloned()
        .collect();
    let alias = |alias: &Alias| {
        let domain = names.get(&alias.domain)?.clone();
        let www = alias.www && domain.www().is_some();
        Some(Alias { domain, target: names.get(&alias.target)?.clone(), www })
    };
    set.domains.alias = source.domains.alias.iter().filter_map(alias).collect();
    set.validate().map_err(|e| Problem::invalid("domains", format!("{}: {}", e.field, e.error)))?;
    Ok(set)
}

/// Old names with their new ones: those given, and those that lie under the first domain.
fn new_names(source: &ManifestSet, request: &CloneAccount) -> Result<BTreeMap<Domain, Domain>, Problem> {
    let first = &source.domains.primary.domain;
    let mut names: BTreeMap<Domain, Domain> = BTreeMap::new();
    let mut errors = Vec::new();
    for (position, new) in request.domains.iter().enumerate() {
        let mut wrong =
            |message: String| errors.push(FieldError { field: format!("domains[{position}].from"), message });
        if new.from == *first {
            wrong(format!("\"{first}\" gets its new name from primary_domain; leave it out"));
        } else if !source.domains.names().any(|(_, name)| *name == new.from) {
            wrong(format!("there is no domain \"{}\" in the account that is cloned", new.from));
        } else if names.insert(new.from.clone(), new.to.clone()).is_some() {
            wrong(format!("\"{}\" has two new names; give one", new.from));
        }
    }
    if let Some(error) = errors.first() {
        let mut problem = Problem::invalid(&error.field, error.message.clone());
        problem.errors = errors;
        return Err(problem);
    }
    for (_, name) in source.domains.names() {
        if name == first {
            names.insert(name.clone(), request.primary_domain.clone());
        } else if let Some(label) = name.as_str().strip_suffix(&format!(".{first}"))
            && let Ok(new) = Domain::parse(&format!("{label}.{}", request.primary_domain))
        {
            names.entry(name.clone()).or_insert(new);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, tests::alice};

    fn with(set: &ManifestSet, json: serde_json::Value) -> ManifestSet {
        let request = serde_json::from_value(json).unwrap();
        Change::AddDomain { request }.resolve(Some(set), Timestamp::now()).unwrap().unwrap()
    }

    fn names(set: &ManifestSet) -> Vec<String> {
        set.domains.names().map(|(_, name)| name.to_string()).collect()
    }

    #[test]
    fn ten_05_a_clone_has_names_of_its_own() {
        let mut source = alice();
        source.account.uid = Some(20_001);
        source.account.gid = Some(20_001);
        source.limits.overrides.limits.disk_mb = Some(Some(5));
        for json in [
            serde_json::json!({"domain": "shop.alice.test"}),
            serde_json::json!({"domain": "other.test", "document_root": "apps/other"}),
            serde_json::json!({"domain": "third.test"}),
            serde_json::json!({"domain": "x.third.test"}),
            serde_json::json!({"domain": "alias.test", "target": "other.test"}),
        ] {
            source = with(&source, json);
        }
        let mut request: CloneAccount =
            serde_json::from_value(serde_json::json!({"username": "bob", "primary_domain": "bob.test"})).unwrap();
        let clone = cloned(&source, &request, Timestamp::now()).unwrap();
        assert_eq!(names(&clone), ["bob.test", "shop.bob.test"]);
        assert_eq!(clone.domains.sub[0].document_root.as_str(), "domains/shop.bob.test/public_html");
        assert_eq!((clone.account.uid, clone.limits.overrides == source.limits.overrides), (None, true));
        request.domains = serde_json::from_value(serde_json::json!([
            {"from": "other.test", "to": "bobs.test"}, {"from": "alias.test", "to": "bobalias.test"}
        ]))
        .unwrap();
        let clone = cloned(&source, &request, Timestamp::now()).unwrap();
        assert_eq!(names(&clone), ["bob.test", "bobs.test", "shop.bob.test", "bobalias.test"]);
        assert_eq!(clone.domains.addon[0].document_root.as_str(), "apps/other");
        assert_eq!(clone.domains.alias[0].target.as_str(), "bobs.test");
        request.domains = serde_json::from_value(serde_json::json!([{"from": "nobody.test", "to": "x.test"}])).unwrap();
        assert_eq!(cloned(&source, &request, Timestamp::now()).unwrap_err().errors[0].field, "domains[0].from");
        request.domains =
            serde_json::from_value(serde_json::json!([{"from": "third.test", "to": "bob.test"}])).unwrap();
        assert_eq!(cloned(&source, &request, Timestamp::now()).unwrap_err().status, 422);
    }
}
