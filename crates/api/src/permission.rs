//! Who may do what: the permission matrix, in one place (SEC-01).

use wcp360_types::Role;

macro_rules! permissions {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal [$($role:ident)*];)*) => {
        /// The right to do one kind of thing. To *whom* it may be done is the caller's scope, applied beside the data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($(#[doc = $doc])* $name,)* }

        impl Permission {
            /// All permissions.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The name used in token scopes and in the OpenAPI document.
            pub fn as_str(self) -> &'static str {
                match self { $(Permission::$name => $text,)* }
            }

            /// What it is the right to do, in words.
            pub fn about(self) -> &'static str {
                match self { $(Permission::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// Whether a role holds it.
            pub fn held_by(self, role: Role) -> bool {
                match self { $(Permission::$name => [$(Role::$role),*].contains(&role),)* }
            }
        }
    };
}

permissions! {
    /// See accounts.
    AccountsRead = "accounts.read" [Root Admin Reseller Client];
    /// Create, change, suspend and delete accounts, one or many.
    AccountsManage = "accounts.manage" [Root Admin Reseller];
    /// Give accounts to other resellers.
    AccountsTransfer = "accounts.transfer" [Root Admin];
    /// See changes of many accounts and how far they are.
    BulkRead = "bulk.read" [Root Admin Reseller];
    /// See domains.
    DomainsRead = "domains.read" [Root Admin Reseller Client];
    /// Add and remove domains.
    DomainsManage = "domains.manage" [Root Admin Reseller Client];
    /// See packages.
    PackagesRead = "packages.read" [Root Admin Reseller];
    /// Create, change and delete packages.
    PackagesManage = "packages.manage" [Root Admin Reseller];
    /// See jobs and their logs.
    JobsRead = "jobs.read" [Root Admin Reseller Client];
    /// Cancel, retry and undo jobs whose change one may ask for oneself; schedule such changes.
    JobsManage = "jobs.manage" [Root Admin Reseller Client];
    /// See who can log in.
    UsersRead = "users.read" [Root Admin Reseller];
    /// Create, suspend and delete administrators and resellers, set their limits.
    UsersManage = "users.manage" [Root Admin];
    /// Use one's own login: password, tokens, sessions.
    SelfManage = "self.manage" [Root Admin Reseller Client];
    /// See and end logins, sessions and tokens of people below.
    AccessManage = "access.manage" [Root Admin Reseller];
    /// Replace the keys that seal the panel's secrets.
    SecretsManage = "secrets.manage" [Root];
    /// Read the audit trail.
    AuditRead = "audit.read" [Root Admin Reseller Client];
    /// Take the audit trail away.
    AuditExport = "audit.export" [Root Admin Reseller];
    /// Verify the whole audit trail, and replace its key.
    AuditManage = "audit.manage" [Root Admin];
    /// Be told what happens while it happens.
    EventsRead = "events.read" [Root Admin Reseller Client];
    /// See how the machine differs from the manifests.
    DriftRead = "drift.read" [Root Admin];
    /// Repair, adopt or ignore such differences; rebuild the index.
    DriftManage = "drift.manage" [Root Admin];
    /// Switch maintenance on and off.
    MaintenanceManage = "maintenance.manage" [Root Admin];
    /// Read metrics.
    MetricsRead = "metrics.read" [Root Admin];
}

impl std::str::FromStr for Permission {
    type Err = wcp360_types::ValueError;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Permission::ALL.iter().copied().find(|p| p.as_str() == value).ok_or_else(|| {
            let known: Vec<_> = Permission::ALL.iter().map(|p| p.as_str()).collect();
            wcp360_types::ValueError::new(format!("{value:?} is not a permission"), format!("use {}", known.join(", ")))
        })
    }
}
