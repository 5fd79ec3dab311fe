//! `falconer proxy`: an edge without a document.

use super::run;
use crate::config::{self, Address, Url};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// What stands for a document.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The application, such as http://localhost:5000; several share the load.
    #[arg(long, value_name = "URL", required = true)]
    to: Vec<Url>,
    /// Where to listen: an address, a port as `:8080`, or `unix:/path`.
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    listen: Vec<Address>,
}

/// Runs the edge.
pub(super) fn run(args: &Args) -> ExitCode {
    let text = |items: &[String]| json!(items);
    let listen: Vec<_> = args.listen.iter().map(ToString::to_string).collect();
    let to: Vec<_> = args.to.iter().map(ToString::to_string).collect();
    // JSON is YAML, and escapes whatever stands in an argument.
    let document = json!({
        "listeners": { "web": { "address": text(&listen) } },
        "upstreams": { "app": { "endpoints": text(&to) } },
        "routes": [{ "name": "app", "upstream": "app" }],
        "access_log": { "format": "combined", "path": "stdout" },
    });
    // `$` would begin a variable.
    let document = document.to_string().replace('$', "$$");
    let reader = Arc::new(move || config::read_text(Path::new("arguments"), &document));
    // There is nothing to keep, and nothing to reload.
    run::start(reader(), Vec::new(), reader, None)
}
