//! Domains of an account.

use crate::call::{Answer, Call, Reply};
use wcp360_types::api::domain::{AddDomain, DomainView};
use wcp360_types::api::page::Page;
use wcp360_types::manifest::{DomainKind, DomainsManifest};
use wcp360_types::{Problem, Username};

pub(crate) async fn list(call: Call) -> Answer {
    let name: Username = call.param("account")?;
    let (scope, wanted) = (call.caller()?.scope(), name.clone());
    let account = call.engine().db().read(move |tx| tx.account(scope, &wanted)).await?;
    let account = account.ok_or_else(|| Problem::not_found("account", &name))?;
    let items = account.manifests.map(|set| views(&set.domains)).unwrap_or_default();
    Ok(Reply::ok(&Page { items, next_cursor: None }))
}

fn views(domains: &DomainsManifest) -> Vec<DomainView> {
    let sites = domains.sites().map(|(kind, site)| DomainView {
        domain: site.domain.clone(),
        kind,
        target: None,
        document_root: Some(site.document_root.clone()),
        hosts: domains.hosts_of(site),
    });
    let aliases = domains.alias.iter().map(|alias| DomainView {
        domain: alias.domain.clone(),
        kind: DomainKind::Alias,
        target: Some(alias.target.clone()),
        document_root: None,
        hosts: std::iter::once(alias.domain.clone()).chain(alias.www.then(|| alias.domain.www()).flatten()).collect(),
    });
    sites.chain(aliases).collect()
}

pub(crate) async fn add(call: Call) -> Answer {
    let request: AddDomain = call.body()?;
    let name: Username = call.param("account")?;
    let outcome = call.engine().add_domain(call.caller()?, &name, request, call.job_request()?).await?;
    call.outcome(outcome)
}

pub(crate) async fn remove(call: Call) -> Answer {
    let name: Username = call.param("account")?;
    let domain = call.param("domain")?;
    let outcome = call.engine().remove_domain(call.caller()?, &name, domain, call.job_request()?).await?;
    call.outcome(outcome)
}
