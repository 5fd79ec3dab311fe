//! The accept manager: a service in which sockets and listeners come and go.

use super::accept::{Accept, accept};
use super::running::Listener;
use super::socket::{Doorway, Kind};
use super::sweep::sweep;
use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};

/// The service that accepts for all listeners of one kind of app.
pub struct Manager<A> {
    name: &'static str,
    orders: UnboundedReceiver<Order<A>>,
    tasks: usize,
}

/// Has a [`Manager`] serve listeners; orders from before it runs wait for it.
pub struct Opener<A>(UnboundedSender<Order<A>>);

/// A socket that is accepted on.
#[must_use = "dropping it stops the accepting"]
pub struct Accepting(watch::Sender<Until>);

/// How long a socket is accepted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The listener drains.
    Drain,
    /// Now: those who wait in the socket's queue are another's.
    Now,
    /// Its queue is empty: the socket is about to be closed.
    Empty,
}

enum Order<A> {
    Answer(oneshot::Sender<()>),
    Sweep(Arc<Listener<A>>),
    Accept(Arc<Listener<A>>, Kind, watch::Receiver<Until>),
}

impl<A> Manager<A> {
    /// A service with so many threads, each of which accepts on every socket.
    pub fn new(name: &'static str, tasks: usize) -> (Self, Opener<A>) {
        let (opener, orders) = unbounded_channel();
        (Self { name, orders, tasks: tasks.max(1) }, Opener(opener))
    }
}

impl<A> Clone for Opener<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A> Opener<A> {
    /// Waits until the threads that serve take an order; false if they never will.
    pub async fn answers(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Answer(answer));
        answered.await.is_ok()
    }

    /// Begins to look after the connections of a listener; once for all its sockets.
    pub fn open(&self, listener: &Arc<Listener<A>>) {
        self.order(Order::Sweep(listener.clone()));
    }

    /// Has connections that come to a socket served by a listener.
    pub fn accept(&self, listener: &Arc<Listener<A>>, doorway: Doorway) -> Accepting {
        let (accepting, stop) = watch::channel(Until::Drain);
        self.order(Order::Accept(listener.clone(), doorway.0, stop));
        Accepting(accepting)
    }

    fn order(&self, order: Order<A>) {
        // Without its service the process ends, and no order matters.
        let _ = self.0.send(order);
    }
}

impl Accepting {
    /// Stops, so that another listener goes on with the socket. It returns when nobody accepts any
    /// more.
    pub async fn hand_over(self) {
        self.stop(Until::Now).await;
    }

    /// Stops for good, when those who wait in the socket's queue were let in.
    pub async fn close(self) {
        self.stop(Until::Empty).await;
    }

    async fn stop(self, until: Until) {
        self.0.send_replace(until);
        self.0.closed().await;
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Manager<A> {
    fn follow(&self, order: Order<A>) {
        match order {
            // Whoever asked may have gone.
            Order::Answer(answer) => drop(answer.send(())),
            Order::Sweep(listener) => drop(tokio::spawn(sweep(listener))),
            Order::Accept(listener, socket, stop) => {
                let spawned = match socket {
                    Kind::Tcp(socket) => TcpListener::from_std(socket)
                        .map(|socket| self.spawn(&listener, socket, &stop, self.tasks)),
                    Kind::Unix(socket) => UnixListener::from_std(socket)
                        .map(|socket| self.spawn(&listener, socket, &stop, 1)),
                };
                if let Err(error) = spawned {
                    let name = &*listener.entrance.name;
                    tracing::error!(listener = name, %error, "a bound socket cannot be used");
                }
            }
        }
    }

    fn spawn<L: Accept>(
        &self,
        listener: &Arc<Listener<A>>,
        socket: L,
        stop: &watch::Receiver<Until>,
        tasks: usize,
    ) {
        let socket = Arc::new(socket);
        for _ in 0..tasks {
            tokio::spawn(accept(listener.clone(), socket.clone(), stop.clone()));
        }
    }
}

#[async_trait]
impl<A> ServiceWithDependents for Manager<A>
where
    A: HttpServerApp + Send + Sync + 'static,
{
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _tasks: usize,
        ready: ServiceReadyNotifier,
    ) {
        while let Ok(order) = self.orders.try_recv() {
            self.follow(order);
        }
        ready.notify_ready();
        loop {
            tokio::select! {
                Some(order) = self.orders.recv() => self.follow(order),
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn name(&self) -> &str {
        self.name
    }

    fn threads(&self) -> Option<usize> {
        Some(self.tasks)
    }

    /// Handing sockets over is ours, so the engine must know of none.
    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
