//! The policy, written by hand: this table and the panel's own are compared by trying.
//!
//! A new operation is one line here. Without it the suite fails, and so it does with a line that has no operation.

use crate::object::Kind::{self, *};
use Reach::*;

/// How far somebody with a role reaches with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not at all: 403, whatever is named.
    Never,
    /// What is the caller's own.
    Own,
    /// What is the caller's own and what lies under it.
    Tree,
    /// Everything.
    All,
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// Anybody, without login.
    Public,
    /// Who holds the permission, as far as the role reaches: client, reseller, admin, root.
    Needs(&'static str, [Reach; 4]),
}

/// One line of the policy.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The operation's id in the document.
    pub(crate) operation: &'static str,
    /// What its path names, or what it lists.
    pub(crate) object: Kind,
    /// Who may.
    pub(crate) access: Access,
    /// A second permission, for what the object is about: who lacks it gets 403 for what they reach.
    pub(crate) also: Option<&'static str>,
    /// The status of success; 409 where all objects of the kind have nothing left to do.
    pub(crate) success: u16,
    /// A body that is accepted. `{fresh}` is a new name, `{own}` the client's account, others are the path's parameters.
    pub(crate) body: &'static str,
}

const fn open(operation: &'static str) -> Rule {
    Rule { operation, object: Nothing, access: Access::Public, also: None, success: 200, body: "" }
}

const fn rule(
    operation: &'static str,
    object: Kind,
    permission: &'static str,
    reach: [Reach; 4],
    success: u16,
    body: &'static str,
) -> Rule {
    Rule { operation, object, access: Access::Needs(permission, reach), also: None, success, body }
}

impl Rule {
    const fn and(mut self, permission: &'static str) -> Self {
        self.also = Some(permission);
        self
    }
}

/// Paths that anybody may read although they are no operation.
pub(crate) const PUBLIC_PATHS: &[&str] = &["/openapi.json"];

/// A change that everybody may ask for, long after the last test.
const SCHEDULE: &str = r#"{"account":"{own}","change":{"operation":"domains.add","domain":"{fresh}.{own}.test"},"run_at":"2099-01-01T00:00:00Z"}"#;

/// The matrix. The four columns are client, reseller, admin, root.
#[rustfmt::skip]
pub(crate) const POLICY: &[Rule] = &[
    open("health.show"),
    open("setup.status"),
    open("setup.run"),
    open("session.login"),
    rule("metrics.show",       Nothing,                      "metrics.read",    [Never, Never, All,   All],   200, ""),
    rule("session.show",       Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   200, ""),
    rule("session.logout",     Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   204, ""),
    rule("tokens.list",        ListOf(&Token, "id"),         "self.manage",     [Own,   Own,   Own,   Own],   200, ""),
    rule("tokens.create",      Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   201, r#"{"name":"{fresh}"}"#),
    rule("session.jwt",        Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   201, r#"{"audience":"ws"}"#),
    rule("sessions.list",      Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   200, ""),
    rule("sessions.revoke",    Session,                      "self.manage",     [Own,   Own,   Own,   Own],   204, ""),
    rule("sessions.revoke-others", Nothing,                  "self.manage",     [Own,   Own,   Own,   Own],   204, ""),
    rule("logins.list",        Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   200, ""),
    rule("tokens.rotate",      Token,                        "self.manage",     [Own,   Own,   Own,   Own],   200, "{}"),
    rule("tokens.revoke",      Token,                        "self.manage",     [Own,   Own,   Own,   Own],   204, ""),
    rule("users.list",         ListOf(&Login, "username"),   "users.read",      [Never, Tree,  All,   All],   200, ""),
    rule("users.create",       Nothing,                      "users.manage",    [Never, Never, All,   All],   201, r#"{"username":"{fresh}","role":"reseller","password":"a fresh password"}"#),
    rule("users.delete",       Reseller,                     "users.manage",    [Never, Never, All,   All],   204, ""),
    rule("users.set-password", Login,                        "self.manage",     [Own,   Tree,  All,   All],   204, r#"{"password":"the password of {user}"}"#),
    rule("users.sessions",     Login,                        "access.manage",   [Never, Tree,  All,   All],   200, ""),
    rule("users.revoke-session", LoginSession,               "access.manage",   [Never, Tree,  All,   All],   204, ""),
    rule("users.end-sessions", Login,                        "access.manage",   [Never, Tree,  All,   All],   204, ""),
    rule("users.logins",       Login,                        "access.manage",   [Never, Tree,  All,   All],   200, ""),
    rule("users.tokens",       Login,                        "access.manage",   [Never, Tree,  All,   All],   200, ""),
    rule("users.revoke-token", LoginToken,                   "access.manage",   [Never, Tree,  All,   All],   204, ""),
    rule("secrets.show",       Nothing,                      "secrets.manage",  [Never, Never, Never, All],   200, ""),
    rule("secrets.rotate",     Nothing,                      "secrets.manage",  [Never, Never, Never, All],   200, ""),
    rule("users.usage",        Reseller,                     "users.read",      [Never, Tree,  All,   All],   200, ""),
    rule("users.limits",       Reseller,                     "users.read",      [Never, Tree,  All,   All],   200, ""),
    rule("users.set-limits",   Reseller,                     "users.manage",    [Never, Never, All,   All],   200, r#"{"domains":100000}"#),
    rule("users.suspend",      Reseller,                     "users.manage",    [Never, Never, All,   All],   202, r#"{"reason":"why not"}"#),
    rule("users.unsuspend",    Reseller,                     "users.manage",    [Never, Never, All,   All],   409, ""),
    rule("packages.list",      ListOf(&Package, "name"),     "packages.read",   [Never, Tree,  All,   All],   200, ""),
    rule("packages.show",      Package,                      "packages.read",   [Never, Tree,  All,   All],   200, ""),
    rule("packages.create",    Nothing,                      "packages.manage", [Never, Own,   All,   All],   201, r#"{"name":"{fresh}"}"#),
    rule("packages.update",    Package,                      "packages.manage", [Never, Own,   All,   All],   200, r#"{"name":"{package}","description":"changed"}"#),
    rule("packages.delete",    Package,                      "packages.manage", [Never, Own,   All,   All],   204, ""),
    rule("packages.versions",  Package,                      "packages.read",   [Never, Tree,  All,   All],   200, ""),
    rule("packages.propagate", Package,                      "accounts.manage", [Never, Tree,  All,   All],   202, "{}"),
    rule("packages.default",   Nothing,                      "packages.read",   [Never, Own,   All,   All],   200, ""),
    rule("packages.set-default", Nothing,                    "packages.manage", [Never, Own,   All,   All],   200, r#"{"package":"starter"}"#),
    rule("packages.export",    Nothing,                      "packages.read",   [Never, Own,   All,   All],   200, ""),
    rule("packages.import",    Nothing,                      "packages.manage", [Never, Own,   All,   All],   200, r#"{"schema_version":1,"packages":[{"name":"{fresh}"}]}"#),
    rule("accounts.list",      ListOf(&Account, "username"), "accounts.read",   [Own,   Tree,  All,   All],   200, ""),
    rule("accounts.show",      Account,                      "accounts.read",   [Own,   Tree,  All,   All],   200, ""),
    rule("accounts.create",    Nothing,                      "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"username":"{fresh}","primary_domain":"{fresh}.test","package":"starter"}"#),
    rule("accounts.suspend",   Account,                      "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"reason":"why not"}"#),
    rule("accounts.unsuspend", Suspended,                    "accounts.manage", [Never, Tree,  All,   All],   202, ""),
    rule("accounts.delete",    Account,                      "accounts.manage", [Never, Tree,  All,   All],   202, ""),
    rule("accounts.change-package", Account,                 "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"package":"unlimited"}"#),
    rule("accounts.set-overrides", Account,                  "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"limits":{"disk_mb":777}}"#),
    rule("accounts.clone",     Account,                      "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"username":"{fresh}","primary_domain":"{fresh}.test"}"#),
    rule("accounts.set-owner", Account,                      "accounts.transfer", [Never, Never, All, All],   422, r#"{"owner":"nobody-at-all"}"#),
    rule("bulk.start",         Nothing,                      "accounts.manage", [Never, Tree,  All,   All],   202, r#"{"action":"suspend","accounts":["{fresh}"]}"#),
    rule("bulk.list",          ListOf(&Bulk, "id"),          "bulk.read",       [Never, Tree,  All,   All],   200, ""),
    rule("bulk.show",          Bulk,                         "bulk.read",       [Never, Tree,  All,   All],   200, ""),
    rule("bulk.accounts",      Bulk,                         "bulk.read",       [Never, Tree,  All,   All],   200, ""),
    rule("domains.list",       Account,                      "domains.read",    [Own,   Tree,  All,   All],   200, ""),
    rule("domains.add",        Account,                      "domains.manage",  [Own,   Tree,  All,   All],   202, r#"{"domain":"{fresh}.{account}.test"}"#),
    rule("domains.remove",     Domain,                       "domains.manage",  [Own,   Tree,  All,   All],   202, ""),
    rule("jobs.list",          ListOf(&Account, "account"),  "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("jobs.show",          Job,                          "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("jobs.log",           Job,                          "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("jobs.artifacts",     Job,                          "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("jobs.cancel",        Change,                       "jobs.manage",     [Own,   Tree,  All,   All],   409, "").and("domains.manage"),
    rule("jobs.retry",         Change,                       "jobs.manage",     [Own,   Tree,  All,   All],   409, "").and("domains.manage"),
    rule("jobs.undo",          Change,                       "jobs.manage",     [Own,   Tree,  All,   All],   202, "{}").and("domains.manage"),
    rule("jobs.resolve",       Change,                       "jobs.manage",     [Own,   Tree,  All,   All],   409, r#"{"note":"settled by hand"}"#).and("domains.manage"),
    rule("schedules.list",     ListOf(&Schedule, "id"),      "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("schedules.show",     Schedule,                     "jobs.read",       [Own,   Tree,  All,   All],   200, ""),
    rule("schedules.create",   Nothing,                      "jobs.manage",     [Own,   Tree,  All,   All],   201, SCHEDULE).and("domains.manage"),
    rule("schedules.delete",   Schedule,                     "jobs.manage",     [Own,   Tree,  All,   All],   204, "").and("domains.manage"),
    rule("drift.show",         Nothing,                      "drift.read",      [Never, Never, All,   All],   200, ""),
    rule("drift.reconcile",    Nothing,                      "drift.manage",    [Never, Never, All,   All],   202, r#"{"report_only":true}"#),
    rule("accounts.drift",     Account,                      "drift.read",      [Never, Never, All,   All],   200, ""),
    rule("accounts.repair",    Account,                      "drift.manage",    [Never, Never, All,   All],   202, "{}"),
    rule("accounts.pick-up",   Account,                      "drift.manage",    [Never, Never, All,   All],   409, ""),
    rule("node.drift",         Nothing,                      "drift.read",      [Never, Never, All,   All],   200, ""),
    rule("node.repair",        Nothing,                      "drift.manage",    [Never, Never, All,   All],   202, "{}"),
    rule("index.rebuild",      Nothing,                      "drift.manage",    [Never, Never, All,   All],   202, ""),
    rule("maintenance.show",   Nothing,                      "self.manage",     [Own,   Own,   Own,   Own],   200, ""),
    rule("maintenance.set",    Nothing,                      "maintenance.manage", [Never, Never, All, All],   200, r#"{"enabled":false}"#),
    rule("audit.list",         ListOf(&Account, "target"),   "audit.read",      [Own,   Tree,  All,   All],   200, ""),
    rule("audit.export",       Nothing,                      "audit.export",    [Never, Tree,  All,   All],   200, ""),
    rule("audit.key",          Nothing,                      "audit.read",      [Own,   Own,   Own,   Own],   200, ""),
    rule("audit.rotate-key",   Nothing,                      "audit.manage",    [Never, Never, All,   All],   200, ""),
    rule("audit.verify",       Nothing,                      "audit.manage",    [Never, Never, All,   All],   200, ""),
    rule("audit.compare",      Nothing,                      "audit.manage",    [Never, Never, All,   All],   200, ""),
    // Allowed, and told that a WebSocket is needed: what comes over one is tried in crates/server/tests/events.rs.
    rule("events.listen",      Nothing,                      "events.read",     [Own,   Tree,  All,   All],   426, ""),
];

/// What no limited token does, whatever its scopes: who sets a password can log in with it, and then has all the rights that
/// the token was not given.
pub(crate) const LIMITED: &[&str] = &["users.create", "users.set-password"];

/// What a reference inside a request may name: tried with the caller's own, with a foreign and with a missing object. The
/// last two are answered alike. `{x}` is the name, `{fresh}` a new one, `{account}` the caller's own account.
pub(crate) struct Reference {
    /// The operation.
    pub(crate) operation: &'static str,
    /// Who asks: 0 client, 1 reseller.
    pub(crate) role: usize,
    /// What is named.
    pub(crate) object: Kind,
    /// The query.
    pub(crate) query: &'static str,
    /// The body.
    pub(crate) body: &'static str,
    /// The status for the own one, with `dry_run` where there is such a thing; 0: it is not tried, since it would stay.
    pub(crate) own: u16,
    /// The status for foreign and missing ones.
    pub(crate) others: u16,
}

const fn reference(
    operation: &'static str,
    role: usize,
    object: Kind,
    query: &'static str,
    body: &'static str,
    own: u16,
    others: u16,
) -> Reference {
    Reference { operation, role, object, query, body, own, others }
}

/// All references in bodies and queries.
#[rustfmt::skip]
pub(crate) const REFERENCES: &[Reference] = &[
    reference("accounts.create", 1, Reseller, "", r#"{"username":"{fresh}","primary_domain":"{fresh}.test","package":"starter","owner":"{x}"}"#, 200, 422),
    reference("accounts.create", 1, Login,    "", r#"{"username":"{fresh}","primary_domain":"{fresh}.test","package":"starter","owner":"{x}"}"#, 422, 422),
    reference("accounts.create", 1, Package,  "", r#"{"username":"{fresh}","primary_domain":"{fresh}.test","package":"{x}"}"#, 200, 422),
    reference("domains.add",     0, Domain,   "", r#"{"domain":"{fresh}-alias.test","kind":"alias","target":"{x}"}"#, 200, 422),
    reference("accounts.change-package", 1, Package, "", r#"{"package":"{x}"}"#, 200, 422),
    reference("accounts.clone",  1, Reseller, "", r#"{"username":"{fresh}","primary_domain":"{fresh}.test","owner":"{x}"}"#, 200, 422),
    reference("packages.create", 1, Package,  "", r#"{"name":"{fresh}","extends":"{x}"}"#, 0, 422),
    reference("packages.set-default", 1, Package, "", r#"{"package":"{x}"}"#, 0, 422),
    reference("bulk.start",      1, Package,  "", r#"{"action":"change_package","accounts":["{account}"],"package":"{x}"}"#, 200, 422),
    reference("accounts.list",   1, Reseller, "owner={x}",   "", 200, 200),
    reference("accounts.list",   1, Package,  "package={x}", "", 200, 200),
    reference("accounts.list",   1, Account,  "search={x}",  "", 200, 200),
    reference("accounts.list",   0, Account,  "search={x}",  "", 200, 200),
    reference("jobs.list",       1, Account,  "account={x}", "", 200, 200),
    reference("jobs.list",       0, Account,  "account={x}", "", 200, 200),
    reference("schedules.create", 0, Account, "", r#"{"account":"{x}","change":{"operation":"domains.add","domain":"{fresh}.test"},"run_at":"2099-01-01T00:00:00Z"}"#, 0, 404),
    reference("schedules.create", 1, Account, "", r#"{"account":"{x}","change":{"operation":"accounts.delete"},"run_at":"2099-01-01T00:00:00Z"}"#, 0, 404),
    reference("audit.list",      1, Account,  "target={x}",  "", 200, 200),
    reference("audit.list",      0, Account,  "target={x}",  "", 200, 200),
    reference("audit.list",      1, Account,  "tenant={x}",  "", 200, 200),
    reference("audit.list",      0, Account,  "tenant={x}",  "", 200, 200),
    reference("audit.list",      1, Reseller, "tenant={x}",  "", 200, 200),
    reference("audit.list",      1, Login,    "actor={x}",   "", 200, 200),
];

/// People of the panel itself, as targets of what is done to people: operation, caller's role, and whether a target that is
/// a reseller, another admin, root is reached. The rest of the table is about clients.
#[rustfmt::skip]
pub(crate) const STAFF: &[(&str, usize, [bool; 3])] = &[
    ("users.set-password", 0, [false, false, false]),
    ("users.set-password", 1, [false, false, false]),
    ("users.set-password", 2, [true,  false, false]),
    ("users.set-password", 3, [true,  true,  true]),
    ("users.end-sessions", 1, [false, false, false]),
    ("users.end-sessions", 2, [true,  false, false]),
    ("users.end-sessions", 3, [true,  true,  true]),
    ("users.delete",       2, [true,  false, false]),
    ("users.delete",       3, [true,  true,  false]),
];

/// Whom somebody may make: the caller's role, and the status for a reseller, an admin, a root and a client. The last two are made
/// by setup and with an account, by nobody here.
#[rustfmt::skip]
pub(crate) const MAKES: &[(usize, [u16; 4])] = &[
    (0, [403, 403, 403, 403]),
    (1, [403, 403, 403, 403]),
    (2, [201, 403, 422, 422]),
    (3, [201, 201, 422, 422]),
];

/// Whether a role holds a permission: it reaches something with it.
pub(crate) fn holds(role: usize, permission: &str) -> bool {
    let reaches =
        |rule: &Rule| matches!(rule.access, Access::Needs(p, reach) if p == permission && reach[role] != Never);
    POLICY.iter().any(reaches)
}

/// The line of an operation.
///
/// # Panics
/// Without one.
pub(crate) fn find(operation: &str) -> &'static Rule {
    POLICY.iter().find(|r| r.operation == operation).unwrap_or_else(|| panic!("no line for {operation} in policy.rs"))
}

/// All permissions in the table.
pub(crate) fn permissions() -> Vec<&'static str> {
    let mut all: Vec<&str> = POLICY
        .iter()
        .filter_map(|rule| match rule.access {
            Access::Needs(permission, _) => Some(permission),
            Access::Public => None,
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}
