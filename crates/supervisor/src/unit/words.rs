//! Values that consist of words: commands, paths, binds, and one of several names.

use crate::value::{self, ValueError};

/// A command line with its prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// `-`: a failure does not count.
    pub ignore_failure: bool,
    /// `+`: runs as root with all capabilities.
    pub full_privileges: bool,
    /// `:`: no `$VARIABLE` is replaced.
    pub literal: bool,
    /// The program.
    pub program: String,
    /// Its arguments, from `argv[0]` on.
    pub argv: Vec<String>,
}

/// A path that may be missing when `optional` (written with a leading `-`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptPath {
    /// The path, absolute after instantiation.
    pub path: String,
    /// Skip it when it does not exist.
    pub optional: bool,
}

/// One entry of `BindPaths=` or `BindReadOnlyPaths=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// What is shown.
    pub source: String,
    /// Where.
    pub target: String,
    /// Not writable.
    pub read_only: bool,
    /// Skip it when the source does not exist.
    pub optional: bool,
    /// With the mounts beneath it (`rbind`, the default).
    pub recursive: bool,
}

/// One entry of `TemporaryFileSystem=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where.
    pub path: String,
    /// Read-only once everything is mounted in it.
    pub read_only: bool,
    /// `mode=`, `size=`, `nr_inodes=`, `uid=`, `gid=`.
    pub options: Vec<(String, String)>,
}

/// An empty value resets a list; another adds to it.
pub(super) fn extend(list: &mut Vec<String>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    } else {
        list.extend(value::words(v)?);
    }
    Ok(())
}

pub(super) fn opt_string(v: &str) -> Option<String> {
    (!v.is_empty()).then(|| v.to_owned())
}

pub(super) fn opt_path(word: &str) -> OptPath {
    let (optional, rest) = match word.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, word),
    };
    OptPath { path: rest.strip_prefix('+').unwrap_or(rest).to_owned(), optional }
}

pub(super) fn extend_paths(list: &mut Vec<OptPath>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    }
    list.extend(value::words(v)?.iter().map(|w| opt_path(w)));
    Ok(())
}

pub(super) fn extend_commands(list: &mut Vec<Command>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
        return Ok(());
    }
    let mut words = value::words(v)?.into_iter();
    let first = words.next().unwrap_or_default();
    let mut words: Vec<String> = words.collect();
    if first == ";" || words.iter().any(|w| w == ";") {
        return Err(ValueError::Choice { value: ";".into(), allowed: "one command per line" });
    }
    let mut cmd = Command::default();
    let mut own_name = false;
    let mut program = first.as_str();
    while let Some(prefix) = program.chars().next() {
        match prefix {
            '-' => cmd.ignore_failure = true,
            '+' => cmd.full_privileges = true,
            ':' => cmd.literal = true,
            '@' => own_name = true,
            '!' | '|' => {
                return Err(ValueError::Choice { value: first, allowed: "the prefixes - + : @" });
            }
            _ => break,
        }
        program = &program[1..];
    }
    let first = program.to_owned();
    if first.is_empty() {
        return Err(ValueError::Path(String::new()));
    }
    if !own_name {
        words.insert(0, first.clone());
    } else if words.is_empty() {
        return Err(ValueError::Choice { value: "@".into(), allowed: "@program name arguments…" });
    }
    cmd.program = first;
    cmd.argv = words;
    list.push(cmd);
    Ok(())
}

pub(super) fn extend_binds(list: &mut Vec<Bind>, v: &str, read_only: bool) -> Result<(), ValueError> {
    if v.is_empty() {
        // systemd keeps one list for both directives.
        list.clear();
    }
    for word in value::words(v)? {
        let OptPath { path, optional } = opt_path(&word);
        let mut parts = path.splitn(3, ':');
        let source = parts.next().unwrap_or("").to_owned();
        let target = parts.next().filter(|t| !t.is_empty()).unwrap_or(&source).to_owned();
        let recursive = match parts.next() {
            None | Some("rbind") => true,
            Some("norbind") => false,
            Some(o) => return Err(ValueError::Choice { value: o.to_owned(), allowed: "rbind or norbind" }),
        };
        list.push(Bind { source, target, read_only, optional, recursive });
    }
    Ok(())
}

pub(super) fn extend_tmpfs(list: &mut Vec<Tmpfs>, v: &str) -> Result<(), ValueError> {
    if v.is_empty() {
        list.clear();
    }
    for word in value::words(v)? {
        let (path, opts) = word.split_once(':').unwrap_or((&word, ""));
        let mut t = Tmpfs { path: path.to_owned(), read_only: false, options: Vec::new() };
        for o in opts.split(',').filter(|o| !o.is_empty()) {
            match o.split_once('=') {
                Some((k @ ("mode" | "size" | "nr_inodes" | "uid" | "gid"), val)) => {
                    t.options.push((k.to_owned(), val.to_owned()));
                }
                None if o == "ro" => t.read_only = true,
                None if matches!(o, "rw" | "nodev" | "nosuid" | "strictatime" | "noexec") => {}
                _ => {
                    return Err(ValueError::Choice {
                        value: o.to_owned(),
                        allowed: "ro, mode=, size=, nr_inodes=, uid=, gid=",
                    });
                }
            }
        }
        list.push(t);
    }
    Ok(())
}

pub(super) fn choice<T: Copy>(v: &str, table: &[(&str, T)], allowed: &'static str) -> Result<T, ValueError> {
    table
        .iter()
        .find(|(n, _)| *n == v)
        .map(|(_, t)| *t)
        .ok_or_else(|| ValueError::Choice { value: v.chars().take(40).collect(), allowed })
}
