//! A file of lines whose fields are separated by colons.

use memchr::{memchr, memmem, memrchr};
use std::ops::Range;
use std::sync::Arc;

/// The lines of one of the four files.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    content: Arc<Vec<u8>>,
    exists: bool,
    changed: bool,
}

impl Lines {
    /// The lines of a file with this content; `None`: of one that is missing.
    pub(super) fn new(content: Option<Arc<Vec<u8>>>) -> Self {
        Self { exists: content.is_some(), content: content.unwrap_or_default(), changed: false }
    }

    #[cfg(test)]
    pub(super) fn of(content: &[u8]) -> Self {
        Self::new(Some(Arc::new(content.to_vec())))
    }

    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.content
    }

    /// The place of the line that begins with `start`, the line feed included. A search for bytes, not line by line: these
    /// files have as many lines as there are accounts, and are searched for each change.
    fn line_that_begins(&self, start: &[u8]) -> Option<Range<usize>> {
        let from = if self.content.starts_with(start) {
            0
        } else {
            memmem::find(&self.content, &[b"\n", start].concat())? + 1
        };
        let length = memchr(b'\n', &self.content[from..]).map_or(self.content.len() - from, |at| at + 1);
        Some(from..from + length)
    }

    fn line_of(&self, name: &str) -> Option<Range<usize>> {
        self.line_that_begins(format!("{name}:").as_bytes())
    }

    /// The fields of the line that begins with `name`.
    pub(super) fn get(&self, name: &str) -> Option<Vec<&str>> {
        let line = &self.content[self.line_of(name)?];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // Foreign lines may hold any bytes; ours are ASCII.
        Some(std::str::from_utf8(line).ok()?.split(':').collect())
    }

    /// Whether any line has `value` as its field `n`.
    pub(super) fn has(&self, n: usize, value: u32) -> bool {
        let wanted = value.to_string();
        memmem::find_iter(&self.content, format!(":{wanted}:").as_bytes()).any(|at| {
            let start = memrchr(b'\n', &self.content[..at]).map_or(0, |newline| newline + 1);
            // The field begins behind the colon that was found, so the colons up to it are as many as fields before it.
            self.content[start..=at].iter().filter(|byte| **byte == b':').count() == n
        })
    }

    /// The first field of the first line that has `value` as its field `n`.
    pub(super) fn name_by(&self, n: usize, value: u32) -> Option<String> {
        let mut lines = self.content.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let line = lines.find(|line| line.split(':').nth(n).is_some_and(|field| field.parse() == Ok(value)))?;
        line.split(':').next().map(str::to_owned)
    }

    /// Field `n` of every line that is readable.
    pub(super) fn column(&self, n: usize) -> impl Iterator<Item = &str> {
        let lines = self.content.split(|byte| *byte == b'\n');
        lines.filter_map(move |line| std::str::from_utf8(line).ok()?.split(':').nth(n))
    }

    /// Makes the line of `name` consist of `fields`. A new one goes to the end, but before lines that hand over to NIS
    /// (`+`, `-`): what comes after those may never be looked at.
    pub(super) fn put(&mut self, name: &str, fields: &[&str]) {
        let mut line = fields.join(":").into_bytes();
        line.push(b'\n');
        if let Some(range) = self.line_of(name) {
            if self.content[range.clone()] != line[..] {
                Arc::make_mut(&mut self.content).splice(range, line);
                self.changed = true;
            }
            return;
        }
        let nis = [b"+", b"-"].iter().filter_map(|start| self.line_that_begins(*start)).min_by_key(|range| range.start);
        let at = match nis {
            Some(range) => range.start,
            None => {
                if !self.content.is_empty() && self.content.last() != Some(&b'\n') {
                    Arc::make_mut(&mut self.content).push(b'\n');
                }
                self.content.len()
            }
        };
        Arc::make_mut(&mut self.content).splice(at..at, line);
        self.changed = true;
    }

    pub(super) fn remove(&mut self, name: &str) {
        while let Some(range) = self.line_of(name) {
            Arc::make_mut(&mut self.content).drain(range);
            self.changed = true;
        }
    }
}
