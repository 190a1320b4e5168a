//! Asking for a secret at the terminal, without showing it.

use crate::failure::Failure;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};

/// Puts the terminal back as it was, however we leave.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn of(terminal: File) -> Result<Self, Error> {
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // Without ISIG, Ctrl-C reaches us as a character, so that the terminal is never left without echo.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks, and returns the line that was typed.
pub(super) fn ask(question: &str) -> Result<String, Failure> {
    let mut quiet = Quiet::of(File::options().read(true).write(true).open("/dev/tty")?)?;
    quiet.terminal.write_all(question.as_bytes())?;
    let answer = line(&mut quiet.terminal);
    quiet.terminal.write_all(b"\n")?;
    Ok(answer?)
}

/// A line of characters, with the keys that correct it.
fn line(input: &mut impl Read) -> Result<String, Error> {
    let mut typed: Vec<u8> = Vec::new();
    let mut byte = [0u8];
    loop {
        if input.read(&mut byte)? == 0 {
            break;
        }
        match byte[0] {
            b'\n' | b'\r' | 4 => break,
            3 => return Err(Error::new(ErrorKind::Interrupted, "interrupted; nothing was done")),
            8 | 127 => {
                // One character, which may be several bytes.
                while let Some(last) = typed.pop() {
                    if last & 0xC0 != 0x80 {
                        break;
                    }
                }
            }
            21 => typed.clear(),
            other => typed.push(other),
        }
    }
    String::from_utf8(typed).map_err(|_| Error::new(ErrorKind::InvalidData, "what was typed is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_correct_the_line() {
        let typed = |text: &str| line(&mut text.as_bytes());
        assert_eq!(typed("abc\x7fd\nrest").unwrap(), "abd");
        assert_eq!(typed("aä\x7fb\r").unwrap(), "ab");
        assert_eq!(typed("wrong\x15right\n").unwrap(), "right");
        assert_eq!(typed("\x7f\x7fx\n").unwrap(), "x");
        assert!(typed("secret\x03").is_err());
    }
}
