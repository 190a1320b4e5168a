//! `wcp360-core`: API, policy, jobs and audit. Runs as the user `wcp360` and owns no privilege.

mod authenticate;
mod call;
mod config;
mod dispatch;
mod handlers;
mod limits;
mod listen;
mod logging;
mod memory;
mod observe;
mod record;
mod routes;
mod ws;

use anyhow::Context;
use clap::Parser;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use wcp360_engine::audit::AuditFiles;
use wcp360_engine::{Engine, Settings};
use wcp360_store::Db;

/// The panel's unprivileged daemon.
#[derive(Debug, Parser)]
#[command(name = "wcp360-core", version)]
struct Arguments {
    /// Settings of the node.
    #[arg(long, default_value = "/etc/wcp360/wcp360.yaml")]
    config: PathBuf,
    /// Folder of the database and of the setup token.
    #[arg(long, default_value = "/var/lib/wcp360")]
    state_dir: PathBuf,
    /// Where the database is, if not SQLite in the state folder: `url: postgresql://…`. The file may hold a password.
    #[arg(long, default_value = "/etc/wcp360/db.yaml")]
    database: PathBuf,
    /// Folder of the logs.
    #[arg(long, default_value = "/var/log/wcp360")]
    log_dir: PathBuf,
    /// The agent's socket.
    #[arg(long, default_value = wcp360_agent_proto::DEFAULT_SOCKET)]
    agent_socket: PathBuf,
    /// Remove all sealed values, where the file of their keys is lost and there is no backup of it.
    #[arg(long)]
    forget_sealed_values: bool,
    /// Folder for the socket that nginx connects to.
    #[arg(long, default_value = "/run/wcp360/panel")]
    socket_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        !rustix::process::geteuid().is_root(),
        "wcp360-core does not run as root; start it as the user wcp360 (wcp360-core.service does)"
    );
    let config = config::load(&arguments.config)?;
    logging::start(&arguments.log_dir.join("core.log"), &config.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .context("the runtime can't start")?;
    let outcome = runtime.block_on(run(arguments, config));
    if let Err(error) = &outcome {
        tracing::error!(error = format!("{error:#}"), "core stops");
    }
    outcome
}

async fn run(arguments: Arguments, config: wcp360_types::node::NodeConfig) -> anyhow::Result<()> {
    // Held until the process ends: two cores on one SQLite file would take each other's jobs.
    let _only_one = listen::lock(&arguments.state_dir.join("core.lock"))?;
    let db = match config::database(&arguments.database)? {
        Some(url) => Db::open_postgres(&url).await.context("the database of db.yaml can't be used")?,
        None => {
            let file = arguments.state_dir.join("state.db");
            Db::open_sqlite(&file).await.with_context(|| format!("{} can't be opened", file.display()))?
        }
    };
    let settings = Settings {
        hostname: config.hostname.clone(),
        http_port: config.http_port,
        agent_socket: arguments.agent_socket,
        audit: AuditFiles {
            mirror: arguments.log_dir.join("audit.json"),
            position: arguments.state_dir.join("audit.position"),
            key: arguments.state_dir.join("audit.key"),
        },
        security_file: arguments.log_dir.join("security.log"),
        secrets_file: arguments.state_dir.join("secrets.key"),
        setup_token_file: arguments.state_dir.join("setup.token"),
        drift: config.drift.clone(),
        keep_jobs_days: config.keep_jobs_days,
        workers: 48,
    };
    if arguments.forget_sealed_values {
        let values = db.write::<_, wcp360_store::StoreError, _>(|tx| tx.forget_sealed()).await?;
        tracing::warn!(values, "sealed values were removed, as asked for");
    }
    let engine = Engine::new(db, settings).await?;
    engine.prepare_setup().await?;

    let metrics = observe::install()?;
    let (stop, stopping) = watch::channel(false);
    let sockets = ws::Sockets::new(stopping.clone());
    let app = Arc::new(call::App {
        engine: engine.clone(),
        metrics: metrics.clone(),
        sockets: sockets.clone(),
        node: Default::default(),
    });
    let router = routes::router(app);

    let workers = tokio::spawn({
        let (engine, stopping) = (engine.clone(), stopping.clone());
        async move { engine.run_workers(stopping).await }
    });
    let identities = tokio::spawn({
        let (engine, stopping) = (engine.clone(), stopping.clone());
        async move { engine.keep_identities(stopping).await }
    });
    let bulks = tokio::spawn(engine.clone().run_bulks(stopping.clone()));
    let mirroring = tokio::spawn({
        let engine = engine.clone();
        async move { engine.audit().keep_mirroring().await }
    });
    let telling = tokio::spawn({
        let (engine, stopping) = (engine.clone(), stopping.clone());
        async move { engine.run_events(stopping).await }
    });
    let small = tokio::spawn(memory::keep_small(metrics));
    engine.audit().note("panel.start", Some("wcp360-core"), "succeeded", Some(env!("CARGO_PKG_VERSION"))).await?;
    let servers = listen::serve(router, config.api_listen, &arguments.socket_dir, stopping).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %config.api_listen, "core is ready");

    listen::until_asked_to_stop().await?;
    tracing::info!("core stops: finishing requests and job steps at hand");
    stop.send_replace(true);
    let finish = async {
        servers.await;
        let _ = bulks.await;
        sockets.emptied().await;
        let _ = identities.await;
        workers.await
    };
    // What is still open after this goes on at the next start: steps are idempotent.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(15), finish).await;
    mirroring.abort();
    small.abort();
    telling.abort();
    if let Err(error) = engine.audit().record_counts().await {
        tracing::error!(%error, "how many refusals there were is in this log and not in the audit trail");
    }
    let stopped = engine.audit().note("panel.stop", Some("wcp360-core"), "succeeded", None).await;
    if let Err(error) = stopped.and(engine.audit().sign().await) {
        tracing::error!(%error, "the audit trail's end could not be signed");
    }
    Ok(())
}
