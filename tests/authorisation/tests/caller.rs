//! Every kind of caller, and what the policy says about it.

use crate::http::Credential;
use crate::object::{Kind, Relation};
use crate::policy::{Access, LIMITED, Reach, Rule, holds};
use crate::world::World;

/// Names of the four roles, as the policy's columns.
pub(crate) const ROLES: [&str; 4] = ["client", "reseller", "admin", "root"];

/// How a caller shows who it is.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// Always the same.
    Fixed(Credential),
    /// A session of a role, begun anew when it was ended.
    Session(usize),
}

/// What a caller is to the panel.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// Nobody that is known: 401.
    Unknown,
    /// The owner of a suspended account: 403.
    Suspended,
    /// Somebody with a role; with a limited token, and then with these scopes.
    Known(usize, Option<Vec<&'static str>>),
}

/// A caller.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) proof: Proof,
    pub(crate) standing: Standing,
}

/// What the policy says about one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Unauthenticated,
    Forbidden,
    NotFound,
    Allowed,
}

impl Verdict {
    /// The status of a refusal.
    pub(crate) fn status(self) -> u16 {
        match self {
            Verdict::Unauthenticated => 401,
            Verdict::Forbidden => 403,
            Verdict::NotFound => 404,
            Verdict::Allowed => 200,
        }
    }
}

impl Caller {
    pub(crate) fn credential(&self, world: &World) -> Credential {
        match &self.proof {
            Proof::Fixed(credential) => credential.clone(),
            Proof::Session(role) => world.session(*role),
        }
    }

    /// The role, or the client's for who has none.
    pub(crate) fn role(&self) -> usize {
        match self.standing {
            Standing::Known(role, _) => role,
            _ => 0,
        }
    }

    pub(crate) fn by_session(&self) -> bool {
        matches!(self.proof, Proof::Session(_))
    }

    /// What must happen when this caller calls.
    pub(crate) fn verdict(&self, rule: &Rule, relation: Relation) -> Verdict {
        let Access::Needs(permission, reach) = rule.access else { return Verdict::Allowed };
        let (role, scopes) = match &self.standing {
            Standing::Unknown => return Verdict::Unauthenticated,
            Standing::Suspended => return Verdict::Forbidden,
            Standing::Known(role, scopes) => (*role, scopes),
        };
        if let Some(scopes) = scopes
            && (!scopes.contains(&permission) || LIMITED.contains(&rule.operation))
        {
            return Verdict::Forbidden;
        }
        match (reach[role], rule.object, relation) {
            (Reach::Never, ..) => Verdict::Forbidden,
            (_, Kind::Nothing | Kind::ListOf(..), _) => lacks(rule, role, scopes.as_deref()),
            (reach, _, relation) if visible(reach, relation) => lacks(rule, role, scopes.as_deref()),
            _ => Verdict::NotFound,
        }
    }
}

/// What is reached may need a second permission.
fn lacks(rule: &Rule, role: usize, scopes: Option<&[&str]>) -> Verdict {
    match rule.also {
        Some(also) if !holds(role, also) || scopes.is_some_and(|scopes| !scopes.contains(&also)) => Verdict::Forbidden,
        _ => Verdict::Allowed,
    }
}

/// Whether a reach includes what is so related.
pub(crate) fn visible(reach: Reach, relation: Relation) -> bool {
    match relation {
        Relation::Own => reach != Reach::Never,
        Relation::Sibling => matches!(reach, Reach::Tree | Reach::All),
        Relation::Foreign => reach == Reach::All,
        Relation::Missing | Relation::Crossed | Relation::CrossedMissing => false,
    }
}

/// All callers.
pub(crate) fn all(world: &World) -> Vec<Caller> {
    let fixed = |name: &str, credential: Credential, standing: Standing| Caller {
        name: name.to_owned(),
        proof: Proof::Fixed(credential),
        standing,
    };
    let mut callers = vec![fixed("anonymous", Credential::Nothing, Standing::Unknown)];
    for (role, name) in ROLES.iter().enumerate() {
        let standing = Standing::Known(role, None);
        callers.push(fixed(&format!("{name} by token"), world.tokens[role].clone(), standing.clone()));
        callers.push(Caller { name: format!("{name} by session"), proof: Proof::Session(role), standing });
    }
    for (scopes, token) in &world.scoped {
        let name = format!("root's token limited to {scopes:?}");
        callers.push(fixed(&name, token.clone(), Standing::Known(3, Some(scopes.clone()))));
    }
    for (name, credential) in &world.strangers {
        callers.push(fixed(name, credential.clone(), Standing::Unknown));
    }
    for (name, credential) in &world.suspended {
        callers.push(fixed(name, credential.clone(), Standing::Suspended));
    }
    callers
}
