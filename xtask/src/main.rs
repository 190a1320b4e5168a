//! The project's own tasks: `cargo xtask --help`.
fn main() { println!("{:#}", wcp360_api::openapi::document()); }
