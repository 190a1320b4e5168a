//! `enable` and `disable`: links in `<unit-dir>/wcp360.target.wants/`, as `systemctl add-wants wcp360.target` makes them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::Manager;
use super::requests::failure;
use crate::name::{UnitKind, UnitName};
use crate::protocol::{ErrorCode, Failure};

/// The target whose members start with the supervisor.
pub(super) const TARGET: &str = "wcp360.target";

impl Manager {
    fn wants_dir(&self, target: &str) -> PathBuf {
        self.loader.dir().join(format!("{target}.wants"))
    }

    /// Makes a unit start with the supervisor.
    pub(super) fn enable(&mut self, name: &UnitName) -> Result<(), Failure> {
        if name.kind() == UnitKind::Target {
            return Err(failure(ErrorCode::BadRequest, "targets can't be enabled here: wcp360.target always is"));
        }
        self.loader.load(name).map_err(|e| super::requests::load_failure(&e))?;
        let dir = self.wants_dir(TARGET);
        let target = self.loader.fragment(name).unwrap_or_else(|| self.loader.dir().join(name.as_str()));
        let link = dir.join(name.as_str());
        let make = || -> io::Result<()> {
            fs::create_dir_all(&dir)?;
            if fs::read_link(&link).is_ok_and(|t| t == target) {
                return Ok(());
            }
            // Replaced in one step: another process may be reading the directory.
            let tmp = dir.join(format!(".{name}.new"));
            let _ = fs::remove_file(&tmp);
            std::os::unix::fs::symlink(&target, &tmp)?;
            fs::rename(&tmp, &link)
        };
        make().map_err(|e| failure(ErrorCode::Failed, format!("can't make the link {}: {e}", link.display())))
    }

    /// Undoes [`Manager::enable`].
    pub(super) fn disable(&mut self, name: &UnitName) -> Result<(), Failure> {
        let link = self.wants_dir(TARGET).join(name.as_str());
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(failure(ErrorCode::Failed, format!("can't remove the link {}: {e}", link.display())))
            }
            _ => Ok(()),
        }
    }

    /// Whether a unit starts with the supervisor.
    pub(super) fn is_enabled(&self, name: &UnitName) -> bool {
        fs::symlink_metadata(self.wants_dir(TARGET).join(name.as_str())).is_ok()
    }

    /// The members of a target, by name.
    pub(super) fn members(&self, target: &UnitName) -> BTreeSet<UnitName> {
        let Ok(entries) = fs::read_dir(self.wants_dir(target.as_str())) else { return BTreeSet::new() };
        entries.flatten().filter_map(|e| UnitName::parse(e.file_name().to_str()?).ok()).collect()
    }

    /// Starts everything that is enabled.
    pub(crate) fn start_enabled(&mut self) {
        let Ok(target) = UnitName::parse(TARGET) else { return };
        for name in self.members(&target) {
            if let Err(f) = self.start(&name, &mut Vec::new()) {
                self.log.write(crate::log::Level::Error, Some(name.as_str()), &format!("can't be started: {f}"));
            }
        }
    }
}
