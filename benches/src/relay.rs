use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use crate::measured::{Measured, measure};

#[derive(clap::Args)]
pub(crate) struct RelayArguments {
    source: SocketAddr,
    target: SocketAddr,
}

/// Measures the least that any mirror must do: a process of its own that reads `bytes` from one socket of this machine,
/// hashes them, and writes them to another.
///
/// They come from a file by sendfile, as a broker sends its segments: bytes that no core has touched lately cost whoever
/// reads them more than a buffer that is sent again and again.
pub(crate) fn calibrate(bytes: u64) -> Result<Measured, Box<dyn Error>> {
    let segment = segment()?;
    let source = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("relay").arg(source.local_addr()?.to_string()).arg(target.local_addr()?.to_string());
    let feeder = thread::spawn(move || feed(&source, segment, bytes));
    let sink = thread::spawn(move || swallow(&target));
    let measured = measure(&mut command)?;
    if !measured.status.success() {
        return Err("the relay failed".into());
    }
    feeder.join().map_err(|_| "the relay's feeder panicked")??;
    let arrived = sink.join().map_err(|_| "the relay's sink panicked")??;
    if arrived != bytes {
        return Err(format!("the relay lost bytes: {arrived} of {bytes} arrived").into());
    }
    Ok(measured)
}

/// The relay itself.
pub(crate) fn run(arguments: &RelayArguments) -> Result<(), Box<dyn Error>> {
    let mut source = TcpStream::connect(arguments.source)?;
    let mut target = TcpStream::connect(arguments.target)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut hash = 0;
    loop {
        let length = source.read(&mut buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        hash = crc32c::crc32c_append(hash, read);
        target.write_all(read)?;
    }
    // A hash that nobody uses would not be computed.
    std::hint::black_box(hash);
    Ok(())
}

/// Sends the file again and again. `io::copy` from a file to a socket is sendfile on Linux.
fn feed(listener: &TcpListener, mut segment: File, bytes: u64) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut left = bytes;
    while left > 0 {
        segment.rewind()?;
        left -= io::copy(&mut Read::by_ref(&mut segment).take(left), &mut stream)?;
    }
    Ok(())
}

/// A file that is larger than any cache of a processor; it stays for the next calibration.
fn segment() -> Result<File, Box<dyn Error>> {
    let path = crate::contender::folder()?.join("segment");
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == SEGMENT_BYTES) {
        return Ok(File::open(path)?);
    }
    let block: Vec<u8> =
        (0..BUFFER_BYTES).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut file = File::create(&path)?;
    for _ in 0..SEGMENT_BYTES / BUFFER_BYTES as u64 {
        file.write_all(&block)?;
    }
    Ok(File::open(path)?)
}

fn swallow(listener: &TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            length => bytes += length as u64,
        }
    }
}

const BUFFER_BYTES: usize = 1 << 20;
const SEGMENT_BYTES: u64 = 512 << 20;
