//! The operations.

use crate::Permission as P;
use crate::operation::{Access, Cli, Effect, Method, Operation, SchemaOf};
use schemars::JsonSchema;
use std::sync::OnceLock;
use wcp360_types::api::{account, audit, domain, job, package, page, session, setup, system, token, user};

fn schema<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

fn op(id: &'static str, method: Method, path: &'static str, summary: &'static str) -> Operation {
    Operation {
        id,
        method,
        path,
        summary,
        description: "",
        access: Access::Public,
        effect: if method == Method::Get { Effect::Read } else { Effect::Change },
        body: None,
        query: Vec::new(),
        success: (200, None),
        if_match: false,
        cli: Cli::default(),
    }
}

impl Operation {
    fn needs(mut self, permission: P) -> Self {
        self.access = Access::Needs(permission);
        self
    }
    fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }
    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema::<T>());
        self
    }
    fn query<T: JsonSchema>(mut self) -> Self {
        self.query.push(schema::<T>());
        self
    }
    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.success = (status, Some(schema::<T>()));
        self
    }
    fn gives_nothing(mut self) -> Self {
        self.success = (204, None);
        self
    }
    /// A change of an account: a job, or its plan with `dry_run`.
    fn job(mut self) -> Self {
        self.effect = Effect::Job;
        self.query::<job::DryRun>().gives::<job::Job>(202)
    }
    fn list<T: JsonSchema>(self) -> Self {
        self.query::<page::PageQuery>().gives::<page::Page<T>>(200)
    }
    fn if_match(mut self) -> Self {
        self.if_match = true;
        self
    }
    fn positional(mut self, fields: &'static [&'static str]) -> Self {
        self.cli.positional = fields;
        self
    }
    fn columns(mut self, columns: &'static [&'static str]) -> Self {
        self.cli.columns = columns;
        self
    }
    fn command(mut self, words: &'static str) -> Self {
        self.cli.command = words;
        self
    }
}

/// All operations, in the order of the documentation.
pub fn operations() -> &'static [Operation] {
    static TABLE: OnceLock<Vec<Operation>> = OnceLock::new();
    TABLE.get_or_init(table)
}

/// The operation with this id.
pub fn find(id: &str) -> Option<&'static Operation> {
    operations().iter().find(|o| o.id == id)
}

fn table() -> Vec<Operation> {
    use Method::*;
    const ACCOUNT: &[&str] = &["username", "primary_domain", "state", "package", "owner", "domains", "uid"];
    const DOMAIN: &[&str] = &["domain", "kind", "target", "document_root", "hosts"];
    const JOB: &[&str] = &["id", "operation", "account", "state", "actor", "created_at"];
    const PACKAGE: &[&str] = &["name", "version", "owner", "accounts", "description"];
    const USER: &[&str] = &["username", "role", "account", "max_accounts", "created_at"];
    const TOKEN: &[&str] = &["id", "name", "owner", "expires_at", "last_used_at"];
    vec![
        op("health.show", Get, "/health", "How the panel and its parts are")
            .about("Answers 200 when everything works and 503 when a part does not, with the same body.")
            .gives::<system::Health>(200)
            .command("health")
            .columns(&["name", "ok", "detail"]),
        op("metrics.show", Get, "/metrics", "Metrics in the Prometheus text format")
            .needs(P::MetricsRead)
            .command("metrics"),
        op("setup.status", Get, "/setup", "Whether the panel has been set up")
            .gives::<setup::SetupStatus>(200)
            .command("setup-status"),
        op("setup.run", Post, "/setup", "Create the first administrator")
            .about("Works once, with the installer's token or the machine's root password; afterwards it answers 409 for good.")
            .body::<setup::Setup>()
            .gives::<setup::SetupDone>(201)
            .command("setup"),
        op("session.login", Post, "/session", "Log in with a password")
            .about("Sets an HttpOnly session cookie.")
            .body::<session::Login>()
            .gives::<session::Identity>(200)
            .command("-"),
        op("session.show", Get, "/session", "Who am I")
            .needs(P::SelfManage)
            .gives::<session::Identity>(200)
            .command("whoami"),
        op("session.logout", Delete, "/session", "Log out").needs(P::SelfManage).gives_nothing().command("-"),
        op("tokens.list", Get, "/tokens", "List your API tokens")
            .needs(P::SelfManage)
            .list::<token::Token>()
            .columns(TOKEN),
        op("tokens.create", Post, "/tokens", "Make an API token")
            .needs(P::SelfManage)
            .body::<token::CreateToken>()
            .gives::<token::CreatedToken>(201)
            .positional(&["name"]),
        op("tokens.revoke", Delete, "/tokens/{token}", "Revoke an API token").needs(P::SelfManage).gives_nothing(),
        op("users.list", Get, "/users", "List who can log in").needs(P::UsersRead).list::<user::User>().columns(USER),
        op("users.create", Post, "/users", "Create an administrator or reseller")
            .needs(P::UsersManage)
            .body::<user::CreateUser>()
            .gives::<user::User>(201)
            .positional(&["username"])
            .columns(USER),
        op("users.delete", Delete, "/users/{user}", "Delete an administrator or reseller")
            .about("Refused while accounts or packages belong to it.")
            .needs(P::UsersManage)
            .gives_nothing(),
        op("users.set-password", Put, "/users/{user}/password", "Set a password")
            .about("One's own, or of somebody one administers. All sessions of that person end.")
            .needs(P::SelfManage)
            .body::<user::SetPassword>()
            .gives_nothing(),
        op("packages.list", Get, "/packages", "List packages")
            .needs(P::PackagesRead)
            .list::<package::Package>()
            .columns(PACKAGE),
        op("packages.show", Get, "/packages/{package}", "Show a package")
            .needs(P::PackagesRead)
            .gives::<package::Package>(200)
            .columns(PACKAGE),
        op("packages.create", Post, "/packages", "Create a package")
            .needs(P::PackagesManage)
            .body::<package::PackageSpec>()
            .gives::<package::Package>(201)
            .positional(&["name"])
            .columns(PACKAGE),
        op("packages.update", Put, "/packages/{package}", "Replace a package's content")
            .about("Accounts keep the limits they were given until their package is changed.")
            .needs(P::PackagesManage)
            .body::<package::PackageSpec>()
            .gives::<package::Package>(200)
            .columns(PACKAGE),
        op("packages.delete", Delete, "/packages/{package}", "Delete a package")
            .about("Refused while accounts use it.")
            .needs(P::PackagesManage)
            .gives_nothing(),
        op("accounts.list", Get, "/accounts", "List accounts")
            .needs(P::AccountsRead)
            .query::<account::AccountFilter>()
            .list::<account::Account>()
            .columns(ACCOUNT),
        op("accounts.show", Get, "/accounts/{account}", "Show an account with its manifests")
            .about("Answers with the revision as ETag.")
            .needs(P::AccountsRead)
            .gives::<account::AccountDetail>(200)
            .columns(ACCOUNT),
        op("accounts.create", Post, "/accounts", "Create an account")
            .needs(P::AccountsManage)
            .body::<account::CreateAccount>()
            .job()
            .positional(&["username"]),
        op("accounts.suspend", Post, "/accounts/{account}/suspend", "Suspend an account")
            .about("Its sites answer with a suspended page, PHP and logins stop; nothing is lost.")
            .needs(P::AccountsManage)
            .body::<account::SuspendAccount>()
            .job()
            .if_match(),
        op("accounts.unsuspend", Post, "/accounts/{account}/unsuspend", "Bring a suspended account back")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
        op("accounts.delete", Delete, "/accounts/{account}", "Delete an account")
            .about("Its files wait in the trash for the node's retention time; everything else goes at once.")
            .needs(P::AccountsManage)
            .job()
            .if_match(),
        op("domains.list", Get, "/accounts/{account}/domains", "List the domains of an account")
            .needs(P::DomainsRead)
            .gives::<page::Page<domain::DomainView>>(200)
            .columns(DOMAIN),
        op("domains.add", Post, "/accounts/{account}/domains", "Add a domain to an account")
            .needs(P::DomainsManage)
            .body::<domain::AddDomain>()
            .job()
            .if_match()
            .positional(&["domain"]),
        op("domains.remove", Delete, "/accounts/{account}/domains/{domain}", "Remove a domain from an account")
            .about("Its files stay in the account.")
            .needs(P::DomainsManage)
            .job()
            .if_match(),
        op("jobs.list", Get, "/jobs", "List jobs, newest first")
            .needs(P::JobsRead)
            .query::<job::JobFilter>()
            .list::<job::Job>()
            .columns(JOB),
        op("jobs.show", Get, "/jobs/{job}", "Show a job with its steps")
            .needs(P::JobsRead)
            .gives::<job::Job>(200)
            .columns(JOB),
        op("jobs.log", Get, "/jobs/{job}/log", "Show a job's log")
            .needs(P::JobsRead)
            .query::<job::JobLogQuery>()
            .gives::<page::Page<job::JobLogLine>>(200)
            .columns(&["at", "step", "message"]),
        op("audit.list", Get, "/audit", "Read the audit trail, newest first")
            .needs(P::AuditRead)
            .query::<audit::AuditFilter>()
            .list::<audit::AuditEntry>()
            .columns(&["seq", "at", "actor", "source", "action", "target", "outcome"]),
    ]
}
