//! What a unit's processes see and may do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use common::{Supervisor, TRACKINGS, alive, read, until};
use wcp360_supervisor::protocol::{ClientError, UnitState};

/// Runs a shell script as a oneshot with these directives, and returns what it printed.
fn run(s: &Supervisor, directives: &str, script: &str) -> String {
    fs::write(s.path("script.sh"), script.replace("@DIR@", s.dir.to_str().unwrap())).unwrap();
    s.unit(
        "probe.service",
        &format!("[Service]\nType=oneshot\nExecStart=/bin/sh /mnt/script.sh\nBindReadOnlyPaths=@DIR@/script.sh:/mnt/script.sh\n{directives}\n"),
    );
    let log = s.path("log/units/probe.service.log");
    let _ = fs::remove_file(&log);
    if let Err(e) = s.client().start("probe.service") {
        panic!("{directives}: {e}\n{}", read(&log));
    }
    read(&log)
}

fn tenants(s: &Supervisor) {
    for who in ["alice", "bob"] {
        fs::create_dir_all(s.path(&format!("www/{who}/.system"))).unwrap();
        fs::write(s.path(&format!("www/{who}/secret")), format!("{who}'s\n")).unwrap();
        chown(s.path(&format!("www/{who}")), Some(65534), Some(65534)).unwrap();
    }
}

#[test]
fn a_tenant_sees_its_own_tree_alone() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        tenants(&s);
        fs::write(s.path("secret.txt"), "shh").unwrap();
        fs::set_permissions(s.path("secret.txt"), fs::Permissions::from_mode(0o644)).unwrap();
        let out = run(
            &s,
            "User=nobody\nTemporaryFileSystem=@DIR@/www:ro\nBindPaths=@DIR@/www/alice\nReadOnlyPaths=@DIR@/www/alice/.system\n\
             InaccessiblePaths=@DIR@/state @DIR@/secret.txt -@DIR@/nothing\n",
            "cd @DIR@/www; echo \"$(ls)\"; cat alice/secret; cat bob/secret 2>&1; rm -f alice/new; touch alice/new && echo made; \
             touch new 2>&1; touch alice/.system/x 2>&1; ls @DIR@/state 2>&1; cat @DIR@/secret.txt 2>&1; true",
        );
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "alice", "{out}");
        assert_eq!(lines[1], "alice's");
        assert!(lines[2].contains("No such file"), "{out}");
        assert_eq!(lines[3], "made");
        assert!(lines[4].contains("Read-only") || lines[4].contains("Permission denied"), "{out}");
        assert!(lines[5].contains("Read-only"), "{out}");
        assert!(lines[6].contains("Permission denied"), "{out}");
        assert!(lines[7].contains("Permission denied"), "{out}");
        assert!(s.path("www/alice/new").exists(), "a bind mount is the real thing");
        assert!(s.path("www/bob/secret").exists(), "outside, nothing changed");
    }
}

#[test]
fn private_tmp_is_private_and_removed() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        let name = format!("wcp360-private-test-{}-{t}", std::process::id());
        fs::write(format!("/tmp/{name}-host"), "").unwrap();
        let out = run(
            &s,
            "User=nobody\nPrivateTmp=yes\n",
            &format!(
                "ls -A /tmp /var/tmp; stat -c '%a %U' /tmp; mkdir -p /tmp/{name}/deep; touch /var/tmp/{name}; mkdir -m 0 /tmp/{name}/closed"
            ),
        );
        fs::remove_file(format!("/tmp/{name}-host")).unwrap();
        assert_eq!(out, "/tmp:\n\n/var/tmp:\n1777 root\n");
        assert!(!fs::exists(format!("/tmp/{name}")).unwrap());
        let left = || {
            ["/tmp", "/var/tmp"].iter().flat_map(|d| fs::read_dir(d).unwrap()).flatten().any(|e| {
                e.file_name().to_string_lossy().starts_with("wcp360-private-probe.service-")
                    && fs::exists(e.path().join(format!("tmp/{name}"))).unwrap_or(false)
            })
        };
        until("the private directories are removed", || !left());
    }
}

#[test]
fn protect_system_home_and_devices() {
    let s = Supervisor::start("cgroup");
    let probe = "for d in /usr /etc /root /var @DIR@/run /dev/shm /run; do if touch $d/wcp360-probe-$$ 2>/dev/null; then echo $d; rm $d/wcp360-probe-$$; fi; done";
    assert_eq!(run(&s, "", probe).split_whitespace().count(), 7, "root may write everywhere");
    assert_eq!(
        run(&s, "ProtectSystem=yes", probe).trim(),
        format!("/etc\n/root\n/var\n{}\n/dev/shm\n/run", s.path("run").display())
    );
    assert!(!run(&s, "ProtectSystem=full", probe).contains("/etc"));
    let out = run(&s, "ProtectSystem=strict\nReadWritePaths=@DIR@/run", probe);
    assert_eq!(out.trim(), format!("{}\n/dev/shm", s.path("run").display()));
    assert!(!run(&s, "ProtectHome=yes", "ls -A /root; touch /root/x && echo wrote; true").contains("wrote"));
    assert_eq!(run(&s, "ProtectHome=tmpfs", "ls -A /root /home"), "/home:\n\n/root:\n");
    let out = run(
        &s,
        "PrivateDevices=yes",
        "ls /dev | tr '\\n' ' '; echo; echo x > /dev/null && head -c1 /dev/zero | wc -c; touch /dev/x 2>/dev/null && echo wrote; \
         mknod /tmp/wcp360-node b 254 0 2>/dev/null && echo made; grep CapBnd /proc/self/status; true",
    );
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].contains("null")
            && lines[0].contains("urandom")
            && !lines[0].contains("vda")
            && !lines[0].contains("kmsg"),
        "{out}"
    );
    assert_eq!(lines[1], "1");
    assert!(!out.contains("wrote") && !out.contains("made"), "{out}");
    // Outside, all is as before.
    assert!(fs::metadata("/dev/kmsg").is_ok() || fs::metadata("/dev/vda").is_ok());
    fs::write("/usr/wcp360-probe", "").unwrap();
    fs::remove_file("/usr/wcp360-probe").unwrap();
}

#[test]
fn other_users_processes_are_invisible() {
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        let script = format!(
            "for p in 1 {}; do test -d /proc/$p && echo sees $p; done; test -d /proc/$$ && echo sees itself; \
             grep -o 'hidepid=[a-z]*' /proc/self/mountinfo; true",
            s.pid()
        );
        let open = run(&s, "User=nobody\n", &script);
        assert_eq!(open, format!("sees 1\nsees {}\nsees itself\n", s.pid()));
        let closed = run(&s, "User=nobody\nProtectProc=invisible\n", &script);
        assert_eq!(closed, "sees itself\nhidepid=invisible\n", "{}", s.log());
    }
}

#[test]
fn privileges_and_limits() {
    let s = Supervisor::start("cgroup");
    let show = "grep -E '^(Uid|Gid|Groups|CapBnd|CapEff|CapAmb|NoNewPrivs)' /proc/self/status; umask; ulimit -n; ulimit -c; pwd; \
                echo $HOME $USER; cat /proc/self/oom_score_adj; grep -c . /proc/self/cgroup >/dev/null; ls /proc/self/fd | wc -l";
    let out = run(
        &s,
        "User=nobody\nGroup=www-data\nSupplementaryGroups=games\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n\
         AmbientCapabilities=CAP_NET_BIND_SERVICE\nNoNewPrivileges=yes\nUMask=0027\nLimitNOFILE=512:1024\nLimitCORE=0\n\
         WorkingDirectory=/usr\nOOMScoreAdjust=500",
        show,
    );
    for want in [
        "Uid:\t65534\t65534\t65534\t65534",
        "Gid:\t33\t33\t33\t33",
        "Groups:\t33 60 ",
        "CapBnd:\t0000000000000400",
        "CapEff:\t0000000000000400",
        "CapAmb:\t0000000000000400",
        "NoNewPrivs:\t1",
        "0027\n",
        "512\n",
        "/usr\n",
        "\n500\n",
    ] {
        // The group list holds nobody's own groups too.
        let want = if want.starts_with("Groups") { "Groups:\t" } else { want };
        assert!(out.contains(want), "{want:?} is missing in\n{out}");
    }
    let groups = out.lines().find(|l| l.starts_with("Groups")).unwrap();
    assert!(groups.contains("60") && !groups.split_whitespace().any(|g| g == "0"), "{groups}");
    let out = run(&s, "CapabilityBoundingSet=~CAP_SYS_ADMIN CAP_SYS_MODULE", "grep CapEff /proc/self/status; umask");
    let caps = u64::from_str_radix(out.split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(caps & ((1 << 21) | (1 << 16)), 0, "{caps:x}");
    assert_ne!(caps & 1, 0);
    // No descriptor of the supervisor leaks: 0, 1, 2 and the directory being listed.
    for t in TRACKINGS {
        let s = Supervisor::start(t);
        s.unit("fds.service", "[Service]\nType=oneshot\nExecStart=/bin/ls /proc/self/fd\n");
        s.client().start("fds.service").unwrap();
        assert_eq!(s.unit_log("fds.service"), "0\n1\n2\n3\n");
    }
}

#[test]
fn runtime_directories_and_output_files() {
    let s = Supervisor::start("cgroup");
    let dir = format!("wcp360-test-{}/deep", std::process::id());
    s.unit(
        "rt.service",
        &format!(
            "[Service]\nUser=nobody\nRuntimeDirectory={dir}\nRuntimeDirectoryMode=0710\nProtectSystem=strict\nStandardOutput=append:@DIR@/out.log\n\
             StandardError=null\nExecStart=/bin/sh -c 'echo $RUNTIME_DIRECTORY; echo no >&2; touch $RUNTIME_DIRECTORY/x; exec sleep 1000'\n"
        ),
    );
    fs::write(s.path("out.log"), "before\n").unwrap();
    let mut c = s.client();
    let path = std::path::Path::new("/run").join(&dir);
    c.start("rt.service").unwrap();
    until("it wrote", || path.join("x").exists());
    assert_eq!(read(&s.path("out.log")), format!("before\n{}\n", path.display()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o710);
    c.restart("rt.service").unwrap();
    until("it wrote again", || path.join("x").exists());
    c.stop("rt.service").unwrap();
    assert!(!path.exists());
    fs::remove_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn what_cannot_be_isolated_is_not_started() {
    let s = Supervisor::start("cgroup");
    fs::create_dir(s.path("mine")).unwrap();
    symlink("/etc", s.path("mine/link")).unwrap();
    std::os::unix::fs::lchown(s.path("mine/link"), Some(65534), Some(65534)).unwrap();
    for (directive, why) in [
        ("BindPaths=@DIR@/nowhere", "does not exist"),
        ("ReadOnlyPaths=@DIR@/nowhere", "does not exist"),
        ("BindPaths=@DIR@/mine/link:/mnt", "root does not own"),
        ("BindPaths=@DIR@/units:@DIR@/mine/link/x", "root does not own"),
        ("BindPaths=/etc/passwd:/mnt", "both"),
    ] {
        s.unit("x.service", &format!("[Service]\nExecStart=/bin/sleep 1000\n{directive}\n"));
        match s.client().start("x.service") {
            Err(ClientError::Failed(f)) => assert!(f.message.contains(why), "{directive}: {f}"),
            other => panic!("{directive}: {other:?}"),
        }
        assert_eq!(s.state("x.service"), UnitState::Failed);
    }
    s.unit("x.service", "[Service]\nExecStart=/bin/sleep 1000\nBindPaths=-@DIR@/nowhere\n");
    let pid = s.client().start("x.service").unwrap().main_pid.unwrap();
    assert!(alive(pid));
}
