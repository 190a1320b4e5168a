//! Health, metrics and first boot.

use super::op;
use crate::Permission as P;
use crate::operation::Method::*;
use crate::operation::Operation;
use wcp360_types::api::{setup, system};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        op("health.show", Get, "/health", "How the panel and its parts are")
            .about("Answers 200 when everything works and 503 when a part does not, with the same body.")
            .gives::<system::Health>(200)
            .command("health")
            .columns(&["name", "ok", "detail"]),
        op("metrics.show", Get, "/metrics", "Metrics in the Prometheus text format")
            .needs(P::MetricsRead)
            .gives_media(&["text/plain"])
            .command("metrics"),
        op("setup.status", Get, "/setup", "Whether the panel has been set up")
            .gives::<setup::SetupStatus>(200)
            .command("setup-status"),
        op("setup.run", Post, "/setup", "Create the first administrator")
            .about("Works once, with the installer's token or the machine's root password; afterwards it answers 409 for good.")
            .body::<setup::Setup>()
            .gives::<setup::SetupDone>(201)
            .command("setup"),
    ]
}
