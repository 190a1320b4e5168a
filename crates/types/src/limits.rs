//! Quotas and maxima (TEN-03).
//!
//! Of each structure there are two forms: the whole one, which says what holds, and a *patch*, in which only what differs
//! from something else is given: from the package that is extended, or for one account from its package.

use crate::ValueError;
pub use crate::features::{FeatureName, Features, FeaturesPatch, PhpLimits, PhpPatch};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// A maximum; `null` in JSON means unlimited.
pub type Limit = Option<u64>;

/// The largest number that a limit may have; more is written as unlimited. Sums of a million of them fit into 63 bits.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;

/// Something given, be it `null`: in a patch that is another thing than nothing at all.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

macro_rules! limits {
    (
        $(#[$meta:meta])* $name:ident,
        $(#[$patch_meta:meta])* $patch:ident,
        $($(#[doc = $doc:literal])* $field:ident: $min:literal;)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])* #[schemars(range(min = $min, max = 1_000_000_000_000u64))] pub $field: Limit,)*
        }

        $(#[$patch_meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $patch {
            $(
                $(#[doc = $doc])*
                #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
                #[schemars(range(min = $min, max = 1_000_000_000_000u64))]
                pub $field: Option<Limit>,
            )*
        }

        impl $name {
            /// The names of all fields, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// All fields with their values, in order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, Limit)> + use<> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }

            /// A field by its name; `None` if there is none of that name.
            pub fn field_mut(&mut self, name: &str) -> Option<&mut Limit> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)*
                    _ => None,
                }
            }

            /// The fields whose values are out of range, with the range.
            pub fn out_of_range(&self) -> Vec<(&'static str, ValueError)> {
                let mut wrong = Vec::new();
                $(
                    if let Some(value) = self.$field
                        && !(($min as u64)..=MAX_LIMIT).contains(&value)
                    {
                        let remedy = format!("use {} to {MAX_LIMIT}, or null for no limit", $min);
                        wrong.push((stringify!($field), ValueError::new(format!("{value} is out of range"), remedy)));
                    }
                )*
                wrong
            }
        }

        impl $patch {
            /// `base` with what is given here in its place.
            pub fn over(&self, base: &$name) -> $name {
                $name { $($field: self.$field.unwrap_or(base.$field)),* }
            }

            /// Whether nothing is given.
            pub fn is_empty(&self) -> bool {
                $(self.$field.is_none())&&*
            }
        }
    };
}

limits! {
    /// Quotas and maxima, copied into each account's `limits.json` when it is created or its package changes.
    ///
    /// Every field is optional: absent means unlimited. Units are in the names.
    Limits,
    /// Some quotas and maxima: absent means as it is otherwise, `null` means unlimited. Units are in the names.
    LimitsPatch,
    /// CPU time, in percent of one core: 150 is one and a half cores.
    cpu_percent: 1;
    /// Memory of all processes together, in MiB.
    memory_mb: 1;
    /// Disk space, in MiB.
    disk_mb: 0;
    /// Files and folders.
    inodes: 0;
    /// Traffic per calendar month, in MiB.
    bandwidth_mb: 0;
    /// Processes and threads at the same time.
    processes: 1;
    /// Reading from disk, in MiB per second.
    io_read_mbps: 1;
    /// Writing to disk, in MiB per second.
    io_write_mbps: 1;
    /// Addon domains, besides the primary one.
    addon_domains: 0;
    /// Subdomains.
    subdomains: 0;
    /// Alias domains.
    alias_domains: 0;
    /// Databases.
    databases: 0;
    /// Database users.
    database_users: 0;
    /// Mailboxes.
    mailboxes: 0;
    /// FTP accounts.
    ftp_accounts: 0;
    /// Cron jobs.
    cron_jobs: 0;
}

limits! {
    /// From where on an account's owner is warned; at most the limit of the same name, which is what stops it.
    ///
    /// Every field is optional: absent means no warning before the limit. Units are in the names.
    SoftLimits,
    /// Some of the values from where on an account's owner is warned: absent means as it is otherwise, `null` means no
    /// warning. Units are in the names.
    SoftLimitsPatch,
    /// Disk space, in MiB.
    disk_mb: 0;
    /// Files and folders.
    inodes: 0;
    /// Traffic per calendar month, in MiB.
    bandwidth_mb: 0;
}

impl SoftLimits {
    /// The fields that are above the limit of the same name.
    pub fn above(&self, limits: &Limits) -> Vec<(&'static str, ValueError)> {
        [
            ("disk_mb", self.disk_mb, limits.disk_mb),
            ("inodes", self.inodes, limits.inodes),
            ("bandwidth_mb", self.bandwidth_mb, limits.bandwidth_mb),
        ]
        .into_iter()
        .filter_map(|(name, soft, hard)| match (soft, hard) {
            (Some(soft), Some(hard)) if soft > hard => {
                let reason = format!("{soft} is above the limit itself, which is {hard}");
                Some((name, ValueError::new(reason, format!("use at most {hard}"))))
            }
            _ => None,
        })
        .collect()
    }

    /// The same, nowhere above `limits`: for an account whose limits were lowered by themselves.
    #[must_use]
    pub fn within(&self, limits: &Limits) -> Self {
        let lower = |soft: Limit, hard: Limit| match (soft, hard) {
            (Some(soft), Some(hard)) => Some(soft.min(hard)),
            (soft, _) => soft,
        };
        Self {
            disk_mb: lower(self.disk_mb, limits.disk_mb),
            inodes: lower(self.inodes, limits.inodes),
            bandwidth_mb: lower(self.bandwidth_mb, limits.bandwidth_mb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_03_a_patch_tells_nothing_from_null() {
        let base = Limits { disk_mb: Some(5), inodes: Some(7), ..Limits::default() };
        let patch: LimitsPatch = serde_json::from_str(r#"{"disk_mb": null, "databases": 3}"#).unwrap();
        let whole = patch.over(&base);
        assert_eq!((whole.disk_mb, whole.inodes, whole.databases), (None, Some(7), Some(3)));
        assert_eq!(serde_json::to_string(&patch).unwrap(), r#"{"disk_mb":null,"databases":3}"#);
        assert!(LimitsPatch::default().is_empty() && !patch.is_empty());
        assert_eq!(LimitsPatch::default().over(&base), base);
        assert!(serde_json::from_str::<LimitsPatch>(r#"{"disk": 1}"#).is_err());
    }

    #[test]
    fn ten_03_ranges() {
        let bad =
            Limits { cpu_percent: Some(0), disk_mb: Some(MAX_LIMIT + 1), databases: Some(0), ..Limits::default() };
        let fields: Vec<_> = bad.out_of_range().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["cpu_percent", "disk_mb"]);
        assert_eq!(Limits::NAMES.len(), bad.entries().count());
    }

    #[test]
    fn ten_03_soft_is_below_hard() {
        let hard = Limits { disk_mb: Some(10), ..Limits::default() };
        let soft = SoftLimits { disk_mb: Some(11), inodes: Some(1), bandwidth_mb: None };
        assert_eq!(soft.above(&hard).len(), 1);
        assert_eq!(soft.within(&hard).disk_mb, Some(10));
        assert!(soft.within(&hard).above(&hard).is_empty());
    }
}
