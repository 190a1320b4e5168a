//! Starting, stopping, failing, restarting, ordering, enabling: services without isolation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{BINARY, Supervisor, TRACKINGS, alive, processes_mentioning, read, until};
use wcp360_supervisor::protocol::{ClientError, ErrorCode, UnitState};

fn failure(r: Result<wcp360_supervisor::protocol::UnitStatus, ClientError>) -> wcp360_supervisor::protocol::Failure {
    match r {
        Err(ClientError::Failed(f)) => f,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn start_stop_status_are_idempotent() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit(
            "a.service",
            "[Unit]\nDescription=Unit %n\n[Service]\nExecStart=/bin/sleep 1000\nUser=nobody\nMemoryMax=1G\nBogus=1\n",
        );
        let mut c = s.client();
        let first = c.start("a.service").unwrap();
        assert_eq!((first.state, first.sub.as_str(), first.processes), (UnitState::Active, "running", 1));
        assert_eq!(first.description, "Unit a.service");
        assert_eq!(first.not_enforced, ["MemoryMax"]);
        assert!(first.warnings[0].contains("Bogus"), "{:?}", first.warnings);
        let pid = first.main_pid.unwrap();
        let uid = read(format!("/proc/{pid}/status").as_ref());
        assert!(uid.contains("Uid:\t65534\t65534\t65534\t65534"), "{uid}");
        assert_eq!(c.start("a.service").unwrap().main_pid, Some(pid), "a second start changes nothing");
        assert_eq!(c.stop("a.service").unwrap().state, UnitState::Inactive);
        assert!(!alive(pid));
        assert_eq!(c.stop("a.service").unwrap().state, UnitState::Inactive, "a second stop succeeds");
        assert_eq!(c.list(None).unwrap(), []);
    }
}

#[test]
fn failures_say_why_and_show_the_log() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        let mut c = s.client();
        assert_eq!(failure(c.start("none.service")).code, ErrorCode::NotFound);
        assert_eq!(failure(c.start("../etc/passwd")).code, ErrorCode::BadRequest);
        s.unit("missing.service", "[Service]\nExecStart=/no/such/program\n");
        let f = failure(c.start("missing.service"));
        assert!(f.message.contains("/no/such/program") && f.message.contains("No such file"), "{f}");
        s.unit("dies.service", "[Service]\nType=notify\nExecStart=/bin/sh -c 'echo the reason; exit 7'\n");
        let f = failure(c.start("dies.service"));
        assert!(f.message.contains("code 7"), "{f}");
        assert_eq!(f.log, ["the reason"]);
        assert_eq!(s.state("dies.service"), UnitState::Failed);
        c.reset_failed("dies.service").unwrap();
        assert_eq!(s.state("dies.service"), UnitState::Inactive);
        s.unit("pre.service", "[Service]\nExecStartPre=/bin/sh -c 'echo no >&2; exit 1'\nExecStart=/bin/sleep 99\n");
        let f = failure(c.start("pre.service"));
        assert!(f.message.contains("ExecStartPre=") && f.log == ["no"], "{f}");
        s.unit("user.service", "[Service]\nUser=no-such-user\nExecStart=/bin/true\n");
        assert!(failure(c.start("user.service")).message.contains("no-such-user"));
        s.unit("bad.service", "[Service]\nExecStart=/bin/true\nRootDirectory=/x\n");
        assert_eq!(failure(c.start("bad.service")).code, ErrorCode::BadUnit);
        s.unit("slow.service", "[Service]\nType=notify\nTimeoutStartSec=300ms\nExecStart=/bin/sleep 1000\n");
        assert!(failure(c.start("slow.service")).message.contains("TimeoutStartSec"));
        assert!(
            processes_mentioning("sleep 1000").iter().all(|p| !common::cmdline(*p).contains(s.dir.to_str().unwrap()))
        );
    }
}

#[test]
fn restarts_after_a_crash_with_growing_delay() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit(
            "r.service",
            "[Service]\nRestart=on-failure\nRestartSec=50ms\nExecStart=/bin/sh -c 'echo x >> @DIR@/runs; exec sleep 1000'\n",
        );
        let mut c = s.client();
        let mut pid = c.start("r.service").unwrap().main_pid.unwrap();
        for n in 1..=4 {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            until("it runs again", || s.status("r.service").main_pid.is_some_and(|p| p != pid));
            let st = s.status("r.service");
            pid = st.main_pid.unwrap();
            assert_eq!(st.restarts, n);
        }
        // What it waits for, not how long a machine at work takes.
        let log = s.log();
        let delays: Vec<&str> =
            log.lines().filter_map(|l| l.split("be restarted in ").nth(1)?.split(' ').next()).collect();
        assert_eq!(delays, ["50", "100", "200", "400"]);
        // A clean end is none of on-failure's business.
        Command::new("kill").arg(pid.to_string()).status().unwrap();
        until("it is inactive", || s.state("r.service") == UnitState::Inactive);
        // A stop on purpose is not undone, also while it waits to be restarted.
        let pid = c.start("r.service").unwrap().main_pid.unwrap();
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert_eq!(c.stop("r.service").unwrap().state, UnitState::Inactive);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(s.state("r.service"), UnitState::Inactive);
    }
}

#[test]
fn nothing_survives_a_stop() {
    for t in TRACKINGS {
        for mode in ["control-group", "mixed"] {
            let s = Supervisor::start(t);
            // Daemons that leave session, group and parent, ignore signals, and clear their environment.
            fs::write(
                s.path("wild.sh"),
                "for i in 1 2 3; do\n\
                 setsid sh -c 'trap \"\" TERM HUP INT; (env -i setsid sh \"$0\" \"$1\" &); while :; do sleep 0.1; done' \"$1\" \"$2\" &\n\
                 done\nexec sleep 1000\n",
            )
            .unwrap();
            fs::write(s.path("deep.sh"), "trap : TERM\nwhile :; do /bin/sleep 0.1; done\n").unwrap();
            s.unit(
                "wild.service",
                &format!(
                    "[Service]\nUser=nobody\nKillMode={mode}\nTimeoutStopSec=500ms\n\
                     ExecStart=/bin/sh @DIR@/wild.sh @DIR@/deep.sh @DIR@/marker\n"
                ),
            );
            let mut c = s.client();
            c.start("wild.service").unwrap();
            until("the daemons run", || s.status("wild.service").processes >= 7);
            let marker = s.path("marker").to_str().unwrap().to_owned();
            let wild = processes_mentioning(&marker);
            assert!(wild.len() >= 3, "{t} {mode}: {wild:?}");
            assert_eq!(c.stop("wild.service").unwrap().processes, 0);
            let left: Vec<_> = processes_mentioning(&marker).into_iter().filter(|p| alive(*p)).collect();
            assert!(left.is_empty(), "{t} {mode}: {left:?} survived");
            // The same when the main process dies by itself.
            let pid = c.start("wild.service").unwrap().main_pid.unwrap();
            until("the daemons run", || s.status("wild.service").processes >= 7);
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            until("it has failed", || s.state("wild.service") == UnitState::Failed);
            let left: Vec<_> = processes_mentioning(&marker).into_iter().filter(|p| alive(*p)).collect();
            assert!(left.is_empty(), "{t} {mode}: {left:?} survived the main process");
        }
    }
}

#[test]
fn a_fork_bomb_is_stopped() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit(
            "bomb.service",
            "[Service]\nUser=games\nLimitNPROC=200\nTimeoutStopSec=200ms\n\
             ExecStart=/bin/bash -c 'f() { trap \"\" TERM; while :; do f 2>/dev/null & sleep 0.05; done; }; f; : @DIR@'\n",
        );
        let mut c = s.client();
        c.start("bomb.service").unwrap();
        until("there are many", || s.status("bomb.service").processes > 100);
        let begun = Instant::now();
        assert_eq!(c.stop("bomb.service").unwrap().processes, 0);
        println!("{t}: a fork bomb of more than 100 processes stopped in {:?}", begun.elapsed());
        let left: Vec<_> = processes_mentioning(s.dir.to_str().unwrap())
            .into_iter()
            .filter(|p| alive(*p) && common::cmdline(*p).contains("trap"))
            .collect();
        assert!(left.is_empty(), "{t}: {left:?}");
    }
}

#[test]
fn forking_with_pid_file_oneshot_and_notify() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        let mut c = s.client();
        s.unit(
            "fork.service",
            "[Service]\nType=forking\nPIDFile=@DIR@/fork.pid\nRestart=always\nRestartSec=20ms\n\
             ExecStart=/bin/sh -c '(setsid sleep 1000 & echo $$! > @DIR@/fork.pid) & sleep 0.1'\n",
        );
        let st = c.start("fork.service").unwrap();
        let pid: i32 = read(&s.path("fork.pid")).trim().parse().unwrap();
        assert_eq!(st.main_pid, Some(pid), "{t}");
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        until("it was restarted", || {
            s.state("fork.service") == UnitState::Active && s.status("fork.service").main_pid != Some(pid)
        });
        c.stop("fork.service").unwrap();
        assert!(!alive(read(&s.path("fork.pid")).trim().parse().unwrap()));

        s.unit("once.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo 1 >> @DIR@/once'\nExecStart=/bin/sh -c 'echo 2 >> @DIR@/once'\n");
        assert_eq!(c.start("once.service").unwrap().state, UnitState::Inactive);
        assert_eq!(read(&s.path("once")), "1\n2\n");
        s.unit("stays.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecStop=/bin/sh -c 'echo bye > @DIR@/stays'\n");
        assert_eq!(c.start("stays.service").unwrap().sub, "exited");
        c.stop("stays.service").unwrap();
        assert_eq!(read(&s.path("stays")), "bye\n");
        s.unit("badonce.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
        assert_eq!(failure(c.start("badonce.service")).code, ErrorCode::Failed);

        s.unit(
            "n.service",
            "[Service]\nType=notify\nExecStart=/usr/bin/python3 -c 'import socket,os,time; time.sleep(0.3); \
             n=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); n.sendto(b\"STATUS=x\\\\nREADY=1\",\"\\x5cx00\"+os.environ[\"NOTIFY_SOCKET\"][1:]); time.sleep(1000)'\n",
        );
        let begun = Instant::now();
        assert_eq!(c.start("n.service").unwrap().state, UnitState::Active);
        assert!(begun.elapsed() >= Duration::from_millis(300), "active before it said so");
        // A child may not speak for it unless NotifyAccess=all.
        s.unit(
            "liar.service",
            "[Service]\nType=notify\nTimeoutStartSec=1s\nExecStart=/usr/bin/python3 -c 'import socket,os,time; os.fork() and time.sleep(1000); \
             n=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); n.sendto(b\"READY=1\",\"\\x5cx00\"+os.environ[\"NOTIFY_SOCKET\"][1:]); time.sleep(1000)'\n",
        );
        assert!(failure(c.start("liar.service")).message.contains("TimeoutStartSec"));
        s.unit("liar.service.d/all.conf", "[Service]\nNotifyAccess=all\n");
        assert_eq!(c.start("liar.service").unwrap().state, UnitState::Active);
    }
}

#[test]
fn reload_and_stop_commands_know_the_main_process() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        let mut c = s.client();
        s.unit(
            "r.service",
            "[Service]\nEnvironment=WHERE=@DIR@/out \"SPACE=a b\"\nEnvironmentFile=-@DIR@/none\nEnvironmentFile=@DIR@/env\n\
             ExecStart=/bin/sh -c 'trap \"echo reloaded >> $WHERE\" HUP; echo \"$SPACE $FROM\" > $WHERE; while :; do sleep 0.05; done'\n\
             ExecReload=/bin/kill -HUP $MAINPID\nExecStop=/bin/sh -c 'echo stop ${MAINPID} >> @DIR@/out'\n",
        );
        fs::write(s.path("env"), "FROM=file\n").unwrap();
        let pid = c.start("r.service").unwrap().main_pid.unwrap();
        until("it wrote", || read(&s.path("out")) == "a b file\n");
        assert_eq!(c.reload("r.service").unwrap().main_pid, Some(pid));
        until("it reloaded", || read(&s.path("out")).ends_with("reloaded\n"));
        c.stop("r.service").unwrap();
        assert!(read(&s.path("out")).ends_with(&format!("stop {pid}\n")), "{}", read(&s.path("out")));
        assert_eq!(failure(c.reload("r.service")).code, ErrorCode::Conflict);
        s.unit("r.service.d/bad.conf", "[Service]\nExecReload=\nExecReload=/bin/false\n");
        let pid = c.start("r.service").unwrap().main_pid;
        assert!(failure(c.reload("r.service")).message.contains("goes on"));
        assert_eq!(s.status("r.service").main_pid, pid);
    }
}

#[test]
fn dependencies_start_first_and_stop_last() {
    let mut s = Supervisor::start("cgroup");
    let unit = |name: &str, needs: &str| {
        s.unit(
            name,
            &format!(
                "[Unit]\n{needs}\n[Service]\nType=notify\nNotifyAccess=all\nKillMode=mixed\n\
                 ExecStart=/bin/sh -c 'trap \"sleep 0.1; echo -%N >> @DIR@/order; exit 0\" TERM; sleep 0.1; echo +%N >> @DIR@/order; \
                 systemd-notify --ready || exit 1; while :; do sleep 0.02; done'\n"
            ),
        );
    };
    unit("db.service", "");
    unit("core.service", "Requires=db.service network.target\nAfter=db.service");
    unit("web.service", "Wants=core.service\nAfter=core.service\nRequires=web.service circle.service");
    unit("circle.service", "Requires=web.service");
    if !std::path::Path::new("/usr/bin/systemd-notify").exists() {
        panic!("systemd-notify is needed for this test: apt-get install systemd");
    }
    let mut c = s.client();
    c.start("web.service").unwrap();
    let up: Vec<String> = read(&s.path("order")).lines().map(str::to_owned).collect();
    let place = |x: &str| up.iter().position(|l| l == x).unwrap();
    assert!(place("+db") < place("+core") && place("+core") < place("+web"), "{up:?}");
    s.unit("needs.service", "[Unit]\nRequires=broken.service\n[Service]\nExecStart=/bin/sleep 99\n");
    s.unit("broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n");
    assert!(failure(c.start("needs.service")).message.contains("broken.service"));
    s.unit("likes.service", "[Unit]\nWants=broken.service\n[Service]\nExecStart=/bin/sleep 99\n");
    assert_eq!(c.start("likes.service").unwrap().state, UnitState::Active);
    drop(c);
    s.shutdown();
    let all = read(&s.path("order"));
    let down: Vec<&str> = all.lines().filter(|l| l.starts_with('-')).collect();
    let place = |x: &str| down.iter().position(|l| *l == x).unwrap();
    assert!(place("-web") < place("-core") && place("-core") < place("-db"), "{down:?}");
}

#[test]
fn enabled_units_start_with_the_supervisor_and_a_stop_is_answered_while_others_wait() {
    let mut s = Supervisor::start("cgroup");
    s.unit("t@.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    s.unit("slow.service", "[Service]\nKillMode=mixed\nTimeoutStopSec=60s\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n");
    let mut c = s.client();
    assert!(c.enable("t@one.service").unwrap().enabled);
    c.enable("t@one.service").unwrap();
    c.enable("t@two.service").unwrap();
    assert!(!c.disable("t@two.service").unwrap().enabled);
    let link = fs::read_link(s.path("units/wcp360.target.wants/t@one.service")).unwrap();
    assert_eq!(link, s.path("units/t@.service"), "as systemctl makes it");
    assert_eq!(c.list(None).unwrap().len(), 1);
    let slow = c.start("slow.service").unwrap().main_pid.unwrap();
    // A stop that takes its time holds up nobody else.
    std::thread::sleep(Duration::from_millis(100));
    let mut other = s.client();
    let waiting = std::thread::spawn(move || other.stop("slow.service").unwrap().state);
    until("it is being stopped", || s.state("slow.service") == UnitState::Deactivating);
    c.start("t@three.service").unwrap();
    assert_eq!(s.state("slow.service"), UnitState::Deactivating, "the start was answered first");
    assert!(!waiting.is_finished());
    Command::new("kill").args(["-9", &slow.to_string()]).status().unwrap();
    assert_eq!(waiting.join().unwrap(), UnitState::Inactive);
    drop(c);
    s.shutdown();
    s.run();
    until("the enabled unit runs", || s.state("t@one.service") == UnitState::Active);
    assert_eq!(s.state("t@two.service"), UnitState::Inactive);
}

#[test]
fn daemonizes_once_and_ends_on_demand() {
    let s = Supervisor::prepare("auto");
    s.unit("a.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let begun = Instant::now();
    let out = Command::new(BINARY).arg("run").args(s.args()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    println!("run returned after {:?}", begun.elapsed());
    // Listening already.
    let socket = s.path("sock");
    let ctl = |args: &[&str]| {
        Command::new(BINARY).args(["ctl", "--socket", socket.to_str().unwrap()]).args(args).output().unwrap()
    };
    assert_eq!(ctl(&["start", "a.service"]).status.code(), Some(0));
    let again = Command::new(BINARY).arg("run").args(s.args()).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("another supervisor is running"), "{again:?}");
    let st = ctl(&["status", "a.service", "--json"]);
    let v: serde_json::Value = serde_json::from_slice(&st.stdout).unwrap();
    assert_eq!(v["status"]["state"], "active");
    assert_eq!(ctl(&["status", "b.service"]).status.code(), Some(1));
    assert_eq!(ctl(&["stop", "a.service"]).status.code(), Some(0));
    assert_eq!(ctl(&["status", "a.service"]).status.code(), Some(3));
    // Not root: refused by the mode of the socket already.
    let denied = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", BINARY, "ctl", "--socket", socket.to_str().unwrap(), "ping"])
        .output()
        .unwrap();
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");
    assert_eq!(ctl(&["shutdown"]).status.code(), Some(0));
    assert_eq!(ctl(&["ping"]).status.code(), Some(4));
    assert!(!socket.exists());
}

#[test]
fn the_protocol_takes_several_requests_and_survives_nonsense() {
    use std::io::{BufRead, BufReader, Write};
    let s = Supervisor::start("cgroup");
    s.unit("a.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let stream = std::os::unix::net::UnixStream::connect(s.path("sock")).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut w = &stream;
    w.write_all(b"{\"op\":\"start\",\"unit\":\"a.service\"}\n\nnonsense\n{\"op\":\"status\",\"unit\":\"a.service\"}\n{\"op\":\"ping\"}\n").unwrap();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("\"active\""));
    assert!(next().contains("\"bad-request\""));
    assert!(next().contains("\"main_pid\""));
    assert_eq!(next(), "{\"ok\":true}");
    // Too long a line ends the connection, not the supervisor.
    let _ = w.write_all(&vec![b'x'; 100_000]);
    let answer = lines.next().and_then(Result::ok).unwrap_or_default();
    assert!(answer.is_empty() || answer.contains("16 kB"), "{answer}");
    // A caller that goes away while it waits.
    s.unit("slow.service", "[Service]\nType=notify\nTimeoutStartSec=1s\nExecStart=/bin/sleep 1000\n");
    let gone = std::os::unix::net::UnixStream::connect(s.path("sock")).unwrap();
    (&gone).write_all(b"{\"op\":\"start\",\"unit\":\"slow.service\"}\n").unwrap();
    drop(gone);
    until("it gave up", || s.state("slow.service") == UnitState::Failed);
    s.client().ping().unwrap();
}
