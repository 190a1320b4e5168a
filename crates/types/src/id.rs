//! Identifiers: one type each, so that a job id can't be passed where a user id belongs.

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A new identifier (UUID version 7, RFC 9562: later ones sort after earlier ones).
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            /// When it was made, if it says so.
            pub fn made_at(&self) -> Option<jiff::Timestamp> {
                let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
                jiff::Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::ValueError;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                uuid::Uuid::try_parse(value).map(Self).map_err(|_| {
                    crate::ValueError::new(format!("{value:?} is not an identifier"), "copy it as it was printed")
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": "uuid" })
            }
        }
    };
}

uuid_id!(
    /// A job of core's job engine.
    JobId
);
uuid_id!(
    /// One request to the agent to converge an account; repeating it with the same id does nothing twice.
    OperationId
);
uuid_id!(
    /// One HTTP request, in logs and error bodies.
    RequestId
);
uuid_id!(
    /// An account in the database: a name may be given again after a deletion, an id never.
    AccountId
);
uuid_id!(
    /// A person (or program) that can log in to the panel.
    UserId
);
uuid_id!(
    /// A change that is to be asked for later.
    ScheduleId
);
uuid_id!(
    /// A change of many accounts at once.
    BulkId
);
uuid_id!(
    /// An API token.
    TokenId
);
uuid_id!(
    /// A session, in lists: the secret that the browser holds is another one.
    SessionId
);
uuid_id!(
    /// One attempt to log in.
    LoginId
);
