use super::*;
use std::collections::VecDeque;
use std::future::pending;
use tokio::time::{Instant, timeout};

/// Gives its answers one by one, the last for ever, and remembers when it was asked.
struct Script {
    answers: Mutex<VecDeque<Result<Answer<IpAddr>, Failure>>>,
    asked: watch::Sender<Vec<Instant>>,
}

#[async_trait]
impl Lookup for Script {
    async fn addresses(&self, _: &Asked) -> Result<Answer<IpAddr>, Failure> {
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        let mut answers = self.answers.lock();
        match answers.len() {
            1 => answers.front().cloned().unwrap(),
            _ => answers.pop_front().unwrap(),
        }
    }

    async fn services(&self, _: &Asked) -> Result<Answer<Service>, Failure> {
        pending().await
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Answer<IpAddr>, Failure>>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: watch::Sender::new(Vec::new()) })
    }

    /// The seconds between the first `count` look-ups.
    async fn waits(&self, count: usize) -> Vec<u64> {
        let mut asked = self.asked.subscribe();
        let asked = asked.wait_for(|asked| asked.len() > count).await.unwrap();
        asked.windows(2).take(count).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }

    fn discovery(self: &Arc<Self>) -> Arc<Discovery> {
        Discovery::new(Arc::<Self>::clone(self), |_| Ok(Vec::new()), Duration::ZERO)
    }

    fn start(self: &Arc<Self>) -> Watched<IpAddr> {
        self.discovery().addresses(&asked("shop.internal", &[]))
    }
}

fn asked(name: &str, resolvers: &[&str]) -> Asked {
    let resolvers = resolvers.iter().map(|text| text.parse().unwrap()).collect();
    Asked { name: name.into(), resolvers }
}

fn good(addresses: &[&str], ttl: Option<u64>) -> Result<Answer<IpAddr>, Failure> {
    let found = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Ok(Answer { found, ttl: ttl.map(Duration::from_secs) })
}

fn bad() -> Result<Answer<IpAddr>, Failure> {
    Err(Failure("no such name".into()))
}

fn shown(watched: &Watched<IpAddr>) -> String {
    let addresses: Vec<_> = watched.found.now().iter().map(ToString::to_string).collect();
    addresses.join(" ")
}

impl Watched<IpAddr> {
    /// Waits until it was looked for so often, and gives the tally.
    async fn looked(&mut self, times: u64) -> Tally {
        let count = |tally: &Tally| tally.changed + tally.unchanged + tally.failed;
        *self.tally.wait_for(|tally| count(tally) >= times).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn all_addresses_of_both_families_are_known_after_the_first_look_up() {
    let script = Script::new([good(&["2001:db8::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"], None)]);
    let mut watched = script.start();
    assert_eq!(shown(&watched), "", "nobody waits for the first answer");
    watched.looked(1).await;
    assert_eq!(shown(&watched), "10.0.0.1 10.0.0.2 2001:db8::1");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_again_by_its_ttl() {
    let ttls = [Some(5), Some(0), None, Some(86_400), Some(60)];
    let script = Script::new(ttls.map(|ttl| good(&["10.0.0.1"], ttl)));
    let _watched = script.start();
    assert_eq!(script.waits(6).await, [5, 1, 30, 3600, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_look_up_is_repeated_ever_more_slowly() {
    let failing = (0..8).map(|_| bad());
    let script = Script::new(failing.chain([good(&["10.0.0.1"], Some(7)), bad(), bad()]));
    let _watched = script.start();
    assert_eq!(script.waits(11).await, [1, 2, 4, 8, 16, 30, 30, 30, 7, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_outlives_failures() {
    let empty = good(&[], Some(5));
    let script = Script::new([good(&["10.0.0.1"], Some(5)), bad(), empty, bad(), bad()]);
    let mut watched = script.start();
    let tally = watched.looked(5).await;
    assert_eq!(shown(&watched), "10.0.0.1");
    assert_eq!(tally, Tally { changed: 1, unchanged: 0, failed: 4 });
}

#[tokio::test(start_paused = true)]
async fn a_name_unknown_at_start_comes_up_later() {
    let script = Script::new([bad(), bad(), good(&["10.0.0.1"], None)]);
    let mut watched = script.start();
    assert_eq!(watched.looked(1).await.failed, 1);
    assert_eq!(shown(&watched), "");
    watched.looked(3).await;
    assert_eq!(shown(&watched), "10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn only_another_set_of_addresses_is_a_change() {
    let script = Script::new([
        good(&["10.0.0.1", "10.0.0.2"], Some(1)),
        good(&["10.0.0.2", "10.0.0.1"], Some(1)),
        good(&["10.0.0.2"], Some(1)),
    ]);
    let mut watched = script.start();
    assert_eq!(watched.looked(2).await.changed, 1, "a rotated answer is none");
    assert_eq!(watched.looked(5).await, Tally { changed: 2, unchanged: 3, failed: 0 });
    assert_eq!(shown(&watched), "10.0.0.2");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_delays_nobody() {
    struct Hanging;

    #[async_trait]
    impl Lookup for Hanging {
        async fn addresses(&self, _: &Asked) -> Result<Answer<IpAddr>, Failure> {
            pending().await
        }

        async fn services(&self, _: &Asked) -> Result<Answer<Service>, Failure> {
            pending().await
        }
    }

    let discovery = Discovery::new(Arc::new(Hanging), |_| Ok(Vec::new()), Duration::ZERO);
    let mut watched = discovery.addresses(&asked("shop.internal", &[]));
    assert!(timeout(Duration::from_secs(60), watched.looked(1)).await.is_err());
    assert_eq!(shown(&watched), "");
}

#[tokio::test(start_paused = true)]
async fn a_name_nobody_holds_is_looked_up_no_more() {
    let script = Script::new([good(&["10.0.0.1"], Some(1))]);
    let watched = script.start();
    script.waits(3).await;
    drop(watched);
    while Arc::strong_count(&script) > 1 {
        tokio::task::yield_now().await;
    }
    let asked = script.asked.borrow().len();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::task::yield_now().await;
    assert_eq!(script.asked.borrow().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_name_in_use_is_shared_and_one_forgotten_is_asked_anew() {
    let script = Script::new([good(&["10.0.0.1"], None)]);
    let discovery = script.discovery();
    let shop = asked("shop.internal", &[]);
    let mut first = discovery.addresses(&shop);
    first.looked(1).await;
    let again = discovery.addresses(&shop);
    assert!(Arc::ptr_eq(&first.found, &again.found));
    assert!(again.seen.has_begun(), "what came before is not counted again");
    for other in [asked("blog.internal", &[]), asked("shop.internal", &["10.0.0.53:53"])] {
        assert!(!Arc::ptr_eq(&first.found, &discovery.addresses(&other).found), "{other:?}");
    }

    drop((first, again));
    let anew = discovery.addresses(&shop);
    assert_eq!(shown(&anew), "");
    assert_eq!(discovery.addresses.lock().len(), 1, "the others are forgotten");
}

mod log {
    use super::*;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the level and the message of every event.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() < tracing::Level::DEBUG
                && metadata.target().ends_with("upstream::discover::found")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = event.metadata().level().to_string();
            event.record(&mut Message(&mut line));
            self.0.lock().push(line);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Message<'a>(&'a mut String);

    impl Visit for Message<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                *self.0 += &format!(" {value:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_is_logged_once_however_long_it_lasts() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let up = || good(&["10.0.0.1"], Some(1));
        let script = Script::new([bad(), bad(), up(), up(), bad(), bad(), bad(), up(), up()]);
        let _watched = script.start();
        script.waits(12).await;
        assert_eq!(
            *lines.0.lock(),
            [
                "WARN cannot discover endpoints; none was found yet",
                "INFO endpoints are discovered again",
                "INFO other endpoints were discovered",
                "WARN cannot discover endpoints; those found are kept",
                "INFO endpoints are discovered again",
            ]
        );
    }
}
