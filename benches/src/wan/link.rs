//! A long way to a broker, emulated by a proxy: bytes take half a round trip in each direction, share a bandwidth, and each
//! connection has at most a window of them unacknowledged.
//!
//! A proxy hides what the real sockets of a long way would do, so their window is part of the model: a byte counts until half a round
//! trip after it has arrived, when its sender would learn of it. Losses and slow starts are not emulated.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// What a link is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) round_trip: Duration,
    pub(crate) bytes_per_second: f64,
    /// Of each connection and direction.
    pub(crate) window_bytes: usize,
}

/// The proxy. It stays as long as this process.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    conditions: Conditions,
    to_broker: Road,
    from_broker: Road,
    connections: Vec<Arc<Carried>>,
}

/// What one connection has carried so far.
#[derive(Debug, Default)]
struct Carried {
    to_broker: AtomicU64,
    from_broker: AtomicU64,
}

/// One direction, which all connections share: when its bandwidth is free again.
#[derive(Clone, Copy, Debug)]
struct Road {
    free_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToBroker,
    FromBroker,
}

impl Link {
    /// Takes connections at the listener and leads them to the broker.
    pub(crate) fn start(
        listener: StdListener,
        broker: SocketAddr,
        conditions: Conditions,
    ) -> io::Result<Link> {
        let road = Road { free_at: Instant::now() };
        let state = State { conditions, to_broker: road, from_broker: road, connections: Vec::new() };
        let link = Link { shared: Arc::new(Mutex::new(state)) };
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let accepting = link.clone();
        thread::spawn(move || {
            runtime.block_on(async {
                if let Err(error) = accepting.accept(listener, broker).await {
                    eprintln!("the link takes no more connections: {error}");
                }
            });
        });
        Ok(link)
    }

    /// For connections that come from now on, of which alone it will count.
    pub(crate) fn set(&self, conditions: Conditions) {
        let mut state = self.state();
        state.conditions = conditions;
        state.connections.clear();
    }

    /// What each connection since then has carried in one direction, in bytes.
    pub(crate) fn carried(&self, direction: Direction) -> Vec<u64> {
        let state = self.state();
        state.connections.iter().map(|carried| carried.of(direction).load(Ordering::Relaxed)).collect()
    }

    async fn accept(&self, listener: StdListener, broker: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            let carried = Arc::new(Carried::default());
            self.state().connections.push(Arc::clone(&carried));
            let link = self.clone();
            tokio::spawn(async move {
                // Either side may go; the other one sees the end of its stream then.
                let Ok(broker) = TcpStream::connect(broker).await else { return };
                let _ = (client.set_nodelay(true), broker.set_nodelay(true));
                let (client, broker) = (client.into_split(), broker.into_split());
                tokio::spawn(link.clone().lead(
                    client.0,
                    broker.1,
                    Direction::ToBroker,
                    Arc::clone(&carried),
                ));
                tokio::spawn(link.lead(broker.0, client.1, Direction::FromBroker, carried));
            });
        }
    }

    /// Reads no more than the window has place for, and sends each piece on its way.
    async fn lead(
        self,
        mut from: OwnedReadHalf,
        to: OwnedWriteHalf,
        direction: Direction,
        carried: Arc<Carried>,
    ) {
        let conditions = self.state().conditions;
        let window = Arc::new(Semaphore::new(conditions.window_bytes));
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        tokio::spawn(arrive(receiver, to, conditions.round_trip / 2));
        let mut buffer = vec![0; PIECE_BYTES];
        while let Some(mut place) = place(&window, conditions.window_bytes).await {
            let free = place.num_permits().min(buffer.len());
            let read = from.read(buffer.get_mut(..free).unwrap_or_default()).await.unwrap_or(0);
            let Some(taken) = place.split(read).filter(|_| read > 0) else { return };
            drop(place);
            carried.of(direction).fetch_add(read as u64, Ordering::Relaxed);
            let arrival = self.state().road(direction).arrival(Instant::now(), read, &conditions);
            let bytes = buffer.get(..read).unwrap_or_default().to_vec();
            if sender.send(Piece { arrival, bytes, place: taken }).await.is_err() {
                return;
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes on their way, and their place in the window.
struct Piece {
    arrival: Instant,
    bytes: Vec<u8>,
    place: OwnedSemaphorePermit,
}

/// Waits until there is place for more than a few bytes, and takes all there is up to a piece.
async fn place(window: &Arc<Semaphore>, window_bytes: usize) -> Option<OwnedSemaphorePermit> {
    let least = u32::try_from(window_bytes.min(SEGMENT_BYTES)).ok()?;
    let mut place = Arc::clone(window).acquire_many_owned(least).await.ok()?;
    let more = window.available_permits().min(PIECE_BYTES - SEGMENT_BYTES);
    // Nobody else takes from this window.
    place.merge(Arc::clone(window).try_acquire_many_owned(u32::try_from(more).ok()?).ok()?);
    Some(place)
}

/// Delivers pieces at their times. Their places become free when the other end has learnt of it.
async fn arrive(mut pieces: mpsc::Receiver<Piece>, mut to: OwnedWriteHalf, half: Duration) {
    let (sender, mut delivered) = mpsc::channel::<(Instant, OwnedSemaphorePermit)>(PIECES_MAX);
    tokio::spawn(async move {
        while let Some((known, place)) = delivered.recv().await {
            sleep_until(known).await;
            drop(place);
        }
    });
    while let Some(piece) = pieces.recv().await {
        sleep_until(piece.arrival).await;
        if to.write_all(&piece.bytes).await.is_err() {
            return;
        }
        if sender.send((Instant::now() + half, piece.place)).await.is_err() {
            return;
        }
    }
}

impl State {
    fn road(&mut self, direction: Direction) -> &mut Road {
        match direction {
            Direction::ToBroker => &mut self.to_broker,
            Direction::FromBroker => &mut self.from_broker,
        }
    }
}

impl Carried {
    fn of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToBroker => &self.to_broker,
            Direction::FromBroker => &self.from_broker,
        }
    }
}

impl Road {
    /// When bytes that are there now will have arrived: after those before them have left, in the time that their number takes, and half
    /// a round trip later.
    fn arrival(&mut self, now: Instant, bytes: usize, conditions: &Conditions) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / conditions.bytes_per_second);
        self.free_at = self.free_at.max(now) + takes;
        self.free_at + conditions.round_trip / 2
    }
}

const PIECE_BYTES: usize = 64 << 10;
/// About what a segment of TCP carries; a window that has less place waits.
const SEGMENT_BYTES: usize = 1_400;
const PIECES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream as StdStream};

    use super::*;

    const CONDITIONS: Conditions = Conditions {
        round_trip: Duration::from_millis(100),
        bytes_per_second: 1_000_000.0,
        window_bytes: 10_000,
    };

    #[test]
    fn bytes_wait_for_those_before_them_and_then_travel() {
        let start = Instant::now();
        let mut road = Road { free_at: start };
        let milliseconds = |arrival: Instant| (arrival - start).as_millis();
        assert_eq!(milliseconds(road.arrival(start, 20_000, &CONDITIONS)), 70);
        assert_eq!(milliseconds(road.arrival(start, 20_000, &CONDITIONS)), 90);
        let later = start + Duration::from_millis(500);
        assert_eq!(milliseconds(road.arrival(later, 10_000, &CONDITIONS)), 560);
    }

    /// What a link adds it adds at least: there is no upper limit to what a busy machine adds.
    #[test]
    fn an_echo_takes_a_round_trip_and_a_window_for_each() {
        let echo = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (broker, address) = (echo.local_addr().unwrap(), near.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut buffer = [0; 1_000];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..length]).unwrap();
            }
        });
        let link = Link::start(near, broker, CONDITIONS).unwrap();
        let mut stream = StdStream::connect(address).unwrap();
        let started = std::time::Instant::now();
        stream.write_all(&[7; 25_000]).unwrap();
        let mut back = vec![0; 25_000];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [7; 25_000]);
        // The third window leaves when the second is known to have arrived: after two round trips, and needs one more to be back.
        assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
        assert_eq!(link.carried(Direction::ToBroker), [25_000]);
        link.set(CONDITIONS);
        assert!(link.carried(Direction::FromBroker).is_empty());
    }
}
