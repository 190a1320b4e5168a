//! `wcp360`: see the library beside it.

fn main() {}
