use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How many brokers the node at `address` knows to be alive, or nothing when it does not answer yet.
///
/// An open port is not enough: a node listens before it has registered with the controller, and a topic cannot be created
/// before then. The controller lists only unfenced brokers (KIP-631), so a broker that is listed is ready.
pub(crate) fn brokers_alive(address: SocketAddr) -> Option<usize> {
    // An empty array of topics: brokers only.
    let answer = ask(address, &[0; 4])?;
    usize::try_from(Answer(&answer).count()?).ok()
}

/// Who leads a partition, as the node at `address` says; nothing when it does not answer, or knows of no leader.
pub(crate) fn leader(address: SocketAddr, topic: &str, partition: i32) -> Option<usize> {
    let length = u16::try_from(topic.len()).ok()?.to_be_bytes();
    let answer = ask(address, &[&1i32.to_be_bytes()[..], &length, topic.as_bytes()].concat())?;
    let mut answer = Answer(&answer);
    for _ in 0..answer.count()? {
        answer.skip(4)?; // id
        answer.skip_text()?; // host
        answer.skip(4)?; // port
        answer.skip_text()?; // rack
    }
    answer.skip(4)?; // controller
    answer.count()?; // topics: the one that was asked for
    answer.skip(2)?; // error
    answer.skip_text()?; // name
    answer.skip(1)?; // whether it is internal
    for _ in 0..answer.count()? {
        answer.skip(2)?; // error
        let (index, leader) = (answer.count()?, answer.count()?);
        if index == partition {
            return usize::try_from(leader).ok();
        }
        for _ in ["replicas", "in sync"] {
            let ids = usize::try_from(answer.count()?).ok()?;
            answer.skip(4 * ids)?;
        }
    }
    None
}

/// The answer to Metadata (api key 3) of version 1, without its correlation id.
fn ask(address: SocketAddr, topics: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // Correlation id 0, no client id.
    let request = [&[0, 3, 0, 1, 0, 0, 0, 0, 0xFF, 0xFF][..], topics].concat();
    let length = u32::try_from(request.len()).ok()?;
    stream.write_all(&[&length.to_be_bytes(), request.as_slice()].concat()).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length =
        usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= RESPONSE_BYTES_MAX)?;
    let mut response = vec![0; length];
    stream.read_exact(&mut response).ok()?;
    Some(response.get(4..)?.to_vec())
}

/// What is left to read.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    fn count(&mut self) -> Option<i32> {
        let number = i32::from_be_bytes(*self.0.first_chunk()?);
        self.skip(4)?;
        Some(number)
    }

    fn skip_text(&mut self) -> Option<()> {
        let length = i16::from_be_bytes(*self.0.first_chunk()?);
        self.skip(2 + usize::try_from(length).unwrap_or(0))
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
const RESPONSE_BYTES_MAX: usize = 1 << 20;
