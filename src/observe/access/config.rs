//! The `access_log` of a document.

use super::{Line, Receiver};
use crate::value::{Problem, word};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How exchanges are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "access-log")]
pub struct Config {
    /// How a line looks.
    pub format: Format,
    /// Where the lines go: `stdout`, `stderr`, a file, `syslog`, or `off`.
    pub path: Destination,
    /// Only exchanges with a status of these classes, such as `[4xx, 5xx]`. Default: all.
    pub only: Vec<Class>,
}

/// A hundred of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "status-class")]
pub enum Class {
    /// Upgrades.
    #[serde(rename = "1xx")]
    Informational,
    /// Success.
    #[serde(rename = "2xx")]
    Success,
    /// Redirects.
    #[serde(rename = "3xx")]
    Redirection,
    /// Mistakes of the client, and clients that left.
    #[serde(rename = "4xx")]
    ClientError,
    /// Faults of ours or of an endpoint.
    #[serde(rename = "5xx")]
    ServerError,
}

impl Class {
    /// Whether a status is in one of the classes; none means all.
    pub(super) fn are_met(only: &[Self], status: u16) -> bool {
        let hundred = |class: &Self| *class as u16 + 1;
        only.is_empty() || only.iter().any(|class| hundred(class) == status / 100)
    }
}

/// How a line of the access log looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "access-log-format")]
pub enum Format {
    /// The common log format of many servers.
    Common,
    /// The combined format of nginx and Apache: the common one with referer and user agent.
    Combined,
    /// One JSON object a line.
    #[default]
    Json,
    /// The extended format of W3C with the fields that IIS writes unless told otherwise.
    W3c,
    /// A line of one's own.
    Template(Line),
}

/// Where the lines of the access log go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// A receiver of syslog.
    Syslog(Receiver),
    /// The end of a file, which is made if it is missing.
    File(PathBuf),
}

word!(
    Destination,
    "log-destination",
    "Where lines go: `stdout`, `stderr`, `off`, the path of a file, or `syslog` (the system's own), `syslog:unix:/path` or `syslog:udp:192.0.2.1:514`."
);

impl Destination {
    /// The same, with a relative file seen from `folder`.
    pub fn resolve(&self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            Self::Syslog(receiver) => Self::Syslog(receiver.resolve(folder)),
            other => other.clone(),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
            Self::Syslog(receiver) => write!(f, "syslog:{receiver}"),
            Self::File(path) => write!(f, "`{}`", path.display()),
        }
    }
}

impl FromStr for Destination {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "off" => Ok(Self::Off),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            "syslog" => Ok(Self::Syslog(Receiver::default())),
            "" => Err(Problem::new(
                "the access log needs a destination",
                "write `stdout`, `stderr`, `syslog`, `off` or the path of a file",
            )),
            other => match other.strip_prefix("syslog:") {
                Some(receiver) => receiver.parse().map(Self::Syslog),
                None => Ok(Self::File(other.into())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Config, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_default_is_json_to_stdout() {
        let config = read("{}").unwrap();
        assert_eq!(
            config,
            Config { format: Format::Json, path: Destination::Stdout, only: Vec::new() }
        );
    }

    #[test]
    fn only_the_classes_that_are_named_are_written() {
        let only = read(r#"{ "only": ["1xx", "4xx", "5xx"] }"#).unwrap().only;
        let written = [101, 200, 304, 499, 500].map(|status| Class::are_met(&only, status));
        assert_eq!(written, [true, false, false, true, true]);
        assert!(Class::are_met(&[], 200));
        assert!(read(r#"{ "only": ["404"] }"#).is_err());
    }

    #[test]
    fn a_file_is_relative_to_the_folder_of_its_document() {
        let config = read(r#"{ "format": "combined", "path": "logs/access.log" }"#).unwrap();
        let expected = Destination::File("/etc/falconer/logs/access.log".into());
        assert_eq!(config.path.resolve(Path::new("/etc/falconer")), expected);
        assert_eq!(expected.resolve(Path::new("/elsewhere")), expected);
    }

    #[test]
    fn the_three_words_are_no_files() {
        for (word, expected) in [
            ("off", Destination::Off),
            ("stdout", Destination::Stdout),
            ("stderr", Destination::Stderr),
        ] {
            let read: Destination = word.parse().unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.resolve(Path::new("/etc")), expected);
        }
    }

    #[test]
    fn syslog_is_the_systems_own_unless_a_receiver_is_named() {
        let read = |text: &str| text.parse::<Destination>().unwrap();
        assert_eq!(read("syslog"), read("syslog:unix:/dev/log"));
        let udp = Receiver::Udp(([192, 0, 2, 1], 514).into());
        assert_eq!(read("syslog:udp:192.0.2.1:514"), Destination::Syslog(udp));
        assert_eq!(read("./syslog"), Destination::File("./syslog".into()));
        let resolved = read("syslog:unix:run/log").resolve(Path::new("/srv"));
        assert_eq!(resolved.to_string(), "syslog:unix:/srv/run/log");
        assert!("syslog:tcp:192.0.2.1:514".parse::<Destination>().is_err());
    }

    #[test]
    fn an_empty_destination_and_an_unknown_key_are_refused() {
        assert!(read(r#"{ "path": "" }"#).is_err());
        assert!(read(r#"{ "file": "access.log" }"#).is_err());
    }
}
