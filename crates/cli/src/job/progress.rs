//! Showing how a job gets on: one moving line at a terminal, one line per step elsewhere.

use crate::output::{Style, clean, say, shorten};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Instant;
use wcp360_types::api::job::{Job, JobState, JobStep};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nothing,
    Lines,
    Moving,
}

/// The display of one job, on standard error.
pub(super) struct Progress {
    mode: Mode,
    style: Style,
    began: Instant,
    shown: BTreeMap<u32, (JobState, u32)>,
    turn: usize,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        let stderr = std::io::stderr();
        let mode = match (quiet, stderr.is_terminal()) {
            (true, _) => Mode::Nothing,
            (_, true) => Mode::Moving,
            (_, false) => Mode::Lines,
        };
        Self { mode, style: Style::of(&stderr), began: Instant::now(), shown: BTreeMap::new(), turn: 0 }
    }

    /// Shows what is new about the job.
    pub(super) fn update(&mut self, job: &Job) {
        for step in &job.steps {
            let now = (step.state, step.attempts);
            if step.state == JobState::Queued || self.shown.get(&step.index) == Some(&now) {
                continue;
            }
            self.shown.insert(step.index, now);
            if self.mode == Mode::Lines || (self.mode == Mode::Moving && is_news(step)) {
                self.line(&self.step(step, job.steps.len()));
            }
        }
        if !job.state.is_final() {
            let at = job.steps.iter().find(|s| !s.state.is_final());
            let what = at.map_or("finishing", |step| step.name.as_str());
            self.moving(&format!("{} {}: {}", clean(&job.operation), super::subject(job), clean(what)));
        }
    }

    /// Shows that nobody answers at present.
    pub(super) fn unreachable(&mut self) {
        self.moving("the panel does not answer; waiting for it");
    }

    /// Prints a line that stays.
    pub(super) fn line(&self, text: &str) {
        if self.mode != Mode::Nothing {
            self.end();
            say(text);
        }
    }

    /// Whether what moves is shown as lines that stay.
    pub(super) fn is_lines(&self) -> bool {
        self.mode == Mode::Lines
    }

    /// Takes the moving line away.
    pub(super) fn end(&self) {
        if self.mode == Mode::Moving {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    pub(super) fn moving(&mut self, text: &str) {
        if self.mode == Mode::Moving {
            self.turn += 1;
            let spinner = self.style.cyan(SPINNER[self.turn % SPINNER.len()]);
            let took = format!("{:.1} s", self.began.elapsed().as_secs_f32());
            // A line that wraps could not be taken away again.
            let room = self.style.width().unwrap_or(80).saturating_sub(took.len() + 4);
            let (text, took) = (shorten(text, room), self.style.dim(&took));
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[K{spinner} {text} {took}").and_then(|()| out.flush());
        }
    }

    fn step(&self, step: &JobStep, of: usize) -> String {
        let name = clean(&step.name);
        let place = format!("{}/{of}", step.index + 1);
        let again = if step.attempts > 1 { format!(" (attempt {})", step.attempts) } else { String::new() };
        let why = step.error.as_deref().map(|e| format!(": {}", clean(e))).unwrap_or_default();
        match step.state {
            JobState::Succeeded => format!("{} {place} {name}{again}{}", self.style.green("✔"), took(step)),
            JobState::Failed | JobState::RolledBack | JobState::Cancelled => {
                format!("{} {place} {name}{again} {}{why}", self.style.red("✘"), words(step.state))
            }
            JobState::Waiting => format!("{} {place} {name} waits for its next attempt{why}", self.style.yellow("…")),
            _ => format!("{} {place} {name}{again}", self.style.dim("•")),
        }
    }
}

fn is_news(step: &JobStep) -> bool {
    step.state.is_final() || step.state == JobState::Waiting
}

fn took(step: &JobStep) -> String {
    match (step.started_at, step.finished_at) {
        (Some(from), Some(to)) => format!(" in {} ms", to.duration_since(from).as_millis()),
        _ => String::new(),
    }
}

/// A state as the end of a sentence.
pub(super) fn words(state: JobState) -> &'static str {
    match state {
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Cancelled => "was cancelled",
        JobState::RolledBack => "failed and was taken back",
        JobState::Queued => "waits for its turn",
        JobState::Running => "runs",
        JobState::Waiting => "waits for its next attempt",
    }
}
