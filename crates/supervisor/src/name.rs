//! Names of units, as in systemd.unit(5): `name.service`, `template@instance.socket`, and the specifiers made from them.

use std::fmt;
use std::sync::Arc;

/// The kinds of unit that the supervisor knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitKind {
    /// A process and what it leaves behind: systemd.service(5).
    Service,
    /// A listening socket that starts a service: systemd.socket(5).
    Socket,
    /// A name for a group of units: systemd.target(5).
    Target,
}

impl UnitKind {
    /// The suffix, with its dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Service => ".service",
            Self::Socket => ".socket",
            Self::Target => ".target",
        }
    }
}

/// Why a string is not the name of a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{name}” is not a unit name: {why}. Expected name.service, name@instance.service, .socket or .target")]
pub struct NameError {
    /// What was given, shortened.
    pub name: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Why a specifier could not be replaced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown specifier “%{0}”: only %i %n %N %p and %% are supported; write a literal percent sign as %%")]
pub struct SpecifierError(pub char);

/// The longest name accepted, in bytes: what fits in a directory entry, with room for `.d`.
pub const MAX_NAME: usize = 240;

/// A valid unit name. Nothing in it can be a path: no slash, and neither part is empty, starts with a dot, or holds `..`.
///
/// Accepted is `^[A-Za-z0-9_.:-]+(@[a-z0-9_.-]+)?\.(service|socket|target)$`, less the names that begin with a dot or a dash
/// and the instances that begin with a dot.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnitName {
    full: Arc<str>,
    at: Option<u16>,
    kind: UnitKind,
}

impl UnitName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name is not one, with what is wrong.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let err = |why| NameError { name: name.chars().take(80).collect(), why };
        if name.len() > MAX_NAME {
            return Err(err("it is too long"));
        }
        let kind = [UnitKind::Service, UnitKind::Socket, UnitKind::Target]
            .into_iter()
            .find(|k| name.ends_with(k.suffix()))
            .ok_or_else(|| err("it has no known suffix"))?;
        let stem = &name[..name.len() - kind.suffix().len()];
        let (prefix, instance) = match stem.split_once('@') {
            Some((p, i)) => (p, Some(i)),
            None => (stem, None),
        };
        if prefix.is_empty() || prefix.starts_with(['.', '-']) {
            return Err(err("the part before the suffix or @ is empty or begins with a dot or dash"));
        }
        if !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b)) {
            return Err(err("only letters, digits and _ . : - may stand before the suffix"));
        }
        if let Some(i) = instance {
            if i.is_empty() || i.starts_with('.') {
                return Err(err("the instance after @ is empty or begins with a dot"));
            }
            if !i.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b)) {
                return Err(err("only lower-case letters, digits and _ . - may stand in the instance"));
            }
        }
        if stem.contains("..") {
            return Err(err("two dots in a row are refused"));
        }
        let at = instance.map(|_| prefix.len() as u16);
        Ok(Self { full: name.into(), at, kind })
    }

    /// The whole name (`%n`).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The whole name, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.full)
    }

    /// What kind of unit it names.
    #[must_use]
    pub fn kind(&self) -> UnitKind {
        self.kind
    }

    /// The name without its suffix (`%N`).
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.full[..self.full.len() - self.kind.suffix().len()]
    }

    /// What stands before `@`, or the stem (`%p`).
    #[must_use]
    pub fn prefix(&self) -> &str {
        match self.at {
            Some(at) => &self.full[..at as usize],
            None => self.stem(),
        }
    }

    /// What stands between `@` and the suffix (`%i`).
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.at.map(|at| &self.stem()[at as usize + 1..])
    }

    /// The template's file name (`name@.service`), if this is an instance.
    #[must_use]
    pub fn template(&self) -> Option<String> {
        self.at.map(|at| format!("{}@{}", &self.full[..at as usize], self.kind.suffix()))
    }

    /// The unit of another kind with the same stem: the service of a socket.
    #[must_use]
    pub fn sibling(&self, kind: UnitKind) -> Self {
        Self { full: format!("{}{}", self.stem(), kind.suffix()).into(), at: self.at, kind }
    }

    /// Replaces `%i %n %N %p %%` in a value (systemd.unit(5), “Specifiers”).
    ///
    /// # Errors
    /// On any other specifier, or a lone `%` at the end.
    pub fn expand(&self, value: &str) -> Result<String, SpecifierError> {
        let mut out = String::with_capacity(value.len() + 16);
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('i') => out.push_str(self.instance().unwrap_or("")),
                Some('n') => out.push_str(self.as_str()),
                Some('N') => out.push_str(self.stem()),
                Some('p') => out.push_str(self.prefix()),
                Some('%') => out.push('%'),
                other => return Err(SpecifierError(other.unwrap_or(' '))),
            }
        }
        Ok(out)
    }
}

impl Ord for UnitName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.full.cmp(&other.full)
    }
}

impl PartialOrd for UnitName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitName({})", self.full)
    }
}

/// Matches a shell pattern of `*` and `?` against a name, in time linear in their product.
#[must_use]
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (p, n) = (pattern.as_bytes(), name.as_bytes());
    let (mut pi, mut ni) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while ni < n.len() {
        if pi < p.len() && p[pi] == b'*' {
            star = Some((pi, ni));
            pi += 1;
        } else if pi < p.len() && (p[pi] == b'?' || p[pi] == n[ni]) {
            pi += 1;
            ni += 1;
        } else if let Some((sp, sn)) = star {
            pi = sp + 1;
            ni = sn + 1;
            star = Some((sp, sn + 1));
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts() {
        let n = UnitName::parse("wcp360-php8.2@alice.socket").unwrap();
        assert_eq!(n.instance(), Some("alice"));
        assert_eq!(n.prefix(), "wcp360-php8.2");
        assert_eq!(n.template().unwrap(), "wcp360-php8.2@.socket");
        assert_eq!(n.sibling(UnitKind::Service).as_str(), "wcp360-php8.2@alice.service");
        assert_eq!(n.sibling(UnitKind::Service).instance(), Some("alice"));
        assert_eq!(
            n.expand("/x/%i/%p/%N/%n%%").unwrap(),
            "/x/alice/wcp360-php8.2/wcp360-php8.2@alice/wcp360-php8.2@alice.socket%"
        );
        assert!(n.expand("%h").is_err());
        assert!(n.expand("100%").is_err());
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            ".service",
            "a",
            "a.mount",
            "a/b.service",
            "../a.service",
            "a@.service",
            "a@..service",
            "a@b/c.service",
            "a@B.service",
            "-a.service",
            "a b.service",
            "a@b@c.service",
            "a\n.service",
            "a@../x.service",
            "a..b.service",
            "a@.hidden.service",
            "é.service",
        ] {
            assert!(UnitName::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(UnitName::parse(&format!("{}.service", "a".repeat(300))).is_err());
    }

    #[test]
    fn globs() {
        assert!(glob_matches("wcp360-php*@*.socket", "wcp360-php8.2@bob.socket"));
        assert!(glob_matches("*", ""));
        assert!(!glob_matches("a?c", "ac"));
        assert!(!glob_matches("*.service", "a.socket"));
    }

    proptest! {
        #[test]
        fn never_a_path(s in "\\PC{0,60}") {
            if let Ok(n) = UnitName::parse(&s) {
                prop_assert!(!n.as_str().contains('/'));
                prop_assert!(!n.as_str().contains(".."));
                prop_assert!(!n.as_str().starts_with('.'));
                prop_assert_eq!(n.as_str(), s);
            }
        }

        #[test]
        fn good_names_pass(p in "[A-Za-z0-9_:][A-Za-z0-9_:-]{0,20}", i in "[a-z0-9_-][a-z0-9_-]{0,20}") {
            let s = format!("{p}@{i}.service");
            let n = UnitName::parse(&s).unwrap();
            prop_assert_eq!(n.prefix(), &p);
            prop_assert_eq!(n.instance(), Some(i.as_str()));
        }

        #[test]
        fn expand_without_percent_is_identity(s in "[^%]{0,60}") {
            let n = UnitName::parse("a.service").unwrap();
            prop_assert_eq!(n.expand(&s).unwrap(), s);
        }
    }
}
