//! Many idle sockets: memory, time, and the cost of the last against the first.
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
    let start = |c: &mut wcp360_supervisor::protocol::Client, i: u32| {
        let begun = Instant::now();
        c.start(&format!("p@tenant{i:05}.socket")).unwrap();
        begun.elapsed()
    };
    for i in 0..10 {
        start(&mut c, i);
    }
    let (memory, slab) = (private_kb(s.pid()), slab_kb());
    let begun = Instant::now();
    let mut times: Vec<Duration> = (10..count + 10).map(|i| start(&mut c, i)).collect();
    let took = begun.elapsed();
    let used = private_kb(s.pid()).saturating_sub(memory);
    let kernel = slab_kb().zip(slab).map(|(a, b)| a.saturating_sub(b));
    let median = |t: &mut [Duration]| {
        t.sort();
        t[t.len() / 2]
    };
    let n = times.len();
    let (first, last) = (median(&mut times[..200]), median(&mut times[n - 200..]));
    println!("{count} sockets in {took:?}; median of the first 200 {first:?}, of the last 200 {last:?}");
    println!(
        "memory per idle socket: {} bytes in the supervisor, about {:?} bytes in the kernel (all of the machine's)",
        used * 1024 / u64::from(count),
        kernel.map(|k| k * 1024 / u64::from(count))
    );
    // A bound that catches a buffer or a stack per socket, not a figure: those are printed.
    assert!(used * 1024 / u64::from(count) < 10_000, "{used} kB for {count} sockets");
    // No thread or process per socket.
    let threads = fs::read_dir(format!("/proc/{}/task", s.pid())).unwrap().count();
    assert_eq!(threads, 1);

    let mut cold = Vec::new();
    for i in 0..20 {
        let begun = Instant::now();
        assert_eq!(s.ask(&format!("run/tenant{:05}.sock", i * (count / 20))), "ok");
        cold.push(begun.elapsed());
    }
    println!("cold start among {count} sockets, python server: median {:?}", median(&mut cold));
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
