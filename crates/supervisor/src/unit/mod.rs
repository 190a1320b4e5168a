//! The meaning of unit files: which directives are carried out, and what they hold.
//!
//! A [`UnitFile`] is parsed once per template; its strings still hold specifiers. [`Service::instantiate`] and
//! [`Socket::instantiate`] replace them for one unit.

mod error;
mod exec;
mod instance;
mod service;
mod socket;
mod words;

use crate::directives::{Class, class};
use crate::parse::Assignment;
use crate::value::ValueError;

pub use error::{DirectiveError, InstanceError};
pub use exec::{Exec, LimitKind, Output, ProtectHome, ProtectSystem};
pub use service::{KillMode, RestartPolicy, Service, ServiceType};
pub use socket::Socket;
pub use words::{Bind, Command, OptPath, Tmpfs};

use service::apply_service;
use socket::apply_socket;
use words::extend;

/// A parsed unit file with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    /// `Description=`.
    pub description: String,
    /// `After=`.
    pub after: Vec<String>,
    /// `Requires=`.
    pub requires: Vec<String>,
    /// `Wants=`.
    pub wants: Vec<String>,
    /// `WantedBy=`.
    pub wanted_by: Vec<String>,
    /// `[Service]`, if there is one.
    pub service: Option<Service>,
    /// `[Socket]`, if there is one.
    pub socket: Option<Socket>,
    /// Directives that are known and not enforced here.
    pub not_enforced: Vec<String>,
    /// Directives and lines that were not understood.
    pub warnings: Vec<String>,
}

impl UnitFile {
    /// Applies one assignment.
    ///
    /// # Errors
    /// When the value is wrong, or the directive changes what would run and is not supported.
    pub fn apply(&mut self, item: &Assignment) -> Result<(), DirectiveError> {
        let known = match item.section.as_str() {
            "Unit" => self.apply_unit(&item.key, &item.value),
            "Install" => self.apply_install(&item.key, &item.value),
            "Service" => {
                apply_service(self.service.get_or_insert_default(), &item.key, &item.value, &mut self.warnings)
            }
            "Socket" => apply_socket(self.socket.get_or_insert_default(), &item.key, &item.value),
            _ => Ok(false),
        }
        .map_err(|source| DirectiveError::Value { line: item.line, key: item.key.clone(), source })?;
        if known {
            return Ok(());
        }
        match class(&item.section, &item.key) {
            Class::Ignored => {}
            Class::NotEnforced if item.value.is_empty() => self.not_enforced.retain(|k| *k != item.key),
            Class::NotEnforced => {
                if !self.not_enforced.contains(&item.key) {
                    self.not_enforced.push(item.key.clone());
                }
            }
            Class::Refused if item.value.is_empty() || item.value == "no" => {}
            Class::Refused => return Err(DirectiveError::Refused { line: item.line, key: item.key.clone() }),
            Class::Unknown => {
                self.warnings
                    .push(format!("line {}: [{}] {}= is not known, ignored", item.line, item.section, item.key));
            }
        }
        Ok(())
    }

    fn apply_unit(&mut self, key: &str, v: &str) -> Result<bool, ValueError> {
        match key {
            "Description" => self.description = v.to_owned(),
            "After" => extend(&mut self.after, v)?,
            "Requires" => extend(&mut self.requires, v)?,
            "Wants" => extend(&mut self.wants, v)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn apply_install(&mut self, key: &str, v: &str) -> Result<bool, ValueError> {
        if key == "WantedBy" {
            extend(&mut self.wanted_by, v)?;
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::name::UnitName;
    use crate::parse::parse;
    use proptest::prelude::*;

    fn load(text: &str) -> Result<UnitFile, DirectiveError> {
        let mut f = UnitFile::default();
        for i in parse(text).items {
            f.apply(&i)?;
        }
        Ok(f)
    }

    #[test]
    fn a_php_service() {
        let f = load(
            "[Unit]\nDescription=PHP\nRequires=%p@%i.socket\n[Service]\nType=notify\nUser=%i\nGroup=%i\n\
             Environment=FPM_SOCKETS=/run/x/%i.sock=3 \"A=b c\"\nExecStart=/usr/sbin/php-fpm8.2 -F -y /etc/x/%i.conf\n\
             KillMode=mixed\nKillSignal=SIGQUIT\nTemporaryFileSystem=/srv/www:ro\nBindPaths=/srv/www/%i\nPrivateTmp=yes\n\
             MemoryMax=256M\nCPUQuota=50%\nCPUQuota=\nSlcie=x\nCapabilityBoundingSet=\nProtectProc=invisible\n",
        )
        .unwrap();
        assert_eq!(f.not_enforced, ["MemoryMax"]);
        assert_eq!(f.warnings.len(), 1);
        let s = f.service.unwrap().instantiate(&UnitName::parse("php@alice.service").unwrap()).unwrap();
        assert_eq!(s.exec.user.as_deref(), Some("alice"));
        assert_eq!(s.exec.environment, ["FPM_SOCKETS=/run/x/alice.sock=3", "A=b c"]);
        assert_eq!(s.exec.binds[0].target, "/srv/www/alice");
        assert!(s.exec.tmpfs[0].read_only);
        assert_eq!(s.exec.bounding, Some(0));
        assert_eq!(s.kill_signal, libc::SIGQUIT);
        assert_eq!(s.start[0].argv[3], "/etc/x/alice.conf");
    }

    #[test]
    fn refused_and_wrong() {
        assert!(matches!(load("[Service]\nRootDirectory=/x\n"), Err(DirectiveError::Refused { line: 2, .. })));
        assert!(load("[Service]\nRootDirectory=\n").is_ok());
        for bad in [
            "[Service]\nUMask=9",
            "[Service]\nPrivateTmp=maybe",
            "[Service]\nType=dbus",
            "[Socket]\nListenStream=80",
            "[Socket]\nAccept=yes",
            "[Service]\nExecStart=!/bin/x",
            "[Service]\nStandardOutput=tty",
            "[Service]\nTemporaryFileSystem=/x:bogus",
            "[Service]\nOOMScoreAdjust=2000",
            "[Service]\nExecStart=/a ; /b",
            "[Service]\nExecStart=; /b",
            "[Service]\nExecStart=\"\"",
            "[Service]\nExecStart=-@",
        ] {
            assert!(load(bad).is_err(), "{bad}");
        }
        let n = UnitName::parse("a.service").unwrap();
        for bad in
            ["[Service]\nUser=x", "[Service]\nExecStart=/bin/%h", "[Service]\nExecStart=/a\nBindPaths=/srv/../etc"]
        {
            assert!(load(bad).unwrap().service.unwrap().instantiate(&n).is_err(), "{bad}");
        }
    }

    #[test]
    fn command_prefixes_and_reset() {
        let f = load("[Service]\nExecStart=/bin/a\nExecStart=\nExecStart=-@:/bin/b bee -x\n").unwrap();
        let c = &f.service.unwrap().start[..];
        assert_eq!(c.len(), 1);
        assert!(c[0].ignore_failure && c[0].literal);
        assert_eq!((c[0].program.as_str(), c[0].argv.join(" ").as_str()), ("/bin/b", "bee -x"));
    }

    proptest! {
        #[test]
        fn no_input_panics(key in "(ExecStart|BindPaths|TemporaryFileSystem|Environment|CapabilityBoundingSet|ListenStream|Restart|UMask)",
                           v in "[-+:@!%a-z0-9/=,. \"'\\\\]{0,60}", section in "(Service|Socket|Unit|Install)") {
            if let Ok(f) = load(&format!("[{section}]\n{key}={v}\n")) {
                let n = UnitName::parse("a@b.service").unwrap();
                if let Some(s) = f.service { let _ = s.instantiate(&n); }
                if let Some(s) = f.socket { let _ = s.instantiate(&n); }
            }
        }

        #[test]
        fn instances_stay_beneath(i in "[a-z0-9_-]{1,12}") {
            let f = load("[Service]\nExecStart=/bin/a\nBindPaths=/srv/www/%i\n").unwrap();
            let s = f.service.unwrap().instantiate(&UnitName::parse(&format!("p@{i}.service")).unwrap()).unwrap();
            prop_assert_eq!(s.exec.binds[0].source.clone(), format!("/srv/www/{i}"));
        }
    }
}
