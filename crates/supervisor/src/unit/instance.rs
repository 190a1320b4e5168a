//! From a template to one unit: specifiers replaced, paths checked.

use super::error::InstanceError;
use super::exec::Output;
use super::service::{Service, ServiceType};
use crate::name::UnitName;
use crate::value::{self, ValueError};

/// Replaces the specifiers in a path, which must be absolute and plain then.
pub(super) fn abs(name: &UnitName, v: &mut String) -> Result<(), InstanceError> {
    let expanded = name.expand(v)?;
    *v = value::path(&expanded)?.to_string_lossy().into_owned();
    Ok(())
}

fn expand_all(name: &UnitName, list: &mut [String]) -> Result<(), InstanceError> {
    for v in list {
        *v = name.expand(v)?;
    }
    Ok(())
}

impl Service {
    /// The service of one unit: specifiers replaced, paths checked.
    ///
    /// # Errors
    /// On an unknown specifier, a relative path, or when there is nothing to run.
    pub fn instantiate(&self, name: &UnitName) -> Result<Self, InstanceError> {
        let mut s = self.clone();
        if s.start.is_empty() {
            return Err(InstanceError::Missing("the unit has no ExecStart="));
        }
        if s.start.len() > 1 && s.kind != ServiceType::Oneshot {
            return Err(InstanceError::Missing("more than one ExecStart= needs Type=oneshot"));
        }
        for c in s.start_pre.iter_mut().chain(&mut s.start).chain(&mut s.reload).chain(&mut s.stop) {
            c.program = name.expand(&c.program)?;
            if c.program.contains('/') {
                c.program = value::path(&c.program)?.to_string_lossy().into_owned();
            }
            expand_all(name, &mut c.argv)?;
        }
        if let Some(p) = &mut s.pid_file {
            *p = name.expand(p)?;
            if !p.starts_with('/') {
                *p = format!("/run/{p}");
            }
            abs(name, p)?;
        }
        let e = &mut s.exec;
        for v in [&mut e.user, &mut e.group].into_iter().flatten() {
            *v = name.expand(v)?;
        }
        expand_all(name, &mut e.supplementary_groups)?;
        expand_all(name, &mut e.environment)?;
        for p in
            e.environment_files.iter_mut().chain(&mut e.read_only).chain(&mut e.read_write).chain(&mut e.inaccessible)
        {
            abs(name, &mut p.path)?;
        }
        if let Some(w) = &mut e.working_directory
            && w.path != "~"
        {
            abs(name, &mut w.path)?;
        }
        for b in &mut e.binds {
            abs(name, &mut b.source)?;
            abs(name, &mut b.target)?;
        }
        for t in &mut e.tmpfs {
            abs(name, &mut t.path)?;
            for (_, v) in &mut t.options {
                *v = name.expand(v)?;
            }
        }
        for d in &mut e.runtime_directories {
            *d = name.expand(d)?;
            let whole = value::path(&format!("/{d}"))?;
            if d.starts_with('/') || whole.parent().is_none() {
                return Err(ValueError::Path(d.clone()).into());
            }
        }
        for o in [&mut e.stdout, &mut e.stderr] {
            if let Output::Append(f) = o {
                abs(name, f)?;
            }
        }
        Ok(s)
    }
}
