//! Sockets: loopback TCP for the machine itself, a Unix socket for nginx.
//!
//! Only what comes over the Unix socket may say who the client is (`X-Real-IP`): any local process, a tenant's too, can
//! connect over TCP and write any header. Any of them can also hold connections open: those of each socket have a bound of
//! their own, and nobody keeps one without sending anything.

use anyhow::Context;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Connections to one socket at a time; others wait to be accepted.
const CONNECTIONS: usize = 4096;
/// How long a connection may take to send the head of a request, and be idle before it.
const HEAD_TIME: Duration = Duration::from_secs(15);

/// How a request reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// From a process of this machine.
    Local,
    /// Through nginx, which names the client.
    Gateway,
}

/// Takes a lock that is held as long as the file is open.
///
/// # Errors
/// Another process holds it.
pub(crate) fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("{} can't be written", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .context("another wcp360-core is running on this state directory; stop it first")?;
    Ok(file)
}

/// Listens and answers until `stop` turns true; the returned future ends when the last request has.
///
/// # Errors
/// An address is taken.
pub(crate) async fn serve(
    router: Router,
    address: SocketAddr,
    socket_dir: &Path,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let tcp = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} can't be listened on; is another program using it?"))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(tcp, router.clone().layer(Extension(Arrival::Local)), stop.clone()));
    if let Some(unix) = gateway_socket(socket_dir)? {
        tasks.spawn(accept(unix, router.layer(Extension(Arrival::Gateway)), stop));
    }
    Ok(async move { while tasks.join_next().await.is_some() {} })
}

/// Accepts connections until `stop` turns true, then waits for their last answers.
async fn accept<L: Listener>(mut listener: L, router: Router, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    let mut stopping = pin!(stopped(stop.clone()));
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("nobody closes it");
            (place, listener.accept().await.0)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            () = &mut stopping => break,
        };
        let (router, stop) = (router.clone(), stop.clone());
        open.spawn(async move {
            answer(stream, router, stop).await;
            drop(place);
        });
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Answers the requests of one connection.
async fn answer<S>(stream: S, router: Router, stop: watch::Receiver<bool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| router.clone().oneshot(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients that hang up are nothing to report.
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The socket for nginx. Its folder admits nobody but core and nginx, so the socket itself may be open.
fn gateway_socket(dir: &Path) -> anyhow::Result<Option<UnixListener>> {
    if !dir.is_dir() {
        tracing::warn!(dir = %dir.display(), "no folder for the gateway's socket: the panel is not reachable through nginx");
        return Ok(None);
    }
    let path = dir.join("api.sock");
    let _ = std::fs::remove_file(&path);
    let socket = UnixListener::bind(&path).with_context(|| format!("{} can't be listened on", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(Some(socket))
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends at SIGTERM or SIGINT.
///
/// # Errors
/// Signals can't be received.
pub(crate) async fn until_asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
