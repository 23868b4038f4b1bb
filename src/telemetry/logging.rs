//! Logs: one JSON object a line on stderr, so that standard output stays the result of a command.
//!
//! An event's fields stand beside `timestamp`, `level`, `target` and `message`, so a field may not have one of these
//! names. Names are dotted (`tenant.name`, `http.response.status_code`); units are part of a name.

use std::fmt;
use std::io;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for log pipelines.
    #[default]
    Json,
    /// One line of text, for people.
    Text,
}

impl LogFormat {
    /// The names that [`LogFormat::from_str`] accepts.
    pub const NAMES: [&'static str; 2] = ["json", "text"];
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(LoggingError::UnknownFormat { name: name.to_owned() }),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// Not a name of a format.
    #[error("log format {name:?} is unknown: it must be json or text")]
    UnknownFormat {
        /// What was asked for.
        name: String,
    },
    /// Not a list of directives.
    #[error(
        "failed to parse log filter {filter:?}: write a level (info) or target=level pairs (info,sqlx=warn)"
    )]
    ParseFilter {
        /// What was asked for.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Logging was set up before.
    #[error("failed to install the log subscriber")]
    Install(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends all events of this process to stderr, and panics as events too.
///
/// `filter` is a level or a list of `target=level` pairs, as in `info,sqlx=warn`.
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    subscriber(format, filter, io::stderr)?.try_init().map_err(LoggingError::Install)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The subscriber that [`init_logging`] installs, on any writer; tests read back what it writes.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LoggingError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // What was done to whom is logged whatever else is asked for; only naming the target turns it off.
    let filter = EnvFilter::try_new(format!("audit=info,{filter}"))
        .map_err(|source| LoggingError::ParseFilter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(match format {
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
        LogFormat::Text => Box::new(builder.finish()),
    })
}

/// A panic is an event like any other: a bare line on stderr would break every reader of the JSON stream.
fn log_panic(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(no message)");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.message = message, panic.location = location, "panicked");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, events: impl FnOnce()) -> Vec<Value> {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(LogFormat::Json, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_event_is_one_flat_json_object_with_dotted_names() {
        let mut lines = logged("info", || tracing::info!(tenant.name = "acme", tenant.count = 3, "ready"));
        assert!(lines[0]["timestamp"].take().is_string());
        assert_eq!(
            lines,
            [json!({
                "timestamp": null,
                "level": "INFO",
                "target": "tenantry::telemetry::logging::tests",
                "message": "ready",
                "tenant.name": "acme",
                "tenant.count": 3,
            })]
        );
    }

    #[test]
    fn the_filter_decides_by_target_and_level() {
        let events = || {
            tracing::info!(target: "loud", "left out");
            tracing::warn!(target: "loud", "kept");
            tracing::debug!(target: "other", "left out");
        };
        let messages: Vec<_> =
            logged("info,loud=warn", events).iter().map(|line| line["message"].clone()).collect();
        assert_eq!(messages, ["kept"]);
    }

    #[test]
    fn records_for_the_audit_log_are_left_out_only_by_name() {
        let events = || tracing::info!(target: "audit", "sent a statement");
        let counts = ["error", "tenantry=debug", "info,audit=off"].map(|filter| logged(filter, events).len());
        assert_eq!(counts, [1, 1, 0]);
    }

    #[test]
    fn a_bad_filter_or_format_is_named() {
        let Err(error) = subscriber(LogFormat::Json, "info,=,x=loudest", io::sink) else {
            unreachable!("the filter is not valid")
        };
        assert_eq!(
            error.to_string(),
            "failed to parse log filter \"info,=,x=loudest\": write a level (info) or target=level pairs (info,sqlx=warn)"
        );
        assert_eq!(
            "yaml".parse::<LogFormat>().unwrap_err().to_string(),
            "log format \"yaml\" is unknown: it must be json or text"
        );
        for name in LogFormat::NAMES {
            assert_eq!(name.parse::<LogFormat>().unwrap().to_string(), name);
        }
    }
}
