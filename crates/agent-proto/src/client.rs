//! The client side, used by core.

use crate::{
    AccountDrift, AccountRecord, AccountSummary, AgentError, AgentErrorCode, ConvergeRequest, Converged, ListPage,
    ListRequest, NodeDrift, NodeInfo, NodeRepairRequest, NodeRepaired, OperationsPage, OperationsRequest, OwnerRequest,
    PickUpRequest, PlanRequest, RepairRequest, Repaired, ScanPage, ScanRequest, Verified, VerifyRoot,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use wcp360_types::Username;
use wcp360_types::plan::Plan;

/// Speaks to one agent. Cheap to clone; every call opens its own connection, so a crashed agent costs one failed call.
#[derive(Debug, Clone)]
pub struct AgentClient {
    socket: PathBuf,
}

impl AgentClient {
    /// A client for the agent that listens on `socket`.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_owned() }
    }

    /// Facts about the node.
    ///
    /// # Errors
    /// As the agent says, or [`AgentErrorCode::Unreachable`]; so for all methods.
    pub async fn node(&self) -> Result<NodeInfo, AgentError> {
        self.call("GET", "/v1/node", None::<&()>, Duration::from_secs(5)).await
    }

    /// All accounts of the node.
    pub async fn accounts(&self) -> Result<Vec<AccountSummary>, AgentError> {
        self.call("GET", "/v1/accounts", None::<&()>, Duration::from_secs(60)).await
    }

    /// One account's manifests.
    pub async fn account(&self, name: &Username) -> Result<AccountRecord, AgentError> {
        self.call("GET", &format!("/v1/accounts/{name}"), None::<&()>, Duration::from_secs(10)).await
    }

    /// What a change would do.
    pub async fn plan(&self, name: &Username, request: &PlanRequest) -> Result<Plan, AgentError> {
        self.call("POST", &format!("/v1/accounts/{name}/plan"), Some(request), Duration::from_secs(30)).await
    }

    /// Makes the machine what the manifests say.
    pub async fn converge(&self, name: &Username, request: &ConvergeRequest) -> Result<Converged, AgentError> {
        let path = format!("/v1/accounts/{name}/converge");
        self.call("POST", &path, Some(request), Duration::from_secs(300)).await
    }

    /// Notes whose an account is.
    pub async fn set_owner(&self, name: &Username, request: &OwnerRequest) -> Result<Converged, AgentError> {
        self.call("POST", &format!("/v1/accounts/{name}/owner"), Some(request), Duration::from_secs(60)).await
    }

    /// A page of all accounts' manifests, also of those that can't be used, with the reason.
    pub async fn list(&self, request: &ListRequest) -> Result<ListPage, AgentError> {
        self.call("POST", "/v1/accounts/list", Some(request), Duration::from_secs(60)).await
    }

    /// A page of what the agent did, oldest first.
    pub async fn operations(&self, request: &OperationsRequest) -> Result<OperationsPage, AgentError> {
        self.call("POST", "/v1/operations", Some(request), Duration::from_secs(60)).await
    }

    /// How an account differs from its manifests.
    pub async fn drift(&self, name: &Username) -> Result<AccountDrift, AgentError> {
        self.call("GET", &format!("/v1/accounts/{name}/drift"), None::<&()>, Duration::from_secs(60)).await
    }

    /// Repairs, adopts or ignores differences of an account.
    pub async fn repair(&self, name: &Username, request: &RepairRequest) -> Result<Repaired, AgentError> {
        self.call("POST", &format!("/v1/accounts/{name}/repair"), Some(request), Duration::from_secs(300)).await
    }

    /// Makes the machine what an account's manifests say that were edited by hand.
    pub async fn pick_up(&self, name: &Username, request: &PickUpRequest) -> Result<Converged, AgentError> {
        self.call("POST", &format!("/v1/accounts/{name}/pick-up"), Some(request), Duration::from_secs(300)).await
    }

    /// Compares a page of accounts with their manifests, and changes nothing.
    pub async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, AgentError> {
        self.call("POST", "/v1/drift/scan", Some(request), Duration::from_secs(120)).await
    }

    /// How the node itself differs.
    pub async fn node_drift(&self) -> Result<NodeDrift, AgentError> {
        self.call("GET", "/v1/node/drift", None::<&()>, Duration::from_secs(60)).await
    }

    /// Repairs things of the node.
    pub async fn node_repair(&self, request: &NodeRepairRequest) -> Result<NodeRepaired, AgentError> {
        self.call("POST", "/v1/node/repair", Some(request), Duration::from_secs(300)).await
    }

    /// Whether this is root's password; only before the system is initialised.
    pub async fn verify_root(&self, request: &VerifyRoot) -> Result<Verified, AgentError> {
        self.call("POST", "/v1/bootstrap/verify-root", Some(request), Duration::from_secs(30)).await
    }

    /// Closes the bootstrap for good.
    pub async fn seal_bootstrap(&self) -> Result<Verified, AgentError> {
        self.call("POST", "/v1/bootstrap/seal", Some(&()), Duration::from_secs(10)).await
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Q>,
        limit: Duration,
    ) -> Result<A, AgentError> {
        let body = match body {
            Some(b) => serde_json::to_vec(b).map_err(|e| unreachable_agent(&e))?,
            None => Vec::new(),
        };
        match tokio::time::timeout(limit, self.exchange(method, path, body)).await {
            Ok(Ok((status, bytes))) if status < 300 => {
                serde_json::from_slice(&bytes).map_err(|e| unreachable_agent(&e))
            }
            Ok(Ok((_, bytes))) => Err(serde_json::from_slice(&bytes).unwrap_or_else(|e| unreachable_agent(&e))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(unreachable_agent(&format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn exchange(&self, method: &str, path: &str, body: Vec<u8>) -> Result<(u16, Bytes), AgentError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|e| unreachable_agent(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable_agent(&e))?;
        // Ends with the exchange: the sender is dropped, which closes the connection.
        tokio::spawn(connection);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "agent")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable_agent(&e))?;
        let response = sender.send_request(request).await.map_err(|e| unreachable_agent(&e))?;
        let status = response.status().as_u16();
        // A list of all accounts is the largest answer: about 150 bytes for each.
        let bytes = Limited::new(response.into_body(), 64 * 1024 * 1024)
            .collect()
            .await
            .map_err(|e| unreachable_agent(&e))?
            .to_bytes();
        Ok((status, bytes))
    }
}

fn unreachable_agent(error: &dyn std::fmt::Display) -> AgentError {
    let message = format!("the agent does not answer ({error}); check that wcp360-agent.service runs");
    AgentError::new(AgentErrorCode::Unreachable, message)
}
