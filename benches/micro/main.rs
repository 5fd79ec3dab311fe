//! How long single steps of an exchange take.
#![expect(clippy::expect_used, reason = "a bench may just stop")]

mod find;
mod pick;

use criterion::{criterion_group, criterion_main};

/// The same as in the binary: where a large table lies decides what a miss costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, find::find, pick::pick);
criterion_main!(benches);
