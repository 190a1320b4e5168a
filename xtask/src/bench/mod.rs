//! `cargo xtask bench provisioning`: a machine of its own, an installation, measurements, a table.

mod host;

use crate::{dist, process, repo};
use anyhow::{Context, Result, bail};
use host::Host;
use std::path::{Path, PathBuf};

/// What can be measured.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// How long a new site takes with few and with many sites, beside nginx's own floors
    Provisioning(Provisioning),
    /// Jobs per second, pick-up, reads through the API, on SQLite and PostgreSQL
    Engine(Engine),
}

#[derive(clap::Args)]
pub(crate) struct Engine {
    /// Fewer jobs and accounts
    #[arg(long)]
    quick: bool,
}

#[derive(clap::Args)]
pub(crate) struct Provisioning {
    /// Numbers of sites
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000, 10000])]
    sites: Vec<usize>,
    /// Few sites and few samples: minutes instead of the better part of an hour
    #[arg(long)]
    quick: bool,
    /// The machine: with systemd as PID 1, or without
    #[arg(long, value_name = "KIND", value_parser = ["systemd", "plain"], default_value = "systemd")]
    host: String,
    /// Keep the host's files in memory instead of on disk, which flatters what is written
    #[arg(long)]
    memory: bool,
    /// A release archive, instead of building one
    #[arg(long, value_name = "FILE")]
    dist: Option<PathBuf>,
    /// Add the report to this file, e.g. docs/benchmarks.md
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Stop measuring after this time
    #[arg(long, default_value_t = 60)]
    minutes: u64,
}

/// Measures.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Provisioning(options) => provisioning(options),
        Bench::Engine(options) => engine(options),
    }
}

/// Needs Debian's package postgresql besides what building needs.
fn engine(options: &Engine) -> Result<()> {
    let build = ["build", "--release", "--locked", "--package", "wcp360-bench-engine", "--package", "wcp360-server"];
    process::run(&mut process::command(&repo::cargo(), build))?;
    let programs = repo::target_directory()?.join("release");
    let (jobs, accounts) = if options.quick { ("5000", "1000") } else { ("20000", "10000") };
    // The address of the database is known only inside.
    let script = format!(
        "exec {}/wcp360-bench-engine --postgres \"$WCP360_TEST_POSTGRES\" --core {0}/wcp360-core --jobs {jobs} --accounts {accounts}",
        programs.display()
    );
    let with = repo::root().join("scripts/with-postgres");
    process::run(&mut process::command(&with.to_string_lossy(), ["bash", "-c", &script]))
}

fn provisioning(options: &Provisioning) -> Result<()> {
    let archive = match &options.dist {
        Some(file) => std::fs::canonicalize(file).with_context(|| format!("can't find {}", file.display()))?,
        None => dist::make(&dist::Options { out: repo::target_directory()?.join("dist"), no_deb: true })?,
    };
    let build = ["build", "--release", "--locked", "--package", "wcp360-bench"];
    process::run(&mut process::command(&repo::cargo(), build))?;
    let driver = repo::target_directory()?.join("release/wcp360-bench");

    let host = Host::up(&options.host, options.memory)?;
    install(&host, &archive)?;
    host.push(&driver, "/root/wcp360-bench")?;

    let (sites, samples, concurrent) = match options.quick {
        true => (vec![10, 100], "8", "50"),
        false => (options.sites.clone(), "20", "100"),
    };
    let sites = sites.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let minutes = options.minutes.to_string();
    // The driver stops by itself; this is for when it does not.
    let limit = format!("{}m", options.minutes + 20);
    let words = ["timeout", "--kill-after=10", &limit, "/root/wcp360-bench", "--throw-away", "--sites", &sites];
    let files = match (options.memory, host::file_system()) {
        (true, _) => "memory".to_owned(),
        (false, kind) => format!("disk ({})", kind.unwrap_or_else(|| "unknown".into())),
    };
    let more = ["--files", &files, "--samples", samples, "--concurrent", concurrent, "--minutes", &minutes];
    let measured = host.output(words.iter().chain(&more));
    if measured.is_err() {
        host.tell_why();
    }
    let report = format!("## {}\n\n{}", title(&options.host)?, measured?);
    drop(host);
    println!("{report}");
    if let Some(out) = &options.out {
        append(&repo::root().join(out), &report)?;
    }
    Ok(())
}

fn install(host: &Host, archive: &Path) -> Result<()> {
    let name = archive.file_name().context("the archive has no name")?.to_string_lossy().into_owned();
    host.push(archive, "/root/")?;
    host.push(&repo::root().join("install-wcp360.sh"), "/root/")?;
    host.run(["timeout", "600", "/root/install-wcp360.sh", "--from", &format!("/root/{name}")])?;
    // The password is thrown away with the host.
    let setup = "umask 077; head -c 18 /dev/urandom | base64 >/root/password; \
                 exec wcp360 setup --username bench-admin --password-file /root/password --save-token /etc/wcp360/api.key";
    host.run(["timeout", "60", "sh", "-c", setup])
}

/// `2026-11-21, 0.1.0 (1a2b3c4), systemd`
fn title(kind: &str) -> Result<String> {
    let date = process::output(&mut process::command("date", ["--utc", "+%F"]))?;
    let commit = process::output(&mut process::command("git", ["describe", "--always", "--dirty"]));
    let commit = commit.map_or_else(|_| "unknown commit".into(), |text| text.trim().to_owned());
    Ok(format!("{}, {} ({commit}), {kind}", date.trim(), repo::VERSION))
}

const INTRODUCTION: &str = "\
# Benchmarks

Anyone can run them: `cargo xtask bench provisioning` makes a throw-away machine, installs a release, fills it and measures
inside (root, Linux; `--quick` for a few minutes). nginx's and useradd's own needs are measured in the same run on the same
machine: compare the ratios, not the milliseconds, with other machines.
";

fn append(path: &Path, report: &str) -> Result<()> {
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => INTRODUCTION.into(),
        Err(e) => bail!("can't read {}: {e}", path.display()),
    };
    repo::write(path, &format!("{}\n\n{}\n", before.trim_end(), report.trim_end()))?;
    println!("added to {}", path.display());
    Ok(())
}
