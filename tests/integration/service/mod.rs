//! The edge as a service of the system: who it is, and what it and its supervisor tell each other.

mod activation;
mod notify;
mod pid_file;
mod units;
mod user;

/// Whether the tests may become other users, and show the edge a system with users of their own;
/// without, what needs it is left out.
fn is_root() -> bool {
    let probe = ["--mount", "mount", "--bind", "/etc/passwd", "/etc/passwd"];
    let probed = std::process::Command::new("unshare").args(probe).output();
    let is_root = probed.is_ok_and(|output| output.status.success());
    if !is_root {
        eprintln!("skipped: only root, with the right to mount, can test this");
    }
    is_root
}
