//! One account: its user, its tree, its PHP and its sites.

use crate::facts::{AbsPath, NodeFacts};
use crate::resource::{Kind, Principal, Removal, Resource, UserSpec};
use crate::{RenderError, php, site};
use std::collections::BTreeSet;
use wcp360_types::manifest::{AccountStatus, ManifestSet};
use wcp360_types::{DocumentRoot, Username};

/// What all parts of one account's rendering share.
pub(crate) struct Account<'a> {
    pub(crate) set: &'a ManifestSet,
    pub(crate) facts: &'a NodeFacts,
    pub(crate) name: &'a Username,
    pub(crate) home: AbsPath,
    pub(crate) suspended: bool,
}

/// Everything one account needs on the machine, in the order in which it is made; taken away in the reverse order.
///
/// The manifests must have been validated and completed (uid, home directory).
///
/// # Errors
/// Something the agent assigns is missing, the PHP version is not installed, or a template is defective.
pub fn render(set: &ManifestSet, facts: &NodeFacts) -> Result<Vec<Resource>, RenderError> {
    let name = &set.account.username;
    let account =
        Account { set, facts, name, home: facts.home(name), suspended: set.account.status == AccountStatus::Suspended };
    let mut out = Vec::new();
    tree(&account, &mut out)?;
    php::service(&account, &mut out)?;
    site::sites(&account, &mut out)?;
    Ok(out)
}

fn dir(path: AbsPath, owner: Principal, group: Principal, mode: u32, removal: Removal) -> Resource {
    Resource::new(Kind::Dir { path, owner, group, mode, removal })
}

/// The user and the home directory.
///
/// The home directory comes before the user, so that it is taken away after it: the last thing that happens to a deleted
/// account is that its tree moves to the trash.
fn tree(account: &Account<'_>, out: &mut Vec<Resource>) -> Result<(), RenderError> {
    use Principal::{Account as Owner, Root, Web};
    let home = &account.home;
    let uid = account.set.account.uid.ok_or(RenderError::Missing("uid"))?;
    out.push(Resource::new(Kind::Home { path: home.clone(), mode: 0o751 }));
    out.push(Resource::new(Kind::User(UserSpec {
        name: account.name.clone(),
        uid,
        home: home.clone(),
        shell: account.set.account.shell.path(),
        locked: account.suspended,
    })));
    for private in ["private", "tmp", "backups"] {
        out.push(dir(home.join(private)?, Owner, Owner, 0o700, Removal::Keep));
    }
    out.push(dir(home.join("logs")?, Root, Owner, 0o751, Removal::Keep));
    let path = home.join("logs/php-error.log")?;
    out.push(Resource::new(Kind::LogFile { path, owner: Owner, group: Owner, mode: 0o640 }));
    out.push(dir(home.join(".system")?, Root, Owner, 0o750, Removal::Keep));
    out.push(Resource::new(Kind::File {
        path: home.join(".system/account.json")?,
        content: facts_for_tenant(account.set),
        owner: Root,
        group: Owner,
        mode: 0o640,
        on_change: None,
    }));
    out.push(dir(home.join("domains")?, Root, Owner, 0o751, Removal::Keep));
    for (_, site) in account.set.domains.sites() {
        let root = &site.document_root;
        if *root == DocumentRoot::primary() {
            out.push(dir(home.join(root.as_str())?, Owner, Web, 0o2750, Removal::Keep));
        } else if let Some(owner) = site::standard_root_of(account.set, root) {
            out.push(dir(home.join(&format!("domains/{owner}"))?, Root, Owner, 0o751, Removal::Keep));
            out.push(dir(home.join(root.as_str())?, Owner, Web, 0o2750, Removal::Keep));
        } else {
            out.push(Resource::new(Kind::TenantDir { home: home.clone(), relative: root.clone() }));
        }
        out.push(dir(home.join(&format!("logs/{}", site.domain))?, Web, Owner, 0o2750, Removal::Keep));
    }
    // Two sites may share a document root.
    let mut seen = BTreeSet::new();
    out.retain(|resource| seen.insert(resource.key.clone()));
    Ok(())
}

/// `.system/account.json`: what a program of the account may want to know.
fn facts_for_tenant(set: &ManifestSet) -> String {
    let facts = serde_json::json!({
        "username": set.account.username,
        "primary_domain": set.account.primary_domain,
        "package": set.account.package,
        "limits": set.limits.limits,
        "php": set.services.php.version,
    });
    format!("{facts:#}\n")
}
