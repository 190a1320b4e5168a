//! Many idle sockets: memory, and the cost of the last against the first.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Supervisor, private_kb, python_server};

/// Unix sockets and their inodes, in kB, as far as the kernel says.
fn slab_kb() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("SUnreclaim"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// How much a process has read and written so far: calls, and bytes.
fn work_of(pid: i32) -> [u64; 2] {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let value = |key: &str| -> u64 {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(": "));
        line.unwrap().parse().unwrap()
    };
    [value("syscr") + value("syscw"), value("rchar") + value("wchar")]
}

fn median<T: Ord + Copy>(all: &[T]) -> T {
    let mut all = all.to_vec();
    all.sort_unstable();
    all[all.len() / 2]
}

#[test]
fn two_thousand_idle_sockets() {
    // Ten thousand: WCP360_TEST_SOCKETS=10000.
    let count: u32 = std::env::var("WCP360_TEST_SOCKETS").ok().and_then(|v| v.parse().ok()).unwrap_or(2000);
    let mut s = Supervisor::start("cgroup");
    s.unit("p@.socket", "[Unit]\nDescription=PHP of %i\n[Socket]\nListenStream=@DIR@/run/%i.sock\nSocketGroup=www-data\nSocketMode=0660\nBacklog=4096\nRemoveOnStop=yes\n");
    s.unit(
        "p@.service",
        "[Service]\nUser=www-data\nTimeoutStopSec=5\nExecStart=/usr/bin/python3 -S -E @DIR@/server.py\n",
    );
    fs::write(s.path("server.py"), python_server("'ok'", "")).unwrap();
    let mut c = s.client();
    let pid = s.pid();
    let start = |c: &mut wcp360_supervisor::protocol::Client, i: u32| {
        let (begun, before) = (Instant::now(), work_of(pid));
        c.start(&format!("p@tenant{i:05}.socket")).unwrap();
        let after = work_of(pid);
        (begun.elapsed(), after[0] - before[0], after[1] - before[1])
    };
    for i in 0..10 {
        start(&mut c, i);
    }
    let (memory, slab) = (private_kb(pid), slab_kb());
    let begun = Instant::now();
    let cost: Vec<(Duration, u64, u64)> = (10..count + 10).map(|i| start(&mut c, i)).collect();
    let took = begun.elapsed();
    let used = private_kb(pid).saturating_sub(memory) * 1024 / u64::from(count);
    let kernel = slab_kb().zip(slab).map(|(a, b)| a.saturating_sub(b) * 1024 / u64::from(count));
    let (first, last) = (&cost[..200], &cost[cost.len() - 200..]);
    let time = |c: &[(Duration, u64, u64)]| median(&c.iter().map(|x| x.0).collect::<Vec<_>>());
    let calls = |c: &[(Duration, u64, u64)]| median(&c.iter().map(|x| x.1).collect::<Vec<_>>());
    let bytes = |c: &[(Duration, u64, u64)]| median(&c.iter().map(|x| x.2).collect::<Vec<_>>());
    println!(
        "{count} sockets in {took:?}; median of the first 200 {:?}, of the last 200 {:?}",
        time(first),
        time(last)
    );
    println!("reads and writes, bytes: first {} {}, last {} {}", calls(first), bytes(first), calls(last), bytes(last));
    println!(
        "memory per idle socket: {used} bytes in the supervisor, about {kernel:?} in the kernel (the whole machine's)"
    );
    // How long it takes is the machine's business; how much there is to do is ours.
    assert!(
        calls(last) <= calls(first),
        "the last needed {} reads and writes, the first {}",
        calls(last),
        calls(first)
    );
    assert!(bytes(last) <= bytes(first) + 64, "the last moved {} bytes, the first {}", bytes(last), bytes(first));
    // The entry, its record for a supervisor after this one, and the slack of growing tables.
    assert!(used < 2000, "{used} bytes for each of {count} sockets");
    // No thread or process per socket.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert_eq!(threads, 1);

    let mut cold = Vec::new();
    for i in 0..20 {
        let begun = Instant::now();
        assert_eq!(s.ask(&format!("run/tenant{:05}.sock", i * (count / 20))), "ok");
        cold.push(begun.elapsed());
    }
    println!("cold start among {count} sockets, python server: median {:?}", median(&cold));
    let log = s.log();
    let ms: Vec<&str> =
        log.lines().filter(|l| l.contains("active, main")).filter_map(|l| l.split(", after ").nth(1)).collect();
    println!(
        "of that, until the program runs: {:?}",
        ms.iter().map(|m| m.split(' ').next().unwrap()).collect::<Vec<_>>()
    );
    let begun = Instant::now();
    let listed = c.list(Some("p@*.socket")).unwrap();
    println!("list of {} units: {:?}", listed.len(), begun.elapsed());
    assert_eq!(listed.len() as u32, count + 10);
    drop(c);

    s.crash();
    let begun = Instant::now();
    s.run();
    println!("a new supervisor answers after {:?}", begun.elapsed());
    assert_eq!(s.ask("run/tenant00005.sock"), "ok");
    println!("shutdown with {count} sockets: {:?}", s.shutdown());
    assert_eq!(fs::read_dir(s.path("run")).unwrap().count(), 0, "RemoveOnStop= of every socket");
}
