//! The daemon: puts the parts together and runs until it is told to stop.

use crate::api::{App, CheckedListener, router};
use crate::bootstrap::{self, Bootstrap, ReopenError};
use crate::config;
use crate::engine::{Engine, Parts};
use crate::fsx::Fs;
use crate::layout::Layout;
use crate::manifests::Manifests;
use crate::nginx::Real;
use crate::reaper::{self, Reaper};
use crate::services;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use wcp360_agent_proto::DEFAULT_SOCKET;

/// Why the daemon ends.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How often what was changed is put on disk: as long, after a power cut, the journal is what has it.
const CHECKPOINT: Duration = Duration::from_secs(30);
/// How often it is looked whether somebody has written a snippet, or something that nginx would refuse.
const FOLLOW: Duration = Duration::from_secs(15);
const LOG: &str = "/var/log/wcp360/agent.log";

/// Checks the settings and all manifests; prints what is wrong. Returns whether anything is.
///
/// # Errors
/// The settings can't be used.
pub fn check() -> Result<bool, Error> {
    let layout = Layout::system();
    let config = config::load(&layout)?;
    // Collected, so that a reader who has seen enough is no error.
    let mut out = Vec::new();
    writeln!(out, "{}: good", config::CONFIG)?;
    let manifests = Manifests::new(Arc::new(Fs::open(&layout, &config.base_dir)?));
    let facts = config::facts(config, &layout)?;
    let mut bad = false;
    for name in manifests.accounts()? {
        let problem = match manifests.load(&name) {
            Ok(Some(record)) => wcp360_agent_render::render(&record.manifests, &facts).err().map(|e| e.to_string()),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        bad |= problem.is_some();
        writeln!(out, "{name}: {}", problem.as_deref().unwrap_or("good"))?;
    }
    let _ = std::io::stdout().write_all(&out);
    Ok(bad)
}

/// Opens first setup again, and prints what to do next.
///
/// # Errors
/// The caller is not root, or something can't be written.
pub fn reopen_setup() -> Result<(), Error> {
    let caller = rustix::process::geteuid();
    if !caller.is_root() {
        // Before anything is looked at.
        return Err(ReopenError::NotRoot.into());
    }
    let layout = Layout::system();
    let config = config::load(&layout)?;
    let bootstrap = Bootstrap::new(Arc::new(Fs::open(&layout, &config.base_dir)?));
    let closed = bootstrap.reopen(caller.as_raw())?;
    let mut out = std::io::stdout();
    if !closed {
        writeln!(out, "First setup was not closed.")?;
    }
    Ok(out.write_all(bootstrap::NEXT.as_bytes())?)
}

/// Runs the daemon.
///
/// # Errors
/// It can't start.
pub fn run() -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Err("wcp360-agent must run as root; start it with: systemctl start wcp360-agent".into());
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    few_arenas();
    let layout = Layout::system();
    let config = config::load(&layout)?;
    log_to(&config.log_level)?;
    // Few threads: the work is in the blocking pool, whose threads end when they are idle.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_secs(10))
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(layout, config));
    runtime.shutdown_timeout(Duration::from_secs(15));
    result
}

async fn serve(layout: Layout, config: wcp360_types::node::NodeConfig) -> Result<(), Error> {
    let base_dir = config.base_dir.clone();
    let services = services::for_this_machine().await?;
    let facts = config::facts(config, &layout)?;
    let engine = tokio::task::spawn_blocking(move || -> Result<Arc<Engine>, Error> {
        let fs = Arc::new(Fs::open(&layout, &base_dir)?);
        let nginx = Arc::new(Real { services: Arc::clone(&services) });
        let engine = Arc::new(Engine::start(Parts { fs, facts, services, nginx })?);
        crate::crash::arm();
        engine.recover();
        Ok(engine)
    })
    .await??;
    let listener = listen(&engine)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    in_background(&engine);
    let shared = Arc::clone(&engine);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), backend = engine.services().name(), "ready");
    axum::serve(listener, router(Arc::new(App::new(engine))))
        .with_graceful_shutdown(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            tracing::info!("stopping: what is under way is finished first");
        })
        .await?;
    Ok(tokio::task::spawn_blocking(move || shared.checkpoint()).await??)
}

/// Listens on the agent's socket, which core may write to and nobody else.
fn listen(engine: &Engine) -> Result<CheckedListener, Error> {
    let panel = engine.userdb.user_id("wcp360")?.ok_or("the system has no user wcp360; run the installer again")?;
    engine.fs().remove_file(DEFAULT_SOCKET)?;
    let listener = UnixListener::bind(DEFAULT_SOCKET)?;
    let access = crate::fsx::Access { uid: 0, gid: engine.ids.panel_gid, mode: 0o660 };
    engine.fs().set_socket_access(DEFAULT_SOCKET, access)?;
    Ok(CheckedListener::new(listener, panel))
}

/// What runs besides requests.
fn in_background(engine: &Arc<Engine>) {
    let shared = Arc::clone(engine);
    every(reaper::INTERVAL, move || {
        let services = Arc::clone(shared.services());
        let mut reaper = Reaper::default();
        move || reaper.look(&services)
    });
    let shared = Arc::clone(engine);
    every(Duration::from_secs(30), move || {
        move || {
            if shared.unfinished() > 0 {
                shared.recover();
            }
        }
    });
    let shared = Arc::clone(engine);
    every(FOLLOW, move || move || shared.follow_hand_edits());
    let shared = Arc::clone(engine);
    every(CHECKPOINT, move || {
        move || {
            if let Err(error) = shared.checkpoint() {
                tracing::error!(%error, "the disk does not take what was changed; the journal has it");
            }
        }
    });
    let shared = Arc::clone(engine);
    every(Duration::from_secs(3600), move || move || shared.clean_up());
    let shared = Arc::clone(engine);
    tokio::task::spawn_blocking(move || {
        shared.clean_up();
        shared.bring_up_all();
        give_memory_back();
    });
}

/// Calls something again and again, where it may block.
fn every<F: FnMut() + Send + 'static>(interval: Duration, make: impl FnOnce() -> F) {
    let mut work = make();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match tokio::task::spawn_blocking(move || {
                work();
                work
            })
            .await
            {
                Ok(again) => work = again,
                Err(error) => {
                    tracing::error!(%error, "a background task has ended");
                    return;
                }
            }
        }
    });
}

/// Keeps the allocator from setting memory aside for each of many threads that live for one request.
#[allow(unsafe_code)] // no safe wrapper
fn few_arenas() {
    // SAFETY: sets a number in the allocator, before there are threads.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Gives memory that a sweep over all accounts needed back to the system.
#[allow(unsafe_code)] // no safe wrapper
fn give_memory_back() {
    // SAFETY: may be called at any time from any thread.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Logs JSON lines to the log file and to standard output.
fn log_to(level: &str) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    use tracing_subscriber::fmt::writer::MakeWriterExt;
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits())?;
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(no_follow).open(LOG)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o640))?;
    let filter = tracing_subscriber::EnvFilter::new(format!("{level},zbus=warn,hyper=warn"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stdout.and(Arc::new(file)))
        .try_init()?;
    Ok(())
}
