//! What nginx and useradd need by themselves, on this machine, now: a configuration file per site, a test and a reload for
//! each change, as it is usually done.

use crate::Deadline;
use crate::probe::Probe;
use crate::stats::Times;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where everything happens; in memory or on disk like all of /var.
const SCRATCH: &str = "/var/tmp/wcp360-bench";
const HTTP: u16 = 18_080;
const HTTPS: u16 = 18_443;

/// The floors at some number of sites.
#[derive(Debug, Clone, Default)]
pub(crate) struct Floors {
    /// `nginx -t`, sites without TLS.
    pub(crate) test_plain: Times,
    /// `nginx -t`, sites with TLS as ours have.
    pub(crate) test: Times,
    /// From the reload to the new site being served over HTTP.
    pub(crate) reload: Times,
    /// `nginx -t` of the panel's own configuration.
    pub(crate) own_test: Times,
    /// useradd with as many users as there are accounts.
    pub(crate) useradd: Times,
}

impl Floors {
    /// Test and reload: what a change costs at least.
    pub(crate) fn change(&self) -> Duration {
        self.test.median() + self.reload.median()
    }
}

/// Measures with `sites` sites.
pub(crate) fn measure(sites: usize, samples: usize, deadline: Deadline) -> Result<Floors> {
    let scratch = Scratch::new()?;
    let mut floors = Floors { useradd: useradd(&scratch, samples.min(10))?, ..Floors::default() };
    // With thousands of sites, one time takes many seconds.
    let samples = if sites > 2000 { 2 } else { samples.min(5) };
    for _ in 0..samples {
        // Nobody's, where there is no panel.
        if let Ok(time) = timed(Command::new("nginx").args(["-t", "-c", "/etc/wcp360/nginx/current/nginx.conf"])) {
            floors.own_test.add(time);
        }
    }
    let mut nginx = Nginx::new(&scratch, sites, false)?;
    for _ in 0..samples {
        floors.test_plain.add(nginx.test()?);
    }
    nginx = Nginx::new(&scratch, sites, true)?;
    for _ in 0..samples {
        floors.test.add(nginx.test()?);
    }
    nginx.start()?;
    for sample in 0..samples {
        if deadline.is_over() {
            break;
        }
        floors.reload.add(nginx.reload(&format!("new{sample}.floor.test"))?);
    }
    Ok(floors)
}

/// A directory that is gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let _ = fs::remove_dir_all(SCRATCH);
        fs::create_dir_all(SCRATCH).with_context(|| format!("can't make {SCRATCH}"))?;
        Ok(Self(SCRATCH.into()))
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// useradd on a copy of this machine's users.
fn useradd(scratch: &Scratch, samples: usize) -> Result<Times> {
    let etc = scratch.path("users/etc");
    fs::create_dir_all(&etc)?;
    for file in ["passwd", "group", "shadow", "gshadow", "subuid", "subgid", "login.defs"] {
        let from = Path::new("/etc").join(file);
        if from.exists() {
            fs::copy(&from, etc.join(file))?;
        }
    }
    let mut times = Times::default();
    for sample in 0..samples {
        let mut command = Command::new("useradd");
        command.arg("--prefix").arg(scratch.path("users"));
        command.args(["--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", &format!("floor{sample}")]);
        times.add(timed(&mut command)?);
    }
    Ok(times)
}

/// A second nginx with a file per site.
struct Nginx {
    directory: PathBuf,
    tls: bool,
    running: Option<Child>,
}

impl Nginx {
    fn new(scratch: &Scratch, sites: usize, tls: bool) -> Result<Self> {
        let directory = scratch.path("nginx");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("sites"))?;
        fs::create_dir_all(directory.join("root"))?;
        fs::write(directory.join("root/index.html"), "here\n")?;
        if tls {
            certificate(&directory)?;
        }
        let nginx = Self { directory, tls, running: None };
        nginx.write_main()?;
        nginx.write_site("warm.floor.test")?;
        for number in 0..sites {
            nginx.write_site(&format!("s{number:05}.floor.test"))?;
        }
        Ok(nginx)
    }

    fn write_main(&self) -> Result<()> {
        let at = self.directory.display();
        let text = format!(
            "user www-data;\nworker_processes auto;\nworker_rlimit_nofile 65536;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 16384; }}\nhttp {{\n  access_log off;\n  server_names_hash_max_size 65536;\n  \
             server_names_hash_bucket_size 128;\n  include {at}/sites/*.conf;\n  \
             server {{ listen {HTTP} default_server; return 404; }}\n}}\n"
        );
        Ok(fs::write(self.directory.join("nginx.conf"), text)?)
    }

    fn write_site(&self, host: &str) -> Result<()> {
        let at = self.directory.display();
        let tls = match self.tls {
            true => {
                format!("  listen {HTTPS} ssl;\n  ssl_certificate {at}/tls.crt;\n  ssl_certificate_key {at}/tls.key;\n")
            }
            false => String::new(),
        };
        let text = format!(
            "server {{\n  listen {HTTP};\n{tls}  server_name {host} www.{host};\n  root {at}/root;\n  index index.html;\n  \
             location / {{ try_files $uri $uri/ =404; }}\n  location ~ \\.php$ {{ fastcgi_pass unix:/run/none.sock; }}\n}}\n"
        );
        let mut file = fs::File::create(self.directory.join("sites").join(format!("{host}.conf")))?;
        Ok(file.write_all(text.as_bytes())?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nginx");
        command.arg("-c").arg(self.directory.join("nginx.conf"));
        command
    }

    fn test(&self) -> Result<Duration> {
        timed(self.command().arg("-t"))
    }

    fn start(&mut self) -> Result<()> {
        // In the foreground, so that it is our child and ends with us.
        let child = self.command().args(["-g", "daemon off;"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.running = Some(child);
        let began = Instant::now();
        Probe::Http(HTTP).until_served("warm.floor.test", began)?;
        // It listens before it can be told to reload.
        while fs::read_to_string(self.directory.join("pid")).unwrap_or_default().trim().is_empty() {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("nginx writes no pid file");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Adds a site and reloads; returns the time from the reload to the site being served.
    fn reload(&self, host: &str) -> Result<Duration> {
        self.write_site(host)?;
        let began = Instant::now();
        timed(self.command().args(["-s", "reload"]))?;
        Probe::Http(HTTP).until_served(host, began)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = timed(self.command().args(["-s", "stop"]));
            // Killed at once, it would leave its workers behind, with our ports.
            let give_up = Instant::now() + Duration::from_secs(10);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < give_up {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn certificate(directory: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args(["-subj", "/CN=floor.test", "-keyout"]).arg(directory.join("tls.key"));
    command.arg("-out").arg(directory.join("tls.crt"));
    timed(&mut command).map(|_| ())
}

/// Runs a command and says how long it took.
fn timed(command: &mut Command) -> Result<Duration> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("can't start {command:?}"))?;
    let took = began.elapsed();
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(took)
}
