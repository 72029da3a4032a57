use std::error::Error;
use std::io::{Read, Write};
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
pub(crate) fn calibrate(bytes: u64) -> Result<Measured, Box<dyn Error>> {
    let source = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("relay").arg(source.local_addr()?.to_string()).arg(target.local_addr()?.to_string());
    let feeder = thread::spawn(move || feed(&source, bytes));
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

fn feed(listener: &TcpListener, bytes: u64) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let buffer: Vec<u8> =
        (0..BUFFER_BYTES).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        stream.write_all(buffer.get(..length).unwrap_or_default())?;
        left -= length as u64;
    }
    Ok(())
}

fn swallow(listener: &TcpListener) -> std::io::Result<u64> {
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
