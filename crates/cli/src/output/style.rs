//! Colours, where somebody looks.

use std::io::IsTerminal;

/// Whether and how to colour.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
}

impl Style {
    /// For what is written to `stream`: colours only for a terminal that wants them.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self { on: stream.is_terminal() && !refused }
    }

    /// Never.
    pub fn plain() -> Self {
        Self { on: false }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Good news, or something new.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// Bad news, or something that goes.
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }
    /// Something that changes.
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// A place in a file.
    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }
    /// Headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    /// Beside the point.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}
