//! nginx's configuration.

use crate::facts::{AbsPath, NodeFacts};
use crate::resource::Kind;
use crate::{RenderError, paths, templates};
use minijinja::{Value, context};
use std::collections::BTreeMap;
use wcp360_types::Username;
use wcp360_types::manifest::{ManifestSet, Site};

/// The name under which a generation says its number; the agent writes it, it is not rendered.
pub const GENERATION_FILE: &str = "generation.conf";
/// The directory of a generation with the sites that have a server block of their own.
pub const SITES_DIR: &str = "sites";

/// The files that every generation has, by name, without the number and the sites.
///
/// # Errors
/// A template is defective.
pub fn base(facts: &NodeFacts) -> Result<BTreeMap<String, String>, RenderError> {
    let values = common(facts);
    let mut files = BTreeMap::new();
    for (file, template) in [
        ("nginx.conf", "nginx/nginx.conf"),
        ("site-body.conf", "nginx/site-body.conf"),
        ("php.conf", "nginx/php.conf"),
        ("panel.conf", "nginx/panel.conf"),
    ] {
        files.insert(file.to_owned(), templates::render(template, &values)?);
    }
    Ok(files)
}

/// The file that makes a generation answer with its number.
pub fn generation_file(number: u64) -> String {
    format!("location = /generation {{ default_type text/plain; return 200 \"{number}\\n\"; }}\n")
}

/// The number in a [`generation_file`].
pub fn generation_of(content: &str) -> Option<u64> {
    let (_, rest) = content.split_once("return 200 \"")?;
    rest.split_once('\\')?.0.parse().ok()
}

fn common(facts: &NodeFacts) -> Value {
    let hostname = &facts.config.hostname;
    let mut panel_names = vec![hostname.clone()];
    for local in ["localhost", "127.0.0.1", "[::1]"] {
        if hostname != local {
            panel_names.push(local.into());
        }
    }
    // The brackets of an IPv6 address are syntax for the formatter; they stand in the template.
    panel_names.retain(|name| !name.starts_with('['));
    context! {
        web => paths::WEB,
        base_dir => facts.base_dir,
        pages => paths::PAGES,
        status_socket => paths::NGINX_STATUS,
        panel_cert => paths::PANEL_CERT,
        panel_names => panel_names,
        hostname => hostname,
        http_port => facts.config.http_port,
        https_port => facts.config.https_port,
        ipv6 => facts.ipv6,
        http2_directive => facts.nginx_http2_directive,
    }
}

/// The server block of a site whose document root lies where the account can change the path to it.
pub(crate) fn own_block(
    account: &Username,
    home: &AbsPath,
    site: &Site,
    set: &ManifestSet,
    facts: &NodeFacts,
) -> Result<Kind, RenderError> {
    let content = templates::render(
        "nginx/site.conf",
        context! {
            account => account,
            home => home,
            root => home.join(site.document_root.as_str())?,
            hosts => set.domains.hosts_of(site),
            ..common(facts)
        },
    )?;
    Ok(Kind::NginxSite { file: format!("{account}.{}.conf", site.domain), content })
}
