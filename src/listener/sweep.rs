//! The clock of a listener: ends idle connections in time, and what is left of a drain.

use super::idle::Table;
use super::running::Listener;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// How often a draining listener looks for connections that became idle: at first, and at last.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(250);

/// Ends idle connections when their time is up, and all of them after the grace of a drain.
pub(super) async fn sweep<A: Send + Sync + 'static>(listener: Arc<Listener<A>>) {
    let mut drain = listener.drain.watch();
    while !*drain.borrow() {
        tokio::select! {
            () = tokio::time::sleep(SECOND) => tick(&listener.idle, listener.keep_alive),
            _ = drain.wait_for(|stop| *stop) => {}
        }
    }
    tokio::time::sleep(listener.idle_grace).await;
    // When it was removed, which may be long after it began to drain.
    let mut removed = None;
    let mut pause = OFTEN;
    loop {
        // A busy connection may become idle at any moment from here on.
        listener.idle.sweep(0);
        if let Some(longest) = listener.longest() {
            let removed = *removed.get_or_insert_with(Instant::now);
            if removed.elapsed() + listener.idle_grace >= longest {
                listener.idle.cut();
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(SELDOM),
            () = listener.drain.emptied() => return,
        }
    }
}

fn tick(idle: &Table, keep_alive: Option<Duration>) {
    idle.tick();
    if let Some(keep_alive) = keep_alive {
        // One more, because seconds are coarse: never early, at most a second late.
        let seconds = keep_alive.as_millis().div_ceil(1000) as u64 + 1;
        idle.sweep(u32::try_from(seconds).unwrap_or(u32::MAX));
    }
}
