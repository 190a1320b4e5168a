//! The project's own unit files are understood: nothing unknown, nothing refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use wcp360_supervisor::loader::Loader;
use wcp360_supervisor::name::UnitName;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_projects_units_load_without_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    // As the agent fills them in, near enough.
    for (template, unit) in [("socket", "php@.socket"), ("service", "php@.service")] {
        let text = fs::read_to_string(repository().join("templates/php").join(template)).unwrap();
        let mut text: String = text.lines().filter(|l| !l.starts_with("{%")).map(|l| format!("{l}\n")).collect();
        while let Some((a, rest)) = text.split_once("{{") {
            text = format!("{a}/x{}", rest.split_once("}}").unwrap().1);
        }
        fs::write(dir.path().join(unit), text).unwrap();
        names.push(unit.replace('@', "@alice"));
    }
    for e in fs::read_dir(repository().join("packaging/systemd")).unwrap().flatten() {
        let name = e.file_name().into_string().unwrap();
        fs::copy(e.path(), dir.path().join(&name)).unwrap();
        if UnitName::parse(&name).is_ok() {
            names.push(name);
        }
    }
    assert!(names.len() >= 4, "{names:?}");
    let mut loader = Loader::new(dir.path().to_owned());
    for n in names {
        let name = UnitName::parse(&n).unwrap();
        let file = loader.load(&name).unwrap_or_else(|e| panic!("{n}: {e}"));
        if let Some(s) = &file.service {
            s.instantiate(&name).unwrap_or_else(|e| panic!("{n}: {e}"));
        }
        if let Some(s) = &file.socket {
            s.instantiate(&name).unwrap_or_else(|e| panic!("{n}: {e}"));
        }
        println!("{n}: not enforced here: {}", file.not_enforced.join(" "));
        assert!(file.warnings.is_empty(), "{n}: {:?}", file.warnings);
    }
}
