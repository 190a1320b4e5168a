//! Colours and width, where somebody looks.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Whether and how to colour, and how much fits into a line.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
    width: Option<usize>,
}

impl Style {
    /// For what is written to `stream`: colours only for a terminal that wants them.
    pub fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream.as_fd()).ok()).flatten();
        // A terminal that does not know its size says 0.
        let width = size.map(|s| usize::from(s.ws_col)).filter(|columns| *columns > 0);
        Self { on: stream.is_terminal() && !refused, width }
    }

    /// Never.
    pub fn plain() -> Self {
        Self { on: false, width: None }
    }

    /// The same, for lines of at most so many columns.
    pub fn within(self, width: usize) -> Self {
        Self { width: Some(width), ..self }
    }

    /// How many columns a line may have; `None`: as many as it likes.
    pub fn width(self) -> Option<usize> {
        self.width
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
