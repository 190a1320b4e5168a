//! What a package switches on, and how far PHP goes (TEN-03).

use crate::ValueError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! features {
    ($($(#[doc = $doc:literal])* $field:ident $variant:ident = $default:literal;)*) => {
        /// What a package switches on. Absent means off, except PHP and SSL, which every site expects.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Features { $($(#[doc = $doc])* pub $field: bool,)* }

        /// Some features: absent means as it is otherwise.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct FeaturesPatch {
            $($(#[doc = $doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<bool>,)*
        }

        /// The name of a feature.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum FeatureName { $($(#[doc = $doc])* $variant,)* }

        impl FeatureName {
            /// The name used in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(FeatureName::$variant => stringify!($field),)* }
            }
        }

        impl Default for Features {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Features {
            /// All features with whether they are on, in order.
            pub fn entries(&self) -> impl Iterator<Item = (FeatureName, bool)> + use<> {
                [$((FeatureName::$variant, self.$field)),*].into_iter()
            }
        }

        impl FeaturesPatch {
            /// `base` with what is given here in its place.
            pub fn over(&self, base: &Features) -> Features {
                Features { $($field: self.$field.unwrap_or(base.$field)),* }
            }

            /// Whether nothing is given.
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_none())&&*
            }
        }
    };
}

features! {
    /// PHP.
    php Php = true;
    /// Certificates.
    ssl Ssl = true;
    /// SFTP and SSH access.
    ssh Ssh = false;
    /// Cron jobs.
    cron Cron = false;
    /// Deployment from git.
    git Git = false;
    /// Staging copies.
    staging Staging = false;
    /// DNS zones.
    dns Dns = false;
    /// Backups by the account's owner.
    backup Backup = false;
    /// API tokens for the account's owner.
    api Api = false;
    /// Node.js applications.
    node Node = false;
    /// Python applications.
    python Python = false;
    /// PHP settings of the owner's choice.
    custom_php CustomPhp = false;
    /// Advanced logs and statistics.
    advanced_logs AdvancedLogs = false;
}

/// PHP bounds of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhpLimits {
    /// Requests that PHP works on at the same time, 1 to 200.
    #[schemars(range(min = 1, max = 200))]
    pub max_children: u16,
    /// Memory of one request, in MiB, 16 to 4096.
    #[schemars(range(min = 16, max = 4096))]
    pub memory_limit_mb: u32,
    /// Run time of one request, in seconds, 1 to 3600.
    #[schemars(range(min = 1, max = 3600))]
    pub max_execution_seconds: u32,
    /// Size of one upload, in MiB, 1 to 8192.
    #[schemars(range(min = 1, max = 8192))]
    pub upload_mb: u32,
}

/// Some PHP bounds: absent means as it is otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhpPatch {
    /// Requests that PHP works on at the same time, 1 to 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub max_children: Option<u16>,
    /// Memory of one request, in MiB, 16 to 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 4096))]
    pub memory_limit_mb: Option<u32>,
    /// Run time of one request, in seconds, 1 to 3600.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub max_execution_seconds: Option<u32>,
    /// Size of one upload, in MiB, 1 to 8192.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8192))]
    pub upload_mb: Option<u32>,
}

impl Default for PhpLimits {
    fn default() -> Self {
        Self { max_children: 5, memory_limit_mb: 128, max_execution_seconds: 60, upload_mb: 64 }
    }
}

impl PhpLimits {
    /// Checks the ranges that the schema states.
    ///
    /// # Errors
    /// The first field that is out of its range, and the range.
    pub fn check(&self) -> Result<(), (&'static str, ValueError)> {
        let range = |field, value: u32, min: u32, max: u32| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err((field, ValueError::new(format!("{value} is out of range"), format!("use {min} to {max}"))))
            }
        };
        range("max_children", self.max_children.into(), 1, 200)?;
        range("memory_limit_mb", self.memory_limit_mb, 16, 4096)?;
        range("max_execution_seconds", self.max_execution_seconds, 1, 3600)?;
        range("upload_mb", self.upload_mb, 1, 8192)
    }
}

impl PhpPatch {
    /// `base` with what is given here in its place.
    pub fn over(&self, base: &PhpLimits) -> PhpLimits {
        PhpLimits {
            max_children: self.max_children.unwrap_or(base.max_children),
            memory_limit_mb: self.memory_limit_mb.unwrap_or(base.memory_limit_mb),
            max_execution_seconds: self.max_execution_seconds.unwrap_or(base.max_execution_seconds),
            upload_mb: self.upload_mb.unwrap_or(base.upload_mb),
        }
    }

    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
