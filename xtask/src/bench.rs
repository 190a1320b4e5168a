//! Benchmarks.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// x
    Provisioning,
}
pub(crate) fn run(_: &Bench) -> anyhow::Result<()> {
    Ok(())
}
