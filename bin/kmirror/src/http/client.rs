//! Asks a mirror that runs in another process.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::routes::STATUS;
use crate::status::Status;

/// What the mirror that listens there says of itself, or why it does not.
pub(crate) async fn status(address: SocketAddr) -> Result<Status, String> {
    let asked = tokio::time::timeout(ANSWER_MAX, ask(reachable(address), STATUS));
    let body = asked.await.map_err(|_| format!("no answer within {ANSWER_MAX:?}"))??;
    serde_json::from_slice(&body).map_err(|error| format!("what it says is no status: {error}"))
}

async fn ask(address: SocketAddr, path: &str) -> Result<Bytes, String> {
    let stream = TcpStream::connect(address).await.map_err(say)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(say)?;
    let request =
        Request::get(path).header(HOST, address.to_string()).body(Empty::<Bytes>::new()).map_err(say)?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(say)?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(say)?;
        Ok(body.to_bytes())
    };
    tokio::pin!(asked);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut asked => return answer,
        ended = &mut connection => ended.map_err(say)?,
    }
    // The connection has ended, and what came over it can be read.
    asked.await
}

/// Who listens on all addresses is reached on the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

fn say(error: impl Display) -> String {
    error.to_string()
}

const ANSWER_MAX: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 256 << 20;
