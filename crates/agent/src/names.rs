//! Which host name belongs to which account, in memory, so that taking one costs the same however many there are.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use wcp360_types::manifest::DomainsManifest;
use wcp360_types::{Domain, Username};

/// Why a name can't be taken. It does not say whose it is: that is nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameConflict {
    /// It is somebody's.
    #[error("\"{0}\" belongs to another account")]
    Taken(Domain),
    /// A name above it is somebody's.
    #[error("\"{0}\" lies under a domain of another account")]
    Under(Domain),
    /// Names below it are somebody's.
    #[error("names under \"{0}\" belong to another account")]
    Above(Domain),
    /// It is the panel's.
    #[error("\"{0}\" is the name of the panel itself")]
    Panel(Domain),
}

/// All names of this machine.
#[derive(Debug, Default)]
pub struct Names {
    /// By reversed name with a dot at the end (`test.alice.`), so that what lies under a name follows it.
    owners: Mutex<BTreeMap<String, Username>>,
    panel: Option<Domain>,
}

fn key(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 1);
    for label in name.rsplit('.') {
        out.push_str(label);
        out.push('.');
    }
    out
}

/// Every host name that `domains` claims.
pub fn hosts(domains: &DomainsManifest) -> Vec<Domain> {
    // The names of aliases are among the hosts of their target.
    domains.sites().flat_map(|(_, site)| domains.hosts_of(site)).collect()
}

impl Names {
    /// None yet; `panel` can't be taken.
    pub fn new(panel: &str) -> Self {
        Self { owners: Mutex::default(), panel: Domain::parse(panel).ok() }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Username>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `account` may have `wanted`.
    ///
    /// # Errors
    /// The first conflict.
    pub fn check(&self, account: &Username, wanted: &[Domain]) -> Result<(), NameConflict> {
        self.check_in(&self.locked(), account, wanted)
    }

    fn check_in(
        &self,
        owners: &BTreeMap<String, Username>,
        account: &Username,
        wanted: &[Domain],
    ) -> Result<(), NameConflict> {
        for name in wanted {
            if self.panel.as_ref().is_some_and(|panel| panel == name || name.is_under(panel)) {
                return Err(NameConflict::Panel(name.clone()));
            }
            let key = key(name.as_str());
            let foreign = |owner: &Username| owner != account;
            if owners.get(&key).is_some_and(foreign) {
                return Err(NameConflict::Taken(name.clone()));
            }
            if name.parents().any(|parent| owners.get(&self::key(parent)).is_some_and(foreign)) {
                return Err(NameConflict::Under(name.clone()));
            }
            let mut below = owners.range(key.clone()..).take_while(|(other, _)| other.starts_with(&key));
            if below.any(|(_, owner)| foreign(owner)) {
                return Err(NameConflict::Above(name.clone()));
            }
        }
        Ok(())
    }

    /// Whether somebody has exactly this name.
    pub fn is_taken(&self, name: &Domain) -> bool {
        self.locked().contains_key(&key(name.as_str()))
    }

    /// Takes `wanted` for `account`, all or none.
    ///
    /// # Errors
    /// The first conflict.
    pub fn claim(&self, account: &Username, wanted: &[Domain]) -> Result<(), NameConflict> {
        let mut owners = self.locked();
        self.check_in(&owners, account, wanted)?;
        for name in wanted {
            owners.insert(key(name.as_str()), account.clone());
        }
        Ok(())
    }

    /// Of the names in `before`, keeps those in `after` for `account` and gives the others back.
    pub fn settle(&self, account: &Username, before: &[Domain], after: &[Domain]) {
        let mut owners = self.locked();
        for name in before.iter().filter(|name| !after.contains(name)) {
            let key = key(name.as_str());
            if owners.get(&key) == Some(account) {
                owners.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    #[test]
    fn attack_29_no_name_under_or_above_somebody_elses() {
        let names = Names::new("panel.example.com");
        let (alice, bob) = (Username::parse("alice").unwrap(), Username::parse("bob").unwrap());
        names.claim(&alice, &[domain("a.test"), domain("www.a.test"), domain("deep.b.test")]).unwrap();
        for (wanted, conflict) in [
            ("a.test", NameConflict::Taken(domain("a.test"))),
            ("A.TEST.", NameConflict::Taken(domain("a.test"))),
            ("x.a.test", NameConflict::Under(domain("x.a.test"))),
            ("y.x.a.test", NameConflict::Under(domain("y.x.a.test"))),
            ("b.test", NameConflict::Above(domain("b.test"))),
            ("panel.example.com", NameConflict::Panel(domain("panel.example.com"))),
            ("x.panel.example.com", NameConflict::Panel(domain("x.panel.example.com"))),
        ] {
            assert_eq!(names.claim(&bob, &[domain("free.test"), domain(wanted)]), Err(conflict), "{wanted}");
        }
        // All or none: the free one was not taken either.
        names.claim(&alice, &[domain("free.test")]).unwrap();
        // Alike, but not under.
        names.claim(&bob, &[domain("xa.test"), domain("a.test.example"), domain("example.com")]).unwrap();
        names.claim(&alice, &[domain("x.a.test")]).unwrap();
        names.settle(&alice, &[domain("a.test"), domain("x.a.test")], &[domain("x.a.test")]);
        assert_eq!(names.check(&bob, &[domain("a.test")]), Err(NameConflict::Above(domain("a.test"))));
    }
}
