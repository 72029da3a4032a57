//! The local address at which a running mirror answers. Whoever connects gets little: a few connections at a time, one request each, with
//! short headers, within a moment.

pub(crate) mod client;
mod routes;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::exit::Failure;
use crate::live::Live;

/// Listens already, and answers once it serves.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the address, so that one that is taken is told before anything is copied.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Server, Failure> {
        let failed = |error| Failure::runtime(format!("http.listen: cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        info!(%address, "answering HTTP");
        if !address.ip().is_loopback() {
            warn!(%address, "whoever reaches this address can read the names of topics and how far they are: there is no password");
        }
        Ok(Server { listener, address })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self, live: Arc<Live>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // Whoever comes when all slots are taken waits in the listener's queue: each is free again soon.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (live, may_reload) = (Arc::clone(&live), self.address.ip().is_loopback());
                    connections.spawn(async move {
                        let served = tokio::time::timeout(CONNECTION_MAX, answer(stream, live, may_reload));
                        if served.await.is_err() {
                            debug!("an HTTP connection took too long");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn answer(stream: TcpStream, live: Arc<Live>, may_reload: bool) {
    let service = service_fn(|request| {
        let live = Arc::clone(&live);
        async move { Ok::<_, Infallible>(routes::answer(&request, &live, may_reload).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        debug!(%error, "an HTTP connection broke");
    }
}

const CONNECTIONS_MAX: usize = 32;
/// The least that hyper takes.
const HEADER_BYTES_MAX: usize = 8 << 10;
const HEADERS_MAX: Duration = Duration::from_secs(5);
/// A reload connects to clusters before it is answered.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
