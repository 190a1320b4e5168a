//! Resources: what must be there.

use crate::facts::AbsPath;
use wcp360_types::{Domain, Username};

/// One thing that must be on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Kind and name, unique in a list: `file:/etc/wcp360/php/alice/8.2.conf`, `user:alice`.
    pub key: String,
    /// What it is and should be.
    pub kind: Kind,
}

/// Whom something belongs to. Numbers are looked up by the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// root.
    Root,
    /// The account: its user or its group.
    Account,
    /// nginx's workers: `www-data`.
    Web,
    /// The panel: `wcp360`.
    Panel,
}

/// What happens to a directory that is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It stays: it is inside an account's home, where a domain's files outlive the domain.
    Keep,
    /// It goes, with everything in it.
    Tree,
}

/// A unit of systemd or of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(String);

impl UnitName {
    /// `wcp360-php8.2@alice.socket`.
    pub fn php_socket(version: &wcp360_types::manifest::PhpVersion, account: &Username) -> Self {
        Self(format!("wcp360-php{version}@{account}.socket"))
    }

    /// `wcp360-php8.2@alice.service`.
    pub fn php_service(version: &wcp360_types::manifest::PhpVersion, account: &Username) -> Self {
        Self(format!("wcp360-php{version}@{account}.service"))
    }

    /// `wcp360-alice.slice`.
    pub fn slice(account: &Username) -> Self {
        Self(format!("wcp360-{account}.slice"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for UnitName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bounds of all processes of an account together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SliceLimits {
    /// Percent of one core.
    pub cpu_percent: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Bytes per second read from the disk the accounts are on.
    pub read_bytes: Option<u64>,
    /// Bytes per second written to it.
    pub write_bytes: Option<u64>,
}

/// What else has to happen when a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnChange {
    /// The service is started anew if it runs.
    Restart(UnitName),
    /// The running slice gets the new bounds.
    Limit(UnitName, SliceLimits),
}

/// A Linux user and its group of the same name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    /// Name of user and group.
    pub name: Username,
    /// User and group id.
    pub uid: u32,
    /// Home directory.
    pub home: AbsPath,
    /// Login shell.
    pub shell: &'static str,
    /// No login by password or key, and no process.
    pub locked: bool,
}

/// The kinds of resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The home directory of an account. Removed, it waits in the trash.
    Home {
        /// Where.
        path: AbsPath,
        /// Permissions; it belongs to root and the account's group.
        mode: u32,
    },
    /// A Linux user.
    User(UserSpec),
    /// A directory whose parents belong to root.
    Dir {
        /// Where.
        path: AbsPath,
        /// Owner.
        owner: Principal,
        /// Group.
        group: Principal,
        /// Permissions.
        mode: u32,
        /// What happens when it is no longer wanted.
        removal: Removal,
    },
    /// A directory that may lie under directories of the account: made once, as the account, and then the account's
    /// own business.
    TenantDir {
        /// The home directory.
        home: AbsPath,
        /// Below it.
        relative: wcp360_types::DocumentRoot,
    },
    /// A file whose content others write.
    LogFile {
        /// Where.
        path: AbsPath,
        /// Owner.
        owner: Principal,
        /// Group.
        group: Principal,
        /// Permissions.
        mode: u32,
    },
    /// A file.
    File {
        /// Where.
        path: AbsPath,
        /// What is in it.
        content: String,
        /// Owner.
        owner: Principal,
        /// Group.
        group: Principal,
        /// Permissions.
        mode: u32,
        /// What to do after a change.
        on_change: Option<OnChange>,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: AbsPath,
        /// Where it points.
        target: String,
        /// Owner of the link itself, which nginx compares with the owner of what it points at.
        owner: Principal,
    },
    /// A certificate and its key in one file, root:www-data 0640.
    SelfSignedCert {
        /// Where.
        path: AbsPath,
        /// The names it must cover.
        names: Vec<Domain>,
    },
    /// A unit that is started now and at boot.
    UnitEnabled {
        /// Which.
        unit: UnitName,
        /// The file it is an instance of, for the link: `wcp360-php8.2@.socket`.
        template: String,
        /// A service that it starts, to be stopped after it.
        service: UnitName,
        /// Where it listens, for nginx and nobody else: root:www-data 0660.
        socket: AbsPath,
    },
    /// A server block of its own, for a site that the shared one can't serve.
    NginxSite {
        /// Name of the file.
        file: String,
        /// The block.
        content: String,
    },
}

impl Resource {
    /// The resource with the key that follows from its kind.
    pub fn new(kind: Kind) -> Self {
        let key = match &kind {
            Kind::Home { path, .. } => format!("home:{path}"),
            Kind::User(user) => format!("user:{}", user.name),
            Kind::Dir { path, .. } => format!("dir:{path}"),
            Kind::TenantDir { home, relative } => format!("folder:{home}/{relative}"),
            Kind::LogFile { path, .. } => format!("log:{path}"),
            Kind::File { path, .. } => format!("file:{path}"),
            Kind::Symlink { path, .. } => format!("link:{path}"),
            Kind::SelfSignedCert { path, .. } => format!("certificate:{path}"),
            Kind::UnitEnabled { unit, .. } => format!("unit:{unit}"),
            Kind::NginxSite { file, .. } => format!("nginx:{file}"),
        };
        Self { key, kind }
    }
}
