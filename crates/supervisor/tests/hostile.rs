//! Units and files that are meant to do harm, or do it by mistake: the supervisor goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{lchown, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use common::{BINARY, Supervisor, TRACKINGS, alive, read, until};
use wcp360_supervisor::protocol::{ClientError, UnitState, UnitStatus};

fn why(r: Result<UnitStatus, ClientError>) -> String {
    match r {
        Err(ClientError::Failed(f)) => f.to_string(),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn a_restart_that_never_comes() {
    let s = Supervisor::start("cgroup");
    s.unit("r.service", "[Service]\nRestart=always\nRestartSec=infinity\nExecStart=/bin/sleep 1000\n");
    let pid = s.client().start("r.service").unwrap().main_pid.unwrap();
    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    until("it has failed", || s.state("r.service") == UnitState::Failed);
    assert_eq!(s.client().start("r.service").unwrap().state, UnitState::Active);
}

#[test]
fn a_pipe_or_link_as_log_file_holds_nobody_up() {
    let s = Supervisor::start("cgroup");
    s.unit("l.service", "[Service]\nStandardOutput=append:@DIR@/tenant/log\nExecStart=/bin/sh -c 'echo x; exit 3'\n");
    s.unit("other.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    fs::create_dir(s.path("tenant")).unwrap();
    let log = s.path("tenant/log");
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    assert!(why(s.client().start("l.service")).contains("StandardOutput="));
    assert_eq!(s.client().start("other.service").unwrap().state, UnitState::Active);

    fs::remove_file(&log).unwrap();
    fs::write(s.path("secret"), "root's own\n").unwrap();
    symlink(s.path("secret"), &log).unwrap();
    lchown(&log, Some(65534), None).unwrap();
    let told = why(s.client().start("l.service"));
    assert!(told.contains("root does not own") && !told.contains("root's own"), "{told}");
    assert_eq!(read(&s.path("secret")), "root's own\n");
}

#[test]
fn what_a_failed_unit_put_in_place_of_its_log_is_not_shown() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        fs::create_dir(s.path("tenant")).unwrap();
        lchown(s.path("tenant"), Some(65534), None).unwrap();
        fs::write(s.path("secret"), "root's own\n").unwrap();
        s.unit(
            "l.service",
            "[Service]\nType=notify\nUser=nobody\nStandardOutput=append:@DIR@/tenant/log\n\
             ExecStart=/bin/sh -c 'rm @DIR@/tenant/log; ln -s @DIR@/secret @DIR@/tenant/log; exit 3'\n",
        );
        let told = why(s.client().start("l.service"));
        assert!(told.contains("code 3") && !told.contains("root's own"), "{told}");
    }
}

#[test]
fn a_runtime_directory_is_not_made_through_somebody_elses_link() {
    let s = Supervisor::start("cgroup");
    let base = format!("wcp360-test-{}", std::process::id());
    let run = std::path::Path::new("/run").join(&base);
    fs::create_dir(&run).unwrap();
    symlink(s.path("run"), run.join("there")).unwrap();
    lchown(run.join("there"), Some(65534), None).unwrap();
    s.unit("d.service", &format!("[Service]\nRuntimeDirectory={base}/there/mine\nExecStart=/bin/sleep 1000\n"));
    let told = why(s.client().start("d.service"));
    fs::remove_file(run.join("there")).unwrap();
    assert!(told.contains("root does not own"), "{told}");
    assert!(!s.path("run/mine").exists());
    // The same name without the link: made, and gone when it stops, also with something in it.
    s.client().start("d.service").unwrap();
    fs::write(run.join("there/mine/file"), "x").unwrap();
    s.client().stop("d.service").unwrap();
    assert!(!run.join("there/mine").exists());
    fs::remove_dir_all(run).unwrap();
}

#[test]
fn a_second_start_does_not_count_what_the_first_waited_for() {
    let s = Supervisor::start("cgroup");
    for (name, sleep) in [("one", "0.5"), ("two", "2")] {
        s.unit(
            &format!("{name}.service"),
            &format!(
                "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'sleep {sleep}; : > @DIR@/{name}'\n"
            ),
        );
    }
    s.unit("needed.service", "[Service]\nType=oneshot\n");
    s.unit(
        "all.service",
        "[Unit]\nRequires=one.service two.service needed.service\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'test -e @DIR@/one && test -e @DIR@/two'\n",
    );
    assert!(why(s.client().start("all.service")).contains("needed.service"));
    s.unit("needed.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n");
    let end = s.client().start("all.service").map(|s| s.state);
    assert!(matches!(end, Ok(UnitState::Inactive)), "started before what it requires was up: {end:?}");
}

#[test]
fn thousands_of_empty_lines_are_one_answer() {
    let s = Supervisor::start("cgroup");
    let stream = UnixStream::connect(s.path("sock")).unwrap();
    let mut text = vec![b'\n'; 200_000];
    text.extend_from_slice(b"{\"op\":\"ping\"}\n");
    (&stream).write_all(&text).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert_eq!(line, "{\"ok\":true}\n");
}

#[test]
fn nothing_of_whoever_started_it_stays_open() {
    let s = Supervisor::prepare("reaper");
    s.unit("a.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    fs::write(s.path("lock"), "").unwrap();
    let script = format!("exec 9<{}; exec {BINARY} run {}", s.path("lock").display(), s.args().join(" "));
    let out = Command::new("sh").args(["-c", &script]).env("SECRET_OF_MINE", "1").output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let unit = s.client().start("a.service").unwrap().main_pid.unwrap();
    let daemon = |p: i32| common::cmdline(p).contains(" run ") && alive(p);
    let daemons: Vec<i32> =
        common::processes_mentioning(s.dir.to_str().unwrap()).into_iter().filter(|p| daemon(*p)).collect();
    let open: Vec<_> = daemons
        .iter()
        .flat_map(|p| fs::read_dir(format!("/proc/{p}/fd")).unwrap().flatten())
        .filter_map(|e| fs::read_link(e.path()).ok())
        .collect();
    let environment = fs::read(format!("/proc/{unit}/environ")).unwrap();
    let passed_on = fs::read_dir(format!("/proc/{unit}/fd")).unwrap().count();
    s.client().shutdown().unwrap();
    assert!(!daemons.is_empty() && !open.contains(&s.path("lock")), "{daemons:?} hold {open:?}");
    assert!(!String::from_utf8_lossy(&environment).contains("SECRET_OF_MINE"));
    assert_eq!(passed_on, 3);
}

#[test]
fn nobody_who_listens_is_no_reason_to_panic() {
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let wrong = Command::new(BINARY).arg("nonsense").stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(wrong.code(), Some(2));
    let away = Command::new(BINARY).args(["ctl", "--socket", "/nowhere", "ping"]).stderr(full()).status().unwrap();
    assert_eq!(away.code(), Some(4));
}
