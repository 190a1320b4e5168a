//! Which manifest and which template a resource comes from, to be shown to people.

use crate::{Kind, Resource, paths};

/// Where a resource comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The manifest that decides most about it.
    pub manifest: &'static str,
    /// The template it is rendered from, if there is one.
    pub template: Option<&'static str>,
}

/// Where `resource`, one of an account, comes from.
pub fn origin(resource: &Resource) -> Origin {
    let from = |manifest| Origin { manifest, template: None };
    let with = |manifest, template| Origin { manifest, template: Some(template) };
    match &resource.kind {
        Kind::User(_) | Kind::Home { .. } => from("account.json"),
        Kind::TenantDir { .. } | Kind::SelfSignedCert { .. } => from("domains.json"),
        Kind::UnitEnabled { .. } => with("services.json", "php/socket"),
        Kind::NginxSite { .. } => with("domains.json", "nginx/site.conf"),
        Kind::Dir { path, .. } | Kind::LogFile { path, .. } | Kind::File { path, .. } | Kind::Symlink { path, .. } => {
            let path = path.as_str();
            let under = |dir: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
            if under(paths::PHP_CONF) {
                with("services.json", "php/pool.conf")
            } else if under(paths::UNITS) {
                with("limits.json", "php/slice.conf")
            } else if path.starts_with(&format!("{}/php/", paths::WEB)) {
                from("services.json")
            } else if under(paths::WEB)
                || path.contains("/domains")
                || path.contains("/public_html")
                || (path.contains("/logs/") && !path.ends_with("php-error.log"))
            {
                from("domains.json")
            } else {
                from("account.json")
            }
        }
    }
}
