//! The crash matrix (ENG-02): core and agent are killed at their N-th effect, for every workflow; whatever the moment, the
//! machine ends exactly as before or exactly as after.
//!
//! strace(1) kills the real daemon when a thread of it makes the N-th system call of a kind: agent's changes of files, its
//! answers, core's writes to its database, core's requests to the agent. In a quick run a few moments of each are tried, with
//! `WCP360_CRASH_FULL=1` all of them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wcp360_e2e::{Answer, Host};

/// What is killed, and at which system calls.
const EFFECTS: &[(&str, &str, &str)] = &[
    (
        "wcp360-agent",
        "files",
        "renameat,renameat2,rename,mkdirat,mkdir,unlinkat,unlink,symlinkat,linkat,fchownat,fchown,fchmod,fchmodat,\
         fdatasync,fsync,syncfs,pwrite64,ftruncate",
    ),
    ("wcp360-agent", "answers and services", "sendto,sendmsg,writev"),
    ("wcp360-core", "database", "pwrite64,fdatasync"),
    ("wcp360-core", "requests", "sendto,writev,recvfrom"),
];

/// A change, from an account that is made for it.
struct Workflow {
    name: &'static str,
    /// Brings the account to where the change starts.
    prepare: fn(&Host, &str),
    /// The request.
    request: fn(&Host, &str) -> Request,
}

/// Method, path, body.
type Request = (&'static str, String, Option<Value>);

fn nothing(_: &Host, _: &str) {}

fn created(host: &Host, name: &str) {
    host.create(name);
}

fn suspended(host: &Host, name: &str) {
    host.create(name);
    host.cli_ok(&["accounts", "suspend", name]);
}

fn deleted(host: &Host, name: &str) {
    host.create(name);
    host.write_as(name, "public_html/index.html", "mine");
    host.cli_ok(&["accounts", "delete", name]);
}

fn with_domain(host: &Host, name: &str) {
    host.create(name);
    host.cli_ok(&["domains", "add", name, &format!("{name}-two.test")]);
}

fn create(_: &Host, name: &str) -> Request {
    let body = json!({"username": name, "primary_domain": format!("{name}.test"), "package": "business"});
    ("POST", "/accounts".into(), Some(body))
}

/// The last thing that happened to the account.
fn take_back(host: &Host, name: &str) -> Request {
    let jobs = host.api(host.admin(), "GET", &format!("/jobs?account={name}&limit=1"), None).json();
    let job = jobs["items"][0]["id"].as_str().unwrap().to_owned();
    ("POST", format!("/jobs/{job}/undo"), Some(json!({})))
}

fn domain(name: &str, body: Value) -> Request {
    ("POST", format!("/accounts/{name}/domains"), Some(body))
}

const WORKFLOWS: &[Workflow] = &[
    Workflow { name: "create", prepare: nothing, request: create },
    Workflow {
        name: "suspend",
        prepare: created,
        request: |_, name| ("POST", format!("/accounts/{name}/suspend"), Some(json!({}))),
    },
    Workflow {
        name: "unsuspend",
        prepare: suspended,
        request: |_, name| ("POST", format!("/accounts/{name}/unsuspend"), None),
    },
    Workflow {
        name: "add a domain",
        prepare: created,
        request: |_, name| domain(name, json!({"domain": format!("{name}-two.test")})),
    },
    Workflow {
        name: "add a site with a block of its own",
        prepare: created,
        request: |_, name| {
            domain(name, json!({"domain": format!("shop.{name}.test"), "document_root": "apps/shop/public"}))
        },
    },
    Workflow {
        name: "remove a domain",
        prepare: with_domain,
        request: |_, name| ("DELETE", format!("/accounts/{name}/domains/{name}-two.test"), None),
    },
    Workflow { name: "take back a suspension", prepare: suspended, request: take_back },
    Workflow { name: "delete", prepare: created, request: |_, name| ("DELETE", format!("/accounts/{name}"), None) },
    Workflow { name: "take back a deletion", prepare: deleted, request: take_back },
];

/// All that there is of an account on the machine, in words that don't depend on its name, number or the time.
fn inventory(host: &Host, name: &str) -> String {
    let script = format!(
        r#"n={name}
        uid=$(id -u $n 2>/dev/null || echo none)
        {{
        getent passwd $n; getent group $n; getent shadow $n | cut -d: -f1,2,8
        find /srv/www/$n -printf 'tree %P %y %u:%g %m\n' 2>/dev/null | sort
        for f in account domains limits services ssh; do
            jq -cS --arg f $f '[$f, del(.created_at, .updated_at, .uid, .gid)]' /etc/wcp360/users/$n/$f.json 2>/dev/null
        done
        find /etc/wcp360/users/$n /etc/wcp360/php/$n /var/lib/wcp360/web/sites/$n /var/lib/wcp360/web/php/$n.sock \
            -printf 'file %p %y %u:%g %m %l\n' 2>/dev/null | sort
        cat /etc/wcp360/php/$n/*.conf 2>/dev/null
        find /var/lib/wcp360/web/names -lname "*sites/$n/*" -printf 'name %f -> %l\n' | sort
        find /etc/wcp360/nginx/current/ -type f -print0 | xargs -0 grep -hE "[^a-z0-9]$n[^a-z0-9]" 2>/dev/null | sort
        find /etc/systemd/system -name "*$n*" -printf 'unit %p %y %m %l\n' | sort
        test -S /run/wcp360/php/8.2/$n.sock && echo 'socket listens'
        ls /srv/www/.trash 2>/dev/null | grep -c "^$n-" | sed 's/^/trash /'
        find /srv/www /etc/wcp360 /var/lib/wcp360/web -xdev \( -name '.*.new*' -o -name '*.tmp' -o -name '.wcp360-*' \) \
            -path "*$n*" -printf 'left over %p\n'
        }} | sed "s/\b$n\b/NAME/g; s/\b$uid\b/UID/g; s/\b20[0-9][0-9]-[0-9T:.Z-]*/TIME/g""#
    );
    let mut text = host.sh(&script);
    let shown = host.api(host.admin(), "GET", &format!("/accounts/{name}"), None);
    let state = shown.json()["state"].as_str().unwrap_or("none").to_owned();
    let domains = host.api(host.admin(), "GET", &format!("/accounts/{name}/domains"), None).json();
    let hosts: Vec<String> = domains["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|domain| domain["hosts"].to_string().replace(name, "NAME"))
        .collect();
    text += &format!("\nindex {state} {hosts:?}");
    text
}

/// Asks until there is an answer, as a client does whose connection broke.
fn ask(host: &Host, name: &str, request: &Request) -> Answer {
    let key = format!("Idempotency-Key: matrix-{name}");
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = host.api_with(host.admin(), request.0, &request.1, request.2.as_ref(), &[&key]);
        if answer.status == 202 || Instant::now() > until {
            return answer;
        }
        assert!(matches!(answer.status, 0 | 502 | 503), "{}: {answer:?}", request.1);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Lets `daemon` die at its `moment`-th effect of a kind.
fn arm(host: &Host, daemon: &str, calls: &str, moment: u32) {
    let calls: String = calls.split_whitespace().collect();
    let pid = host.pid_of(daemon);
    host.sh(&format!(
        "rm -f /tmp/armed; (setsid strace -f -p {pid} -o /dev/null -e trace={calls} \
         -e inject={calls}:signal=SIGKILL:when={moment} >/tmp/armed 2>&1 &); \
         for _ in $(seq 200); do grep -q attached /tmp/armed && exit 0; sleep 0.02; done; cat /tmp/armed; exit 1"
    ));
}

fn wait_until_well(host: &Host) {
    let healthy = "for _ in $(seq 300); do \
                   curl -sf --max-time 2 http://127.0.0.1:2098/api/v1/health >/dev/null && exit 0; sleep 0.1; done; exit 1";
    assert!(host.test(healthy), "the panel did not come back: {}", host.sh("wcp360 health || true"));
}

#[test]
fn alone_eng_02_crash_matrix() {
    let host = Host::get();
    let full = std::env::var("WCP360_CRASH_FULL").is_ok();
    let (mut trials, mut kills, mut number) = (0, 0, 0u32);
    let mut ended: BTreeMap<String, u32> = BTreeMap::new();
    for (row, workflow) in WORKFLOWS.iter().enumerate() {
        // How it ends undisturbed.
        let reference = format!("mref{row}");
        (workflow.prepare)(&host, &reference);
        let job = host.wait_job(&ask(&host, &reference, &(workflow.request)(&host, &reference)));
        assert_eq!(job["state"], "succeeded", "{job}");
        let after = inventory(&host, &reference);
        for (column, (daemon, kind, calls)) in EFFECTS.iter().enumerate() {
            let moments: Vec<u32> = match full {
                true => (1..=150).collect(),
                // Another one of them for each workflow and kind: early, in the middle, late.
                false => vec![[1, 4, 8, 14, 2, 6, 11, 18, 3][(row * 5 + column * 2) % 9]],
            };
            for moment in moments {
                number += 1;
                let name = format!("mx{number}");
                let what = format!("{}, {daemon} killed at its effect {moment} ({kind})", workflow.name);
                (workflow.prepare)(&host, &name);
                let before = inventory(&host, &name);
                let request = (workflow.request)(&host, &name);
                let pid = host.pid_of(daemon);
                arm(&host, daemon, calls, moment);
                let job = host.wait_job(&ask(&host, &name, &request));
                let killed = !host.test(&format!("kill -0 {pid}"));
                host.sh("pkill -x strace || true");
                wait_until_well(&host);
                let state = job["state"].as_str().unwrap_or_default().to_owned();
                let expected = match state.as_str() {
                    "succeeded" => &after,
                    "rolled_back" => &before,
                    other => panic!("{what}: the job ended as {other}: {job}"),
                };
                let found = inventory(&host, &name);
                assert!(found == *expected, "{what}: {state}, but\n{}", difference(expected, &found));
                trials += 1;
                kills += u32::from(killed);
                *ended.entry(state).or_default() += 1;
                if full && !killed {
                    // There are no more effects of the kind in this workflow.
                    break;
                }
            }
        }
    }
    println!(
        "crash matrix: {} workflows, {} kinds of effects, {trials} trials, {kills} kills, ended as {ended:?}",
        WORKFLOWS.len(),
        EFFECTS.len()
    );
    assert!(kills * 2 > trials, "most trials are to kill: {kills} of {trials}");
}

fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(come).collect::<Vec<_>>().join("\n")
}
