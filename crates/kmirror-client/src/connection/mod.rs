//! One connection to one broker: a socket, and the versions that the broker speaks.

mod authenticate;
mod frame;
mod link;
mod negotiate;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod waiter;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::deadline::Deadline;
use crate::error::ClientError;
use crate::fetch::{FetchRequest, FetchResponse};
use crate::identity::ClusterIdentity;
use crate::produce::{ProduceRequest, ProduceResponse, ProduceTopics};
use crate::sasl::Sasl;
use crate::security::Security;
use crate::wire::Api;
use kafka_protocol::messages as m;
use link::{Link, Pending, Reply};
use negotiate::ApiVersions;
use stream::Stream;

pub(crate) use frame::RequestFrame;

/// One socket to one broker, with requests in flight. Clones share it; it closes with the last clone and the last
/// pending answer, and what is queued then is not sent.
///
/// When the socket fails, the broker keeps silent for too long or answers out of order, the connection is poisoned: all
/// that wait on it, and all later calls, get the same error.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    link: Link,
    versions: ApiVersions,
    /// Authenticates again before the session ends.
    renewal: OnceLock<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.renewal.get().inspect(|renewal| renewal.abort());
    }
}

/// Accounts for the memory of one response, and may provide it.
///
/// Lives exactly as long as the response's buffer, which all slices of it share: dropped when the last slice is dropped,
/// or with the request when no response came.
pub trait FrameOwner: Send + Sync + 'static {
    /// Called once the length of the response is known, before its memory is taken.
    fn frame_bytes(&mut self, bytes: usize);

    /// A buffer for `bytes`, whose content does not matter; memory that was written to before costs no page faults. `None`,
    /// or one that is too small: another one is allocated.
    fn buffer(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let _ = bytes;
        None
    }

    /// Takes the response's buffer back, when its last slice is dropped.
    fn give_back(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }
}

/// A fetch in flight. Resolves to the response; dropping it discards the response.
#[must_use = "the response is discarded unless this is awaited"]
pub struct PendingFetch {
    pending: Pending<m::FetchResponse>,
}

/// A produce in flight. Resolves to one result per partition; dropping it discards them, not the appends, unless the connection closes with
/// it.
#[must_use = "the results are discarded unless this is awaited"]
pub struct PendingProduce {
    pending: Pending<m::ProduceResponse>,
    address: Arc<str>,
    topics: ProduceTopics,
}

impl Connection {
    /// Connects to `address`, negotiates versions, says who we are and sees to it that it is the cluster that is meant, within the configuration's
    /// `connect_timeout`.
    pub(crate) async fn open(
        address: Arc<str>,
        config: &ClientConfig,
        identity: &ClusterIdentity,
        security: &Security,
    ) -> Result<Self, ClientError> {
        let opening = async {
            if let Some(sasl) = &security.sasl {
                sasl.admit().await?;
            }
            let stream = Stream::connect(&address, config, security.tls.as_ref()).await?;
            let connection = Self::over(stream, address.clone(), config, security.sasl.as_ref()).await?;
            identity.prove(&connection).await.map_err(|error| expects_sasl(error, security))?;
            Ok(connection)
        };
        let waited = config.connect_timeout;
        timeout(waited, opening).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout { address: address.clone(), during: "connect", waited })
        })
    }

    async fn over(
        stream: Stream,
        address: Arc<str>,
        config: &ClientConfig,
        sasl: Option<&Arc<Sasl>>,
    ) -> Result<Self, ClientError> {
        let link = Link::new(stream, address, config);
        link.limit_frames(config.frame_bytes_max.min(UNKNOWN_FRAME_BYTES_MAX));
        let versions = ApiVersions::ask(&link).await?;
        let lifetime = match sasl {
            Some(sasl) => authenticate::authenticate(sasl, &link, &versions).await?,
            None => None,
        };
        link.limit_frames(config.frame_bytes_max);
        let connection = Self(Arc::new(Inner { link, versions, renewal: OnceLock::new() }));
        if let (Some(sasl), Some(lifetime)) = (sasl, lifetime) {
            let renewing = authenticate::renew(Arc::downgrade(&connection.0), sasl.clone(), lifetime);
            connection.0.renewal.get_or_init(|| tokio::spawn(renewing).abort_handle());
        }
        Ok(connection)
    }

    /// Whether `other` is a clone of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The broker's address, `host:port`.
    pub fn address(&self) -> &str {
        self.0.link.address()
    }

    /// How long it takes there and back: the quickest answer so far. A handshake would tell less, for it may end at a proxy.
    pub fn round_trip(&self) -> Duration {
        self.0.link.round_trip()
    }

    /// Why this connection can no longer be used, if so.
    pub fn poison(&self) -> Option<&ClientError> {
        self.0.link.poison()
    }

    /// The highest version of Fetch that both sides speak, for
    /// [`FetchSession::next_request`](crate::FetchSession::next_request).
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] where there is none.
    pub fn fetch_version(&self) -> Result<i16, ClientError> {
        self.version::<m::FetchRequest>()
    }

    /// Queues a fetch; it is on its way, in the order of submissions, once this returns. `owner` accounts for the memory
    /// of the response.
    ///
    /// # Errors
    /// The cause of the poison, or a request that cannot be encoded.
    pub async fn submit_fetch(
        &self,
        request: FetchRequest,
        owner: Option<Box<dyn FrameOwner>>,
    ) -> Result<PendingFetch, ClientError> {
        let link = &self.0.link;
        let version = request.version;
        let frame = link.encode(&request.body, version)?;
        let reply = Reply { patience: request.max_wait(), expected_bytes: request.expected_bytes(), owner };
        let pending = link.submit::<m::FetchRequest>(frame, version, reply).await?;
        Ok(PendingFetch { pending })
    }

    /// Queues a produce; it is on its way, in the order of submissions, once this returns.
    ///
    /// # Errors
    /// The cause of the poison, or a request that cannot be encoded: the same partition twice, no partition at all.
    pub async fn submit_produce(&self, request: ProduceRequest) -> Result<PendingProduce, ClientError> {
        self.submit_produce_until(request, None).await
    }

    /// The same for a request that is written before its deadline or never: then it fails as [`ClientError::Stale`], and with it the
    /// connection, so that nothing that was queued behind it is written either.
    ///
    /// # Errors
    /// Those of [`submit_produce`](Self::submit_produce).
    pub async fn submit_produce_before(
        &self,
        request: ProduceRequest,
        deadline: Deadline,
    ) -> Result<PendingProduce, ClientError> {
        self.submit_produce_until(request, Some(deadline)).await
    }

    /// Bytes of requests that the socket has not taken yet.
    pub fn unwritten_bytes(&self) -> usize {
        self.0.link.unwritten_bytes()
    }

    /// Whether the broker throttles this connection (KIP-219): a request that is submitted now waits first.
    pub fn is_throttled(&self) -> bool {
        self.0.link.is_throttled()
    }

    /// Waits until the broker throttles this connection no more.
    pub async fn unthrottled(&self) {
        self.0.link.unthrottled().await;
    }

    /// Waits until the socket has taken some of them, or will take none any more.
    pub async fn written(&self) {
        self.0.link.written().await;
    }

    pub(crate) async fn submit_produce_until(
        &self,
        request: ProduceRequest,
        deadline: Option<Deadline>,
    ) -> Result<PendingProduce, ClientError> {
        let link = &self.0.link;
        let version = request.version_up_to(self.version::<m::ProduceRequest>()?);
        let mut frame = RequestFrame::new(link.begin_frame::<m::ProduceRequest>(version)?);
        frame.deadline = deadline;
        let patience = request.timeout;
        let topics = request.encode(version, &mut frame)?;
        let reply = Reply { patience, expected_bytes: 0, owner: None };
        let pending = link.submit::<m::ProduceRequest>(frame, version, reply).await?;
        Ok(PendingProduce { pending, address: link.address().clone(), topics })
    }

    /// Sends `request` in the highest version that both sides speak, before the deadline or never. The broker may take `patience` longer than
    /// over others.
    pub(crate) async fn call_before<A: Api>(
        &self,
        request: A,
        deadline: Deadline,
        patience: Duration,
    ) -> Result<A::Response, ClientError> {
        let version = self.version::<A>()?;
        let mut frame = self.0.link.encode(&request, version)?;
        frame.deadline = Some(deadline);
        let reply = Reply { patience, expected_bytes: 0, owner: None };
        self.0.link.submit::<A>(frame, version, reply).await?.await
    }

    /// Sends `request` in the highest version that both sides speak.
    pub(crate) async fn call<A: Api>(&self, request: A) -> Result<A::Response, ClientError> {
        let version = self.version::<A>()?;
        self.0.link.call(request, version).await
    }

    /// Sends `request` in `version`, which both sides must speak.
    pub(crate) async fn call_version<A: Api>(
        &self,
        request: A,
        version: i16,
    ) -> Result<A::Response, ClientError> {
        self.0.link.call(request, version).await
    }

    /// The highest version of `A` that both sides speak.
    pub(crate) fn version<A: Api>(&self) -> Result<i16, ClientError> {
        self.0.versions.version::<A>(self.0.link.address())
    }

    pub(crate) fn shared_address(&self) -> &Arc<str> {
        self.0.link.address()
    }
}

/// A broker that nobody has introduced himself to closes the connection at the first real request.
fn expects_sasl(error: ClientError, security: &Security) -> ClientError {
    match error {
        ClientError::Closed { address, during, hint: "" } if security.sasl.is_none() => {
            ClientError::Closed { address, during, hint: ": does this listener expect SASL?" }
        }
        error => error,
    }
}

/// The largest frame of a broker before it has proved to be one.
const UNKNOWN_FRAME_BYTES_MAX: usize = 64 << 10;

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address())
            .field("poison", &self.poison())
            .finish()
    }
}

impl Future for PendingFetch {
    type Output = Result<FetchResponse, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.pending).poll(context));
        Poll::Ready(answer.map(|body| FetchResponse { body }))
    }
}

impl Future for PendingProduce {
    type Output = Result<ProduceResponse, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.pending).poll(context));
        Poll::Ready(answer.and_then(|body| self.topics.response(body, &self.address)))
    }
}
