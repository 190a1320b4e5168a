//! Fills the panel step by step and measures at each step.

use crate::accounts::{self, all, create, create_timed, delete, domain, start};
use crate::api::Api;
use crate::floors::{self, Floors};
use crate::memory::Memory;
use crate::probe::Probe;
use crate::stats::Times;
use crate::{Deadline, Options};
use anyhow::{Result, bail};
use serde_json::Value;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What was measured at one number of sites.
#[derive(Default)]
pub(crate) struct Level {
    pub(crate) sites: usize,
    /// Accounts per second while filling up to here.
    pub(crate) fill_rate: Option<f64>,
    pub(crate) http: Times,
    pub(crate) https: Times,
    pub(crate) job: Times,
    pub(crate) delete: Times,
    /// From the request to delete to the site being gone.
    pub(crate) gone: Times,
    pub(crate) list: Times,
    /// A list of 1,000, where there are as many.
    pub(crate) list_thousand: Times,
    pub(crate) show: Times,
    /// Comparing all accounts with their manifests, as a job, when all are healthy.
    pub(crate) compare: Times,
    pub(crate) memory: Memory,
    pub(crate) floors: Floors,
    pub(crate) burst: Option<Burst>,
}

/// Many creations at once.
pub(crate) struct Burst {
    pub(crate) count: usize,
    pub(crate) total: Duration,
    /// What was not right afterwards.
    pub(crate) wrong: Vec<String>,
}

/// Measures at every number of sites, as far as the time allows.
pub(crate) fn run(options: &Options, deadline: Deadline) -> Result<Vec<Level>> {
    if options.only_floors {
        return only_floors(options, deadline);
    }
    let api = Api::new()?;
    accounts::package(&api)?;
    let bench = Bench { api, http: Probe::Http(80), https: Probe::https(443)?, options, deadline };
    bench.warm_up()?;
    let mut levels = Vec::new();
    let mut filled = 0;
    for &sites in &options.sites {
        let others = accounts::listed(&bench.api)?.len() - filled;
        let target = sites.saturating_sub(others);
        let Some(rate) = bench.fill(filled, target)? else { break };
        filled = filled.max(target);
        levels.push(bench.level(sites, rate)?);
        if deadline.is_over() {
            eprintln!("the time is up");
            break;
        }
    }
    Ok(levels)
}

fn only_floors(options: &Options, deadline: Deadline) -> Result<Vec<Level>> {
    let mut levels = Vec::new();
    for &sites in options.sites.iter().take_while(|_| !deadline.is_over()) {
        eprintln!("{sites} sites: nginx and useradd by themselves …");
        let floors = floors::measure(sites, options.samples, deadline)?;
        levels.push(Level { sites, floors, ..Level::default() });
    }
    Ok(levels)
}

struct Bench<'a> {
    api: Api,
    http: Probe,
    https: Probe,
    options: &'a Options,
    deadline: Deadline,
}

impl Bench<'_> {
    /// The first creations of all start and load things.
    fn warm_up(&self) -> Result<()> {
        for account in ["warm0", "warm1", "warm2", "warm3"] {
            create_timed(&self.api, account, &self.http, &self.https)?;
            delete(&self.api, account)?;
        }
        Ok(())
    }

    /// Creates accounts until there are `target`; `None`: the time was up before.
    fn fill(&self, from: usize, target: usize) -> Result<Option<Option<f64>>> {
        if target <= from {
            return Ok(Some(None));
        }
        eprintln!("filling up to {target} …");
        let names: Vec<String> = (from..target).map(|n| format!("b{n:05}")).collect();
        let began = Instant::now();
        let whole = all(&names, self.options.in_flight, self.deadline, |name| create(&self.api, name))?;
        Ok(whole.then(|| Some(names.len() as f64 / began.elapsed().as_secs_f64())))
    }

    fn level(&self, sites: usize, fill_rate: Option<f64>) -> Result<Level> {
        let mut level = Level { sites, fill_rate, ..Level::default() };
        // What filling up has left to do shall not count.
        std::thread::sleep(Duration::from_secs(2));
        level.memory = Memory::now()?;
        eprintln!("{sites} sites: creating {} one after the other …", self.options.samples);
        for sample in 0..self.options.samples {
            if self.deadline.is_over() && !level.http.is_empty() {
                break;
            }
            let account = format!("s{sites}x{sample}");
            let created = create_timed(&self.api, &account, &self.http, &self.https)?;
            level.http.add(created.http);
            level.https.add(created.https);
            level.job.add(created.job);
            let began = Instant::now();
            delete(&self.api, &account)?;
            level.delete.add(began.elapsed());
            level.gone.add(self.http.until_gone(&domain(&account), began)?);
        }
        eprintln!("{sites} sites: lists …");
        level.list = self.requests("/accounts?limit=100")?;
        level.show = self.requests("/accounts/b00000")?;
        if sites >= 1000 {
            level.list_thousand = self.requests("/accounts?limit=1000")?;
        }
        for _ in 0..3 {
            let began = Instant::now();
            let job = self.api.start("POST", "/drift/reconcile", Some(&serde_json::json!({"report_only": true})))?;
            self.api.finish(&job, Duration::from_millis(10))?;
            level.compare.add(began.elapsed());
        }
        if self.options.concurrent > 0 && !self.deadline.is_over() {
            level.burst = Some(self.burst(sites)?);
        }
        if !self.options.no_floors && !self.deadline.is_over() {
            eprintln!("{sites} sites: nginx and useradd by themselves …");
            level.floors = floors::measure(sites, self.options.samples, self.deadline)?;
        }
        Ok(level)
    }

    fn requests(&self, path: &str) -> Result<Times> {
        let mut times = Times::default();
        for _ in 0..50 {
            let began = Instant::now();
            let (status, body) = self.api.send("GET", path, None)?;
            times.add(began.elapsed());
            if status != 200 {
                bail!("GET {path} answered {status}: {body}");
            }
        }
        Ok(times)
    }

    /// Creates many at once, looks whether everything is right, and deletes them.
    fn burst(&self, sites: usize) -> Result<Burst> {
        let count = self.options.concurrent;
        eprintln!("{sites} sites: creating {count} at once …");
        let names: Vec<String> = (0..count).map(|n| format!("c{sites}x{n}")).collect();
        let before = Counts::now(&self.api)?;
        let began = Instant::now();
        // Also when the time is up: half of a burst is no measurement.
        let forever = Deadline(Instant::now() + Duration::from_secs(600));
        let jobs = Mutex::new(Vec::new());
        all(&names, count, forever, |name| {
            let job = start(&self.api, name)?;
            jobs.lock().map_err(|_| anyhow::anyhow!("a worker panicked"))?.push(job);
            Ok(())
        })?;
        // One who asks: a hundred would be what is measured.
        for job in jobs.into_inner().unwrap_or_default() {
            self.api.finish(&job, Duration::from_millis(10))?;
        }
        let total = began.elapsed();

        let mut wrong = Vec::new();
        Counts::now(&self.api)?.compare(&before, count, "after creating", &mut wrong);
        for name in &names {
            if !self.http.serves(&domain(name)) || !self.https.serves(&domain(name)) {
                wrong.push(format!("{} is not served", domain(name)));
            }
        }
        all(&names, self.options.in_flight, forever, |name| delete(&self.api, name))?;
        Counts::now(&self.api)?.compare(&before, 0, "after deleting", &mut wrong);
        for name in &names {
            if let Err(error) = self.http.until_gone(&domain(name), Instant::now()) {
                wrong.push(format!("{error:#}"));
            }
        }
        for line in &wrong {
            eprintln!("  wrong: {line}");
        }
        Ok(Burst { count, total, wrong })
    }
}

/// The same number, counted in different places.
struct Counts {
    listed: usize,
    active: usize,
    domains: u64,
    in_package: u64,
    users: usize,
}

impl Counts {
    fn now(api: &Api) -> Result<Self> {
        let accounts = accounts::listed(api)?;
        let names: std::collections::BTreeSet<&str> = accounts.iter().filter_map(|a| a["username"].as_str()).collect();
        if names.len() != accounts.len() {
            bail!("the list names an account twice");
        }
        let passwd = std::fs::read_to_string("/etc/passwd")?;
        Ok(Self {
            listed: accounts.len(),
            active: accounts.iter().filter(|a| a["state"] == "active").count(),
            domains: accounts.iter().filter_map(|a| a["domains"].as_u64()).sum(),
            in_package: accounts::counted(api)?,
            users: passwd.lines().filter(|line| names.contains(line.split(':').next().unwrap_or_default())).count(),
        })
    }

    /// Notes every count that has not grown by `more`.
    fn compare(&self, before: &Self, more: usize, when: &str, wrong: &mut Vec<String>) {
        let pairs = [
            ("accounts listed", self.listed, before.listed),
            ("accounts active", self.active, before.active),
            ("domains counted", self.domains as usize, before.domains as usize),
            ("accounts counted by the package", self.in_package as usize, before.in_package as usize),
            ("Linux users", self.users, before.users),
        ];
        for (what, now, then) in pairs {
            if now != then + more {
                wrong.push(format!("{when}: {what}: {now} instead of {}", then + more));
            }
        }
    }
}

/// What the machine is, for the report.
pub(crate) fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let systemd = std::path::Path::new("/run/systemd/system").is_dir();
    serde_json::json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cpus": cpus,
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").split(' ').next(),
        "services": if systemd { "systemd" } else { "wcp360-supervisor" },
    })
}
