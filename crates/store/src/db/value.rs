//! Values on their way into statements and out of rows: the two types that both databases share.

use jiff::Timestamp;
use std::rc::Rc;
use wcp360_types::{AccountId, BulkId, JobId, LoginId, ScheduleId, SessionId, TokenId, UserId};

/// A value bound to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Param {
    Null,
    Integer(i64),
    Text(String),
}

impl From<&str> for Param {
    fn from(value: &str) -> Self {
        Param::Text(value.to_owned())
    }
}

impl From<String> for Param {
    fn from(value: String) -> Self {
        Param::Text(value)
    }
}

impl From<&String> for Param {
    fn from(value: &String) -> Self {
        Param::Text(value.clone())
    }
}

impl From<i64> for Param {
    fn from(value: i64) -> Self {
        Param::Integer(value)
    }
}

impl From<u32> for Param {
    fn from(value: u32) -> Self {
        Param::Integer(i64::from(value))
    }
}

impl From<u64> for Param {
    /// What does not fit is the largest that does: no count here gets near it.
    fn from(value: u64) -> Self {
        Param::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Param {
    fn from(value: bool) -> Self {
        Param::Integer(i64::from(value))
    }
}

impl From<Timestamp> for Param {
    /// Milliseconds since 1970.
    fn from(value: Timestamp) -> Self {
        Param::Integer(value.as_millisecond())
    }
}

macro_rules! from_id {
    ($($id:ty),*) => {$(
        impl From<$id> for Param {
            fn from(value: $id) -> Self {
                Param::Text(value.to_string())
            }
        }
    )*};
}
from_id!(AccountId, BulkId, JobId, LoginId, ScheduleId, SessionId, TokenId, UserId);

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Into::into)
    }
}

/// Values for `$1`, `$2` … of a statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Param::from($value)),*] };
}
pub(crate) use params;

/// A value out of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// A row; the names are shared by all rows of a result.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) names: Rc<[String]>,
    pub(crate) values: Vec<Value>,
}

impl Row {
    /// The value in a column; `None` if there is no such column.
    pub(crate) fn value(&self, column: &str) -> Option<&Value> {
        let position = self.names.iter().position(|name| name == column)?;
        self.values.get(position)
    }
}
