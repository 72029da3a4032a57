//! The byte stream under a connection: the one place that knows how it came about.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::tls::Tls;

/// Both directions of a byte stream to a broker.
pub(crate) struct Stream {
    pub(super) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Stream {
    /// Connects to `host:port`, as the configuration says, and encrypts what goes through where there is `tls`.
    pub(crate) async fn connect(
        address: &Arc<str>,
        config: &ClientConfig,
        tls: Option<&Tls>,
    ) -> Result<Self, ClientError> {
        let failed = |error| ClientError::network(address, "connect", error);
        let Some(connector) = &config.connector else {
            let stream = connect_any(address, config).await.map_err(failed)?;
            return match tls {
                Some(tls) => Ok(Self::over(split(tls.connect(address, stream).await?))),
                None => Ok(Self::over(stream.into_split())),
            };
        };
        let stream = connector.connect(address).await.map_err(failed)?;
        match tls {
            // One task has both halves, so they never wait for each other.
            Some(tls) => Ok(Self::over(split(tls.connect(address, stream).await?))),
            None => Ok(Self::over(split(stream))),
        }
    }

    /// A stream over two halves.
    pub(crate) fn over(
        (read, write): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
    ) -> Self {
        Self { read: Box::new(read), write: Box::new(write) }
    }
}

/// Tries every address that the name stands for.
async fn connect_any(address: &str, config: &ClientConfig) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for resolved in lookup_host(address).await? {
        match connect_tcp(resolved, config).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_tcp(address: SocketAddr, config: &ClientConfig) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Before connecting: the window scale of the connection is negotiated from the receive buffer.
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    if let Some(bytes) = config.receive_buffer_bytes {
        socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    // An idle connection whose broker vanished without a word is noticed, and firewalls see it in use.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
