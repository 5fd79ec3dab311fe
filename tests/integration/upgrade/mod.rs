//! Upgrade: another process takes the place of the edge, and nobody notices.

mod failing;
mod killed;
mod place;
mod streams;
mod under_load;
