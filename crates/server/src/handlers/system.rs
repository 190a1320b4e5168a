//! Health and metrics.

use crate::call::{Answer, Call, Reply};
use http::StatusCode;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use wcp360_agent_proto::NodeInfo;
use wcp360_engine::Engine;
use wcp360_types::api::system::{ComponentHealth, Health};

/// How long what the agent said of the node is good.
const GOOD_FOR: Duration = Duration::from_secs(2);

/// What the agent said last of the node. Anybody can ask how the panel is: the agent, which is root, is asked once for all who
/// ask at the same time.
#[derive(Debug, Default)]
pub(crate) struct NodeFacts(Mutex<Option<(Instant, Result<NodeInfo, String>)>>);

impl NodeFacts {
    async fn ask(&self, engine: &Engine) -> Result<NodeInfo, String> {
        let mut last = self.0.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return answer.clone();
        }
        let answer = engine.agent().node().await.map_err(|error| error.message);
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

pub(crate) async fn health(call: Call) -> Answer {
    let mut components = Vec::new();
    let mut part = |name: &str, result: Result<String, String>| {
        let ok = result.is_ok();
        components.push(ComponentHealth { name: name.into(), ok, detail: result.unwrap_or_else(|error| error) });
    };
    part("database", call.engine().db().ping().await.map(|()| "answers".into()).map_err(|e| e.to_string()));
    match call.app.node.ask(call.engine()).await {
        Ok(node) => {
            part("agent", Ok(format!("version {}, services by {}", node.version, node.service_backend)));
            for service in node.services {
                part(&service.unit, if service.active { Ok(service.state) } else { Err(service.state) });
            }
            if node.unfinished_operations > 0 {
                let detail =
                    format!("{} changes that a crash interrupted are being finished", node.unfinished_operations);
                part("operations", Err(detail));
            }
        }
        Err(message) => part("agent", Err(message)),
    }
    let health = Health {
        ok: components.iter().all(|c| c.ok),
        version: env!("CARGO_PKG_VERSION").into(),
        system_initialized: call.engine().is_initialized().await?,
        components,
    };
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(Reply::json(status, &health))
}

pub(crate) async fn metrics(call: Call) -> Answer {
    crate::observe::refresh(call.engine()).await?;
    let text = call.app.metrics.render();
    let reply = Reply { status: StatusCode::OK, headers: Default::default(), body: text.into() };
    Ok(reply.header(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
}
