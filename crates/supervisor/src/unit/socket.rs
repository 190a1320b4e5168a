//! `[Socket]`: systemd.socket(5).

use super::error::InstanceError;
use super::instance::abs;
use super::words::opt_string;
use crate::name::UnitName;
use crate::value::{self, ValueError};

/// `[Socket]`: systemd.socket(5), stream sockets in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// `ListenStream=`: a path.
    pub listen: String,
    /// `SocketUser=`.
    pub user: Option<String>,
    /// `SocketGroup=`.
    pub group: Option<String>,
    /// `SocketMode=`.
    pub mode: u32,
    /// `DirectoryMode=`: of missing parent directories.
    pub directory_mode: u32,
    /// `Backlog=`: connections that wait.
    pub backlog: i32,
    /// `RemoveOnStop=`.
    pub remove_on_stop: bool,
    /// `Service=`.
    pub service: Option<String>,
    /// `FileDescriptorName=`.
    pub fd_name: Option<String>,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            listen: String::new(),
            user: None,
            group: None,
            mode: 0o666,
            directory_mode: 0o755,
            backlog: 4096,
            remove_on_stop: false,
            service: None,
            fd_name: None,
        }
    }
}

/// Applies an assignment of `[Socket]`; `false`: the directive is not carried out here.
pub(super) fn apply_socket(s: &mut Socket, key: &str, v: &str) -> Result<bool, ValueError> {
    match key {
        "ListenStream" => {
            if !v.is_empty() && !v.starts_with('/') {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "the path of a Unix socket" });
            }
            if !v.is_empty() && !s.listen.is_empty() {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "one ListenStream= per unit" });
            }
            s.listen = v.to_owned();
        }
        "SocketUser" => s.user = opt_string(v),
        "SocketGroup" => s.group = opt_string(v),
        "SocketMode" => s.mode = value::mode(v)?,
        "DirectoryMode" => s.directory_mode = value::mode(v)?,
        "Backlog" => {
            let n: u32 = v.parse().map_err(|_| ValueError::Number(v.to_owned()))?;
            s.backlog = i32::try_from(n).unwrap_or(i32::MAX);
        }
        "RemoveOnStop" => s.remove_on_stop = value::boolean(v)?,
        "Service" => s.service = opt_string(v),
        "FileDescriptorName" => s.fd_name = opt_string(v),
        "Accept" => {
            if value::boolean(v)? {
                return Err(ValueError::Choice { value: v.to_owned(), allowed: "Accept=no" });
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl Socket {
    /// The socket of one unit: specifiers replaced, the path checked.
    ///
    /// # Errors
    /// On an unknown specifier, or no path that a socket can be bound to (107 bytes at most).
    pub fn instantiate(&self, name: &UnitName) -> Result<Self, InstanceError> {
        let mut s = self.clone();
        if s.listen.is_empty() {
            return Err(InstanceError::Missing("the unit has no ListenStream="));
        }
        abs(name, &mut s.listen)?;
        if s.listen.len() > 107 {
            return Err(InstanceError::Missing("the path of ListenStream= is longer than 107 bytes"));
        }
        for v in [&mut s.user, &mut s.group, &mut s.service, &mut s.fd_name].into_iter().flatten() {
            *v = name.expand(v)?;
        }
        Ok(s)
    }
}
