//! Why a directive or an instance of a unit can't be obeyed.

use crate::name::SpecifierError;
use crate::value::ValueError;

/// A directive that can't be read or obeyed, so that the unit must not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// The value is none.
    #[error("line {line}: {key}=: {source}")]
    Value {
        /// Where.
        line: usize,
        /// Which directive.
        key: String,
        /// What is wrong.
        source: ValueError,
    },
    /// The directive changes what would run, and is not supported.
    #[error(
        "line {line}: {key}= is not supported by wcp360-supervisor, and the unit would not be what it says without it; \
         remove it with a drop-in or run this unit under systemd"
    )]
    Refused {
        /// Where.
        line: usize,
        /// Which directive.
        key: String,
    },
}

/// A value that is wrong only for one instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// A specifier that is not supported.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// A value that is none after the specifiers were replaced.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Something that the unit needs is not there.
    #[error("{0}")]
    Missing(&'static str),
}
