//! First boot (PLT-04).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the panel has been set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupStatus {
    /// Whether the first administrator exists. Once true, setup is closed for good.
    pub system_initialized: bool,
}

/// Sets up the panel: proves control of the machine and names the first administrator.
///
/// Give either `setup_token` or `root_password`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// The one-time token that the installer printed, from `/var/lib/wcp360/setup.token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub setup_token: Option<String>,
    /// The password of this machine's root user, checked through PAM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub root_password: Option<String>,
    /// Login name of the first administrator: 3 to 32 characters a-z, 0-9, `.`, `_`, `-`.
    #[schemars(length(min = 3, max = 32))]
    pub username: String,
    /// Its password, 8 to 256 characters.
    #[schemars(length(min = 8, max = 256))]
    pub password: String,
    /// An API token made by the caller, so that it can be kept safe before this request and no interruption loses it; absent:
    /// one is made. The form is `wcp_api_<uuid>_<64 hexadecimal digits>_<first 6 digits of the SHA-256 of all before>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub api_token: Option<String>,
}

/// The first administrator, and a token for the command line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetupDone {
    /// Login name.
    pub username: String,
    /// API token of that administrator, shown once.
    pub token: String,
}
