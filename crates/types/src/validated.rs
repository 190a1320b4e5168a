//! What all validated strings share: one error type and one way in.

/// Why a value was refused, and what would be accepted instead.
///
/// The text names the rule, never only "invalid": it is shown to people beside the field they filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {remedy}")]
pub struct ValueError {
    /// What is wrong, e.g. "the name has 20 characters".
    pub reason: String,
    /// What to do about it, e.g. "use 3 to 16 characters".
    pub remedy: String,
}

impl ValueError {
    /// An error from its two halves.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Declares a string newtype whose only constructors are `parse` and serde, both of which validate.
///
/// The JSON schema carries the pattern, so that forms, the CLI and generated clients know the rule too.
#[macro_export]
macro_rules! validated_string {
    ($(#[$meta:meta])* $name:ident, schema = $schema:tt, parse = $parse:expr) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Validates and normalises `value`.
            ///
            /// # Errors
            /// [`ValueError`]($crate::validated::ValueError) names the rule that was broken and the remedy.
            pub fn parse(value: &str) -> Result<Self, $crate::validated::ValueError> {
                let check: fn(&str) -> Result<String, $crate::validated::ValueError> = $parse;
                check(value).map(Self)
            }

            /// The normalised text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::validated::ValueError;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::parse(value)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::validated::ValueError;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                Self::parse(&value)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
