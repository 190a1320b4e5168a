//! The sites of one account: their directories in the names tree, their certificates, their names.

use crate::account::Account;
use crate::facts::AbsPath;
use crate::resource::{Kind, Principal, Removal, Resource};
use crate::{RenderError, nginx, paths};
use wcp360_types::manifest::{ManifestSet, Site};
use wcp360_types::{DocumentRoot, Domain};

pub(crate) fn sites(account: &Account<'_>, out: &mut Vec<Resource>) -> Result<(), RenderError> {
    let sites = AbsPath::parse(&format!("{}/sites/{}", paths::WEB, account.name))?;
    out.push(web_dir(sites));
    for (_, site) in account.set.domains.sites() {
        site_dir(account, site, out)?;
    }
    for (_, site) in account.set.domains.sites() {
        if !account.suspended && !is_shared(account, site) {
            out.push(Resource::new(nginx::own_block(account.name, &account.home, site, account.set, account.facts)?));
        }
    }
    // Last, because a site is in service from here on.
    for (_, site) in account.set.domains.sites() {
        for host in account.set.domains.hosts_of(site) {
            out.push(Resource::new(Kind::Symlink {
                path: paths::name_link(&host)?,
                target: format!("../sites/{}/{}", account.name, site.domain),
                owner: Principal::Root,
            }));
        }
    }
    Ok(())
}

/// Whether the shared server block serves a site: it can, and nothing is to be added to it.
fn is_shared(account: &Account<'_>, site: &Site) -> bool {
    is_plain(account.set, site) && !account.facts.snippets
}

/// Whether the shared server block can serve a site: every component of the path to its files belongs to root.
pub(crate) fn is_plain(set: &ManifestSet, site: &Site) -> bool {
    site.document_root == DocumentRoot::primary() || standard_root_of(set, &site.document_root).is_some()
}

/// The site of the account whose standard document root `root` is: several sites may show the same files.
pub(crate) fn standard_root_of<'a>(set: &'a ManifestSet, root: &DocumentRoot) -> Option<&'a Domain> {
    set.domains.sites().map(|(_, site)| &site.domain).find(|domain| DocumentRoot::for_domain(domain) == *root)
}

fn web_dir(path: AbsPath) -> Resource {
    Resource::new(Kind::Dir {
        path,
        owner: Principal::Root,
        group: Principal::Web,
        mode: 0o750,
        removal: Removal::Tree,
    })
}

fn web_file(path: AbsPath, content: String) -> Resource {
    Resource::new(Kind::File {
        path,
        content,
        owner: Principal::Root,
        group: Principal::Web,
        mode: 0o640,
        on_change: None,
    })
}

fn site_dir(account: &Account<'_>, site: &Site, out: &mut Vec<Resource>) -> Result<(), RenderError> {
    let dir = paths::site_dir(account.name, &site.domain)?;
    let hosts = account.set.domains.hosts_of(site);
    out.push(web_dir(dir.clone()));
    out.push(Resource::new(Kind::SelfSignedCert { path: dir.join("tls.pem")?, names: hosts.clone() }));
    out.push(Resource::new(Kind::Symlink {
        path: dir.join("logs")?,
        target: format!("{}/logs/{}", account.home, site.domain),
        // nginx compares the owner of the link with the owner of the directory, also for logs.
        owner: Principal::Web,
    }));
    if account.suspended {
        out.push(web_file(dir.join("suspended")?, String::new()));
    }
    // A site with a server block of its own is never served through the shared one, whose check for links starts below
    // the document root: it finds nothing there.
    let empty = account.suspended || !is_shared(account, site);
    // Before it logs a request that was not for a file, nginx looks at the document root again, this time from "/" on: the
    // link must belong to whoever the directory belongs to.
    let (target, owner) = if empty {
        (format!("{}/empty", paths::WEB), Principal::Root)
    } else {
        (format!("{}/{}", account.home, site.document_root), Principal::Account)
    };
    out.push(Resource::new(Kind::Symlink { path: dir.join("root")?, target, owner }));
    let live = serde_json::json!({
        "account": account.name,
        "domain": site.domain,
        "hosts": hosts,
        "status": account.set.account.status,
        "revision": account.set.revision(),
    });
    out.push(web_file(dir.join("site.json")?, format!("{live}\n")));
    Ok(())
}
