//! What the edge itself did, as lines on standard error.

mod bridge;
mod line;
mod throttle;

pub use throttle::Throttle;

use bridge::Bridge;
use line::Lines;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber, callsite};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// How the edge logs what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "log")]
pub struct Config {
    /// How a line looks.
    pub format: Format,
    /// The least important lines that are written.
    pub level: Level,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "log-format")]
pub enum Format {
    /// Time, level, message and `name=value` pairs, for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How important a line is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "log-level")]
pub enum Level {
    /// Something failed and needs a person.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What an operator wants to know of an ordinary day.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// The configuration in use, as numbers; it outlives the documents, as loggers are global.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(Format::Text as u8);

/// Makes the process log; a later call changes format and level.
///
/// Where a program that embeds the edge has set up its own logging, that stays.
pub fn init(config: &Config) {
    static IS_OURS: OnceLock<bool> = OnceLock::new();
    LEVEL.store(config.level as u8, Ordering::Relaxed);
    FORMAT.store(config.format as u8, Ordering::Relaxed);
    if *IS_OURS.get_or_init(install) {
        callsite::rebuild_interest_cache();
        ::log::set_max_level(tracing_log::AsLog::as_log(&level()));
    }
}

fn install() -> bool {
    // Reporting an error of standard error to standard error panics.
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { format, now })
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let lines = if io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    let subscriber = tracing_subscriber::registry().with(lines).with(Gate);
    tracing::subscriber::set_global_default(subscriber).is_ok()
        && ::log::set_boxed_logger(Box::new(Bridge::default())).is_ok()
}

fn format() -> Format {
    if FORMAT.load(Ordering::Relaxed) == Format::Json as u8 { Format::Json } else { Format::Text }
}

fn level() -> LevelFilter {
    const BY_NUMBER: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];
    let number = usize::from(LEVEL.load(Ordering::Relaxed));
    BY_NUMBER.get(number).copied().unwrap_or(LevelFilter::INFO)
}

fn now() -> SystemTime {
    SystemTime::now()
}

/// Whether lines of a level and an origin are written at a configured level.
fn allows(configured: LevelFilter, level: tracing::Level, target: &str) -> bool {
    // What the engine thinks worth knowing is an everyday matter here: every failed exchange and
    // connection is logged by us, with its cause.
    let is_chatty = target.starts_with("pingora") && configured < LevelFilter::DEBUG;
    !is_chatty && level <= configured
}

/// Lets through what is important enough; its answers are remembered at every callsite.
struct Gate;

impl<S: Subscriber> Layer<S> for Gate {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if allows(level(), *metadata.level(), metadata.target()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        allows(level(), *metadata.level(), metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_quieter_than_the_edge() {
        let (warn, info, debug) =
            (tracing::Level::WARN, tracing::Level::INFO, tracing::Level::DEBUG);
        assert!(allows(LevelFilter::INFO, info, "falconer::listener"));
        assert!(!allows(LevelFilter::INFO, debug, "falconer::listener"));
        assert!(!allows(LevelFilter::INFO, warn, "pingora_proxy"));
        assert!(!allows(LevelFilter::ERROR, warn, "pingora_proxy"));
        assert!(allows(LevelFilter::DEBUG, debug, "pingora_proxy"));
    }

    #[test]
    fn a_document_may_name_format_and_level() {
        let config: Config =
            serde_json::from_str(r#"{ "format": "json", "level": "warn" }"#).unwrap();
        assert_eq!(config, Config { format: Format::Json, level: Level::Warn });
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, Config { format: Format::Text, level: Level::Info });
        assert!(serde_json::from_str::<Config>(r#"{ "level": "loud" }"#).is_err());
    }

    #[test]
    fn a_second_call_changes_level_and_format() {
        init(&Config { format: Format::Text, level: Level::Warn });
        assert!(!tracing::enabled!(tracing::Level::INFO));
        assert_eq!(::log::max_level(), ::log::LevelFilter::Warn);
        init(&Config { format: Format::Json, level: Level::Debug });
        assert!(tracing::enabled!(tracing::Level::INFO));
        assert_eq!(::log::max_level(), ::log::LevelFilter::Debug);
        assert_eq!(format(), Format::Json);
        init(&Config { format: Format::Text, level: Level::Error });
    }
}
