//! Reads the operator's document and says precisely what is wrong with it.

mod admin;
mod check;
mod compare;
mod document;
mod editor;
pub mod env;
mod expect;
mod fit;
mod include;
mod list;
mod load;
mod parse;
mod read;
mod reference;
mod scalar;
mod schema;
mod server;
mod show;
mod source;
mod substitute;
mod suggest;
mod syntax;
mod texts;
mod tree;
mod veil;
mod watch;
mod words;

pub use admin::Config as Admin;
pub use compare::Change;
pub use document::{Document, Metrics, Placed, Read, read, read_text, read_texts, schema};
pub use editor::editor_schema;
pub use list::endpoints;
pub use load::state_dir;
pub use reference::reference;
pub use server::{Config as Server, Count};
pub use suggest::nearest;
pub use texts::Texts;
pub use tree::Step;
pub use watch::Looks;

/// Words of the document that the command line takes too.
pub use crate::{listener::Address, upstream::Url};
