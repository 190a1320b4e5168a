//! What a machine must hold so that an account is what its manifests say: a pure function.
//!
//! [`render`] takes one account's manifests and facts about the node and gives a list of [`Resource`]s in the order in
//! which they are to be made. [`node::render_node`] gives what the node itself needs, whatever accounts it has. Nothing here
//! reads or writes anything; the agent compares the list with the machine and applies the difference.
//!
//! Everything that reaches a template is a validated type, and the templates' formatter refuses values with syntax in
//! them once more ([`templates`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account;
pub mod facts;
pub mod nginx;
pub mod node;
mod origin;
pub mod paths;
mod php;
pub mod resource;
mod site;
pub mod templates;

pub use account::render;
pub use facts::{AbsPath, NodeFacts};
pub use origin::{Origin, origin};
pub use resource::{Kind, OnChange, Principal, Removal, Resource, SliceLimits, UnitName};

/// Why a set of manifests can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The agent fills these in before it renders.
    #[error("account.json: {0} is missing; the agent assigns it")]
    Missing(&'static str),
    /// The version is not installed on this node.
    #[error("services.json: php.version: PHP {version} is not installed here; choose one of: {installed}")]
    PhpVersion {
        /// What the manifest asks for.
        version: String,
        /// What there is.
        installed: String,
    },
    /// A value that must not be in a configuration file, or a template that does not fit its input: a defect.
    #[error("template {template}: {source}")]
    Template {
        /// The template's name.
        template: &'static str,
        /// What minijinja says.
        source: minijinja::Error,
    },
    /// A path outside the rules.
    #[error("{0}")]
    Path(#[from] facts::PathError),
}
