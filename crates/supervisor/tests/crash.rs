//! kill -9 of the supervisor, and what the next one makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{BINARY, Supervisor, TRACKINGS, alive, processes_mentioning, python_server, read, until};
use wcp360_supervisor::protocol::UnitState;

#[test]
fn running_services_are_adopted_and_still_obey() {
    for t in TRACKINGS {
        let mut s = Supervisor::start(t);
        s.unit("a.service", "[Service]\nUser=nobody\nPrivateTmp=yes\nRestart=on-failure\nRestartSec=50ms\nExecReload=/bin/kill -HUP $MAINPID\n\
                             ExecStart=/bin/sh -c 'trap \"echo hup\" HUP; setsid sleep 1000 & echo up; while :; do sleep 0.05; done; : @DIR@'\n");
        s.unit("b.service", "[Service]\nRestart=always\nRestartSec=20ms\nExecStart=/bin/sleep 2000\n");
        s.unit("dies.service", "[Service]\nRestart=on-failure\nExecStart=/bin/sleep 3000\n");
        s.unit("gone.service", "[Service]\nExecStart=/bin/sleep 4000\n");
        s.unit("once.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n");
        let mut pid = std::collections::HashMap::new();
        for u in ["a.service", "b.service", "dies.service", "gone.service", "once.service"] {
            pid.insert(u, s.client().start(u).unwrap().main_pid);
        }
        let since = s.status("a.service").since;
        until("it runs", || s.status("a.service").processes >= 2);
        s.crash();
        assert!(alive(pid["a.service"].unwrap()), "{t}: services go on without a supervisor");
        for u in ["dies.service", "gone.service"] {
            Command::new("kill").args(["-9", &pid[u].unwrap().to_string()]).status().unwrap();
        }
        let begun = Instant::now();
        s.run();
        println!("{t}: a new supervisor answers {:?} after it was started", begun.elapsed());
        let a = s.status("a.service");
        assert_eq!((a.state, a.main_pid, a.since), (UnitState::Active, pid["a.service"], since));
        assert!(a.processes >= 2 && a.warnings[0].contains("adopted"), "{a:?}");
        assert_eq!(s.status("once.service").sub, "exited");
        // What died meanwhile is restarted if it asks for it.
        until("it was restarted", || s.state("dies.service") == UnitState::Active);
        assert_eq!(s.state("gone.service"), UnitState::Inactive);
        // Adopted services are reloaded, watched and stopped like others.
        s.client().reload("a.service").unwrap();
        until("it got the signal", || s.unit_log("a.service").contains("hup"));
        Command::new("kill").args(["-9", &pid["b.service"].unwrap().to_string()]).status().unwrap();
        until("it was restarted", || s.status("b.service").main_pid.is_some_and(|p| Some(p) != pid["b.service"]));
        // A second crash, for good measure.
        s.crash();
        s.run();
        assert_eq!(s.status("a.service").main_pid, pid["a.service"]);
        let marker = format!(": {}", s.dir.to_str().unwrap());
        assert_eq!(s.client().stop("a.service").unwrap().processes, 0);
        assert!(processes_mentioning(&marker).is_empty(), "{t}: something survived");
        let state = read(&s.path("state/state"));
        let private: Vec<&str> = state.split('"').filter(|w| w.contains("tmp/wcp360-private-a.service-")).collect();
        assert!(!private.is_empty());
        until("its private directories are removed", || !private.iter().any(|p| fs::exists(p).unwrap()));
    }
}

#[test]
fn sockets_work_again_and_a_running_service_keeps_its_queue() {
    for t in TRACKINGS {
        let mut s = Supervisor::start(t);
        s.unit("p@.socket", "[Socket]\nListenStream=@DIR@/run/%i.sock\n");
        s.unit("p@.service", "[Service]\nUser=www-data\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
        fs::write(s.path("server.py"), python_server("os.getpid()", "")).unwrap();
        for i in ["idle", "busy", "replaced"] {
            s.client().start(&format!("p@{i}.socket")).unwrap();
        }
        let busy = s.ask("run/busy.sock");
        let replaced = s.ask("run/replaced.sock");
        let inode = fs::metadata(s.path("run/busy.sock")).unwrap().ino();
        s.crash();
        // A running service serves on while there is no supervisor.
        assert_eq!(s.ask("run/busy.sock"), busy);
        // Somebody removes the file: nobody can reach that service any more.
        fs::remove_file(s.path("run/replaced.sock")).unwrap();
        s.run();
        assert!(s.log().contains("recovered: 1, reopened: 2"), "{t}: {}", s.log());
        assert_eq!(s.ask("run/busy.sock"), busy, "not restarted");
        assert_eq!(fs::metadata(s.path("run/busy.sock")).unwrap().ino(), inode);
        let _ = s.ask("run/idle.sock");
        assert_eq!(s.status("p@idle.socket").sub, "running");
        assert_ne!(s.ask("run/replaced.sock"), replaced, "restarted with the new socket");
        // The recovered socket starts the service again after it was stopped.
        s.client().stop("p@busy.service").unwrap();
        assert_eq!(s.status("p@busy.socket").sub, "listening");
        assert_ne!(s.ask("run/busy.sock"), busy);
    }
}

#[test]
fn a_tenant_cannot_pass_off_a_socket_as_ours() {
    let mut s = Supervisor::start("cgroup");
    s.unit("p@.socket", "[Socket]\nListenStream=@DIR@/run/%i.sock\n");
    s.unit("p@.service", "[Service]\nUser=www-data\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
    // Closes the real socket and listens on another one of its own at descriptor 3.
    fs::write(
        s.path("server.py"),
        "import socket,os,time\nl=socket.socket(fileno=3)\nc,_=l.accept()\nc.send(b'hi')\nc.close()\nos.close(l.detach())\n\
         e=socket.socket(socket.AF_UNIX)\ne.bind('/tmp/wcp360-evil-%d' % os.getpid())\ne.listen()\nos.unlink('/tmp/wcp360-evil-%d' % os.getpid())\n\
         os.dup2(e.fileno(),3)\nopen('/proc/self/fd/1','w').close() if False else None\nprint('ready',flush=True)\ntime.sleep(1000)\n",
    )
    .unwrap();
    s.client().start("p@x.socket").unwrap();
    assert_eq!(s.ask("run/x.sock"), "hi");
    until("it has swapped", || s.unit_log("p@x.service").contains("ready"));
    s.crash();
    s.run();
    assert!(s.log().contains("recovered: 0, reopened: 1"), "{}", s.log());
    assert_eq!(s.ask("run/x.sock"), "hi", "a new service on the real socket");
}

#[test]
fn an_interrupted_start_or_stop_is_finished() {
    for t in TRACKINGS {
        let mut s = Supervisor::start(t);
        s.unit("starting.service", "[Service]\nType=notify\nTimeoutStartSec=60\nExecStart=/bin/sh -c 'echo x >> @DIR@/starts; exec sleep 1000'\n");
        s.unit("stopping.service", "[Service]\nTimeoutStopSec=60\nExecStart=/bin/sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.1; done; : @DIR@'\n");
        s.client().start("stopping.service").unwrap();
        until("it ignores signals", || s.unit_log("stopping.service").contains("up"));
        for (op, unit) in [("start", "starting.service"), ("stop", "stopping.service")] {
            Command::new(BINARY)
                .args(["ctl", "--socket", s.path("sock").to_str().unwrap(), op, unit])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .map(|mut c| std::thread::spawn(move || c.wait()))
                .unwrap();
        }
        until("both are under way", || {
            s.state("starting.service") == UnitState::Activating
                && s.state("stopping.service") == UnitState::Deactivating
        });
        until("it has started once", || read(&s.path("starts")) == "x\n");
        s.crash();
        s.run();
        until("it is started again", || read(&s.path("starts")) == "x\nx\n");
        assert_eq!(s.state("stopping.service"), UnitState::Inactive);
        assert!(processes_mentioning(&format!(": {}", s.dir.to_str().unwrap())).is_empty(), "{t}");
        s.client().stop("starting.service").unwrap();
    }
}

#[test]
fn after_a_reboot_nothing_is_taken_for_running() {
    let mut s = Supervisor::start("cgroup");
    s.unit("a.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    let pid = s.client().start("a.service").unwrap().main_pid.unwrap();
    s.crash();
    let state = s.path("state/state");
    fs::write(&state, read(&state).replacen("boot\":\"", "boot\":\"another", 1)).unwrap();
    s.run();
    assert_eq!(s.state("a.service"), UnitState::Inactive);
    // Here it had not rebooted: what was found in the cgroup is not ours to keep, nor to forget.
    std::thread::sleep(Duration::from_millis(50));
    assert!(!alive(pid));
}
