//! What there is, before and after: a refused change leaves nothing behind.

use crate::host;
use crate::http::{Credential, call};
use crate::world::World;
use serde_json::Value;

/// All lists, the numbers of jobs, and the files of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(Vec<String>);

impl Snapshot {
    /// Takes one.
    pub(crate) fn take(world: &World) -> Self {
        let root = &world.tokens[3];
        let mut lines = Vec::new();
        for list in ["/accounts", "/users", "/packages", "/schedules"] {
            lines.extend(items(root, list).into_iter().map(|item| format!("{list} {item}")));
        }
        for (role, token) in world.tokens.iter().enumerate() {
            lines.extend(items(token, "/tokens").into_iter().map(|mut item| {
                // Asking is a use.
                for field in ["last_used_at", "last_used_from", "uses"] {
                    item[field] = Value::Null;
                }
                format!("token of {role}: {item}")
            }));
        }
        let metrics = call(root, "GET", "/metrics", "").body;
        lines.extend(metrics.lines().filter(|line| line.starts_with("wcp360_jobs{")).map(str::to_owned));
        let files = host::sh(
            "find /etc/wcp360/users /srv/www /var/lib/wcp360/web/names -maxdepth 2 -not -path '*/logs*' -printf '%p %u %m %l\\n'",
        );
        lines.extend(files.lines().map(str::to_owned));
        lines.sort();
        Self(lines)
    }

    /// What is different in a later one.
    pub(crate) fn difference(&self, later: &Self) -> Option<String> {
        let gone = self.0.iter().filter(|line| !later.0.contains(line)).map(|line| format!("- {line}"));
        let come = later.0.iter().filter(|line| !self.0.contains(line)).map(|line| format!("+ {line}"));
        let all: Vec<String> = gone.chain(come).take(6).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

/// All items of a list, page by page.
pub(crate) fn items(who: &Credential, list: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let joint = if list.contains('?') { '&' } else { '?' };
        let answer = call(who, "GET", &format!("{list}{joint}limit=1000{cursor}"), "");
        assert_eq!(answer.status, 200, "{list}: {answer:?}");
        let mut page = answer.json();
        match page["items"].take() {
            Value::Array(items) => all.extend(items),
            other => panic!("{list} has no items: {other}"),
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
