//! Whether the place of a process can be taken at all: some end with the process they started.

use crate::config::env;
use std::fs;

/// Programs that run as process 1 of a container, and end when the one that they started does.
const INITS: [&str; 4] = ["tini", "docker-init", "dumb-init", "catatonit"];

/// Why all would end with this process, and what to do; `None` if another one can take its place.
pub(super) fn ends_with_this_process() -> Option<String> {
    let own = std::process::id();
    let container = "start another container beside this one and then stop this one (`server: \
        { shutdown_delay }` has load balancers look elsewhere first)";
    if own == 1 {
        return Some(format!(
            "this edge is process 1 of its container, which ends with it: {container}"
        ));
    }
    if std::os::unix::process::parent_id() == 1
        && let Ok(first) = fs::read_to_string("/proc/1/comm")
        && INITS.contains(&first.trim_end())
    {
        let first = first.trim_end();
        return Some(format!("`{first}` ends its container when this process ends: {container}"));
    }
    let of_systemd = env::variable("SYSTEMD_EXEC_PID")?.parse() == Ok(own);
    (of_systemd && env::variable("NOTIFY_SOCKET").is_none()).then(|| {
        "systemd ends the service with this process, because it is not told of another: write \
         `Type=notify` and `NotifyAccess=all` into the unit, as packaging/falconer.service does"
            .to_owned()
    })
}
