//! Connections: frames in, frames out, one request at a time (`SocketServer` mutes a connection until it has answered).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::{self, Reply};
use crate::cluster::Shared;
use crate::fault::FaultKind;
use crate::security::{Authentication, Principal, sasl};

/// Topics whose records a fetch does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hidden {
    Nothing,
    /// Those that may be tiered.
    Tiered,
    Everything,
}

/// What a broker knows of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) broker: i32,
    pub(crate) principal: Principal,
    pub(crate) authentication: Authentication,
    /// It is closed after the next answer.
    pub(crate) ends: bool,
    /// How long a quota mutes it after the next answer.
    pub(crate) throttle: Duration,
    /// Of which topics the next answer to a fetch is without records.
    pub(crate) hidden: Hidden,
}

impl Connection {
    pub(crate) fn throttle_time_ms(&self) -> i32 {
        i32::try_from(self.throttle.as_millis()).unwrap_or(i32::MAX)
    }

    fn new(broker: i32, must_authenticate: bool) -> Connection {
        let authentication = if must_authenticate { Authentication::Unknown } else { Authentication::Known };
        let principal = sasl::principal("ANONYMOUS", "127.0.0.1");
        Connection {
            broker,
            principal,
            authentication,
            ends: false,
            throttle: Duration::ZERO,
            hidden: Hidden::Nothing,
        }
    }
}

/// Accepts connections to a broker until the cluster ends.
pub(crate) async fn accept(shared: Arc<Shared>, broker: i32, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // Each ends once.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(Arc::clone(&shared), broker, stream));
            }
        }
    }
}

/// Serves a connection until either side closes it, or the broker is stopped.
pub(crate) async fn serve(shared: Arc<Shared>, broker: i32, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let stopped = shared.stopped(broker);
    tokio::select! {
        biased;
        () = stopped => {}
        _ = requests(&shared, broker, &mut stream) => {}
    }
}

async fn requests(
    shared: &Shared,
    broker: i32,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut connection = Connection::new(broker, !shared.lock().users.0.is_empty());
    let bytes_max = shared.lock().limits.request_bytes_max;
    while let Some(frame) = read_frame(stream, bytes_max).await? {
        let Some(request) = api::Request::parse(frame) else { return Ok(()) };
        shared.resumed(broker).await;
        let fault = shared.lock().faults.next(broker, request.api);
        match fault {
            Some(FaultKind::HangUpBefore) => return Ok(()),
            Some(FaultKind::Silence) => std::future::pending::<()>().await,
            Some(FaultKind::Delay(delay)) => tokio::time::sleep(delay).await,
            _ => {}
        }
        connection.throttle = if let Some(FaultKind::Throttle(time)) = fault { time } else { Duration::ZERO };
        connection.hidden = match fault {
            Some(FaultKind::NoRecords) => Hidden::Everything,
            Some(FaultKind::SlowTiering) => Hidden::Tiered,
            _ => Hidden::Nothing,
        };
        let injected = if let Some(FaultKind::Error(error)) = &fault { Some(*error) } else { None };
        let answer = match request.answer(shared, &mut connection, injected).await {
            Reply::Answer(answer) => answer,
            Reply::Nothing => continue,
            Reply::HangUp => return Ok(()),
        };
        shared.resumed(broker).await;
        match fault {
            Some(FaultKind::HangUpAfter) => return Ok(()),
            Some(FaultKind::TruncateAnswer) => {
                let half = answer.len() / 2;
                stream.write_all(answer.get(..half).unwrap_or_default()).await?;
                return stream.shutdown().await;
            }
            Some(FaultKind::Garbage) => stream.write_all(&garbled(&answer)).await?,
            _ => stream.write_all(&answer).await?,
        }
        stream.flush().await?;
        if connection.ends {
            return Ok(());
        }
        if !connection.throttle.is_zero() {
            tokio::time::sleep(connection.throttle).await;
        }
    }
    Ok(())
}

/// A frame without its length; `None` at the end.
async fn read_frame(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Option<Bytes>> {
    let length = match stream.read_i32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max);
    let Some(length) = length else { return Ok(None) };
    let mut frame = BytesMut::new();
    // Memory grows with what arrives, not with what is announced.
    while frame.len() < length {
        frame.reserve((length - frame.len()).min(READ_BYTES));
        let missing = length - frame.len();
        if stream.read_buf(&mut (&mut frame).limit(missing)).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(frame.freeze()))
}

/// Every byte behind length and correlation id is another one.
fn garbled(answer: &Bytes) -> Bytes {
    let mut garbled = BytesMut::from(answer.as_ref());
    garbled.iter_mut().skip(8).for_each(|byte| *byte ^= 0x5a);
    garbled.freeze()
}

const READ_BYTES: usize = 1 << 20;
