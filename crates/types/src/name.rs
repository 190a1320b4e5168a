//! Names of accounts, domains, packages and mail addresses.

use crate::validated::ValueError;
use crate::validated_string;

validated_string!(
    /// The name of an account, which is also its Linux user and group, and the login of its owner.
    ///
    /// `^[a-z][a-z0-9]{2,15}$` (TEN-01), so that it needs no quoting in any file the product writes, and none of the
    /// [`RESERVED_USERNAMES`].
    Username,
    schema = { "type": "string", "pattern": "^[a-z][a-z0-9]{2,15}$", "minLength": 3, "maxLength": 16,
               "description": "3 to 16 characters a-z and 0-9, starting with a letter", "examples": ["alice"] },
    parse = parse_username
);

validated_string!(
    /// The login name of a person who is no client: an administrator or a reseller.
    LoginName,
    schema = { "type": "string", "pattern": "^[a-z][a-z0-9._-]{2,31}$", "minLength": 3, "maxLength": 32,
               "description": "3 to 32 characters a-z, 0-9, \".\", \"_\" and \"-\", starting with a letter" },
    parse = parse_login_name
);

fn parse_login_name(value: &str) -> Result<String, ValueError> {
    let clean = value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if (3..=32).contains(&value.len()) && clean && value.as_bytes()[0].is_ascii_lowercase() {
        return Ok(value.to_owned());
    }
    let rule = "use 3 to 32 characters a-z, 0-9, \".\", \"_\" and \"-\", starting with a letter";
    Err(ValueError::new(format!("{value:?} is not a login name"), rule))
}

/// Names that belong to the system, to services that the product runs, or that mislead people.
///
/// Sorted, so that it can be searched. The agent also refuses every name that already exists on its machine.
pub const RESERVED_USERNAMES: &[&str] = &[
    "abuse",
    "adm",
    "admin",
    "administrator",
    "all",
    "amavis",
    "anonymous",
    "apache",
    "api",
    "avahi",
    "backup",
    "bin",
    "bind",
    "clamav",
    "colord",
    "core",
    "cpanel",
    "cron",
    "daemon",
    "dbus",
    "debian",
    "dnsmasq",
    "docker",
    "dovecot",
    "dovenull",
    "everyone",
    "exim",
    "ftp",
    "ftpuser",
    "games",
    "git",
    "gitlab",
    "gnats",
    "guest",
    "halt",
    "help",
    "hostmaster",
    "http",
    "httpd",
    "info",
    "irc",
    "kvm",
    "list",
    "local",
    "localhost",
    "logs",
    "mail",
    "mailer",
    "mailman",
    "man",
    "memcache",
    "messagebus",
    "mongodb",
    "mysql",
    "named",
    "news",
    "nginx",
    "nobody",
    "nogroup",
    "noreply",
    "ntp",
    "opendkim",
    "operator",
    "pdns",
    "plesk",
    "polkitd",
    "postdrop",
    "postfix",
    "postgres",
    "postmaster",
    "powerdns",
    "private",
    "proftpd",
    "proxy",
    "public",
    "redis",
    "reseller",
    "root",
    "rspamd",
    "rsync",
    "security",
    "shutdown",
    "site",
    "squid",
    "srv",
    "ssh",
    "sshd",
    "ssl",
    "staff",
    "statd",
    "sudo",
    "support",
    "sync",
    "syslog",
    "system",
    "systemd",
    "test",
    "tmp",
    "tomcat",
    "trash",
    "user",
    "users",
    "usbmux",
    "uucp",
    "vmail",
    "vsftpd",
    "wcp360",
    "webadmin",
    "webmaster",
    "webmail",
    "wheel",
    "www",
    "wwwdata",
];

fn parse_username(value: &str) -> Result<String, ValueError> {
    const REMEDY: &str = "use 3 to 16 characters a-z and 0-9, starting with a letter, e.g. \"alice\"";
    if !(3..=16).contains(&value.len()) {
        return Err(ValueError::new(format!("the name has {} characters", value.chars().count()), REMEDY));
    }
    if !value.as_bytes()[0].is_ascii_lowercase() {
        return Err(ValueError::new("the name does not start with a letter a-z", REMEDY));
    }
    if let Some(bad) = value.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit()) {
        return Err(ValueError::new(format!("the name contains {bad:?}"), REMEDY));
    }
    if RESERVED_USERNAMES.contains(&value) {
        return Err(ValueError::new(format!("\"{value}\" is reserved for the system"), "choose another name"));
    }
    Ok(value.to_owned())
}

validated_string!(
    /// A fully qualified domain name in its ASCII form (RFC 1123 letters, digits and hyphens; IDNA per UTS 46).
    ///
    /// Lower case, without trailing dot, at least two labels, 253 characters at most, each label 1 to 63. An IP address
    /// is not a domain. Unicode input is converted: `bücher.example` becomes `xn--bcher-kva.example`.
    Domain,
    schema = { "type": "string", "minLength": 3, "maxLength": 253, "format": "idn-hostname",
               "description": "A domain name such as example.com; international names are converted to their ASCII form",
               "examples": ["example.com"] },
    parse = parse_domain
);

fn parse_domain(value: &str) -> Result<String, ValueError> {
    const REMEDY: &str = "give a full domain name such as \"example.com\"";
    // Bounds the work before IDNA sees the input.
    if value.len() > 1024 {
        return Err(ValueError::new("the name is far too long", REMEDY));
    }
    let without_dot = value.strip_suffix('.').unwrap_or(value);
    let ascii = idna::domain_to_ascii_strict(without_dot)
        .map_err(|_| ValueError::new(format!("{value:?} is not a valid domain name"), REMEDY))?;
    if ascii.is_empty() || ascii.len() > 253 {
        return Err(ValueError::new("the name has more than 253 characters or none", REMEDY));
    }
    let labels: Vec<&str> = ascii.split('.').collect();
    if labels.len() < 2 {
        return Err(ValueError::new(format!("\"{ascii}\" has only one part"), REMEDY));
    }
    for label in &labels {
        let ldh = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if label.is_empty() || label.len() > 63 || !ldh || label.starts_with('-') || label.ends_with('-') {
            return Err(ValueError::new(format!("the part \"{label}\" of \"{ascii}\" is not allowed"), REMEDY));
        }
    }
    if labels.last().is_some_and(|tld| tld.bytes().all(|b| b.is_ascii_digit())) {
        return Err(ValueError::new(format!("\"{ascii}\" looks like an IP address"), REMEDY));
    }
    Ok(ascii)
}

impl Domain {
    /// Whether `self` lies under `other`: `a.b.test` under `b.test`, and no name under itself.
    pub fn is_under(&self, other: &Domain) -> bool {
        self.0.len() > other.0.len()
            && self.0.ends_with(&other.0)
            && self.0.as_bytes()[self.0.len() - other.0.len() - 1] == b'.'
    }

    /// The names above this one, nearest first, down to two labels: `c.b.a.test` gives `b.a.test`, `a.test`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let (_, parent) = rest.split_once('.')?;
            rest = parent;
            parent.contains('.').then_some(parent)
        })
    }

    /// `www.` in front of this name, if the result is still a valid name.
    pub fn www(&self) -> Option<Domain> {
        if self.0.starts_with("www.") {
            return None;
        }
        Domain::parse(&format!("www.{}", self.0)).ok()
    }
}

validated_string!(
    /// The name of a package (hosting plan): `^[a-z][a-z0-9-]{1,31}$`, not ending in a hyphen.
    PackageName,
    schema = { "type": "string", "pattern": "^[a-z][a-z0-9-]{0,30}[a-z0-9]$", "minLength": 2, "maxLength": 32,
               "description": "2 to 32 characters a-z, 0-9 and hyphens, starting with a letter", "examples": ["starter"] },
    parse = parse_package_name
);

fn parse_package_name(value: &str) -> Result<String, ValueError> {
    let ok = (2..=32).contains(&value.len())
        && value.as_bytes()[0].is_ascii_lowercase()
        && !value.ends_with('-')
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if ok {
        Ok(value.to_owned())
    } else {
        Err(ValueError::new(
            format!("{value:?} is not a package name"),
            "use 2 to 32 characters a-z, 0-9 and hyphens, starting with a letter, e.g. \"starter\"",
        ))
    }
}

validated_string!(
    /// A mail address to reach a person: a deliberately narrow subset of RFC 5321, without quoting or comments.
    EmailAddress,
    schema = { "type": "string", "format": "email", "maxLength": 254, "examples": ["alice@example.com"] },
    parse = parse_email
);

fn parse_email(value: &str) -> Result<String, ValueError> {
    let error =
        || ValueError::new(format!("{value:?} is not a mail address"), "give one such as \"alice@example.com\"");
    if value.len() > 254 {
        return Err(error());
    }
    let (local, host) = value.rsplit_once('@').ok_or_else(error)?;
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    if local.is_empty() || local.len() > 64 || !local.bytes().all(atom) || local.contains("..") {
        return Err(error());
    }
    if local.starts_with('.') || local.ends_with('.') {
        return Err(error());
    }
    let host = Domain::parse(host).map_err(|_| error())?;
    Ok(format!("{local}@{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ten_01_usernames() {
        for good in ["alice", "abc", "a12", "abcdefghijklmnop"] {
            assert_eq!(Username::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "ab",
            "Alice",
            "1abc",
            "a-b",
            "a_b",
            "alice\n",
            "abcdefghijklmnopq",
            "ålice",
            "root",
            "wcp360",
            "al ice",
        ] {
            assert!(Username::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn domains() {
        assert_eq!(Domain::parse("Example.COM.").unwrap().as_str(), "example.com");
        assert_eq!(Domain::parse("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        for bad in [
            "",
            ".",
            "localhost",
            "a..b",
            "-a.test",
            "a-.test",
            "192.168.0.1",
            "a b.test",
            "a.test\n",
            "a.test/x",
            "*.a.test",
            "a;b.test",
            "a.test..",
            "_dmarc.a.test",
            "::1",
            "a.test\0",
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Domain::parse(&format!("{}.test", "a".repeat(64))).is_err());
    }

    #[test]
    fn web_01_parents_and_under() {
        let d = Domain::parse("c.b.a.test").unwrap();
        assert_eq!(d.parents().collect::<Vec<_>>(), ["b.a.test", "a.test"]);
        assert!(d.is_under(&Domain::parse("a.test").unwrap()));
        assert!(!d.is_under(&d));
        assert!(!Domain::parse("xa.test").unwrap().is_under(&Domain::parse("a.test").unwrap()));
    }

    #[test]
    fn emails() {
        assert_eq!(EmailAddress::parse("a.b+c@Example.com").unwrap().as_str(), "a.b+c@example.com");
        for bad in ["", "a", "@b.test", "a@", "a@b", "a b@c.test", ".a@c.test", "a..b@c.test", "a@c.test\r\nBcc: x"] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        // Whatever goes in, what comes out holds no byte that any configuration format gives a meaning to.
        #[test]
        fn no_name_carries_syntax(s in ".{0,80}") {
            let safe = |t: &str| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            if let Ok(u) = Username::parse(&s) { prop_assert!(safe(u.as_str())); }
            if let Ok(d) = Domain::parse(&s) {
                prop_assert!(safe(d.as_str()));
                prop_assert_eq!(Domain::parse(d.as_str()).unwrap(), d);
            }
            if let Ok(p) = PackageName::parse(&s) { prop_assert!(safe(p.as_str())); }
        }
    }
}
