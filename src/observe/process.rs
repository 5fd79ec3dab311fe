//! What the system says of the process, under the names every exporter uses.

use super::registry::{self, Registry, Source};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// Shows the figures of the process and of the build.
pub fn show(registry: &Registry, version: &str, commit: &str) {
    let build =
        registry.gauge("falconer_build_info", "The build that is running.", &["version", "commit"]);
    let build = build.handle(&[version, commit]);
    build.set(1);
    registry.show("process", Process { start: start_seconds(), _build: build });
}

/// Asked at each scrape; what the system does not tell is left out.
struct Process {
    start: Option<f64>,
    /// Shown as long as it is held.
    _build: registry::Gauge,
}

impl Source for Process {
    fn collect(&self) -> Vec<MetricFamily> {
        let status = read("/proc/self/status").unwrap_or_default();
        let memory = status_number(&status, "VmRSS:").map(|kib| kib * 1024.0);
        let fds = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64);
        let gauges = [
            ("process_open_fds", "Open file descriptors.", open_fds()),
            ("process_max_fds", "File descriptors that may be open.", fds),
            ("process_resident_memory_bytes", "Memory that is not swapped out.", memory),
            ("process_start_time_seconds", "When the process started.", self.start),
            ("process_threads", "Threads of the process.", status_number(&status, "Threads:")),
        ];
        let gauges = gauges.into_iter().filter_map(|(name, help, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value?);
            let mut metric = Metric::default();
            metric.set_gauge(gauge);
            Some(family(name, help, MetricType::GAUGE, metric))
        });
        cpu().into_iter().chain(gauges).collect()
    }
}

fn cpu() -> Option<MetricFamily> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6);
    let mut counter = Counter::default();
    counter.set_value(seconds.iter().sum());
    let mut metric = Metric::default();
    metric.set_counter(counter);
    let (name, help) = ("process_cpu_seconds_total", "Time spent on all cores.");
    Some(family(name, help, MetricType::COUNTER, metric))
}

fn family(name: &str, help: &str, kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

fn open_fds() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them reads the folder.
    Some(count.saturating_sub(1) as f64)
}

fn status_number(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn start_seconds() -> Option<f64> {
    /// What Linux tells user space, whatever the kernel's own clock runs at.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = read("/proc/self/stat")?;
    // The name in parentheses may hold anything; the start is the twentieth field after it.
    let ticks: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let boot = status_number(&read("/proc/stat")?, "btime")?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    fn shown() -> String {
        let registry = Registry::new();
        show(&registry, "1.2.3", "abcdef");
        registry.encode()
    }

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
    }

    #[test]
    fn the_build_is_named() {
        assert!(shown().contains("falconer_build_info{version=\"1.2.3\",commit=\"abcdef\"} 1\n"));
    }

    #[test]
    fn the_figures_are_those_of_this_process() {
        let text = shown();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value(&text, "process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
        assert!(value(&text, "process_resident_memory_bytes") > 500_000.0);
        assert!(value(&text, "process_threads") >= 1.0);
        assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
        let open = value(&text, "process_open_fds");
        assert!(open >= 3.0 && open <= value(&text, "process_max_fds"));
    }
}
