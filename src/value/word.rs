//! What every word of the document has in common.

use super::user;
use std::path::Path;
use std::str::FromStr;
use std::{fmt, io};

/// Why a text is not the word it should be, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, without the place.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem with its remedy.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }

    /// A file that the document names and that cannot be read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let (why, remedy) = match error.kind() {
            io::ErrorKind::NotFound => {
                ("there is no such file".into(), "correct the path, or create the file".into())
            }
            io::ErrorKind::PermissionDenied => {
                let remedy = format!("let the user `{}` read it, and enter its folders", user());
                ("permission denied".into(), remedy)
            }
            io::ErrorKind::IsADirectory => ("it is a folder".into(), "name a file in it".into()),
            _ => (error.to_string(), "name another file".to_owned()),
        };
        Self::new(format!("cannot read `{}`: {why}", path.display()), remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Problem {}

/// A scalar of the document with a meaning of its own.
pub trait Word: FromStr<Err = Problem> {
    /// The `format` in the document's schema, by which `config` finds the check.
    const FORMAT: &'static str;
}

/// Makes a `FromStr` type a [`Word`] that serde reads from a string and schemars describes.
macro_rules! word {
    ($type:ty, $format:literal, $description:literal) => {
        impl $crate::value::Word for $type {
            const FORMAT: &'static str = $format;
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $format.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": $format,
                    "description": $description,
                    // A field that is described itself replaces the description.
                    "$comment": $description,
                })
            }
        }
    };
}

pub(crate) use word;
