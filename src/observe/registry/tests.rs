use super::*;
use std::time::Duration;

#[test]
fn concurrent_counting_is_exact() {
    let registry = Registry::new();
    let counter = registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]);
    let gauge = registry.gauge("open", "Open.", &[]).handle(&[]);
    let histogram = registry.histogram("took_seconds", "Time.", &[]).handle(&[]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..10_000 {
                    counter.inc();
                    gauge.add(if n % 2 == 0 { 3 } else { -1 });
                    histogram.observe(Duration::from_millis(n));
                }
            });
        }
    });
    assert_eq!(counter.value(), 80_000);
    assert_eq!(gauge.value(), 80_000);
    assert_eq!(histogram.count(), 80_000);
}

#[test]
fn a_family_survives_whoever_asks_again() {
    let registry = Registry::new();
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]).add(2);
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]).inc();
    assert_eq!(line(&registry, "hits_total{"), "hits_total{route=\"shop\"} 3");
}

#[test]
fn a_name_used_for_two_things_shows_the_first() {
    let registry = Registry::new();
    registry.counter("hits_total", "Hits.", &[]).handle(&[]).inc();
    registry.gauge("hits_total", "Hits.", &[]).handle(&[]).set(7);
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]).add(9);
    assert_eq!(
        registry.encode(),
        "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 1\n"
    );
}

#[test]
fn a_removed_series_is_gone_and_a_family_without_series_too() {
    let registry = Registry::new();
    let family = registry.counter("hits_total", "Hits.", &["route"]);
    let ended = family.handle(&["old"]);
    family.handle(&["new"]).inc();
    family.remove(&["old"]);
    ended.inc();
    assert!(!registry.encode().contains("old"));
    family.remove(&["new"]);
    assert_eq!(registry.encode(), "");
}

#[test]
fn a_gauge_can_be_set_under_running_steps() {
    let gauge = Gauge::default();
    gauge.add(5);
    gauge.set(100);
    gauge.dec();
    assert_eq!(gauge.value(), 99);
    gauge.set(-3);
    assert_eq!(gauge.value(), -3);
}

#[test]
fn a_duration_falls_into_the_first_bucket_that_holds_it() {
    let registry = Registry::new();
    let histogram = registry.histogram("took_seconds", "Time.", &[]).handle(&[]);
    for micros in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
        histogram.observe(Duration::from_micros(micros));
    }
    histogram.observe(Duration::from_secs(100));
    let bucket = |bound: &str| line(&registry, &format!("took_seconds_bucket{{le=\"{bound}\"}}"));
    assert!(bucket("0.001").ends_with(" 2"));
    assert!(bucket("0.0025").ends_with(" 3"));
    assert!(bucket("30").ends_with(" 3"));
    assert!(bucket("60").ends_with(" 4"));
    assert!(bucket("+Inf").ends_with(" 6"));
    assert_eq!(line(&registry, "took_seconds_sum"), "took_seconds_sum 220.002002");
    assert_eq!(line(&registry, "took_seconds_count"), "took_seconds_count 6");
}

#[test]
fn label_values_are_escaped() {
    let registry = Registry::new();
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["a\"b\\c\nd"]).inc();
    assert_eq!(line(&registry, "hits_total{"), r#"hits_total{route="a\"b\\c\nd"} 1"#);
}

fn line(registry: &Registry, start: &str) -> String {
    registry.encode().lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}
