//! What goes wrong in a command: the exit code, the lines on stderr and the one hint.

use std::error::Error;
use std::fmt;
use std::io;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Success,
    /// It did not.
    Failure,
    /// The command line cannot be understood.
    Usage,
    /// Something would change; only where that was asked for.
    Changes,
    /// The API server does not know who is asking.
    NotAuthenticated,
    /// What was waited for did not happen in time.
    TimedOut,
    /// Interrupted from the terminal.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage | Self::Changes => 2,
            Self::NotAuthenticated => 4,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// Lines for stderr, the first with its prefix (`error: …`). Empty if there is nothing to say.
    pub lines: Vec<String>,
    /// The next step, if there is one.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure in our own words: `error: MESSAGE`.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Failure, lines: vec![format!("error: {message}")], hint: None }
    }

    /// A command line that parses but makes no sense.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message) }
    }

    /// A failure with its whole chain of causes.
    pub fn from_error(message: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        let mut text = message.to_string();
        let mut next = Some(error);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Libraries repeat their source in their own message: saying it twice helps nobody.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        Self::new(text)
    }

    /// The same failure with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

impl From<io::Error> for Failure {
    /// A reader that went away (`tenantry get … | head`) is no failure of ours.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Success, lines: vec![], hint: None };
        }
        Self::new(format_args!("failed to write output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_silent_and_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.lines.len()), (Exit::Success, 0));
    }

    #[test]
    fn causes_are_named_once() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        assert_eq!(
            Failure::from_error("failed to read x", &cause).lines,
            ["error: failed to read x: no such file"]
        );
        assert_eq!(Failure::from_error("bad: no such file", &cause).lines, ["error: bad: no such file"]);
    }
}
