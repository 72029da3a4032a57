//! Frames on a byte stream: a length of four bytes, then that many bytes.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep};

use super::FrameOwner;
use crate::deadline::{Deadline, Moment};

/// A request as it goes out: `framing` with each payload inserted before the byte of `framing` that its position names.
///
/// Payloads are never copied: framing and payloads go to the socket in one vectored write.
pub(crate) struct RequestFrame {
    /// The length, the header and everything else that is not a payload.
    pub(crate) framing: Vec<u8>,
    /// In ascending order of positions in `framing`.
    pub(crate) payloads: Vec<(usize, Bytes)>,
    /// Until when it may be written.
    pub(crate) deadline: Option<Deadline>,
}

/// Why a frame was not written.
pub(super) enum WriteFailure {
    Io(io::Error),
    /// Its deadline is over, or the process stood still while it was being written.
    Stale,
}

impl From<io::Error> for WriteFailure {
    fn from(error: io::Error) -> WriteFailure {
        WriteFailure::Io(error)
    }
}

/// Where the correlation id lies in `RequestFrame::framing`: behind the length, the API key and the version.
const CORRELATION_ID: std::ops::Range<usize> = 8..12;

/// The kernel takes up to 1024 at once; more than these gain nothing.
const IO_SLICES_MAX: usize = 64;

impl RequestFrame {
    /// A frame without payloads, which may be written whenever that is.
    pub(crate) fn new(framing: Vec<u8>) -> RequestFrame {
        RequestFrame { framing, payloads: Vec::new(), deadline: None }
    }

    /// The bytes on the wire, without the length itself; `None` beyond what a length can say.
    pub(crate) fn length(&self) -> Option<i32> {
        let payloads: usize = self.payloads.iter().map(|(_, payload)| payload.len()).sum();
        i32::try_from(self.framing.len().checked_add(payloads)?.checked_sub(4)?).ok()
    }

    pub(super) fn set_correlation_id(&mut self, correlation_id: i32) {
        if let Some(field) = self.framing.get_mut(CORRELATION_ID) {
            field.copy_from_slice(&correlation_id.to_be_bytes());
        }
    }

    /// Writes all of it. Where there is a deadline nothing is written once it is over, and the rest is not written either if the
    /// process stood still in between: a broker executes a request when its last byte arrives. `progress` is called whenever some of it
    /// was taken.
    pub(super) async fn write_to(
        &self,
        write: &mut (impl AsyncWrite + Unpin),
        progress: impl Fn(),
    ) -> Result<(), WriteFailure> {
        let mut watch = match &self.deadline {
            None => None,
            Some(deadline) if deadline.is_over(Moment::now()) => return Err(WriteFailure::Stale),
            Some(_) => Some(StandstillWatch::begin()),
        };
        let mut pieces = self.pieces();
        let mut slices: Vec<&[u8]> = Vec::with_capacity(IO_SLICES_MAX);
        loop {
            slices.extend(pieces.by_ref().take(IO_SLICES_MAX - slices.len()));
            if slices.is_empty() {
                // TLS keeps some of it back until here.
                return match &mut watch {
                    None => Ok(write.flush().await?),
                    Some(watch) => watch.flush(write).await,
                };
            }
            let written = {
                let mut window = [IoSlice::new(&[]); IO_SLICES_MAX];
                for (slot, slice) in window.iter_mut().zip(&slices) {
                    *slot = IoSlice::new(slice);
                }
                let window = window.get(..slices.len()).unwrap_or_default();
                match &mut watch {
                    None => write.write_vectored(window).await?,
                    Some(watch) => watch.write(write, window).await?,
                }
            };
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            progress();
            advance(&mut slices, written);
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        let between = self.payloads.iter().flat_map(move |(position, payload)| {
            let framing = self.framing.get(start..*position).unwrap_or_default();
            start = *position;
            [framing, payload.as_ref()]
        });
        let tail = self.payloads.last().map_or(0, |(position, _)| *position);
        let tail = self.framing.get(tail..).unwrap_or_default();
        between.chain(std::iter::once(tail)).filter(|piece| !piece.is_empty())
    }
}

/// Notices that the process stood still while it waited for a socket to take bytes: it looks at the clocks each time that it is
/// polled, and makes sure that this is often.
struct StandstillWatch {
    polled_at: Moment,
    tick: Pin<Box<Sleep>>,
}

impl StandstillWatch {
    fn begin() -> StandstillWatch {
        StandstillWatch { polled_at: Moment::now(), tick: Box::pin(sleep(TICK)) }
    }

    async fn write(
        &mut self,
        write: &mut (impl AsyncWrite + Unpin),
        window: &[IoSlice<'_>],
    ) -> Result<usize, WriteFailure> {
        self.watch(|context| Pin::new(&mut *write).poll_write_vectored(context, window)).await
    }

    async fn flush(&mut self, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), WriteFailure> {
        self.watch(|context| Pin::new(&mut *write).poll_flush(context)).await
    }

    async fn watch<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Result<T, WriteFailure> {
        poll_fn(|context| {
            let now = Moment::now();
            if now.since(self.polled_at) > STANDSTILL_MAX {
                return Poll::Ready(Err(WriteFailure::Stale));
            }
            self.polled_at = now;
            if let Poll::Ready(done) = poll(context) {
                return Poll::Ready(done.map_err(WriteFailure::Io));
            }
            while self.tick.as_mut().poll(context).is_ready() {
                self.tick.as_mut().reset(Instant::now() + TICK);
            }
            Poll::Pending
        })
        .await
    }
}

/// How often a write that waits looks at the clocks.
const TICK: Duration = Duration::from_millis(500);
/// Longer than a busy machine leaves a task alone, shorter than what another instance needs to go on in this one's place.
const STANDSTILL_MAX: Duration = Duration::from_secs(3);

/// Drops the first `count` bytes.
fn advance(slices: &mut Vec<&[u8]>, mut count: usize) {
    let mut whole = 0;
    for slice in slices.iter_mut() {
        if count < slice.len() {
            slice.advance(count);
            break;
        }
        count -= slice.len();
        whole += 1;
    }
    slices.drain(..whole);
}

/// The largest frame that is accepted. Clones share it.
#[derive(Clone)]
pub(super) struct FrameLimit(Arc<AtomicUsize>);

impl FrameLimit {
    pub(super) fn new(bytes_max: usize) -> FrameLimit {
        FrameLimit(Arc::new(AtomicUsize::new(bytes_max)))
    }

    pub(super) fn set(&self, bytes_max: usize) {
        self.0.store(bytes_max, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads frames, one buffer each. Cancel-safe: [`advance`](Self::advance) loses nothing when it is dropped.
pub(super) struct FrameReader {
    limit: FrameLimit,
    length: [u8; 4],
    length_bytes: usize,
    body: Option<Body>,
}

struct Body {
    buffer: Vec<u8>,
    remaining: usize,
    owner: Option<Box<dyn FrameOwner>>,
}

/// What one read brought.
pub(super) enum Progress {
    /// The length of the next response is known; [`FrameReader::begin_body`] must be called.
    Length(usize),
    /// More bytes are needed.
    Partial,
    /// A whole response, without its length.
    Frame(Bytes),
}

/// Why the next frame cannot be read.
pub(super) enum FrameError {
    Io(io::Error),
    /// The peer closed; whether between two frames.
    Closed,
    Length(String),
}

/// How much is reserved on the word of a length alone; what lies beyond grows with the bytes that arrive.
pub(super) const RESERVED_BYTES_MAX: usize = 1 << 20;

impl FrameReader {
    pub(super) fn new(limit: FrameLimit) -> Self {
        Self { limit, length: [0; 4], length_bytes: 0, body: None }
    }

    /// Makes one read from `read`.
    pub(super) async fn advance(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
    ) -> Result<Progress, FrameError> {
        match &mut self.body {
            None => self.advance_length(read).await,
            Some(body) => {
                body.read_some(read).await?;
                if body.remaining > 0 {
                    return Ok(Progress::Partial);
                }
                self.length_bytes = 0;
                Ok(self.body.take().map_or(Progress::Partial, |body| Progress::Frame(body.freeze())))
            }
        }
    }

    /// Prepares for a body of `length` bytes, of which `expected_bytes` are no surprise. `owner` lives as long as the
    /// frame's buffer.
    pub(super) fn begin_body(
        &mut self,
        length: usize,
        expected_bytes: usize,
        mut owner: Option<Box<dyn FrameOwner>>,
    ) {
        let provided = owner.as_mut().and_then(|owner| {
            owner.frame_bytes(length);
            owner.buffer(length)
        });
        let buffer = match provided {
            Some(mut buffer) if buffer.capacity() >= length => {
                buffer.clear();
                buffer
            }
            _ => Vec::with_capacity(length.min(expected_bytes.max(RESERVED_BYTES_MAX))),
        };
        self.body = Some(Body { buffer, remaining: length, owner });
    }

    async fn advance_length(&mut self, read: &mut (impl AsyncRead + Unpin)) -> Result<Progress, FrameError> {
        let missing = self.length.get_mut(self.length_bytes..).unwrap_or_default();
        match read.read(missing).await.map_err(FrameError::Io)? {
            0 => return Err(FrameError::Closed),
            count => self.length_bytes += count,
        }
        if self.length_bytes < self.length.len() {
            return Ok(Progress::Partial);
        }
        self.checked_length().map(Progress::Length).map_err(FrameError::Length)
    }

    fn checked_length(&self) -> Result<usize, String> {
        let length = i32::from_be_bytes(self.length);
        let foreign = match self.length {
            // Content type 21 (alert), then the major version, which is 3 from SSL 3.0 to TLS 1.3.
            [0x15, 0x03, ..] => ": that is a TLS alert, does this listener expect TLS?",
            [b'H', b'T', b'T', b'P'] => ": that is HTTP, not Kafka",
            _ => "",
        };
        let frame_bytes_max = self.limit.get();
        match usize::try_from(length) {
            Err(_) => Err(format!("a frame of {length} bytes{foreign}")),
            Ok(length) if length > frame_bytes_max => {
                Err(format!("a frame of {length} bytes, over the limit of {frame_bytes_max} bytes{foreign}"))
            }
            // Even the shortest response has a correlation id.
            Ok(length) if length < 4 => Err(format!("a frame of {length} bytes{foreign}")),
            Ok(length) => Ok(length),
        }
    }
}

impl Body {
    async fn read_some(&mut self, read: &mut (impl AsyncRead + Unpin)) -> Result<(), FrameError> {
        if self.buffer.len() == self.buffer.capacity() {
            let grown = self.buffer.len().max(RESERVED_BYTES_MAX);
            self.buffer.reserve_exact(self.remaining.min(grown));
        }
        let limit = u64::try_from(self.remaining).unwrap_or(u64::MAX);
        match read.take(limit).read_buf(&mut self.buffer).await.map_err(FrameError::Io)? {
            0 => Err(FrameError::Closed),
            count => {
                self.remaining = self.remaining.saturating_sub(count);
                Ok(())
            }
        }
    }

    fn freeze(self) -> Bytes {
        match self.owner {
            None => self.buffer.into(),
            Some(owner) => Bytes::from_owner(OwnedFrame { buffer: self.buffer, owner }),
        }
    }
}

struct OwnedFrame {
    buffer: Vec<u8>,
    owner: Box<dyn FrameOwner>,
}

impl Drop for OwnedFrame {
    fn drop(&mut self) {
        self.owner.give_back(std::mem::take(&mut self.buffer));
    }
}

impl AsRef<[u8]> for OwnedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length is only a claim: until bytes arrive it costs no more than a megabyte.
    #[tokio::test]
    async fn a_hostile_length_costs_no_memory() {
        let length = 100 << 20;
        let mut reader = FrameReader::new(FrameLimit::new(length));
        reader.begin_body(length, 0, None);
        assert!(reader.body.as_ref().unwrap().buffer.capacity() <= 2 * RESERVED_BYTES_MAX);
    }

    /// A broker executes a request when its last byte arrives: what is left of one is not written by a process that has slept.
    #[tokio::test]
    async fn the_rest_of_a_frame_is_not_written_after_a_standstill() {
        let (mut ours, _theirs) = tokio::io::duplex(64);
        let mut watch = StandstillWatch::begin();
        assert!(matches!(watch.write(&mut ours, &[IoSlice::new(b"begun")]).await, Ok(5)));
        watch.polled_at = Moment::at(Duration::ZERO, Duration::ZERO);
        let written = watch.write(&mut ours, &[IoSlice::new(b"rest")]).await;
        assert!(matches!(written, Err(WriteFailure::Stale)));
        watch.polled_at = Moment::at(Duration::ZERO, Duration::ZERO);
        assert!(matches!(watch.flush(&mut ours).await, Err(WriteFailure::Stale)));
    }

    /// What TLS has taken is not on its way yet.
    struct Withheld;

    impl AsyncWrite for Withheld {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_withheld_is_not_written_after_a_standstill_either() {
        let _world = crate::simulated::enter(1);
        let mut frame = RequestFrame::new(vec![0; 16]);
        frame.deadline = Some(Deadline::new(Moment::now(), Duration::from_secs(3_600)));
        let mut write = Withheld;
        let writing = tokio::time::timeout(Duration::from_secs(60), frame.write_to(&mut write, || {}));
        let standing_still = tokio::time::advance(STANDSTILL_MAX + TICK);
        let (written, ()) = tokio::join!(writing, standing_still);
        assert!(matches!(written, Ok(Err(WriteFailure::Stale))));
    }

    /// An expected length is reserved exactly, an unexpected one grows; both arrive whole, in one piece.
    #[tokio::test]
    async fn frames_of_any_size_arrive() {
        for (length, expected) in [(4, 0), (RESERVED_BYTES_MAX, 0), (5 << 20, 0), (5 << 20, 6 << 20)] {
            let sent: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let stream = [&(length as u32).to_be_bytes()[..], &sent].concat();
            let mut read = stream.as_slice();
            let mut reader = FrameReader::new(FrameLimit::new(length));
            let frame = loop {
                match reader.advance(&mut read).await {
                    Ok(Progress::Length(length)) => reader.begin_body(length, expected, None),
                    Ok(Progress::Partial) => {}
                    Ok(Progress::Frame(frame)) => break frame,
                    Err(_) => panic!("lost at {}", read.len()),
                }
            };
            assert!(frame == sent, "{length} {expected}");
        }
    }
}
