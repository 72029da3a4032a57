//! How a client comes by its byte streams.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// Makes the byte streams to brokers, in place of the client's own sockets: through a tunnel, or to a cluster in memory.
pub trait Connector: Debug + Send + Sync {
    /// A stream to the broker at `address`, `host:port` as the bootstrap servers or the cluster's metadata name it. The client bounds
    /// the time that this takes, by dropping it.
    ///
    /// # Errors
    /// Why there is none. The client tells them as it tells those of a socket.
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a>;
}

/// A connector is equal to itself alone.
impl PartialEq for dyn Connector {
    fn eq(&self, other: &dyn Connector) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

impl Eq for dyn Connector {}

/// A stream that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send + 'a>>;

/// Both directions of a byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
