//! Where things are: the table of `docs/architecture.md`.

use crate::facts::{AbsPath, PathError};
use wcp360_types::manifest::PhpVersion;
use wcp360_types::{Domain, Username};

/// Manifests.
pub const USERS: &str = "/etc/wcp360/users";
/// php-fpm configurations.
pub const PHP_CONF: &str = "/etc/wcp360/php";
/// nginx generations.
pub const NGINX: &str = "/etc/wcp360/nginx";
/// What was moved aside, with a note beside each.
pub const QUARANTINE: &str = "/etc/wcp360/quarantine";
/// Pieces of nginx configuration that administrators write: `global/*.conf` for the node, `<account>/*.conf` for the sites
/// of an account. Nothing here is ever written or removed by the agent, but what nginx refuses is moved to the quarantine.
pub const SNIPPETS: &str = "/etc/wcp360/snippets/nginx";
/// The panel's certificate and key.
pub const PANEL_CERT: &str = "/etc/wcp360/ssl/panel.pem";
/// Unit files.
pub const UNITS: &str = "/etc/systemd/system";
/// What is started with the panel.
pub const WANTS: &str = "/etc/systemd/system/wcp360.target.wants";
/// The agent's own state.
pub const AGENT_STATE: &str = "/var/lib/wcp360/agent";
/// What nginx finds sites by.
pub const WEB: &str = "/var/lib/wcp360/web";
/// php-fpm's sockets.
pub const PHP_RUN: &str = "/run/wcp360/php";
/// Where nginx says which generation it runs.
pub const NGINX_STATUS: &str = "/run/wcp360/nginx-status.sock";
/// Pages that the panel itself shows.
pub const PAGES: &str = "/opt/wcp360/current/share/pages";

/// The directory of one site in the names tree.
pub fn site_dir(account: &Username, domain: &Domain) -> Result<AbsPath, PathError> {
    AbsPath::parse(&format!("{WEB}/sites/{account}/{domain}"))
}

/// The entry of one host in the names tree.
pub fn name_link(host: &Domain) -> Result<AbsPath, PathError> {
    AbsPath::parse(&format!("{WEB}/names/{host}"))
}

/// The socket of an account's PHP.
pub fn php_socket(version: &PhpVersion, account: &Username) -> String {
    format!("{PHP_RUN}/{version}/{account}.sock")
}
