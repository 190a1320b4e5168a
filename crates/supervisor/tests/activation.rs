//! Socket activation: the first connection starts the service, none is refused, and idle costs nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Supervisor, TRACKINGS, python_server, read, until};
use wcp360_supervisor::protocol::{ClientError, UnitState};

const SOCKET: &str = "[Socket]\nListenStream=@DIR@/run/%i.sock\nSocketUser=root\nSocketGroup=www-data\nSocketMode=0660\n\
                      DirectoryMode=0711\nBacklog=500\nRemoveOnStop=yes\n";

fn cpu_ticks(pid: i32) -> u64 {
    let stat = read(format!("/proc/{pid}/stat").as_ref());
    let f: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    f[11].parse::<u64>().unwrap() + f[12].parse::<u64>().unwrap()
}

#[test]
fn the_first_connection_starts_the_service_as_its_user() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit("p@.socket", SOCKET);
        s.unit("p@.service", "[Service]\nUser=www-data\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
        fs::write(
            s.path("server.py"),
            python_server(
                "f'{os.getuid()} {os.environ[\"LISTEN_FDNAMES\"]} {sorted(os.listdir(\"/proc/self/fd\"))[:5]}'",
                "",
            ),
        )
        .unwrap();
        let mut c = s.client();
        assert_eq!(c.start("p@x.socket").unwrap().sub, "listening");
        let m = fs::metadata(s.path("run/x.sock")).unwrap();
        assert_eq!((m.mode() & 0o777, m.uid(), m.gid()), (0o660, 0, 33));
        assert_eq!(s.state("p@x.service"), UnitState::Inactive);
        let begun = Instant::now();
        let first = s.ask("run/x.sock");
        println!("{t}: first answer of a python service {:?} after connecting", begun.elapsed());
        assert!(first.starts_with("33 p@x.socket ['0', '1', '2', '3'"), "{first}");
        assert_eq!(s.status("p@x.socket").sub, "running");
        assert_eq!(s.ask("run/x.sock"), first);
        // Stopped: the next connection starts it again.
        c.stop("p@x.service").unwrap();
        assert_eq!(s.status("p@x.socket").sub, "listening");
        assert_eq!(s.ask("run/x.sock"), first);
        // Restarting the socket under a running service would cut it off.
        assert!(matches!(c.restart("p@x.socket"), Err(ClientError::Failed(_))));
        c.stop("p@x.socket").unwrap();
        assert!(!s.path("run/x.sock").exists(), "RemoveOnStop=");
        c.stop("p@x.service").unwrap();
    }
}

#[test]
fn no_connection_is_refused_while_the_service_comes_and_goes() {
    let s = Supervisor::start("cgroup");
    s.unit("p@.socket", SOCKET);
    s.unit("p@.service", "[Service]\nUser=www-data\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
    // Serves three connections and ends.
    fs::write(s.path("server.py"), python_server("'ok'", "n=globals().get('n',0)+1\n  if n==3: sys.exit(0)")).unwrap();
    s.client().start("p@x.socket").unwrap();
    let path = s.path("run/x.sock");
    let clients: Vec<_> = (0..30)
        .map(|i| {
            let path = path.clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(i * 7));
                let mut c = UnixStream::connect(&path).unwrap();
                c.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let mut text = String::new();
                c.read_to_string(&mut text).unwrap();
                text
            })
        })
        .collect();
    let mut stopper = s.client();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        stopper.start("p@x.service").unwrap();
    }
    for c in clients {
        assert_eq!(c.join().unwrap(), "ok");
    }
}

#[test]
fn a_service_that_dies_at_once_does_not_spin() {
    let s = Supervisor::start("cgroup");
    s.unit("d@.socket", SOCKET);
    s.unit("d@.service", "[Service]\nUser=www-data\nExecStart=/bin/sh -c 'echo x; exit 0'\n");
    s.unit("bad@.socket", SOCKET);
    s.unit("bad@.service", "[Service]\nUser=no-such-user\nExecStart=/bin/true\n");
    let mut c = s.client();
    c.start("d@x.socket").unwrap();
    c.start("bad@y.socket").unwrap();
    let before = cpu_ticks(s.pid());
    let mut waiting = UnixStream::connect(s.path("run/x.sock")).unwrap();
    let _other = UnixStream::connect(s.path("run/y.sock")).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let starts = s.unit_log("d@x.service").lines().count();
    let spent = cpu_ticks(s.pid()) - before;
    println!("in 3 s: {starts} starts of a service that dies at once, {spent} ticks of 10 ms");
    assert!((3..=8).contains(&starts), "{starts} starts in 3 s");
    assert!(spent <= 10, "{spent} ticks");
    // Repaired, the same connection is served.
    fs::write(s.path("server.py"), python_server("'repaired'", "")).unwrap();
    s.unit("d@.service", "[Service]\nUser=www-data\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
    let mut text = String::new();
    waiting.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    waiting.read_to_string(&mut text).unwrap();
    assert_eq!(text, "repaired");
}

#[test]
fn a_crash_with_restart_keeps_the_queue() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit("p@.socket", SOCKET);
        s.unit("p@.service", "[Service]\nUser=www-data\nRestart=on-failure\nRestartSec=50ms\nExecStart=/usr/bin/python3 @DIR@/server.py\n");
        fs::write(s.path("server.py"), python_server("os.getpid()", "")).unwrap();
        s.client().start("p@x.socket").unwrap();
        let first = s.ask("run/x.sock");
        Command::new("kill").args(["-9", &first]).status().unwrap();
        let second = s.ask("run/x.sock");
        assert_ne!(first, second);
        until("it counts", || s.status("p@x.service").restarts == 1);
        // The service removes its socket: it is made anew.
        s.client().stop("p@x.service").unwrap();
        fs::remove_file(s.path("run/x.sock")).unwrap();
        s.client().start("p@x.service").unwrap();
        s.client().stop("p@x.service").unwrap();
        assert_ne!(s.ask("run/x.sock"), second);
    }
}

/// One FastCGI request, answered by php-fpm.
fn fastcgi(socket: &std::path::Path, script: &str) -> String {
    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let n = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, n[0], n[1], 0, 0][..], body].concat()
    }
    let mut params = Vec::new();
    for (k, v) in [("SCRIPT_FILENAME", script), ("REQUEST_METHOD", "GET")] {
        params.extend([u8::try_from(k.len()).unwrap(), u8::try_from(v.len()).unwrap()]);
        params.extend(k.bytes().chain(v.bytes()));
    }
    let mut s = UnixStream::connect(socket).unwrap();
    s.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    s.write_all(&record(1, &[0, 1, 0, 0, 0, 0, 0, 0])).unwrap();
    s.write_all(&record(4, &params)).unwrap();
    s.write_all(&record(4, &[])).unwrap();
    s.write_all(&record(5, &[])).unwrap();
    let mut raw = Vec::new();
    // Whatever came before the end counts: php-fpm itself cuts requests off when it reloads.
    let _ = s.read_to_end(&mut raw);
    let mut out = String::new();
    let mut at = 0;
    while at + 8 <= raw.len() {
        let len = usize::from(raw[at + 4]) * 256 + usize::from(raw[at + 5]);
        if raw[at + 1] == 6 {
            out += &String::from_utf8_lossy(&raw[at + 8..at + 8 + len]);
        }
        at += 8 + len + usize::from(raw[at + 6]);
    }
    out
}

#[test]
fn php_fpm_takes_the_socket_over() {
    assert!(common::has_php_fpm(), "php-fpm8.2 is needed for this test: apt-get install php8.2-fpm");
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit("php@.socket", SOCKET);
        s.unit(
            "php@.service",
            "[Unit]\nRequires=php@%i.socket\nAfter=php@%i.socket\n[Service]\nType=notify\nUser=www-data\nGroup=www-data\n\
             Environment=FPM_SOCKETS=@DIR@/run/%i.sock=3\n\
             ExecStart=/usr/sbin/php-fpm8.2 --nodaemonize --fpm-config @DIR@/fpm.conf\nExecReload=/bin/kill -USR2 $MAINPID\n\
             KillMode=mixed\nKillSignal=SIGQUIT\nTimeoutStopSec=5s\nPrivateTmp=yes\nProtectSystem=strict\nNoNewPrivileges=yes\n\
             CapabilityBoundingSet=\nPrivateDevices=yes\nProtectProc=invisible\nProtectHome=yes\n\
             TemporaryFileSystem=/srv:ro\nReadWritePaths=@DIR@/run\n",
        );
        fs::create_dir(s.path("logs")).unwrap();
        std::os::unix::fs::chown(s.path("logs"), Some(33), None).unwrap();
        fs::write(
            s.path("fpm.conf"),
            format!(
                "[global]\nerror_log={}/fpm.log\ndaemonize=no\n[www]\nlisten={}\npm=ondemand\npm.max_children=2\n",
                s.path("logs").display(),
                s.path("run/x.sock").display()
            ),
        )
        .unwrap();
        fs::write(s.path("i.php"), "<?php echo posix_getuid(), ' ', getmypid(), ' ', count(glob('/srv/*')), ' ', implode(',', glob('/tmp/*'));").unwrap();
        let script = s.path("i.php").to_str().unwrap().to_owned();
        // PrivateTmp hides /tmp, where the test lives: show the script.
        s.unit(
            "php@.service.d/show.conf",
            "[Service]\nBindReadOnlyPaths=@DIR@/i.php @DIR@/fpm.conf\nBindPaths=@DIR@/run @DIR@/logs\n",
        );
        s.client().start("php@x.socket").unwrap();
        s.client().start("php@x.service").unwrap();
        s.client().stop("php@x.service").unwrap();
        let begun = Instant::now();
        let first = fastcgi(&s.path("run/x.sock"), &script);
        println!("{t}: cold start to first answer of php-fpm in all its isolation: {:?}", begun.elapsed());
        let body = first.split("\r\n\r\n").nth(1).unwrap_or(&first).to_owned();
        assert!(body.starts_with("33 "), "{first} {}", s.unit_log("php@x.service"));
        let begun = Instant::now();
        fastcgi(&s.path("run/x.sock"), &script);
        println!("{t}: warm answer: {:?}", begun.elapsed());
        let st = s.status("php@x.service");
        assert_eq!(st.state, UnitState::Active);
        assert!(st.warnings.is_empty(), "{:?}", st.warnings);
        let identity = fs::metadata(s.path("run/x.sock")).unwrap().ino();
        for _ in 0..3 {
            let begun = Instant::now();
            assert_eq!(s.client().stop("php@x.service").unwrap().processes, 0);
            println!("{t}: stop {:?}", begun.elapsed());
            assert!(fastcgi(&s.path("run/x.sock"), &script).contains("33 "));
        }
        println!("{t}: {}", s.log().lines().rfind(|l| l.contains("active, main")).unwrap());
        assert_eq!(fs::metadata(s.path("run/x.sock")).unwrap().ino(), identity, "the very same socket all the time");
        // A reload keeps serving.
        let before = s.client().reload("php@x.service").unwrap();
        until("it answers again", || fastcgi(&s.path("run/x.sock"), &script).contains("33 "));
        assert_eq!(s.status("php@x.service").main_pid, before.main_pid);
    }
}
