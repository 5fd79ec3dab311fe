//! The words a document may use, each parsed once.
//!
//! A *word* is a scalar of the document with a meaning: `30s`, `64KiB`, `10.0.0.0/8`. Its type
//! parses it once; whoever holds the type need not check again. Rooms define further words with
//! `word!`, and `config` checks them all at their place by the `format` their schema carries.

mod byte_rate;
mod diagnostic;
mod duration;
mod factor;
mod field_name;
mod limit;
mod list;
mod method;
mod position;
mod regex;
mod secret;
mod share;
mod size;
mod switch;
mod user;
mod word;

pub use byte_rate::ByteRate;
pub use diagnostic::{Diagnostic, Severity};
pub use duration::Duration;
pub use factor::Factor;
pub use field_name::FieldName;
pub use limit::Limit;
pub use list::OneOrMany;
pub use method::Method;
pub use position::Position;
pub use regex::Regex;
pub use secret::Secret;
pub use share::Share;
pub use size::Size;
pub use switch::Switch;
pub use user::user;
pub(crate) use word::word;
pub use word::{Problem, Word};
