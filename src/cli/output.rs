//! The only writer of the CLI: results to stdout, everything else to stderr.

use std::io::{self, BufRead, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::environment::Environment;
use super::failure::{Exit, Failure};

/// stdout, buffered, and stderr.
pub struct Output {
    out: io::BufWriter<io::Stdout>,
    err: io::Stderr,
    progress: bool,
    questions: bool,
    colours: bool,
}

impl Output {
    /// The process's own streams.
    pub fn new(environment: &Environment) -> Self {
        Self {
            out: io::BufWriter::new(io::stdout()),
            err: io::stderr(),
            progress: environment.stderr_terminal,
            colours: environment.stdout_colours,
            questions: environment.stdin_terminal && environment.stderr_terminal,
        }
    }

    /// Writes `text` to stdout as it is.
    pub fn write(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Writes a line to stdout.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.write(line)?;
        self.write("\n")
    }

    /// Sends what is buffered, so that a watcher's reader sees each change at once.
    pub fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// Writes a line to stderr. Nobody can be told when stderr is gone.
    pub fn note(&mut self, line: &str) {
        _ = self.out.flush();
        _ = writeln!(self.err, "{line}");
    }

    /// Reports a failure: its lines and its hint.
    pub fn failure(&mut self, failure: &Failure) {
        for line in &failure.lines {
            self.note(line);
        }
        if let Some(hint) = &failure.hint {
            self.note(&format!("hint: {hint}"));
        }
    }

    /// Ends the command: flushes, reports and says how the process exits.
    pub fn finish(mut self, result: Result<Exit, Failure>) -> Exit {
        let result = result.and_then(|exit| self.flush().map(|()| exit));
        match result {
            Ok(exit) => exit,
            Err(failure) => {
                self.failure(&failure);
                failure.exit
            }
        }
    }

    /// Whether stdout can show colours.
    pub const fn has_colours(&self) -> bool {
        self.colours
    }

    /// Whether a question can be asked.
    pub const fn can_ask(&self) -> bool {
        self.questions
    }

    /// Asks on the terminal and returns the answer without its line end.
    pub fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.flush()?;
        write!(self.err, "{question} ")?;
        self.err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer.trim().to_owned())
    }

    /// Progress with a known number of steps; shows nothing unless stderr is a terminal.
    pub fn steps(&self, total: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}");
        self.show(ProgressBar::new(total), style.ok())
    }

    /// Progress of unknown length; shows nothing unless stderr is a terminal.
    pub fn spinner(&self, message: impl Into<String>) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = self.show(ProgressBar::new_spinner(), style.ok());
        bar.set_message(message.into());
        bar
    }

    fn show(&self, bar: ProgressBar, style: Option<ProgressStyle>) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        match style {
            Some(style) => bar.with_style(style),
            None => bar,
        }
    }
}
