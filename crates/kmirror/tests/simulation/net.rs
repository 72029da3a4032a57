//! The network between mirrors and clusters: it delays, it cuts connections, what was sent may arrive when nobody waits for it any
//! more, and a mirror that is frozen says nothing and hears nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kmirror::{Connecting, Connector, Duplex};
use kmirror_embedded::{ApiKey, EmbeddedCluster};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::random::Random;
use crate::schedule::Side;
use crate::trace::Trace;

/// All connections of a world.
#[derive(Debug)]
pub(crate) struct Net {
    seed: u64,
    trace: Arc<Trace>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is late any more.
    is_calm: bool,
    opened: BTreeMap<(u32, Side, i32), u64>,
    wires: BTreeMap<Name, Arc<Watched<Option<Cut>>>>,
    /// Whether each mirror is frozen.
    frozen: BTreeMap<u32, Arc<Watched<bool>>>,
    /// How many requests of each mirror reached a broker.
    requests: BTreeMap<u32, u64>,
}

/// A connection: of a mirror, to a broker of a cluster, and the how manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    mirror: u32,
    side: Side,
    broker: i32,
    number: u64,
}

/// What becomes of what is on its way when a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Lost,
    /// Requests arrive so much later.
    Late(Duration),
}

/// How a mirror reaches a cluster.
#[derive(Debug)]
pub(crate) struct Line {
    net: Arc<Net>,
    mirror: u32,
    side: Side,
    cluster: Arc<EmbeddedCluster>,
}

impl Net {
    pub(crate) fn new(seed: u64, trace: Arc<Trace>) -> Arc<Net> {
        Arc::new(Net { seed, trace, state: Mutex::default() })
    }

    pub(crate) fn line(
        self: &Arc<Net>,
        mirror: u32,
        side: Side,
        cluster: &Arc<EmbeddedCluster>,
    ) -> Arc<Line> {
        Arc::new(Line { net: Arc::clone(self), mirror, side, cluster: Arc::clone(cluster) })
    }

    /// Cuts the connections of a mirror to a cluster. What is on its way to a broker is lost, or arrives so much later.
    pub(crate) fn cut(&self, mirror: u32, side: Side, late: Option<Duration>) {
        let cut = late.map_or(Cut::Lost, Cut::Late);
        let state = self.lock();
        for (_, wire) in state.wires.iter().filter(|(name, _)| (name.mirror, name.side) == (mirror, side)) {
            wire.modify(|was| *was = was.or(Some(cut)));
        }
    }

    /// From now on nothing of what a mirror says leaves it, and it hears nothing; or that is over.
    pub(crate) fn freeze(&self, mirror: u32, is_frozen: bool) {
        self.frozen(mirror).modify(|frozen| *frozen = is_frozen);
    }

    /// Nothing takes longer than it has to any more, and nobody is frozen.
    pub(crate) fn calm_down(&self) {
        let mut state = self.lock();
        state.is_calm = true;
        state.frozen.values().for_each(|frozen| frozen.modify(|frozen| *frozen = false));
    }

    /// How many requests of each mirror reached a broker since this was asked last.
    pub(crate) fn take_requests(&self) -> BTreeMap<u32, u64> {
        std::mem::take(&mut self.lock().requests)
    }

    fn frozen(&self, mirror: u32) -> Arc<Watched<bool>> {
        Arc::clone(self.lock().frozen.entry(mirror).or_default())
    }

    async fn open(&self, line: &Line, address: &str) -> io::Result<Box<dyn Duplex>> {
        let broker = broker_at(address).ok_or(io::ErrorKind::NotFound)?;
        let frozen = self.frozen(line.mirror);
        let name = {
            let mut state = self.lock();
            let number = state.opened.entry((line.mirror, line.side, broker)).or_default();
            *number += 1;
            Name { mirror: line.mirror, side: line.side, broker, number: *number }
        };
        let mut random = Random::of(self.seed, &format!("{name:?}"));
        sleep(self.delay(&mut random)).await;
        frozen.wait_for(|frozen| !frozen).await;
        let wire = Arc::new(Watched::default());
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        let broker = line.cluster.connect(broker);
        let carrier = Carrier { net: Arc::clone(&line.net), name, frozen, wire: Arc::clone(&wire), random };
        self.lock().wires.insert(name, wire);
        tokio::spawn(carrier.carry(ours, broker));
        Ok(Box::new(theirs))
    }

    fn delay(&self, random: &mut Random) -> Duration {
        let millis = match random.below(500) {
            _ if self.lock().is_calm => 1,
            0 => 1_500,
            1..10 => 100,
            _ => random.pick(&[0, 0, 0, 1, 1, 2, 3]),
        };
        Duration::from_millis(millis)
    }

    /// A request reaches a broker.
    fn note_request(&self, name: Name, frame: &[u8]) {
        let Name { mirror, side, broker, number } = name;
        *self.lock().requests.entry(mirror).or_default() += 1;
        let short = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let (api, version) = (ApiKey::try_from(short(4)), short(6));
        self.trace.note(format_args!("{mirror} {side:?} {broker} #{number} {api:?} v{version}"), frame);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connector for Line {
    fn connect<'a>(&'a self, address: &'a str) -> Connecting<'a> {
        Box::pin(self.net.open(self, address))
    }
}

/// `east-1:9092`.
fn broker_at(address: &str) -> Option<i32> {
    address.split(':').next()?.rsplit('-').next()?.parse().ok()
}

/// Carries the bytes of a connection.
struct Carrier {
    net: Arc<Net>,
    name: Name,
    frozen: Arc<Watched<bool>>,
    wire: Arc<Watched<Option<Cut>>>,
    random: Random,
}

/// Bytes that are on their way, and when they arrive.
type Sent = (Instant, Vec<u8>);

impl Carrier {
    async fn carry(mut self, client: DuplexStream, broker: DuplexStream) {
        let ((from_client, to_client), (from_broker, to_broker)) =
            (tokio::io::split(client), tokio::io::split(broker));
        let ((requests, requested), (answers, answered)) =
            (mpsc::channel(PACKETS_MAX), mpsc::channel(PACKETS_MAX));
        let (up, down) = (Random::new(self.random.bits()), Random::new(self.random.bits()));
        let late = self.random.one_in(3).then(|| self.random.pick(&[5, 50, 300, 2_000]));
        let carrier = &self;
        tokio::join!(
            carrier.take_requests(from_client, requests, up, late.map(Duration::from_millis)),
            carrier.deliver_requests(to_broker, requested),
            carrier.take_answers(from_broker, answers, down),
            carrier.deliver_answers(to_client, answered),
        );
        self.net.lock().wires.remove(&self.name);
    }

    /// Whole frames: half a request does nothing. `late`: what is left on the way when the client is gone arrives so much later.
    async fn take_requests(
        &self,
        mut client: ReadHalf<DuplexStream>,
        queue: mpsc::Sender<Sent>,
        mut random: Random,
        late: Option<Duration>,
    ) {
        let mut due = Instant::now();
        loop {
            let frame = tokio::select! {
                biased;
                _ = self.wire.wait_for(Option::is_some) => return,
                frame = read_frame(&mut client) => frame,
            };
            let Some(frame) = frame else { break };
            self.frozen.wait_for(|frozen| !frozen).await;
            if self.wire.get().is_some() {
                return;
            }
            due = due.max(Instant::now() + self.net.delay(&mut random));
            if queue.send((due, frame)).await.is_err() {
                return;
            }
        }
        let late = late.unwrap_or_default();
        self.wire.modify(|was| *was = was.or(Some(Cut::Late(late))));
    }

    async fn deliver_requests(&self, mut broker: WriteHalf<DuplexStream>, mut queue: mpsc::Receiver<Sent>) {
        let mut is_late = false;
        while let Some((due, frame)) = queue.recv().await {
            sleep_until(due).await;
            match self.wire.get() {
                Some(Cut::Lost) => break,
                Some(Cut::Late(late)) if !is_late && !self.net.lock().is_calm => {
                    is_late = true;
                    sleep(late).await;
                }
                _ => {}
            }
            self.net.note_request(self.name, &frame);
            if broker.write_all(&frame).await.is_err() {
                break;
            }
        }
        drop(broker.shutdown().await);
    }

    async fn take_answers(
        &self,
        mut broker: ReadHalf<DuplexStream>,
        queue: mpsc::Sender<Sent>,
        mut random: Random,
    ) {
        let mut due = Instant::now();
        // When the client is gone, the broker's answers are read all the same: they must not keep it from what comes after.
        while let Some(packet) = read_some(&mut broker).await {
            due = due.max(Instant::now() + self.net.delay(&mut random));
            drop(queue.try_send((due, packet)));
        }
    }

    async fn deliver_answers(&self, mut client: WriteHalf<DuplexStream>, mut queue: mpsc::Receiver<Sent>) {
        let deliver = async {
            while let Some((due, packet)) = queue.recv().await {
                sleep_until(due).await;
                self.frozen.wait_for(|frozen| !frozen).await;
                if client.write_all(&packet).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            _ = self.wire.wait_for(Option::is_some) => {}
            () = deliver => {}
        }
        self.frozen.wait_for(|frozen| !frozen).await;
        drop(client.shutdown().await);
    }
}

/// A length and what follows it; nothing at the end.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_i32().await.ok()?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(length).ok()?, 0);
    stream.read_exact(&mut frame[4..]).await.ok()?;
    Some(frame)
}

async fn read_some(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(PACKET_BYTES);
    let bytes = stream.read_buf(&mut packet).await.ok()?;
    (bytes > 0).then_some(packet)
}

/// A value that tasks wait for.
#[derive(Debug, Default)]
struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Watched<T> {
    fn get(&self) -> T {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn modify(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    async fn wait_for(&self, is_so: impl Fn(&T) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.get()) {
                return;
            }
            changed.await;
        }
    }
}

const BUFFER_BYTES: usize = 1 << 20;
const PACKET_BYTES: usize = 64 << 10;
const PACKETS_MAX: usize = 10_000;
