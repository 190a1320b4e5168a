//! Flags that every command has.

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use std::path::PathBuf;
use std::time::Duration;

/// Where the API is on the machine itself.
const DEFAULT_SERVER: &str = "http://127.0.0.1:2098";

/// What these flags were set to.
#[derive(Debug, Clone)]
pub struct Globals {
    /// Print JSON.
    pub json: bool,
    /// The panel's address.
    pub server: String,
    /// A file with the API token.
    pub token_file: Option<PathBuf>,
    /// Certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Trust every certificate, and speak plain HTTP to other machines.
    pub insecure: bool,
    /// Say what is sent and received.
    pub verbose: bool,
    /// Say nothing but results and errors.
    pub quiet: bool,
    /// Don't wait for jobs.
    pub no_wait: bool,
    /// How long to wait for a job.
    pub timeout: Duration,
}

impl Globals {
    /// What was given, or the defaults.
    pub fn of(matches: &ArgMatches) -> Self {
        Self {
            json: matches.get_flag("json"),
            server: matches.get_one::<String>("server").cloned().unwrap_or_else(|| DEFAULT_SERVER.into()),
            token_file: matches.get_one("token-file").cloned(),
            ca_file: matches.get_one("ca-file").cloned(),
            insecure: matches.get_flag("insecure"),
            verbose: matches.get_flag("verbose"),
            quiet: matches.get_flag("quiet"),
            no_wait: matches.get_flag("no-wait"),
            timeout: Duration::from_secs(matches.get_one("timeout").copied().unwrap_or(600)),
        }
    }
}

pub(super) fn args() -> Vec<Arg> {
    let switch = |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    let path = |id: &'static str, help: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(clap::ValueHint::FilePath)
            .help(help)
    };
    let all = [
        switch("json", "Print what the API answers, as JSON"),
        switch("verbose", "Say what is sent and received, and request ids").short('v'),
        switch("quiet", "Print results and errors only").short('q'),
        switch("no-wait", "Print the job, or the change of many accounts, and don't wait for its end"),
        Arg::new("timeout")
            .long("timeout")
            .value_name("SECONDS")
            .value_parser(value_parser!(u64).range(1..=86_400))
            .help("How long to wait for a job, and at most for an answer [default: 600]"),
        Arg::new("server")
            .long("server")
            .value_name("URL")
            .env("WCP360_SERVER")
            .hide_env_values(true)
            .value_hint(clap::ValueHint::Url)
            .help(format!("Where the panel's API is [default: {DEFAULT_SERVER}]")),
        path(
            "token-file",
            "File with the API token [default: $WCP360_TOKEN, ~/.config/wcp360/token, /etc/wcp360/api.key]",
        ),
        path("ca-file", "Certificates (PEM) to trust instead of the public authorities"),
        switch("insecure", "Accept any certificate, and plain HTTP to other machines"),
    ];
    all.into_iter().map(|arg| arg.global(true).help_heading("Global options")).collect()
}
