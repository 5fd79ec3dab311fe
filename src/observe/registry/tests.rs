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
    let first = registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]);
    first.add(2);
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]).inc();
    assert_eq!(line(&registry, "hits_total{"), "hits_total{route=\"shop\"} 3");
}

#[test]
fn a_name_used_for_two_things_shows_the_first() {
    let registry = Registry::new();
    let hits = registry.counter("hits_total", "Hits.", &[]).handle(&[]);
    hits.inc();
    registry.gauge("hits_total", "Hits.", &[]).handle(&[]).set(7);
    registry.counter("hits_total", "Hits.", &["route"]).handle(&["shop"]).add(9);
    assert_eq!(
        registry.encode(),
        "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 1\n"
    );
}

#[test]
fn a_series_ends_with_its_last_handle_and_a_family_with_its_last_series() {
    let registry = Registry::new();
    let family = registry.counter("hits_total", "Hits.", &["route"]);
    let (old, new) = (family.handle(&["old"]), family.handle(&["new"]));
    let in_use = old.clone();
    drop(old);
    in_use.inc();
    assert_eq!(line(&registry, "hits_total{route=\"old\""), "hits_total{route=\"old\"} 1");
    drop(in_use);
    assert!(!registry.encode().contains("old"));
    assert!(registry.encode().contains("new"));
    drop(new);
    assert_eq!(registry.encode(), "");
}

#[test]
fn a_series_that_ended_begins_anew_at_zero() {
    let registry = Registry::new();
    let family = registry.histogram("took_seconds", "Time.", &["route"]);
    family.handle(&["shop"]).observe(Duration::from_secs(1));
    assert_eq!(registry.encode(), "");
    let again = family.handle(&["shop"]);
    assert_eq!(again.count(), 0);
}

#[test]
fn series_that_nobody_shows_do_not_pile_up() {
    let family = Registry::new().gauge("open", "Open.", &["route"]);
    let kept = family.handle(&["kept"]);
    kept.inc();
    for n in 0..10_000 {
        family.handle(&[&n.to_string()]).inc();
    }
    assert!(family.len() <= 64);
    assert_eq!(family.handle(&["kept"]).value(), 1);
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
    let hits = registry.counter("hits_total", "Hits.", &["route"]).handle(&["a\"b\\c\nd"]);
    hits.inc();
    assert_eq!(line(&registry, "hits_total{"), r#"hits_total{route="a\"b\\c\nd"} 1"#);
}

fn line(registry: &Registry, start: &str) -> String {
    registry.encode().lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}
