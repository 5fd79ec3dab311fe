use super::*;
use std::collections::VecDeque;
use std::future::pending;
use tokio::time::Instant;

/// Gives its answers one by one, the last for ever, and remembers when it was asked.
struct Script {
    answers: Mutex<VecDeque<Result<Answer, Failure>>>,
    asked: watch::Sender<Vec<Instant>>,
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, _: &str) -> Result<Answer, Failure> {
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        let mut answers = self.answers.lock();
        match answers.len() {
            1 => answers.front().cloned().unwrap(),
            _ => answers.pop_front().unwrap(),
        }
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Answer, Failure>>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: watch::Sender::new(Vec::new()) })
    }

    /// The seconds between the first `count` look-ups.
    async fn waits(&self, count: usize) -> Vec<u64> {
        let mut asked = self.asked.subscribe();
        let asked = asked.wait_for(|asked| asked.len() > count).await.unwrap();
        asked.windows(2).take(count).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }

    fn start(self: &Arc<Self>) -> Arc<Discovered> {
        Discovered::start("shop.internal".into(), Arc::<Self>::clone(self))
    }
}

fn good(addresses: &[&str], ttl: Option<u64>) -> Result<Answer, Failure> {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    Ok(Answer { addresses, ttl: ttl.map(Duration::from_secs) })
}

fn bad() -> Result<Answer, Failure> {
    Err(Failure("no such name".into()))
}

fn shown(discovered: &Discovered) -> String {
    let addresses: Vec<_> = discovered.addresses().iter().map(ToString::to_string).collect();
    addresses.join(" ")
}

#[tokio::test(start_paused = true)]
async fn all_addresses_of_both_families_are_known_once_settled() {
    let script = Script::new([good(&["2001:db8::1", "10.0.0.2", "10.0.0.1", "10.0.0.2"], None)]);
    let discovered = script.start();
    assert_eq!(shown(&discovered), "", "nobody waits for the first answer");
    discovered.settled().await;
    assert_eq!(shown(&discovered), "10.0.0.1 10.0.0.2 2001:db8::1");
    assert_eq!(discovered.name(), "shop.internal");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_again_by_its_ttl() {
    let ttls = [Some(5), Some(0), None, Some(86_400), Some(60)];
    let script = Script::new(ttls.map(|ttl| good(&["10.0.0.1"], ttl)));
    let _discovered = script.start();
    assert_eq!(script.waits(6).await, [5, 1, 30, 3600, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_look_up_is_repeated_ever_more_slowly() {
    let failing = (0..8).map(|_| bad());
    let script = Script::new(failing.chain([good(&["10.0.0.1"], Some(7)), bad(), bad()]));
    let _discovered = script.start();
    assert_eq!(script.waits(11).await, [1, 2, 4, 8, 16, 30, 30, 30, 7, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_outlives_failures() {
    let empty = good(&[], Some(5));
    let script = Script::new([good(&["10.0.0.1"], Some(5)), bad(), empty, bad(), bad()]);
    let discovered = script.start();
    let mut changes = discovered.changes();
    script.waits(6).await;
    assert_eq!(shown(&discovered), "10.0.0.1");
    assert_eq!(*changes.borrow_and_update(), 1, "a failure is no change");
}

#[tokio::test(start_paused = true)]
async fn a_name_unknown_at_start_settles_empty_and_comes_up_later() {
    let script = Script::new([bad(), bad(), good(&["10.0.0.1"], None)]);
    let discovered = script.start();
    let mut changes = discovered.changes();
    discovered.settled().await;
    assert_eq!(shown(&discovered), "");
    changes.changed().await.unwrap();
    assert_eq!(shown(&discovered), "10.0.0.1");
}

#[tokio::test(start_paused = true)]
async fn only_another_set_of_addresses_is_a_change() {
    let script = Script::new([
        good(&["10.0.0.1", "10.0.0.2"], Some(1)),
        good(&["10.0.0.2", "10.0.0.1"], Some(1)),
        good(&["10.0.0.2"], Some(1)),
        good(&["10.0.0.2"], Some(1)),
    ]);
    let discovered = script.start();
    let changes = discovered.changes();
    script.waits(1).await;
    assert_eq!(*changes.borrow(), 1, "a rotated answer is none");
    script.waits(5).await;
    assert_eq!((*changes.borrow(), shown(&discovered)), (2, "10.0.0.2".into()));
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_delays_nobody() {
    struct Hanging;

    #[async_trait]
    impl Lookup for Hanging {
        async fn lookup(&self, _: &str) -> Result<Answer, Failure> {
            pending().await
        }
    }

    let discovered = Discovered::start("shop.internal".into(), Arc::new(Hanging));
    let settled = tokio::time::timeout(Duration::from_secs(60), discovered.settled());
    assert!(settled.await.is_err());
    assert_eq!(shown(&discovered), "");
}

#[tokio::test(start_paused = true)]
async fn an_address_is_never_looked_up() {
    for literal in ["10.0.0.1", "2001:db8::1"] {
        let script = Script::new([bad()]);
        let discovered = Discovered::start(literal.into(), Arc::<Script>::clone(&script));
        discovered.settled().await;
        assert_eq!(shown(&discovered), literal);
        tokio::time::advance(LONGEST * 2).await;
        assert!(script.asked.borrow().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_nobody_holds_is_looked_up_no_more() {
    let script = Script::new([good(&["10.0.0.1"], Some(1))]);
    let discovered = script.start();
    script.waits(3).await;
    drop(discovered);
    while Arc::strong_count(&script) > 1 {
        tokio::task::yield_now().await;
    }
    let asked = script.asked.borrow().len();
    tokio::time::advance(LONGEST).await;
    tokio::task::yield_now().await;
    assert_eq!(script.asked.borrow().len(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_name_in_use_is_shared_and_one_forgotten_is_asked_anew() {
    let script = Script::new([good(&["10.0.0.1"], None)]);
    let names = Names::new(Arc::<Script>::clone(&script));
    let first = names.discover("shop.internal");
    let again = names.discover("shop.internal");
    assert!(Arc::ptr_eq(&first, &again));
    assert!(!Arc::ptr_eq(&first, &names.discover("blog.internal")));

    first.settled().await;
    drop((first, again));
    let anew = names.discover("shop.internal");
    assert_eq!(shown(&anew), "");
    assert_eq!(names.living.lock().len(), 1, "the other name is forgotten");
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
            metadata.target().ends_with("upstream::discover")
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
        let _discovered = script.start();
        script.waits(12).await;
        assert_eq!(
            *lines.0.lock(),
            [
                "WARN cannot look up a name; it has no address yet",
                "INFO the name is looked up again",
                "INFO the name has new addresses",
                "WARN cannot look up a name; its addresses are kept",
                "INFO the name is looked up again",
            ]
        );
    }
}
