//! What happens, while it happens.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::event;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("events.listen", Get, "/ws", "Listen to what happens, over a WebSocket")
            .about(
                "Jobs, accounts, alerts and entries of the audit trail, as far as the listener may see them; each topic needs \
                 the permission for what it tells too (`jobs.read`, `accounts.read`, `audit.read`). With a session, the \
                 `Origin` header must name the panel. A request that is no WebSocket handshake is answered with 426. \
                 The panel closes with 4001 when the login is over, 4003 when its rights changed, 4008 when the listener is \
                 too slow, 4009 when it does not answer pings, 1008 when it sends too much, and 1001 when the panel stops.",
            )
            .needs(P::EventsRead)
            .query::<event::Listen>()
            .upgrades()
            .command("-"),
    ]
}
