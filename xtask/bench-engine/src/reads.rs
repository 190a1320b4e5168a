//! Reads through the API of a real `wcp360-core`.

use crate::stats::{millis, percentile};
use crate::{folder, line};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use wcp360_store::Db;
use wcp360_store::accounts::NewAccount;
use wcp360_store::users::StoredUser;
use wcp360_types::{AccountId, JobId, Role, UserId};

const CLIENTS: usize = 16;
const FOR: Duration = Duration::from_secs(5);
/// `nobody`: core does not run as root.
const NOBODY: u32 = 65534;

pub(crate) async fn measure(core: &Path, dir: &Path, accounts: usize) -> Result<()> {
    let state = folder(dir, "core")?;
    fill(&state.join("state.db"), accounts).await?;
    let address = free_port()?;
    std::fs::write(state.join("wcp360.yaml"), format!("hostname: bench.test\napi_listen: \"{address}\"\n"))?;
    let panel = Panel::start(core, dir, &state)?;
    let token = set_up(address, &state).await?;

    let small = load(address, &token, move |n| format!("/api/v1/accounts/bench{}", n * 7919 % accounts)).await?;
    report(&format!("one account of {accounts}, {CLIENTS} connections"), small, "≥ 5,000/s, p99 < 20 ms");
    let page = load(address, &token, |_| "/api/v1/accounts?limit=100".to_owned()).await?;
    report(&format!("a page of 100 of {accounts} accounts, {CLIENTS} connections"), page, "");
    drop(panel);
    Ok(())
}

fn report(what: &str, (mut times, took): (Vec<Duration>, Duration), aim: &str) {
    let rate = times.len() as f64 / took.as_secs_f64();
    let figure = format!(
        "{rate:.0}/s, {} median, {} p99",
        millis(percentile(&mut times, 50.0)),
        millis(percentile(&mut times, 99.0))
    );
    line(what, &figure, "the client shares the machine", aim);
}

async fn fill(file: &Path, accounts: usize) -> Result<()> {
    let db = Db::open_sqlite(file).await?;
    let owner = UserId::new();
    let landlord = StoredUser {
        id: owner,
        username: "landlord".into(),
        role: Role::Reseller,
        account_id: None,
        suspended: false,
        password_hash: None,
        max_accounts: None,
    };
    db.write(move |tx| tx.insert_user(&landlord, jiff::Timestamp::now())).await?;
    for first in (0..accounts).step_by(500) {
        db.write(move |tx| {
            for number in first..(first + 500).min(accounts) {
                let name = format!("bench{number}");
                let new = NewAccount {
                    id: AccountId::new(),
                    username: name.parse().expect("a valid name"),
                    owner_id: owner,
                    package: "starter".parse().expect("a valid name"),
                    package_version: 1,
                    primary_domain: format!("{name}.test").parse().expect("a valid name"),
                    contact_email: None,
                };
                tx.reserve_account(&new, JobId::new(), jiff::Timestamp::now())?;
            }
            Ok::<_, wcp360_store::StoreError>(())
        })
        .await?;
    }
    Ok(())
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The daemon; it ends with this.
struct Panel(Child);

impl Panel {
    fn start(core: &Path, dir: &Path, state: &Path) -> Result<Self> {
        let root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        let sockets = folder(state, "panel")?;
        let mut command = Command::new(core);
        command.args(["--config".as_ref(), state.join("wcp360.yaml").as_os_str()]);
        command.args(["--state-dir".as_ref(), state.as_os_str(), "--log-dir".as_ref(), state.as_os_str()]);
        command.args(["--socket-dir".as_ref(), sockets.as_os_str()]);
        command.args(["--agent-socket".as_ref(), state.join("no-agent.sock").as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        if root {
            std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY))?;
            for entry in std::fs::read_dir(state)? {
                std::os::unix::fs::chown(entry?.path(), Some(NOBODY), Some(NOBODY))?;
            }
            std::os::unix::fs::chown(state, Some(NOBODY), Some(NOBODY))?;
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(Self(command.spawn().with_context(|| format!("{} does not start", core.display()))?))
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn set_up(address: SocketAddr, state: &Path) -> Result<String> {
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::metadata(state.join("setup.token")).is_err() || TcpStream::connect(address).await.is_err() {
        ensure!(Instant::now() < until, "core does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let token = std::fs::read_to_string(state.join("setup.token"))?;
    let body = serde_json::json!({
        "username": "bench-admin", "password": "a password for the benchmark", "setup_token": token.trim(),
    });
    let mut sender = connect::<Full<Bytes>>(address).await?;
    let request = http::Request::post("/api/v1/setup")
        .header("host", "bench.test")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let answer = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    match answer["token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => bail!("setup was refused: {answer}"),
    }
}

async fn connect<B>(address: SocketAddr) -> Result<SendRequest<B>>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// How long each request took, and all together.
async fn load(
    address: SocketAddr,
    token: &str,
    path: impl Fn(usize) -> String + Copy + Send + 'static,
) -> Result<(Vec<Duration>, Duration)> {
    let begun = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let authorization = format!("Bearer {token}");
            tokio::spawn(async move {
                let mut sender = connect::<Empty<Bytes>>(address).await?;
                let mut times = Vec::new();
                let mut number = client;
                while begun.elapsed() < FOR {
                    let asked = Instant::now();
                    let request = http::Request::get(path(number))
                        .header("host", "bench.test")
                        .header("authorization", &authorization)
                        .body(Empty::new())?;
                    sender.ready().await?;
                    let answer = sender.send_request(request).await?;
                    let status = answer.status();
                    answer.into_body().collect().await?;
                    ensure!(status == 200, "answered {status}");
                    times.push(asked.elapsed());
                    number += CLIENTS;
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await??);
    }
    Ok((times, begun.elapsed()))
}
