//! What the operator types: arguments into one command, its errors into an exit code.

mod check;
pub mod demo;
mod edge;
mod explain;
mod proxy;
mod reload;
mod report;
mod rollback;
mod run;
mod schema;
mod status;
mod upgrade;
mod upstreams;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit codes, as `docs/` promises them.
pub(crate) mod exit {
    /// Something failed at run time: an address in use, an edge that is not found, a change that
    /// no reload can make.
    pub(crate) const FAILED: u8 = 1;
    /// Wrong usage, or a document with problems.
    pub(crate) const PROBLEMS: u8 = 2;
}

/// A programmable edge proxy that fronts application servers.
///
/// It reads one document (YAML) that names listeners, routes and upstreams. Try it without any:
/// `falconer demo` starts a sample application, and `falconer proxy --to http://127.0.0.1:5001`
/// puts an edge before it.
#[derive(Parser)]
#[command(name = "falconer", version = crate::LONG_VERSION, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 ok; 1 a failure at run time, such as an address in use; \
2 wrong usage or a document with problems.";

#[derive(Subcommand)]
enum Command {
    /// Run the edge that a document describes, until SIGTERM or SIGINT.
    Run(run::Args),
    /// Read a document and every file it names, say what is wrong, and bind nothing.
    Check(run::Args),
    /// Say what becomes of one request: which route takes it, and what an endpoint gets.
    Explain(explain::Args),
    /// Have a running edge follow its changed document, and say what became of it.
    Reload(reload::Args),
    /// Have a running edge go back to a document that ran before, and say what became of it.
    Rollback(rollback::Args),
    /// Have another process take the place of a running edge, without a connection lost.
    Upgrade(upgrade::Args),
    /// Say how a running edge is: what it runs, and what is open.
    Status(run::Args),
    /// Say how the endpoints of a running edge fare, or have one of them drain.
    Upstreams(upstreams::Args),
    /// Run an edge before one application, without a document.
    Proxy(proxy::Args),
    /// Run a sample application to try things with.
    Demo(demo::Args),
    /// Print what the document may hold, for editors or to read.
    Schema(schema::Args),
    /// Print a script that completes arguments in a shell.
    Completions(schema::Completions),
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    // Before anything of the engine: it would install another provider of cryptography.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("falconer: another provider of cryptography was installed first");
        return ExitCode::from(exit::FAILED);
    }
    match Arguments::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Upstreams(args) => upstreams::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Upgrade(args) => upgrade::run(&args),
        Command::Status(args) => status::status(&args),
        Command::Proxy(args) => proxy::run(&args),
        Command::Demo(args) => demonstrate(args),
        Command::Schema(args) => schema::print(&args),
        Command::Completions(args) => schema::complete(&args),
    }
}

fn demonstrate(args: demo::Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("no runtime can be started: {error}")),
    };
    match runtime.block_on(demo::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn failed(what: &str) -> ExitCode {
    report::tell(std::io::stderr(), format_args!("falconer: {what}"));
    ExitCode::from(exit::FAILED)
}
