//! From a release's directory to files that can be sent: equal content makes equal files.

use crate::{process, repo};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory for what is in the making; gone at the end.
pub(super) struct Work {
    pub(super) path: PathBuf,
}

impl Work {
    /// Beside the results, so that finished files can be renamed into place.
    pub(super) fn new(out: &Path) -> Result<Self> {
        let path = out.join(format!(".making-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The time that all files get: that of the last commit, so that browsers notice a new release.
pub(super) fn mtime() -> u64 {
    if let Some(given) = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok()) {
        return given;
    }
    let commit = process::command("git", ["log", "-1", "--format=%ct"]).output().ok();
    let text = commit.and_then(|output| String::from_utf8(output.stdout).ok());
    // A copy of the source without its history: 2026-01-01.
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(1_767_225_600)
}

/// Debian's name for this processor.
fn architecture() -> Result<&'static str> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("releases for {other} are not known; add its Debian name to xtask/src/dist/pack.rs"),
    })
}

/// Makes `wcp360-<version>-<arch>.tar.gz`.
pub(super) fn archive(work: &Work, name: &str, out: &Path, mtime: u64) -> Result<PathBuf> {
    let file = format!("{name}-{}.tar.gz", architecture()?);
    let made = work.path.join(&file);
    let mut tar = process::command("tar", ["--create", "--sort=name", "--format=gnu", "--numeric-owner"]);
    tar.args(["--owner=0", "--group=0", &format!("--mtime=@{mtime}"), "--use-compress-program=gzip -n"])
        .arg("--directory")
        .arg(&work.path)
        .arg("--file")
        .arg(&made)
        .arg(name);
    process::run(&mut tar)?;
    finish(&made, &out.join(file))
}

/// Makes `wcp360_<version>_<arch>.deb`, if there is a dpkg to make it.
pub(super) fn deb(work: &Work, name: &str, out: &Path, mtime: u64) -> Result<Option<PathBuf>> {
    if process::command("dpkg-deb", ["--version"]).output().is_err() {
        println!("there is no dpkg-deb here: no .deb is made");
        return Ok(None);
    }
    let architecture = architecture()?;
    let package = work.path.join("package");
    let release = package.join("opt/wcp360/releases").join(repo::VERSION);
    fs::create_dir_all(release.parent().unwrap_or(&package))?;
    fs::rename(work.path.join(name), &release)?;
    let size =
        process::output(process::command("du", ["--summarize", "--apparent-size", "--block-size=1024"]).arg(&release))?;
    let size = size.split_whitespace().next().unwrap_or("0");

    let control = package.join("DEBIAN");
    fs::create_dir(&control)?;
    let packaging = repo::root().join("packaging/deb");
    for entry in fs::read_dir(&packaging).with_context(|| format!("can't read {}", packaging.display()))? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path())?;
        let text =
            text.replace("@VERSION@", repo::VERSION).replace("@ARCH@", architecture).replace("@INSTALLED_SIZE@", size);
        let script = ["preinst", "postinst", "prerm", "postrm", "config"].contains(&file.as_str());
        let target = control.join(file.trim_end_matches(".in"));
        fs::write(&target, text)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(if script { 0o755 } else { 0o644 }))?;
    }
    for directory in ["", "DEBIAN", "opt", "opt/wcp360", "opt/wcp360/releases"] {
        fs::set_permissions(package.join(directory), fs::Permissions::from_mode(0o755))?;
    }

    let file = format!("wcp360_{}_{architecture}.deb", repo::VERSION);
    let made = work.path.join(&file);
    let mut build = process::command("dpkg-deb", ["--root-owner-group", "-Zxz", "--build"]);
    build.arg(&package).arg(&made).env("SOURCE_DATE_EPOCH", mtime.to_string());
    process::output(&mut build)?;
    finish(&made, &out.join(file)).map(Some)
}

fn finish(made: &Path, place: &Path) -> Result<PathBuf> {
    fs::rename(made, place).with_context(|| format!("can't put {} into place", place.display()))?;
    Ok(place.to_owned())
}
