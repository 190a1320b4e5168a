//! Counts cells and gathers what is wrong, so that one run shows everything.

use std::fmt::Debug;

/// One test's cells.
#[derive(Debug, Default)]
pub(crate) struct Report {
    cells: usize,
    wrong: Vec<String>,
}

impl Report {
    /// One cell: `problem` says what is wrong with it.
    pub(crate) fn cell(&mut self, problem: Option<String>) {
        self.cells += 1;
        self.wrong.extend(problem.map(shortened));
    }

    /// One cell that is a comparison.
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, what: impl FnOnce() -> String, got: T, expected: T) {
        let problem = (got != expected).then(|| format!("{}: expected {expected:?}, got {got:?}", what()));
        self.cell(problem);
    }

    /// One cell that is a condition.
    pub(crate) fn holds(&mut self, condition: bool, otherwise: impl FnOnce() -> String) {
        self.cell((!condition).then(otherwise));
    }

    /// Prints the count.
    ///
    /// # Panics
    /// If anything was wrong, or if nothing was checked.
    pub(crate) fn end(self, name: &str) {
        println!("authorisation: {name}: {} cells, {} wrong", self.cells, self.wrong.len());
        assert!(self.cells > 0, "{name}: nothing was checked");
        let shown = self.wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.wrong.is_empty(), "{name}: {} of {} cells are wrong:\n{shown}", self.wrong.len(), self.cells);
    }
}

/// Enough of a message to find the cell; whole answers of many cells would hide each other.
fn shortened(text: String) -> String {
    const MOST: usize = 400;
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST).chain(" …".chars()).collect() }
}
