//! The command line of `wcp360-supervisor`.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::daemon::{self, Config};
use crate::kill::Tracking;
use crate::log::rfc3339;
use crate::protocol::{Client, ClientError, Request, Response, UnitStatus, UnitSummary};

/// What `--help` prints.
pub const USAGE: &str = "\
wcp360-supervisor: starts and stops systemd units where PID 1 is not systemd

wcp360-supervisor run [OPTIONS]
    --unit-dir DIR     unit files                    [/etc/systemd/system]
    --socket PATH      control socket                [/run/wcp360/supervisor.sock]
    --state-dir DIR    lock and state                [/run/wcp360/supervisor]
    --log-dir DIR      supervisor.log, units/*.log   [/var/log/wcp360]
    --tracking MODE    auto, cgroup or reaper        [auto]
    --foreground       do not become a daemon
  Returns when the supervisor listens; with --foreground, when it has ended.
  Signals: TERM stops all units, HUP reads unit files anew, KILL leaves units running for the next supervisor to adopt.

wcp360-supervisor ctl [--socket PATH] [--json] COMMAND [UNIT]
    start | stop | restart | reload | enable | disable | reset-failed | status UNIT
    list [PATTERN]     units that are not inactive or are enabled; * and ? match
    daemon-reload      read unit files anew
    ping | shutdown
  Exit code: 0 done, 1 failed, 2 wrong usage, 3 status: not active, 4 the supervisor can't be reached.
";

/// What the arguments ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Print the usage.
    Help,
    /// Print the version.
    Version,
    /// Run the supervisor.
    Run(Config),
    /// Ask a running one.
    Ctl {
        /// Where it listens.
        socket: PathBuf,
        /// Print the response as it is.
        json: bool,
        /// What to ask.
        request: Request,
    },
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// With a message, when they make no sense.
pub fn parse_args(args: &[String]) -> Result<Call, String> {
    let mut it = args.iter().map(String::as_str);
    match it.next() {
        None | Some("help" | "--help" | "-h") => Ok(Call::Help),
        Some("--version" | "-V") => Ok(Call::Version),
        Some("run") => parse_run(it),
        Some("ctl") => parse_ctl(it),
        Some(other) => Err(format!("unknown command “{other}”: expected run or ctl")),
    }
}

fn parse_run<'a>(mut it: impl Iterator<Item = &'a str>) -> Result<Call, String> {
    let mut c = Config::default();
    while let Some(arg) = it.next() {
        let (name, inline) = arg.split_once('=').map_or((arg, None), |(n, v)| (n, Some(v)));
        let mut value = || -> Result<&'a str, String> {
            inline.or_else(|| it.next()).filter(|v| !v.is_empty()).ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--unit-dir" => c.unit_dir = absolute(value()?)?,
            "--socket" => c.socket = absolute(value()?)?,
            "--state-dir" => c.state_dir = absolute(value()?)?,
            "--log-dir" => c.log_dir = absolute(value()?)?,
            "--tracking" => {
                c.tracking = match value()? {
                    "auto" => Tracking::Auto,
                    "cgroup" => Tracking::Cgroup,
                    "reaper" => Tracking::Reaper,
                    v => return Err(format!("--tracking {v}: expected auto, cgroup or reaper")),
                }
            }
            "--foreground" => c.foreground = true,
            "--help" | "-h" => return Ok(Call::Help),
            _ => return Err(format!("unknown option “{arg}” of run")),
        }
    }
    Ok(Call::Run(c))
}

fn absolute(v: &str) -> Result<PathBuf, String> {
    // The daemon changes to /.
    std::path::absolute(v).map_err(|e| format!("{v}: {e}"))
}

fn parse_ctl<'a>(mut it: impl Iterator<Item = &'a str>) -> Result<Call, String> {
    let mut socket = PathBuf::from(crate::protocol::DEFAULT_SOCKET);
    let mut json = false;
    let mut words: Vec<&str> = Vec::new();
    while let Some(arg) = it.next() {
        match arg {
            "--json" => json = true,
            "--socket" => socket = it.next().ok_or("--socket needs a value")?.into(),
            "--help" | "-h" => return Ok(Call::Help),
            _ => match arg.strip_prefix("--socket=") {
                Some(s) => socket = s.into(),
                None if arg.starts_with('-') => return Err(format!("unknown option “{arg}” of ctl")),
                None => words.push(arg),
            },
        }
    }
    let (Some(command), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
        return Err("ctl needs a command".into());
    };
    let unit = || match rest {
        [u] => Ok((*u).to_owned()),
        _ => Err(format!("ctl {command} needs one unit")),
    };
    let alone = |r: Request| if rest.is_empty() { Ok(r) } else { Err(format!("ctl {command} takes no unit")) };
    let request = match *command {
        "start" => Request::Start { unit: unit()? },
        "stop" => Request::Stop { unit: unit()? },
        "restart" => Request::Restart { unit: unit()? },
        "reload" => Request::Reload { unit: unit()? },
        "enable" => Request::Enable { unit: unit()? },
        "disable" => Request::Disable { unit: unit()? },
        "reset-failed" => Request::ResetFailed { unit: unit()? },
        "status" => Request::Status { unit: unit()? },
        "list" => match rest {
            [] => Request::List { pattern: None },
            [p] => Request::List { pattern: Some((*p).to_owned()) },
            _ => return Err("ctl list takes one pattern at most: quote it".into()),
        },
        "daemon-reload" => alone(Request::DaemonReload)?,
        "ping" => alone(Request::Ping)?,
        "shutdown" => alone(Request::Shutdown)?,
        other => return Err(format!("unknown command “{other}” of ctl")),
    };
    Ok(Call::Ctl { socket, json, request })
}

/// Says what is wrong. A closed standard error is no reason to panic.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "wcp360-supervisor: {what}");
}

/// Carries out what the arguments ask for. Returns the exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    // A closed standard output is no reason to panic.
    let print = |text: &str| drop(std::io::stdout().write_all(text.as_bytes()));
    match parse_args(args) {
        Err(e) => {
            complain(&format!("{e}\nTry wcp360-supervisor --help"));
            2
        }
        Ok(Call::Help) => {
            print(USAGE);
            0
        }
        Ok(Call::Version) => {
            print(concat!("wcp360-supervisor ", env!("CARGO_PKG_VERSION"), "\n"));
            0
        }
        Ok(Call::Run(config)) => match daemon::run(&config) {
            Ok(()) => 0,
            Err(e) => {
                complain(&e.to_string());
                1
            }
        },
        Ok(Call::Ctl { socket, json, request }) => {
            let (text, code) = ctl(&socket, json, &request);
            print(&text);
            code
        }
    }
}

fn ctl(socket: &Path, json: bool, request: &Request) -> (String, i32) {
    let response = Client::connect(socket).and_then(|mut c| match request {
        // Waits for the end of the process too.
        Request::Shutdown => c.shutdown().map(|()| Response::done()),
        _ => c.call(request),
    });
    let r = match response {
        Ok(r) => r,
        Err(e) => {
            complain(&e.to_string());
            return (String::new(), if matches!(e, ClientError::Connect { .. }) { 4 } else { 1 });
        }
    };
    let inactive = matches!(request, Request::Status { .. })
        && r.status.as_ref().is_some_and(|s| s.state != crate::protocol::UnitState::Active);
    let code = match (r.ok, inactive) {
        (false, _) => 1,
        (true, true) => 3,
        (true, false) => 0,
    };
    if json {
        return (serde_json::to_string(&r).unwrap_or_default() + "\n", code);
    }
    (text_of(&r, request), code)
}

fn text_of(r: &Response, request: &Request) -> String {
    if let Some(e) = &r.error {
        complain(&e.to_string());
        return String::new();
    }
    match (&r.units, &r.status) {
        (Some(units), _) => units.iter().map(line).collect(),
        (None, Some(s)) if matches!(request, Request::Status { .. }) => page(s),
        (None, Some(s)) => format!("{}: {} ({})\n", s.unit, word(&s.state), s.sub),
        (None, None) => String::new(),
    }
}

fn word<T: serde::Serialize>(v: &T) -> String {
    serde_json::to_value(v).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn line(u: &UnitSummary) -> String {
    let enabled = if u.enabled { "enabled" } else { "-" };
    let pid = u.main_pid.map_or_else(|| "-".to_owned(), |p| p.to_string());
    format!("{:<48} {:<12} {:<14} {pid:>8} {enabled}\n", u.unit, word(&u.state), u.sub)
}

fn page(s: &UnitStatus) -> String {
    let mut out = s.unit.clone();
    if !s.description.is_empty() {
        out += &format!(" - {}", s.description);
    }
    out += &format!("\n  state:      {} ({})", word(&s.state), s.sub);
    if s.since > 0 {
        out += &format!(" since {}", rfc3339(s.since));
    }
    out += &format!("\n  enabled:    {}", if s.enabled { "yes" } else { "no" });
    if let Some(p) = s.main_pid {
        out += &format!("\n  main pid:   {p}");
    }
    out += &format!("\n  processes:  {}\n", s.processes);
    if s.restarts > 0 {
        out += &format!("  restarts:   {}\n", s.restarts);
    }
    if let Some(f) = &s.failure {
        out += &format!("  failure:    {f}\n");
    }
    if !s.not_enforced.is_empty() {
        out += &format!("  not enforced here: {}\n", s.not_enforced.join(" "));
    }
    for w in &s.warnings {
        out += &format!("  warning:    {w}\n");
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Call, String> {
        parse_args(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments() {
        let Call::Run(c) = parse("run --unit-dir /u --socket=/s --foreground --tracking reaper").unwrap() else {
            panic!("not run")
        };
        assert_eq!((c.unit_dir, c.socket, c.foreground), ("/u".into(), "/s".into(), true));
        assert_eq!(c.tracking, Tracking::Reaper);
        assert_eq!(
            parse("ctl start a.service --json").unwrap(),
            Call::Ctl {
                socket: crate::protocol::DEFAULT_SOCKET.into(),
                json: true,
                request: Request::Start { unit: "a.service".into() }
            }
        );
        for bad in [
            "nope",
            "run --what",
            "run --socket",
            "ctl",
            "ctl start",
            "ctl ping x",
            "ctl start a b",
            "ctl --x",
            "ctl list a b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("").unwrap(), Call::Help);
    }
}
