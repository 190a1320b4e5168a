//! Users and groups of a unit: `User=`, `Group=`, `SupplementaryGroups=`.

use crate::sys;
use crate::unit::Exec;

/// Why the user or group of a unit can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// There is no such user.
    #[error("user “{0}” does not exist: create it, or correct User=")]
    User(String),
    /// There is no such group.
    #[error("group “{0}” does not exist: create it, or correct Group=, SupplementaryGroups=, SocketGroup=")]
    Group(String),
    /// The databases can't be read.
    #[error("can't read the user database: {0}")]
    Io(#[from] std::io::Error),
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name, if `User=` was given.
    pub user: Option<String>,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// The id of a group.
///
/// # Errors
/// When it does not exist.
pub fn group_id(name: &str) -> Result<u32, CredentialsError> {
    sys::group(name)?.ok_or_else(|| CredentialsError::Group(name.to_owned()))
}

/// The id of a user.
///
/// # Errors
/// When it does not exist.
pub fn user_id(name: &str) -> Result<u32, CredentialsError> {
    sys::user(name)?.map(|u| u.uid).ok_or_else(|| CredentialsError::User(name.to_owned()))
}

impl Credentials {
    /// Looks up what a unit asks for. Without `User=`, that is root with no supplementary groups.
    ///
    /// # Errors
    /// When a user or group does not exist.
    pub fn of(exec: &Exec) -> Result<Self, CredentialsError> {
        let mut c = Self {
            user: None,
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            home: "/root".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        if let Some(name) = &exec.user {
            let u = sys::user(name)?.ok_or_else(|| CredentialsError::User(name.clone()))?;
            c.uid = u.uid;
            c.gid = u.gid;
            c.home = u.home;
            c.shell = u.shell;
            c.user = Some(u.name);
        }
        if let Some(g) = &exec.group {
            c.gid = group_id(g)?;
        }
        if let Some(name) = &c.user
            && c.uid != 0
        {
            c.groups = sys::groups_of(name, c.gid)?;
        }
        for g in &exec.supplementary_groups {
            c.groups.push(group_id(g)?);
        }
        c.groups.sort_unstable();
        c.groups.dedup();
        Ok(c)
    }

    /// Whether the process leaves root.
    #[must_use]
    pub fn drops_root(&self) -> bool {
        self.uid != 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lookups() {
        let mut e = Exec::default();
        assert_eq!(Credentials::of(&e).unwrap().uid, 0);
        e.user = Some("nobody".into());
        let c = Credentials::of(&e).unwrap();
        assert!(c.drops_root() && c.groups.contains(&c.gid));
        e.group = Some("no-such-group".into());
        assert!(matches!(Credentials::of(&e), Err(CredentialsError::Group(_))));
    }
}
