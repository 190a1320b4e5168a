//! A file of lines whose fields are separated by colons.

use super::UserDbError;
use crate::fsx::Fs;

/// The lines of one of the four files.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    content: Vec<u8>,
    exists: bool,
    changed: bool,
}

impl Lines {
    pub(super) fn read(fs: &Fs, path: &str) -> Result<Self, UserDbError> {
        Ok(match fs.read(path)? {
            Some((content, _)) => Self { content, exists: true, changed: false },
            None => Self::default(),
        })
    }

    #[cfg(test)]
    pub(super) fn of(content: &[u8]) -> Self {
        Self { content: content.to_vec(), exists: true, changed: false }
    }

    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.content.clone()
    }

    /// The lines with their place, the line feed included.
    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let rest = self.content.get(start..).filter(|rest| !rest.is_empty())?;
            let end = rest.iter().position(|b| *b == b'\n').map_or(self.content.len(), |at| start + at + 1);
            let range = start..end;
            start = end;
            Some(range)
        })
    }

    fn line_of(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let key = format!("{name}:");
        self.ranges().find(|range| self.content[range.clone()].starts_with(key.as_bytes()))
    }

    /// The fields of the line that begins with `name`.
    pub(super) fn get(&self, name: &str) -> Option<Vec<&str>> {
        let line = &self.content[self.line_of(name)?];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // Foreign lines may hold any bytes; ours are ASCII.
        Some(std::str::from_utf8(line).ok()?.split(':').collect())
    }

    /// Field `n` of every line that is readable.
    pub(super) fn column(&self, n: usize) -> impl Iterator<Item = &str> {
        self.ranges().filter_map(move |range| {
            std::str::from_utf8(&self.content[range]).ok()?.trim_end_matches('\n').split(':').nth(n)
        })
    }

    /// Makes the line of `name` consist of `fields`. A new one goes to the end, but before lines that hand over to NIS
    /// (`+`, `-`): what comes after those may never be looked at.
    pub(super) fn put(&mut self, name: &str, fields: &[&str]) {
        let mut line = fields.join(":").into_bytes();
        line.push(b'\n');
        if let Some(range) = self.line_of(name) {
            if self.content[range.clone()] != line[..] {
                self.content.splice(range, line);
                self.changed = true;
            }
            return;
        }
        let nis = self.ranges().find(|range| matches!(self.content[range.start], b'+' | b'-'));
        let at = match nis {
            Some(range) => range.start,
            None => {
                if !self.content.is_empty() && self.content.last() != Some(&b'\n') {
                    self.content.push(b'\n');
                }
                self.content.len()
            }
        };
        self.content.splice(at..at, line);
        self.changed = true;
    }

    pub(super) fn remove(&mut self, name: &str) {
        while let Some(range) = self.line_of(name) {
            self.content.drain(range);
            self.changed = true;
        }
    }
}
