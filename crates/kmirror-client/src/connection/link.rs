//! One socket with requests in flight: answers come back in the order of the requests, so a queue of waiters is the
//! whole bookkeeping.
//!
//! One task drives the socket. Whatever goes wrong on it, the link is *poisoned*: the cause is set once, and every waiter
//! and every later caller gets it.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::Encodable;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{RwLock, RwLockWriteGuard, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, unconstrained};
use tokio::time::{Instant, sleep_until};

use super::FrameOwner;
use super::frame::{FrameError, FrameLimit, FrameReader, Progress, RequestFrame, WriteFailure};
use super::state::State;
use super::stream::Stream;
use super::waiter::{Waiter, responder};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::ids::to_wire;
use crate::wire::Api;

/// A socket on which requests are pipelined. Clones share it; it closes with the last clone and [`Pending`], whatever is queued.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

struct Shared {
    address: Arc<str>,
    client_id: String,
    request_timeout: Duration,
    requests: mpsc::Sender<Outgoing>,
    in_flight: Arc<Semaphore>,
    /// Shared by those that send anything, held alone by who authenticates.
    turns: RwLock<()>,
    frame_limit: FrameLimit,
    state: Arc<State>,
    driver: AbortHandle,
}

/// What becomes of the answer to a request.
pub(crate) struct Reply {
    /// How long the broker may take on top of the request timeout, because the request says so.
    pub(crate) patience: Duration,
    /// How large the answer may be expected to be.
    pub(crate) expected_bytes: usize,
    /// Who accounts for the memory of the answer.
    pub(crate) owner: Option<Box<dyn FrameOwner>>,
}

/// The answer to a submitted request, once it is there. Dropping it discards the answer and harms nobody else.
pub(crate) struct Pending<T> {
    answer: oneshot::Receiver<Result<T, ClientError>>,
    /// Keeps the socket open until the answer is there.
    link: Link,
}

struct Outgoing {
    frame: RequestFrame,
    waiter: Waiter,
}

/// Far above what a broker serves at once, far below what would cost memory.
const REQUESTS_IN_FLIGHT_MAX: usize = 64;

impl Link {
    /// Takes over `stream`. Must be called within a tokio runtime.
    pub(crate) fn new(stream: Stream, address: Arc<str>, config: &ClientConfig) -> Self {
        let (requests, outgoing) = mpsc::channel(REQUESTS_IN_FLIGHT_MAX);
        let state = Arc::new(State::new(config));
        let frame_limit = FrameLimit::new(config.frame_bytes_max);
        let driver = Driver {
            address: address.clone(),
            state: state.clone(),
            reader: FrameReader::new(frame_limit.clone()),
            waiters: VecDeque::new(),
        };
        let driver = tokio::spawn(driver.run(stream, outgoing)).abort_handle();
        Self(Arc::new(Shared {
            address,
            client_id: config.client_id.clone(),
            request_timeout: config.request_timeout,
            requests,
            in_flight: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX)),
            turns: RwLock::new(()),
            frame_limit,
            state,
            driver,
        }))
    }

    pub(crate) fn address(&self) -> &Arc<str> {
        &self.0.address
    }

    /// How long the quickest answer took; for ever while there was none.
    pub(crate) fn round_trip(&self) -> Duration {
        let quickest = self.0.state.round_trip.lock().unwrap_or_else(PoisonError::into_inner);
        quickest.unwrap_or(Duration::MAX)
    }

    /// Bytes of requests that the socket has not taken yet.
    pub(crate) fn unwritten_bytes(&self) -> usize {
        self.0.state.unwritten_bytes.load(Ordering::Relaxed)
    }

    /// Waits until a request has been written whole, or no more is written.
    pub(crate) async fn written(&self) {
        let written = self.0.state.written.notified();
        let mut written = std::pin::pin!(written);
        // Before looking: what is written in between must not be missed.
        written.as_mut().enable();
        if self.unwritten_bytes() > 0 && self.poison().is_none() {
            written.await;
        }
    }

    /// Why the link can no longer be used.
    pub(crate) fn poison(&self) -> Option<&ClientError> {
        self.0.state.given_up.get().or_else(|| self.0.state.poison.get())
    }

    /// Sends `request` in `version` and waits for the answer.
    pub(crate) async fn call<A: Api>(&self, request: A, version: i16) -> Result<A::Response, ClientError> {
        let frame = self.encode(&request, version)?;
        self.exchange::<A>(frame, version).await
    }

    /// Sends `frame`, a request of `A` in `version`, and waits for the answer.
    pub(crate) async fn exchange<A: Api>(
        &self,
        frame: RequestFrame,
        version: i16,
    ) -> Result<A::Response, ClientError> {
        let reply = Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
        self.submit::<A>(frame, version, reply).await?.await
    }

    /// `request` as a frame.
    pub(crate) fn encode<A: Api>(&self, request: &A, version: i16) -> Result<RequestFrame, ClientError> {
        let mut framing = self.begin_frame::<A>(version)?;
        request
            .encode(&mut framing, version)
            .map_err(|error| ClientError::invalid_request(A::NAME, error.to_string()))?;
        Ok(RequestFrame::new(framing))
    }

    /// The length, yet unknown, and the header of a request.
    pub(crate) fn begin_frame<A: Api>(&self, version: i16) -> Result<Vec<u8>, ClientError> {
        let mut framing = vec![0; 4];
        RequestHeader::default()
            .with_request_api_key(A::KEY)
            .with_request_api_version(version)
            .with_client_id(Some(to_wire(&self.0.client_id)))
            .encode(&mut framing, A::header_version(version))
            .map_err(|error| ClientError::invalid_request(A::NAME, error.to_string()))?;
        Ok(framing)
    }

    /// Queues `frame`, a request of `A`. Frames reach the socket in the order in which calls of `submit` complete.
    ///
    /// Waits while too many requests are in flight, while the broker throttles this connection, and while somebody has a turn alone.
    pub(crate) async fn submit<A: Api>(
        &self,
        frame: RequestFrame,
        version: i16,
        reply: Reply,
    ) -> Result<Pending<A::Response>, ClientError> {
        // Before anything that whoever has a turn alone needs as well.
        let _turn = self.0.turns.read().await;
        self.submit_in_turn::<A>(frame, version, reply).await
    }

    /// Waits for a turn alone: behind everything that is in flight, and nothing else is sent while it lasts.
    pub(crate) async fn exclusively(&self) -> Turn<'_> {
        Turn { link: self, _alone: self.0.turns.write().await }
    }

    /// Accepts frames of so many bytes from now on.
    pub(crate) fn limit_frames(&self, bytes_max: usize) {
        self.0.frame_limit.set(bytes_max);
    }

    /// Poisons the link and closes the socket.
    pub(crate) fn give_up(&self, cause: ClientError) {
        tracing::debug!(address = %self.0.address, %cause, "connection given up");
        let _cause = self.0.state.given_up.get_or_init(|| cause);
        // Those that wait find the cause when their answers are dropped with the task.
        self.0.driver.abort();
        self.0.state.written.notify_waiters();
    }

    async fn submit_in_turn<A: Api>(
        &self,
        mut frame: RequestFrame,
        version: i16,
        reply: Reply,
    ) -> Result<Pending<A::Response>, ClientError> {
        let length = frame
            .length()
            .ok_or_else(|| ClientError::invalid_request(A::NAME, "the request is larger than 2 GiB"))?;
        if let Some(field) = frame.framing.first_chunk_mut() {
            *field = length.to_be_bytes();
        }
        let permit = self.0.in_flight.clone().acquire_owned().await.map_err(|_| self.cause(A::NAME))?;
        self.0.state.throttle_over().await;
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter {
            correlation_id: 0,
            api: A::NAME,
            timeout: self.0.request_timeout + reply.patience,
            sent_at: Instant::now(),
            length,
            written_at: Arc::default(),
            expected_bytes: reply.expected_bytes,
            owner: reply.owner,
            respond: responder::<A>(self.0.address.clone(), version, sender),
            _permit: permit,
        };
        self.0.state.unwritten_bytes.fetch_add(usize::try_from(length).unwrap_or(0), Ordering::Relaxed);
        let queued = self.0.requests.send(Outgoing { frame, waiter }).await;
        queued.map_err(|_| self.cause(A::NAME))?;
        Ok(Pending { answer, link: self.clone() })
    }

    pub(crate) fn is_throttled(&self) -> bool {
        self.0.state.throttled_until().is_some_and(|until| until > Instant::now())
    }

    pub(crate) async fn unthrottled(&self) {
        self.0.state.throttle_over().await;
    }

    /// The cause of the poison.
    fn cause(&self, api: &'static str) -> ClientError {
        self.poison().cloned().unwrap_or_else(|| self.0.state.closed(&self.0.address, api))
    }
}

/// A turn alone.
pub(crate) struct Turn<'a> {
    link: &'a Link,
    _alone: RwLockWriteGuard<'a, ()>,
}

impl Turn<'_> {
    pub(crate) fn address(&self) -> &Arc<str> {
        self.link.address()
    }

    /// Sends `request` in `version` and waits for the answer.
    pub(crate) async fn call<A: Api>(&self, request: A, version: i16) -> Result<A::Response, ClientError> {
        let frame = self.link.encode(&request, version)?;
        let reply = Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
        self.link.submit_in_turn::<A>(frame, version, reply).await?.await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(answer.unwrap_or_else(|_| Err(self.link.cause("a request"))))
    }
}

/// The task that owns the socket's reading side and the queue of waiters.
struct Driver {
    address: Arc<str>,
    state: Arc<State>,
    reader: FrameReader,
    waiters: VecDeque<Waiter>,
}

impl Driver {
    async fn run(mut self, stream: Stream, mut outgoing: mpsc::Receiver<Outgoing>) {
        let Stream { mut read, mut write } = stream;
        // Holds a waiter from just before its request is written.
        let (announce, mut announced) = mpsc::channel(REQUESTS_IN_FLIGHT_MAX);
        let (address, state) = (self.address.clone(), self.state.clone());
        let cause = tokio::select! {
            biased;
            // Both go on until one fails; where both do, what came from the broker tells more.
            cause = self.read_responses(&mut read, &mut announced) => cause,
            cause = write_requests(&address, &state, &mut write, &mut outgoing, announce) => {
                self.take_in_arrived(&mut read, &mut announced).await.unwrap_or(cause)
            }
        };
        tracing::debug!(%address, %cause, "connection given up");
        let cause = self.state.poison.get_or_init(|| cause).clone();
        self.state.written.notify_waiters();
        outgoing.close();
        for waiter in self.waiters {
            (waiter.respond)(Err(cause.clone()));
        }
        while let Ok(waiter) = announced.try_recv() {
            (waiter.respond)(Err(cause.clone()));
        }
        while let Some(request) = outgoing.recv().await {
            (request.waiter.respond)(Err(cause.clone()));
        }
    }

    /// Delivers what has arrived by now: an answer is one, though nothing more can be asked. An alert of TLS tells why it cannot.
    async fn take_in_arrived(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
        announced: &mut mpsc::Receiver<Waiter>,
    ) -> Option<ClientError> {
        let mut reading = std::pin::pin!(unconstrained(self.read_responses(read, announced)));
        poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Ready(told @ ClientError::Tls { .. }) => Poll::Ready(Some(told)),
            _ => Poll::Ready(None),
        })
        .await
    }

    async fn read_responses(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
        announced: &mut mpsc::Receiver<Waiter>,
    ) -> ClientError {
        let mut heard = Instant::now();
        loop {
            let deadline = self.deadline(heard);
            tokio::select! {
                biased;
                progress = self.reader.advance(read) => {
                    heard = Instant::now();
                    while let Ok(waiter) = announced.try_recv() {
                        self.waiters.push_back(waiter);
                    }
                    let handled = match progress {
                        Ok(progress) => self.handle(progress),
                        Err(error) => Err(self.frame_error(error)),
                    };
                    if let Err(cause) = handled {
                        return cause;
                    }
                }
                Some(waiter) = announced.recv() => {
                    if self.waiters.is_empty() {
                        heard = Instant::now();
                    }
                    self.waiters.push_back(waiter);
                }
                () = sleep_until(deadline.unwrap_or(heard)), if deadline.is_some() => {
                    // It may have moved on while bytes were taken.
                    if self.deadline(heard).is_none_or(|deadline| deadline <= Instant::now()) {
                        return self.timeout();
                    }
                }
            }
        }
    }

    fn handle(&mut self, progress: Progress) -> Result<(), ClientError> {
        match progress {
            Progress::Partial => Ok(()),
            Progress::Length(length) => {
                let address = &self.address;
                let waiter = self.waiters.front_mut().ok_or_else(|| unasked(address))?;
                self.reader.begin_body(length, waiter.expected_bytes, waiter.owner.take());
                Ok(())
            }
            Progress::Frame(frame) => self.deliver(frame),
        }
    }

    fn deliver(&mut self, mut frame: Bytes) -> Result<(), ClientError> {
        let waiter = self.waiters.pop_front().ok_or_else(|| unasked(&self.address))?;
        let correlation_id = frame.try_get_i32().unwrap_or(-1);
        if correlation_id != waiter.correlation_id {
            let problem = format!("correlation id {correlation_id} instead of {}", waiter.correlation_id);
            let cause = ClientError::invalid_response(&self.address, waiter.api, problem);
            (waiter.respond)(Err(cause.clone()));
            return Err(cause);
        }
        self.state.answered_after(waiter.sent_at.elapsed());
        let throttle_time = (waiter.respond)(Ok(frame));
        if !throttle_time.is_zero() {
            tracing::debug!(address = %self.address, ?throttle_time, "throttled by quota");
            self.state.throttle(throttle_time);
        }
        Ok(())
    }

    /// When the broker's silence is too long: it counts from the last byte heard, as requests are served one after the
    /// other, and not while the broker throttles us, nor while it takes the request, unless it takes it by drops.
    fn deadline(&self, heard: Instant) -> Option<Instant> {
        let waiter = self.waiters.front()?;
        let since = self.state.throttled_until().map_or(heard, |until| until.max(heard));
        let taken = waiter.written_at().map_or(since, |at| at.min(waiter.taken_by()).max(since));
        Some(taken + waiter.timeout)
    }

    fn timeout(&self) -> ClientError {
        let (during, waited) =
            self.waiters.front().map_or(("a request", Duration::ZERO), |waiter| (waiter.api, waiter.timeout));
        ClientError::Timeout { address: self.address.clone(), during, waited }
    }

    fn frame_error(&self, error: FrameError) -> ClientError {
        let during = self.waiters.front().map_or("an idle time", |waiter| waiter.api);
        match error {
            // The second is an end without TLS's own goodbye, which brokers leave out.
            FrameError::Io(cause)
                if matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) =>
            {
                self.state.closed(&self.address, during)
            }
            FrameError::Io(cause) => ClientError::of_io(&self.address, during, cause),
            FrameError::Closed => self.state.closed(&self.address, during),
            FrameError::Length(problem) => ClientError::invalid_response(&self.address, during, problem),
        }
    }
}

fn unasked(address: &Arc<str>) -> ClientError {
    ClientError::invalid_response(address, "nothing", "a response that no request asked for")
}

async fn write_requests(
    address: &Arc<str>,
    state: &State,
    write: &mut (impl AsyncWrite + Unpin),
    outgoing: &mut mpsc::Receiver<Outgoing>,
    announce: mpsc::Sender<Waiter>,
) -> ClientError {
    let mut correlation_id = 0i32;
    while let Some(Outgoing { mut frame, mut waiter }) = outgoing.recv().await {
        let api = waiter.api;
        frame.set_correlation_id(correlation_id);
        waiter.correlation_id = correlation_id;
        waiter.sent_at = Instant::now();
        correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        let written_at = waiter.written_at.clone();
        if let Err(refused) = announce.send(waiter).await {
            (refused.0.respond)(Err(state.closed(address, api)));
            return state.closed(address, api);
        }
        let progress = || *written_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        match frame.write_to(write, progress).await {
            Ok(()) => state.wrote(&frame),
            Err(WriteFailure::Io(error)) => return ClientError::of_io(address, api, error),
            Err(WriteFailure::Stale) => return ClientError::Stale { address: address.clone(), during: api },
        }
    }
    state.closed(address, "an idle time")
}
