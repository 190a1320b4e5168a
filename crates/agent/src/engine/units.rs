//! Unit files that changed are worth nothing until the service manager has read them. That it has to is noted before the
//! first one is written, so that a process that is killed in between leaves it to the next start.

use crate::fsx::{Access, Durability, Fs, FsError};
use crate::services::{ServiceError, ServiceManager};

/// In /run: after a boot everything is read anyway.
const CHANGED: &str = "/run/wcp360/agent.units-changed";

/// Notes that unit files are about to change.
pub(super) fn will_change(fs: &Fs) -> Result<(), FsError> {
    fs.write(CHANGED, b"", Access { uid: 0, gid: 0, mode: 0o600 }, Durability::Derived)
}

/// Has changed files read, also those of a process that was killed before it came to that.
pub(super) fn read_changed(fs: &Fs, services: &dyn ServiceManager) -> Result<(), ServiceError> {
    let failed = |error: FsError| ServiceError::new("read", "unit files", error);
    if fs.meta(CHANGED).map_err(failed)?.is_none() {
        return fs.remove_temporary(CHANGED).map_err(failed);
    }
    services.read_units_again()?;
    fs.remove_file(CHANGED).map_err(failed)
}
