//! A scripted broker on the other end of a duplex pipe.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kafka_protocol::messages::{ApiVersionsRequest, DeleteRecordsRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::time::{Instant, sleep};

use super::*;
use crate::deadline::{Deadline, Moment};
use crate::error_codes::Retry;
use bytes::Bytes;

struct Peer(DuplexStream);

/// What a peer reads of a request.
struct Asked {
    api_key: i16,
    version: i16,
    correlation_id: i32,
}

fn config() -> ClientConfig {
    ClientConfig::new("test", ["broker:9092"])
}

fn linked(pipe_bytes: usize, config: &ClientConfig) -> (Link, Peer) {
    let (ours, theirs) = duplex(pipe_bytes);
    (Link::new(Stream::over(split(ours)), "broker:9092".into(), config), Peer(theirs))
}

fn link() -> (Link, Peer) {
    linked(1 << 20, &config())
}

impl Peer {
    async fn asked(&mut self) -> Asked {
        let frame = self.frame().await;
        Asked {
            api_key: i16::from_be_bytes([frame[0], frame[1]]),
            version: i16::from_be_bytes([frame[2], frame[3]]),
            correlation_id: i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]),
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        let length = self.0.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        self.0.read_exact(&mut frame).await.unwrap();
        frame
    }

    async fn answer(&mut self, correlation_id: i32, body: &[u8]) {
        self.0.write_all(&(4 + body.len() as u32).to_be_bytes()).await.unwrap();
        self.0.write_all(&correlation_id.to_be_bytes()).await.unwrap();
        self.0.write_all(body).await.unwrap();
    }

    /// Answers the next request, one of DeleteRecords version 1, with a throttle time.
    async fn answer_next(&mut self, throttle_time_ms: i32) {
        let asked = self.asked().await;
        self.answer(asked.correlation_id, &empty_response(throttle_time_ms)).await;
    }
}

fn empty_response(throttle_time_ms: i32) -> Vec<u8> {
    [throttle_time_ms.to_be_bytes(), 0i32.to_be_bytes()].concat()
}

type Response = kafka_protocol::messages::DeleteRecordsResponse;

async fn submit(link: &Link) -> Result<Pending<Response>, ClientError> {
    submit_owned(link, None).await
}

async fn submit_owned(
    link: &Link,
    owner: Option<Box<dyn FrameOwner>>,
) -> Result<Pending<Response>, ClientError> {
    let frame = link.encode(&DeleteRecordsRequest::default(), 1)?;
    let reply = Reply { patience: Duration::ZERO, expected_bytes: 0, owner };
    link.submit::<DeleteRecordsRequest>(frame, 1, reply).await
}

async fn call(link: &Link) -> Result<Response, ClientError> {
    link.call(DeleteRecordsRequest::default(), 1).await
}

#[tokio::test]
async fn answers_find_their_waiters_in_whatever_order_these_look() {
    let (link, mut peer) = link();
    let (one, two, three) =
        (submit(&link).await.unwrap(), submit(&link).await.unwrap(), submit(&link).await.unwrap());
    for throttle_time_ms in [-1, -2, -3] {
        peer.answer_next(throttle_time_ms).await;
    }
    assert_eq!(three.await.unwrap().throttle_time_ms, -3);
    assert_eq!(one.await.unwrap().throttle_time_ms, -1);
    assert_eq!(two.await.unwrap().throttle_time_ms, -2);
}

#[tokio::test]
async fn a_hang_up_in_the_middle_of_a_frame_is_one_cause_for_all() {
    let (link, mut peer) = link();
    let (one, two) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    peer.asked().await;
    peer.0.write_all(&[0, 0, 0, 99, 1, 2, 3]).await.unwrap();
    drop(peer);
    let cause = one.await.unwrap_err();
    assert_eq!(cause.to_string(), "broker:9092: connection closed during DeleteRecords");
    assert_eq!(cause.retry(), Retry::Reconnect);
    assert_eq!(two.await.unwrap_err().to_string(), cause.to_string());
    assert_eq!(call(&link).await.unwrap_err().to_string(), cause.to_string());
    assert_eq!(link.poison().unwrap().to_string(), cause.to_string());
}

/// Whoever has let go of a connection and of all its answers does not know what was executed, and looks before it asks again: nothing is owed to
/// what is queued. It could not be sent for sure either: the queue would be kept for a broker that takes nothing, for as long as nobody knows, and
/// a socket that closes with answers unread takes back what the broker has not read. And whoever gives a connection up because of what is
/// queued wants it closed at once.
#[tokio::test]
async fn what_is_queued_ends_with_the_last_clone() {
    let frame_bytes = {
        let (link, mut peer) = link();
        let _pending = submit(&link).await.unwrap();
        4 + peer.frame().await.len()
    };
    let (link, mut peer) = linked(frame_bytes / 2, &config());
    let (first, last) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    // The first one is being written.
    let mut written = vec![peer.0.read_u8().await.unwrap()];
    drop((link, first));
    assert!(
        tokio::time::timeout(Duration::from_millis(10), last).await.is_err(),
        "a pending answer keeps it open"
    );
    peer.0.read_to_end(&mut written).await.unwrap();
    assert!(written.len() < 2 * frame_bytes, "{} of {frame_bytes} bytes each", written.len());
}

#[tokio::test]
async fn lengths_that_cannot_be_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (&[0xff, 0xff, 0xff, 0xff], "a frame of -1 bytes"),
        (&[0, 0, 0, 3], "a frame of 3 bytes"),
        (&[0x06, 0x40, 0, 1], "a frame of 104857601 bytes, over the limit of 104857600 bytes"),
        (
            &[0x15, 0x03, 0x03, 0, 2, 2, 80],
            "a frame of 352518912 bytes, over the limit of 104857600 bytes: that is a TLS alert, does this listener expect TLS?",
        ),
        (
            b"HTTP/1.1 400 Bad Request",
            "a frame of 1213486160 bytes, over the limit of 104857600 bytes: that is HTTP, not Kafka",
        ),
    ];
    for (bytes, problem) in cases {
        let (link, mut peer) = link();
        let pending = submit(&link).await.unwrap();
        peer.asked().await;
        peer.0.write_all(bytes).await.unwrap();
        let error = pending.await.unwrap_err();
        assert_eq!(error.to_string(), format!("broker:9092: invalid response to DeleteRecords: {problem}"));
        assert!(link.poison().is_some());
    }
}

#[tokio::test]
async fn an_answer_to_another_request_poisons() {
    let (link, mut peer) = link();
    let (one, two) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    peer.asked().await;
    peer.answer(77, &empty_response(0)).await;
    let cause = one.await.unwrap_err();
    assert_eq!(
        cause.to_string(),
        "broker:9092: invalid response to DeleteRecords: correlation id 77 instead of 0"
    );
    assert_eq!(two.await.unwrap_err().to_string(), cause.to_string());
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_poisons() {
    let (link, mut peer) = link();
    peer.answer(0, &empty_response(0)).await;
    while link.poison().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(call(&link).await.unwrap_err().to_string().contains("no request asked for"));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_fails_one_request() {
    let (link, mut peer) = link();
    let (one, two) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    let asked = peer.asked().await;
    peer.answer(asked.correlation_id, &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]).await;
    peer.answer_next(0).await;
    assert!(matches!(one.await.unwrap_err(), ClientError::InvalidResponse { .. }));
    assert!(two.await.is_ok());
    assert!(link.poison().is_none());
}

#[tokio::test]
async fn nobody_misses_the_answer_of_a_waiter_that_left() {
    let (link, mut peer) = link();
    drop(submit(&link).await.unwrap());
    let two = submit(&link).await.unwrap();
    peer.answer_next(-1).await;
    peer.answer_next(-2).await;
    assert_eq!(two.await.unwrap().throttle_time_ms, -2);
}

#[tokio::test(start_paused = true)]
async fn silence_is_too_long_after_the_request_timeout() {
    let (link, _peer) = link();
    let begin = Instant::now();
    let (one, two) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    let cause = one.await.unwrap_err();
    assert_eq!(cause.to_string(), "broker:9092: no answer to DeleteRecords within 30s");
    assert_eq!(two.await.unwrap_err().to_string(), cause.to_string());
    assert_eq!(begin.elapsed().as_secs(), 30);
}

/// A broker answers one request after the other: a long queue is not silence, nor is a large answer over a slow line.
#[tokio::test(start_paused = true)]
async fn slow_progress_is_not_silence() {
    let (link, mut peer) = link();
    let (one, two) = (submit(&link).await.unwrap(), submit(&link).await.unwrap());
    sleep(Duration::from_secs(25)).await;
    peer.answer_next(0).await;
    let asked = peer.asked().await;
    let answer = [&12u32.to_be_bytes()[..], &asked.correlation_id.to_be_bytes(), &empty_response(0)].concat();
    for byte in answer {
        sleep(Duration::from_secs(25)).await;
        peer.0.write_all(&[byte]).await.unwrap();
    }
    assert!(one.await.is_ok());
    assert!(two.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn idle_time_is_not_silence() {
    let (link, mut peer) = link();
    sleep(Duration::from_secs(3_600)).await;
    let pending = submit(&link).await.unwrap();
    sleep(Duration::from_secs(29)).await;
    peer.answer_next(0).await;
    assert!(pending.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_connection_sends_nothing_new() {
    let (link, mut peer) = link();
    let one = submit(&link).await.unwrap();
    peer.answer_next(5_000).await;
    one.await.unwrap();
    let begin = Instant::now();
    let two = submit(&link).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 5, "held back, not queued");
    peer.answer_next(0).await;
    assert!(two.await.is_ok());
}

/// The throttle counts also when its waiter left, and time that the broker takes for it is no time-out.
#[tokio::test(start_paused = true)]
async fn throttle_time_does_not_count_as_silence() {
    let (link, mut peer) = link();
    drop(submit(&link).await.unwrap());
    let two = submit(&link).await.unwrap();
    peer.answer_next(60_000).await;
    sleep(Duration::from_secs(80)).await;
    peer.answer_next(0).await;
    assert!(two.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_bounded() {
    let (link, mut peer) = link();
    let mut pending = Vec::new();
    for _ in 0..64 {
        pending.push(submit(&link).await.unwrap());
    }
    let one_more = tokio::time::timeout(Duration::from_secs(1), submit(&link)).await;
    assert!(one_more.is_err(), "waits");
    peer.answer_next(0).await;
    assert!(submit(&link).await.is_ok());
}

#[tokio::test]
async fn the_socket_closes_with_the_last_handle() {
    let (link, mut peer) = link();
    let pending = submit(&link).await.unwrap();
    drop(link);
    peer.answer_next(0).await;
    assert!(pending.await.is_ok(), "a pending answer is a handle");
    assert_eq!(peer.0.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_quickest_answer_tells_how_far_the_broker_is() {
    let (link, mut peer) = link();
    assert_eq!(link.round_trip(), Duration::MAX);
    for (milliseconds, quickest) in [(80, 80), (30, 30), (500, 30)] {
        let pending = submit(&link).await.unwrap();
        let asked = peer.asked().await;
        sleep(Duration::from_millis(milliseconds)).await;
        peer.answer(asked.correlation_id, &empty_response(0)).await;
        pending.await.unwrap();
        assert_eq!(link.round_trip().as_millis(), quickest);
    }
}

/// An owner's memory is read into, unless it is too small, and comes back with the last slice.
#[tokio::test]
async fn a_buffer_of_the_owner_is_used_and_given_back() {
    for (capacity, is_used) in [(4, false), (12, true), (100, true)] {
        let (link, mut peer) = link();
        let lent = Lent { buffer: Some(vec![7; capacity]), returned: Arc::default() };
        let address = lent.buffer.as_ref().map(|buffer| buffer.as_ptr().addr());
        let returned = lent.returned.clone();
        let pending = submit_owned(&link, Some(Box::new(lent))).await.unwrap();
        peer.answer_next(0).await;
        pending.await.unwrap();
        let returned = returned.lock().unwrap().take().expect("given back");
        assert_eq!(Some(returned.as_ptr().addr()) == address, is_used, "{capacity}");
        assert_eq!(returned[4..], empty_response(0), "overwritten, whatever it held");
    }
}

struct Lent {
    buffer: Option<Vec<u8>>,
    returned: Arc<Mutex<Option<Vec<u8>>>>,
}

impl FrameOwner for Lent {
    fn frame_bytes(&mut self, bytes: usize) {
        assert_eq!(bytes, 12);
    }

    fn buffer(&mut self, _: usize) -> Option<Vec<u8>> {
        self.buffer.take()
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        *self.returned.lock().unwrap() = Some(buffer);
    }
}

#[derive(Clone, Default)]
struct Watched {
    bytes: Arc<AtomicUsize>,
    dropped: Arc<AtomicBool>,
}

impl FrameOwner for Watched {
    fn frame_bytes(&mut self, bytes: usize) {
        self.bytes.store(bytes, Ordering::SeqCst);
    }
}

struct OnDrop(Watched);

impl FrameOwner for OnDrop {
    fn frame_bytes(&mut self, bytes: usize) {
        self.0.frame_bytes(bytes);
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_owner_lives_as_long_as_the_last_slice_of_its_frame() {
    let (link, mut peer) = link();
    let watched = Watched::default();
    let pending = submit_owned(&link, Some(Box::new(OnDrop(watched.clone())))).await.unwrap();
    let asked = peer.asked().await;
    // One topic with the name "abc", which stays a slice of the frame.
    let body = [&0i32.to_be_bytes()[..], &1i32.to_be_bytes(), &[0, 3], b"abc", &0i32.to_be_bytes()].concat();
    peer.answer(asked.correlation_id, &body).await;
    let mut response = pending.await.unwrap();
    assert_eq!(watched.bytes.load(Ordering::SeqCst), 4 + body.len());
    let name: Bytes = response.topics.remove(0).name.0.into();
    drop(response.topics);
    assert!(!watched.dropped.load(Ordering::SeqCst));
    assert_eq!(name, "abc");
    drop(name);
    assert!(watched.dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_owner_does_not_outlive_a_lost_connection() {
    let (link, peer) = link();
    let watched = Watched::default();
    let pending = submit_owned(&link, Some(Box::new(OnDrop(watched.clone())))).await.unwrap();
    drop(peer);
    assert!(pending.await.is_err());
    while !watched.dropped.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}

/// More payloads than fit one vectored write, through a pipe that takes a few bytes at a time.
#[tokio::test]
async fn partial_writes_lose_nothing() {
    for pipe_bytes in [1, 7, 1_000, 1 << 20] {
        let (link, mut peer) = linked(pipe_bytes, &config());
        let mut frame = RequestFrame::new(link.begin_frame::<m::ProduceRequest>(9).unwrap());
        let mut expected = frame.framing[4..].to_vec();
        for index in 0..200u8 {
            let payload = Bytes::from(vec![index; usize::from(index) % 13]);
            frame.payloads.push((frame.framing.len(), payload.clone()));
            frame.framing.extend_from_slice(&[index; 3]);
            expected.extend_from_slice(&payload);
            expected.extend_from_slice(&[index; 3]);
        }
        let reply = Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
        let _pending = link.submit::<m::ProduceRequest>(frame, 9, reply).await.unwrap();
        assert_eq!(peer.frame().await, expected, "{pipe_bytes}");
    }
}

fn due_until(age: Duration, link: &Link) -> RequestFrame {
    let mut frame = link.encode(&DeleteRecordsRequest::default(), 1).unwrap();
    frame.deadline = Some(Deadline::new(Moment::now(), age));
    frame
}

/// What is behind a request that comes too late would arrive without it.
#[tokio::test]
async fn what_is_too_late_is_not_written_and_nothing_behind_it() {
    let (link, mut peer) = link();
    let reply = || Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
    let in_time = due_until(Duration::from_secs(3_600), &link);
    let in_time = link.submit::<DeleteRecordsRequest>(in_time, 1, reply()).await.unwrap();
    peer.answer_next(0).await;
    in_time.await.unwrap();
    let too_late = due_until(Duration::ZERO, &link);
    let too_late = link.submit::<DeleteRecordsRequest>(too_late, 1, reply()).await.unwrap();
    let behind = submit(&link).await;
    let error = too_late.await.unwrap_err();
    assert!(matches!(error, ClientError::Stale { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Reconnect);
    if let Ok(behind) = behind {
        behind.await.unwrap_err();
    }
    assert!(link.poison().is_some());
    assert_eq!(peer.0.read(&mut [0; 64]).await.unwrap(), 0, "not a byte");
}

/// A request waits for one before it that the socket does not take: when its turn comes it is too late.
#[tokio::test]
async fn the_deadline_counts_when_the_bytes_are_written() {
    let (link, mut peer) = linked(8, &config());
    let reply = || Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
    let first = submit(&link).await.unwrap();
    let waiting = due_until(Duration::from_millis(50), &link);
    let waiting = link.submit::<DeleteRecordsRequest>(waiting, 1, reply()).await.unwrap();
    assert!(link.unwritten_bytes() > 0);
    sleep(Duration::from_millis(100)).await;
    peer.asked().await;
    assert!(matches!(waiting.await.unwrap_err(), ClientError::Stale { .. }));
    first.await.unwrap_err();
}

#[tokio::test]
async fn what_the_socket_has_not_taken_is_known() {
    let (link, mut peer) = linked(8, &config());
    let pending = submit(&link).await.unwrap();
    let written = tokio::spawn({
        let link = link.clone();
        async move { link.written().await }
    });
    peer.answer_next(0).await;
    written.await.unwrap();
    pending.await.unwrap();
    assert_eq!(link.unwritten_bytes(), 0);
    link.written().await;
}

/// Brokers before 2.4 do not know version 3 and answer in the layout of version 0.
#[tokio::test]
async fn version_0_of_api_versions_is_the_fallback() {
    for keys in [0i32, 1] {
        let (ours, mut peer) = {
            let (ours, theirs) = duplex(1 << 16);
            (ours, Peer(theirs))
        };
        let broker = tokio::spawn(async move {
            let asked = peer.asked().await;
            assert_eq!((asked.api_key, asked.version), (18, 3));
            let list = [&keys.to_be_bytes()[..], &[0, 18, 0, 0, 0, 2].repeat(keys as usize)].concat();
            peer.answer(asked.correlation_id, &[&35i16.to_be_bytes()[..], &list].concat()).await;
            let asked = peer.asked().await;
            assert_eq!((asked.api_key, asked.version), (18, 0));
            let list = [&1i32.to_be_bytes()[..], &[0, 0, 0, 0, 0, 7]].concat();
            peer.answer(asked.correlation_id, &[&[0, 0][..], &list].concat()).await;
            peer
        });
        let connection =
            Connection::over(Stream::over(split(ours)), "old:9092".into(), &config(), None).await.unwrap();
        assert_eq!(connection.version::<m::ProduceRequest>().unwrap(), 7);
        let missing = connection.version::<ApiVersionsRequest>().unwrap_err();
        assert!(matches!(missing, ClientError::Unsupported { api: "ApiVersions", .. }));
        drop(broker.await.unwrap());
    }
}

/// A request of so many bytes, over a link whose peer reads what `takes` says every 20 ms and answers then. The time is the test's own.
async fn taken_slowly(payload_bytes: usize, takes: usize, answers: bool) -> Result<Response, ClientError> {
    let mut config = config();
    config.request_timeout = Duration::from_millis(600);
    let (link, mut peer) = linked(4 << 10, &config);
    let mut frame = link.encode(&DeleteRecordsRequest::default(), 1).unwrap();
    let at = frame.framing.len();
    frame.payloads.push((at, Bytes::from(vec![0u8; payload_bytes])));
    let reply = Reply { patience: Duration::ZERO, expected_bytes: 0, owner: None };
    let pending = link.submit::<DeleteRecordsRequest>(frame, 1, reply).await.unwrap();
    let peer = tokio::spawn(async move {
        let length = peer.0.read_u32().await.unwrap() as usize;
        let mut left = length;
        while left > 0 {
            let mut taken = vec![0; takes.min(left)];
            if peer.0.read_exact(&mut taken).await.is_err() {
                return;
            }
            left -= taken.len();
            sleep(Duration::from_millis(20)).await;
        }
        if answers {
            peer.answer(0, &empty_response(0)).await;
        }
        std::future::pending::<()>().await;
    });
    let answer = pending.await;
    peer.abort();
    answer
}

#[tokio::test(start_paused = true)]
async fn while_a_request_is_taken_nobody_keeps_silent() {
    // A second at least, which is longer than the silence that is borne.
    taken_slowly(200 << 10, 4 << 10, true).await.unwrap();
    let silent = taken_slowly(200 << 10, 4 << 10, false).await.unwrap_err();
    assert!(matches!(silent, ClientError::Timeout { .. }), "{silent}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_taken_by_drops_is_given_up() {
    let began = Instant::now();
    let drops = taken_slowly(64 << 10, 16, true).await.unwrap_err();
    assert!(matches!(drops, ClientError::Timeout { .. }), "{drops}");
    // Two timeouts, and 64 KiB at 16 KiB/s.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

/// Takes one request. When another one is written, the answer to the first has just arrived, and the socket is broken.
struct Breaks {
    peer: DuplexStream,
    has_taken_one: bool,
}

impl tokio::io::AsyncWrite for Breaks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if !std::mem::replace(&mut self.has_taken_one, true) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let body = empty_response(0);
        let answer = [&(4 + body.len() as u32).to_be_bytes()[..], &0i32.to_be_bytes(), &body].concat();
        let arrived = ready!(Pin::new(&mut self.peer).poll_write(context, &answer));
        assert_eq!(arrived.unwrap(), answer.len());
        Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_answer_that_has_arrived_counts_though_the_socket_breaks() {
    let (ours, peer) = duplex(1 << 10);
    let stream = Stream::over((ours, Breaks { peer, has_taken_one: false }));
    let link = Link::new(stream, "broker:9092".into(), &config());
    let one = submit(&link).await.unwrap();
    while link.unwritten_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    let two = submit(&link).await.unwrap();
    one.await.unwrap();
    let broken = two.await.unwrap_err();
    assert!(matches!(broken, ClientError::Network { .. }), "{broken}");
}

/// Nobody knows yet who answers there.
#[tokio::test]
async fn a_broker_that_nobody_knows_gets_little_memory() {
    let (ours, theirs) = duplex(1 << 16);
    let mut peer = Peer(theirs);
    let config = config();
    let opening = Connection::over(Stream::over(split(ours)), "broker:9092".into(), &config, None);
    let broker = async {
        peer.asked().await;
        peer.0.write_all(&(64u32 * 1024 + 1).to_be_bytes()).await.unwrap();
    };
    let (opened, ()) = tokio::join!(opening, broker);
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("a frame of 65537 bytes, over the limit of 65536 bytes"), "{error}");
}

/// The next requests wait until it is over, and those before it are answered first.
#[tokio::test]
async fn nothing_is_sent_while_somebody_has_a_turn_alone() {
    let (link, mut peer) = link();
    let before = submit(&link).await.unwrap();
    let turn = link.exclusively().await;
    let call = turn.call(DeleteRecordsRequest::default(), 0);
    let mut behind = Box::pin(submit(&link));
    let answering = async {
        assert_eq!(peer.asked().await.version, 1);
        peer.answer(0, &empty_response(0)).await;
        assert_eq!(peer.asked().await.version, 0);
        peer.answer(1, &empty_response(0)).await;
    };
    let was_alone = tokio::select! {
        biased;
        _ = &mut behind => panic!("sent in between"),
        (called, ()) = async { tokio::join!(call, answering) } => called.is_ok(),
    };
    assert!(was_alone);
    before.await.unwrap();
    drop(turn);
    let behind = behind.await.unwrap();
    peer.answer_next(0).await;
    behind.await.unwrap();
}

#[tokio::test]
async fn whoever_waits_on_a_link_that_is_given_up_is_told_why() {
    let (link, mut peer) = link();
    let waiting = submit(&link).await.unwrap();
    peer.asked().await;
    let cause = || ClientError::config("east", "given up");
    link.give_up(cause());
    assert_eq!(waiting.await.unwrap_err().to_string(), cause().to_string());
    assert_eq!(submit(&link).await.err().map(|error| error.to_string()), Some(cause().to_string()));
    assert_eq!(peer.0.read(&mut [0; 1]).await.unwrap(), 0);
}
