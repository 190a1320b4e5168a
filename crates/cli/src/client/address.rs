//! The panel's address.

use super::listener::Listener;
use crate::failure::Failure;
use std::net::IpAddr;
use ureq::http::Uri;

/// Where a panel is.
#[derive(Debug)]
pub(super) struct Address {
    /// Without a slash at the end.
    pub(super) url: String,
    /// Whether it is on this machine.
    pub(super) is_this_machine: bool,
    is_https: bool,
    ip: Option<IpAddr>,
    port: u16,
}

impl Address {
    /// Whether nobody can listen in.
    pub(super) fn is_private(&self) -> bool {
        self.is_https || self.is_this_machine
    }

    /// Who must be listening, where nothing else proves that it is the panel.
    pub(super) fn listener(&self) -> Option<Listener> {
        (self.is_this_machine && !self.is_https).then(|| Listener::new(self.ip, self.port))
    }
}

/// Reads an address.
///
/// # Errors
/// It is not `http://…` or `https://…`, or says more than where the panel is.
pub(super) fn parse(url: &str) -> Result<Address, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--server {url:?} {why}; give e.g. https://panel.example.com"));
    let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
    let host = uri.host().ok_or_else(|| wrong("names no machine"))?;
    let is_https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("is neither http:// nor https://")),
    };
    if uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err(wrong("has a query or a login in it"));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>().ok();
    let is_this_machine = ip.map_or(bare == "localhost", |ip| ip.is_loopback());
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    Ok(Address { url: url.trim_end_matches('/').to_owned(), is_this_machine, is_https, ip, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_sent_where_nobody_listens_in() {
        let private = |url| parse(url).unwrap().is_private();
        assert!(private("http://127.0.0.1:2098") && private("http://[::1]:2098/") && private("http://localhost"));
        assert!(private("https://panel.example.com"));
        assert!(!private("http://panel.example.com") && !private("http://127.0.0.1.example.com"));
        assert!(!private("http://localhost.example.com"));
        for bad in ["panel", "ftp://x", "http://user@x", "http://x/?q", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("https://x.test/panel/").unwrap().url, "https://x.test/panel");
    }
}
