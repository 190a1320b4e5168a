//! `docs/permissions.md`: who may do what.

use std::fmt::Write;
use wcp360_api::{Access, Permission, operations};

const INTRODUCTION: &str = "\
# Who may do what

Every operation of the [API](api.md) needs one permission, and every role holds some. This page is written by
`cargo xtask openapi` from `crates/api/src/permission.rs`, the only place where they are given; `tests/authorisation` tries each
cell on a running panel, against a table of its own.

- A permission says **what** may be done. **To whom** is said by the tenant tree: root and administrators reach everything, a
  reseller itself and what belongs to it, a client its own account. What lies outside is answered like what does not exist: 404.
- Without the permission the answer is 403, and the attempt is in the audit trail.
- An API token holds what its owner's role holds; one with `scopes` only those of them. Whoever makes or changes a login could
  use it, so a token with scopes can't set passwords.
- A reseller is further bound by what it may give (`GET /users/{user}/limits`), an account by its package.
";

/// The page.
pub(crate) fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let roles = wcp360_types::Role::ALL;
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let _ = write!(page, "\n## Roles\n\n| permission | {} | the right to |\n|---|", names.join(" | "));
    page.push_str(&"---|".repeat(roles.len() + 1));
    page.push('\n');
    for permission in Permission::ALL {
        let cells: Vec<&str> = roles.iter().map(|role| if permission.held_by(*role) { "yes" } else { "–" }).collect();
        let _ = writeln!(page, "| `{}` | {} | {} |", permission.as_str(), cells.join(" | "), permission.about());
    }
    page.push_str("\n## Operations\n\n| permission | operations |\n|---|---|\n");
    for permission in Permission::ALL {
        let _ = writeln!(page, "| `{}` | {} |", permission.as_str(), listed(Access::Needs(*permission)));
    }
    let _ = writeln!(page, "| none: anybody, without login | {} |", listed(Access::Public));
    page
}

fn listed(access: Access) -> String {
    let ids: Vec<String> = operations()
        .iter()
        .filter(|operation| operation.access == access)
        .map(|operation| format!("[`{}`](api.md#{})", operation.id, operation.id.replace('.', "")))
        .collect();
    ids.join(", ")
}
