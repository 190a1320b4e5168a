//! WebSockets for those who listen to events (ENG-09).

mod places;
mod session;

pub(crate) use places::{Place, Sockets};
pub(crate) use session::{Session, check_topics};
