//! `wcp360-supervisor`: see `wcp360-supervisor --help` and the library's documentation.

fn main() {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    std::process::exit(wcp360_supervisor::cli::main(&args));
}
