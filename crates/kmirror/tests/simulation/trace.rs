//! What happened: a hash of all of it, and a listing where somebody wants to read it.

use std::fmt::{self, Write};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Everything that happens in a world, in its order and with its time.
#[derive(Debug)]
pub(crate) struct Trace {
    began: Instant,
    is_listed: bool,
    hash: Mutex<Hash>,
}

/// FNV-1a over 64 bits.
#[derive(Debug)]
struct Hash(u64);

impl Trace {
    pub(crate) fn begin(is_listed: bool) -> Trace {
        Trace { began: Instant::now(), is_listed, hash: Mutex::new(Hash(0xCBF2_9CE4_8422_2325)) }
    }

    /// Something happened; `bytes` is what it was about.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>, bytes: &[u8]) {
        let millis = self.began.elapsed().as_millis();
        let mut hash = self.hash.lock().unwrap_or_else(PoisonError::into_inner);
        write!(hash, "{millis} {what}").unwrap();
        hash.take_in(bytes);
        if self.is_listed {
            let hash = hash.0;
            drop(writeln!(std::io::stderr(), "{millis:>7} ms {hash:016x} {what}"));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Hash {
    fn take_in(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.take_in(text.as_bytes());
        Ok(())
    }
}
