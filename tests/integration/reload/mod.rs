//! Reload: a changed document takes effect in the running process, and nothing else is touched.

mod api;
mod listeners;
mod many;
mod outcomes;
mod rollback;
mod status;
mod streams;
mod under_load;
mod watching;
