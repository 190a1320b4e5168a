//! What the node needs, whatever accounts it has.

use crate::facts::{AbsPath, NodeFacts};
use crate::resource::{Kind, Principal, Removal, Resource};
use crate::{RenderError, paths, templates};
use minijinja::context;

/// The node's directories, in the order in which they are made. Nothing here is ever taken away.
///
/// # Errors
/// A template is defective.
pub fn render_node(facts: &NodeFacts) -> Result<Vec<Resource>, RenderError> {
    use Principal::{Root, Web};
    let mut out = Vec::new();
    let base = facts.base_dir.as_str();
    for (path, group, mode) in [
        ("/etc/wcp360", Root, 0o755),
        (paths::USERS, Root, 0o700),
        (paths::PHP_CONF, Root, 0o711),
        (paths::NGINX, Root, 0o755),
        (paths::QUARANTINE, Root, 0o700),
        ("/etc/wcp360/snippets", Root, 0o755),
        (paths::SNIPPETS, Root, 0o755),
        ("/etc/wcp360/snippets/nginx/global", Root, 0o755),
        ("/etc/wcp360/ssl", Root, 0o700),
        (paths::WANTS, Root, 0o755),
        ("/etc/tmpfiles.d", Root, 0o755),
        (paths::AGENT_STATE, Root, 0o700),
        ("/var/lib/wcp360/agent/journal", Root, 0o700),
        ("/var/lib/wcp360/agent/history", Root, 0o700),
        ("/var/lib/wcp360/agent/applied", Root, 0o700),
        ("/var/lib/wcp360/agent/accepted", Root, 0o700),
        (paths::WEB, Root, 0o711),
        ("/var/lib/wcp360/web/names", Web, 0o750),
        ("/var/lib/wcp360/web/sites", Web, 0o750),
        ("/var/lib/wcp360/web/php", Web, 0o750),
        ("/var/lib/wcp360/web/acme", Web, 0o750),
        ("/var/lib/wcp360/web/empty", Root, 0o755),
        (base, Root, 0o711),
        (&format!("{base}/.trash"), Root, 0o700),
        (paths::PHP_RUN, Root, 0o755),
    ] {
        let path = AbsPath::parse(path)?;
        out.push(Resource::new(Kind::Dir { path, owner: Root, group, mode, removal: Removal::Keep }));
    }
    for version in &facts.php_versions {
        // Sockets made in here get its group, so that nginx can connect to them.
        let path = AbsPath::parse(&format!("{}/{version}", paths::PHP_RUN))?;
        out.push(Resource::new(Kind::Dir { path, owner: Root, group: Web, mode: 0o2750, removal: Removal::Keep }));
    }
    // Before the agent is up after a boot, sockets are.
    let lines = facts.php_versions.iter().map(|v| format!("d {}/{v} 2750 root www-data -\n", paths::PHP_RUN));
    out.push(Resource::new(Kind::File {
        path: AbsPath::parse("/etc/tmpfiles.d/wcp360-php.conf")?,
        content: format!(
            "# Written by wcp360-agent; edits are overwritten. Sockets made in here get the group of nginx's workers.\n\
             d {} 0755 root root -\n{}",
            paths::PHP_RUN,
            lines.collect::<String>()
        ),
        owner: Root,
        group: Root,
        mode: 0o644,
        on_change: None,
    }));
    out.extend(php_units(facts)?);
    Ok(out)
}

/// The units that accounts' PHP services are instances of, one pair for each installed version.
///
/// # Errors
/// A template is defective.
pub fn php_units(facts: &NodeFacts) -> Result<Vec<Resource>, RenderError> {
    let mut out = Vec::new();
    let base_in_home = ["/home", "/root", "/run/user"].iter().any(|dir| {
        facts.base_dir.as_str().strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    for version in &facts.php_versions {
        for (kind, template) in [("service", "php/service"), ("socket", "php/socket")] {
            let values = context! {
                version => version,
                base_dir => facts.base_dir,
                base_in_home => base_in_home,
                conf => paths::PHP_CONF,
                run => paths::PHP_RUN,
            };
            out.push(Resource::new(Kind::File {
                path: AbsPath::parse(&format!("{}/wcp360-php{version}@.{kind}", paths::UNITS))?,
                content: templates::render(template, values)?,
                owner: Principal::Root,
                group: Principal::Root,
                mode: 0o644,
                on_change: None,
            }));
        }
    }
    Ok(out)
}
