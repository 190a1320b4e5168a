//! What operations are tried on, and how it is related to who tries.
//!
//! The tenant tree of the test: reseller *seller* has the accounts *own* and *sibling*, reseller *rival* has *foreign*. The
//! client is the owner of *own*.

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The operation names none.
    Nothing,
    /// An account in use.
    Account,
    /// A suspended account.
    Suspended,
    /// A domain of an account in use.
    Domain,
    /// The job that created an account.
    Job,
    /// The job that added a domain: to do something with it one needs the permission for domains too.
    Change,
    /// A change that is asked for in the far future.
    Schedule,
    /// An API token: *own* is the caller's, *sibling* and *foreign* are those of other accounts' owners.
    Token,
    /// The login of an account's owner.
    Login,
    /// A session: *own* is the caller's, *sibling* and *foreign* are those of other accounts' owners.
    Session,
    /// The login of an account's owner and a session of theirs.
    LoginSession,
    /// The login of an account's owner and a token of theirs.
    LoginToken,
    /// A reseller.
    Reseller,
    /// A package: *own* is seller's private one, *sibling* root's public one, *foreign* rival's private one.
    Package,
    /// A change of many accounts: *own* and *sibling* are seller's, *foreign* is rival's.
    Bulk,
    /// A list, and the field that names its objects.
    ListOf(&'static Kind, &'static str),
}

/// How an object is related to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Relation {
    /// The caller's.
    Own,
    /// Of the same reseller.
    Sibling,
    /// Of another reseller.
    Foreign,
    /// There is none.
    Missing,
    /// Two names in one path: the own account, and something in a foreign one.
    Crossed,
    /// The own account, and something that is missing.
    CrossedMissing,
}

/// The names an operation's path asks for.
pub(crate) type Names = Vec<(&'static str, String)>;

impl Kind {
    /// The relations that can be tried.
    pub(crate) fn relations(self) -> &'static [Relation] {
        use Relation::*;
        match self {
            Kind::Nothing | Kind::ListOf(..) => &[Own],
            Kind::Domain | Kind::LoginSession | Kind::LoginToken => {
                &[Own, Sibling, Foreign, Missing, Crossed, CrossedMissing]
            }
            _ => &[Own, Sibling, Foreign, Missing],
        }
    }
}

/// Puts names and new names into a path or body.
pub(crate) fn fill(template: &str, names: &Names, fresh: &str) -> String {
    let text = template.replace("{fresh}", fresh);
    names.iter().fold(text, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
