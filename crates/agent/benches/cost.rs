//! What changes cost the agent: `cargo bench -p wcp360-agent --bench cost`, as root.
//!
//! `WCP360_COST_DIR` names a directory on the disk to measure; `WCP360_COST_ONLY` one of the parts, for strace.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/machine/mod.rs"]
mod machine;

use machine::*;
use std::time::{Duration, Instant};

fn main() {
    if !is_root() {
        eprintln!("run it as root: it makes accounts in a folder of its own");
        return;
    }
    creation_alone_and_in_a_burst();
    a_scan_of_a_thousand_accounts();
}

fn cpu() -> Duration {
    let used = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let mut total: u64 = used.split(' ').next().unwrap().parse().unwrap();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let stat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        total += stat.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    Duration::from_nanos(total)
}

fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn creation_alone_and_in_a_burst() {
    let base = std::env::var("WCP360_COST_DIR").unwrap_or_else(|_| "/var/tmp".into());
    let dir = tempfile::tempdir_in(base).unwrap();
    fresh(dir.path());
    let engine = engine(dir.path());
    create(&engine, "warm", "warm.test").unwrap();
    let only = std::env::var("WCP360_COST_ONLY").unwrap_or_default();
    let count: u32 = std::env::var("WCP360_COST_COUNT").ok().and_then(|v| v.parse().ok()).unwrap_or(100);
    if only != "burst" {
        let (started, used, mine) = (Instant::now(), process_cpu(), cpu());
        for n in 0..count {
            create(&engine, &format!("one{n}"), &format!("one{n}.test")).unwrap();
        }
        println!(
            "alone: {:?} each, {:?} of CPU each (main thread and others {:?})",
            started.elapsed() / count,
            (process_cpu() - used) / count,
            (cpu() - mine) / count,
        );
    }
    if only != "alone" {
        for round in 0..3 {
            let (started, used) = (Instant::now(), process_cpu());
            std::thread::scope(|scope| {
                for n in 0..count {
                    let engine = &engine;
                    // As the agent's own bound on parallel work would have it, or more.
                    scope.spawn(move || {
                        create(engine, &format!("many{round}x{n}"), &format!("many{round}x{n}.test")).unwrap();
                    });
                }
            });
            println!("{count} at once: {:?}, {:?} of CPU each", started.elapsed(), (process_cpu() - used) / count);
        }
    }
}

fn a_scan_of_a_thousand_accounts() {
    let base = std::env::var("WCP360_COST_DIR").unwrap_or_else(|_| "/var/tmp".into());
    let dir = tempfile::tempdir_in(base).unwrap();
    fresh(dir.path());
    let engine = engine(dir.path());
    let count: u32 = std::env::var("WCP360_COST_COUNT").ok().and_then(|v| v.parse().ok()).unwrap_or(1000);
    for hundred in 0..count.div_ceil(100) {
        std::thread::scope(|scope| {
            for n in 0..100 {
                let engine = &engine;
                scope.spawn(move || {
                    create(engine, &format!("u{hundred}x{n}"), &format!("u{hundred}x{n}.test")).unwrap()
                });
            }
        });
    }
    engine.checkpoint().unwrap();
    for round in ["first", "second"] {
        let (started, used, writes) = (Instant::now(), process_cpu(), engine.fs().writes());
        let (mut request, mut compared) = (wcp360_agent_proto::ScanRequest::default(), 0);
        loop {
            let page = engine.scan(&request).unwrap();
            assert!(page.drifted.is_empty() && page.errors.is_empty());
            compared += page.compared;
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        println!(
            "{round} scan of {compared} healthy accounts: {:?}, {:?} of CPU, {} writes",
            started.elapsed(),
            process_cpu() - used,
            engine.fs().writes() - writes
        );
    }
    let started = Instant::now();
    let drift = engine.node_drift().unwrap();
    println!("the node: {:?}, {} items", started.elapsed(), drift.items.len());
}
