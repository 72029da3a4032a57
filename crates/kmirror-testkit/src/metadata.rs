use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How many brokers the node at `address` knows to be alive, or nothing when it does not answer yet.
///
/// An open port is not enough: a node listens before it has registered with the controller, and a topic cannot be created
/// before then. The controller lists only unfenced brokers (KIP-631), so a broker that is listed is ready.
pub(crate) fn brokers_alive(address: SocketAddr) -> Option<usize> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(&METADATA_REQUEST).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length =
        usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= RESPONSE_BYTES_MAX)?;
    let mut response = vec![0; length];
    stream.read_exact(&mut response).ok()?;
    // Correlation id, then the array of brokers.
    let brokers = response.get(4..)?.first_chunk().map(|count| i32::from_be_bytes(*count))?;
    usize::try_from(brokers).ok()
}

const PATIENCE: Duration = Duration::from_secs(2);
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Metadata (api key 3), version 1, correlation id 0, no client id, an empty array of topics: brokers only.
const METADATA_REQUEST: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0];
