//! Events: what is told to those who listen, while it happens (ENG-09).

use crate::api::audit::AuditEntry;
use crate::api::job::{Job, JobLogLine};
use crate::{JobId, Username, ValueError};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// All jobs, without their logs.
    Jobs,
    /// One job, with its log.
    Job(JobId),
    /// Accounts that come, change and go.
    Accounts,
    /// What needs somebody's attention.
    Alerts,
    /// Entries of the audit trail.
    Audit,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Jobs => f.write_str("jobs"),
            Topic::Job(id) => write!(f, "job:{id}"),
            Topic::Accounts => f.write_str("accounts"),
            Topic::Alerts => f.write_str("alerts"),
            Topic::Audit => f.write_str("audit"),
        }
    }
}

impl FromStr for Topic {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown =
            || ValueError::new(format!("{text:?} is not a topic"), "use jobs, job:ID, accounts, alerts or audit");
        Ok(match text {
            "jobs" => Topic::Jobs,
            "accounts" => Topic::Accounts,
            "alerts" => Topic::Alerts,
            "audit" => Topic::Audit,
            other => Topic::Job(other.strip_prefix("job:").and_then(|id| id.parse().ok()).ok_or_else(unknown)?),
        })
    }
}

impl Serialize for Topic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Topic {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Topic".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(jobs|accounts|alerts|audit|job:[0-9a-f-]{36})$",
            "description": "What can be listened to: `jobs`, `job:ID` (one job, with its log), `accounts`, `alerts` or `audit`."
        })
    }
}

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountChange {
    /// It is there.
    Created,
    /// It is not as it was.
    Changed,
    /// It is gone.
    Removed,
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// Something failed.
    Error,
    /// Somebody should look at once.
    Critical,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// A job is at another state or step: as it stands now. Steps that follow each other quickly may come as one event.
    Job {
        /// The job.
        job: Box<Job>,
    },
    /// A job's log has grown.
    JobLog {
        /// The job.
        job: JobId,
        /// The new lines.
        lines: Vec<JobLogLine>,
    },
    /// An account was created, changed or removed.
    Account {
        /// Its name.
        account: Username,
        /// What became of it.
        change: AccountChange,
    },
    /// Something needs attention.
    Alert {
        /// How urgent.
        severity: AlertSeverity,
        /// In words.
        message: String,
    },
    /// The audit trail has a new entry.
    Audit {
        /// The entry.
        entry: Box<AuditEntry>,
    },
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Where it stands in the stream: give the last one as `after` to go on from there.
    pub position: String,
    /// When.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What the panel sends, one JSON object per message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromPanel {
    /// What is listened to now, and where the stream stands.
    Subscribed {
        /// All topics.
        topics: Vec<Topic>,
        /// The last event so far.
        position: String,
    },
    /// An event of one of these topics.
    Event(Event),
    /// Events were missed that can't be had any more: read what is shown anew, then go on from here.
    Resync {
        /// The last event so far.
        position: String,
    },
    /// The answer to a `ping`.
    Pong,
    /// A message was not understood or is not allowed; the connection goes on.
    Error {
        /// For programs.
        code: String,
        /// For people.
        detail: String,
    },
}

/// What a client sends, one JSON object per message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToPanel {
    /// Listen to these too.
    Subscribe {
        /// The topics.
        topics: Vec<Topic>,
        /// Go on after this position.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Don't listen to these any more.
    Unsubscribe {
        /// The topics.
        topics: Vec<Topic>,
    },
    /// Are you there?
    Ping,
}

/// How a stream of events begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Listen {
    /// Topics to begin with, separated by commas: `jobs`, `job:ID`, `accounts`, `alerts`, `audit`.
    pub topics: Option<String>,
    /// Go on after this position of an earlier connection.
    pub after: Option<String>,
}
