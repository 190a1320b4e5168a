//! Sockets: loopback TCP for the machine itself, a Unix socket for nginx.
//!
//! Only what comes over the Unix socket may say who the client is (`X-Real-IP`): any local process, a tenant's too, can
//! connect over TCP and write any header.

use anyhow::Context;
use axum::{Extension, Router};
use std::fs::File;
use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

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
    let mut tasks = tokio::task::JoinSet::new();
    let local = axum::serve(tcp, router.clone().layer(Extension(Arrival::Local)));
    tasks.spawn(local.with_graceful_shutdown(stopped(stop.clone())).into_future());
    if let Some(unix) = gateway_socket(socket_dir)? {
        let gateway = axum::serve(unix, router.layer(Extension(Arrival::Gateway)));
        tasks.spawn(gateway.with_graceful_shutdown(stopped(stop)).into_future());
    }
    Ok(async move { while tasks.join_next().await.is_some() {} })
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
