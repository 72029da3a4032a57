//! Connections: frames in, frames out, one request at a time (`SocketServer` mutes a connection until it has answered).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::api::{self, Reply};
use crate::cluster::Shared;
use crate::fault::FaultKind;
use crate::security::tls::common_name;
use crate::security::{Authentication, Principal, Session, sasl};
use crate::state::State;

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
    pub(crate) session: Session,
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

    fn new(broker: i32, state: &State, user: Option<&str>) -> Connection {
        let must_authenticate = !state.users.0.is_empty();
        let authentication = if must_authenticate { Authentication::Unknown } else { Authentication::Known };
        let principal = sasl::principal(user.unwrap_or("ANONYMOUS"), "127.0.0.1");
        let session = Session { lifetime: state.session_lifetime, ..Session::default() };
        Connection {
            broker,
            principal,
            authentication,
            session,
            ends: false,
            throttle: Duration::ZERO,
            hidden: Hidden::Nothing,
        }
    }
}

/// Accepts connections to a broker until the cluster ends.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    broker: i32,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            // Each ends once.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                match &tls {
                    None => connections.spawn(serve(Arc::clone(&shared), broker, stream, None)),
                    Some(tls) => connections.spawn(serve_tls(Arc::clone(&shared), broker, stream, tls.clone())),
                };
            }
        }
    }
}

async fn serve_tls(shared: Arc<Shared>, broker: i32, stream: TcpStream, tls: TlsAcceptor) {
    // Who makes no handshake is not served.
    let Ok(stream) = tls.accept(stream).await else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let user = certificate.and_then(common_name);
    serve(shared, broker, stream, user).await;
}

/// Serves a connection until either side closes it, or the broker is stopped. `user`: whom its certificate names.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    broker: i32,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    user: Option<String>,
) {
    let stopped = shared.stopped(broker);
    tokio::select! {
        biased;
        () = stopped => {}
        _ = requests(&shared, broker, &mut stream, user.as_deref()) => {}
    }
}

async fn requests(
    shared: &Shared,
    broker: i32,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    user: Option<&str>,
) -> io::Result<()> {
    let mut connection = Connection::new(broker, &shared.lock(), user);
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
