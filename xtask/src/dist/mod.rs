//! Release archives.

mod pack;
mod pages;
mod tree;

use crate::{process, repo};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// How a release is made.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the archives go
    #[arg(long, value_name = "DIR", default_value = "dist")]
    pub(crate) out: PathBuf,
    /// Leave out the .deb
    #[arg(long)]
    pub(crate) no_deb: bool,
}

/// The packages whose programs are shipped.
const PACKAGES: [&str; 4] = ["wcp360-cli", "wcp360-server", "wcp360-agent", "wcp360-supervisor"];
/// These programs.
const PROGRAMS: [&str; 4] = ["wcp360", "wcp360-core", "wcp360-agent", "wcp360-supervisor"];

/// Builds a release and packs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    make(options).map(|_| ())
}

/// Builds a release and packs it; returns the archive's path.
pub(crate) fn make(options: &Options) -> Result<PathBuf> {
    let mut args = vec!["build", "--release", "--locked"];
    for package in PACKAGES {
        args.extend(["--package", package]);
    }
    process::run(&mut process::command(&repo::cargo(), args))?;

    let programs = repo::target_directory()?.join("release");
    let out = repo::root().join(&options.out);
    std::fs::create_dir_all(&out).with_context(|| format!("can't make {}", out.display()))?;
    let work = pack::Work::new(&out)?;
    let name = format!("wcp360-{}", repo::VERSION);
    tree::lay_out(&work.path.join(&name), &programs, &PROGRAMS)?;

    let mtime = pack::mtime();
    let archive = pack::archive(&work, &name, &out, mtime)?;
    let mut made = vec![archive.clone()];
    if !options.no_deb {
        made.extend(pack::deb(&work, &name, &out, mtime)?);
    }
    for path in &made {
        let sum = process::output(&mut process::command("sha256sum", [path]))?;
        println!("{}", sum.trim_end());
    }
    Ok(archive)
}
