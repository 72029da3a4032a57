//! Snappy in the framing of snappy-java ("xerial"): a header of 16 bytes, then blocks of a length and raw snappy.

use super::Failure;
use crate::wire::Reader;

/// Reads the xerial framing, with the header repeated in the stream where writers were joined, or else one raw block,
/// as librdkafka and others have written.
pub(super) fn decompress(payload: &[u8], output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    // Only the magic counts: snappy-java takes any version that is compatible, and all that exist are.
    if payload.len() < HEADER_BYTES || !payload.starts_with(&MAGIC) {
        return block(payload, output, bytes_max);
    }
    let mut reader = Reader::new(payload.get(HEADER_BYTES..).unwrap_or_default());
    while !reader.is_empty() {
        let length = reader.i32().ok_or_else(cut)?;
        if length == REPEATED_HEADER {
            reader.bytes(HEADER_BYTES - 4).ok_or_else(cut)?;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| Failure::corrupt("a block of negative length"))?;
        block(reader.bytes(length).ok_or_else(cut)?, output, bytes_max)?;
    }
    Ok(())
}

fn block(block: &[u8], output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    let from = output.len();
    let length = snap::raw::decompress_len(block).map_err(Failure::corrupt)?;
    if length > bytes_max.saturating_sub(from) {
        return Err(Failure::TooLarge);
    }
    // No block expands further than this, so one that says it does is not worth the memory.
    if length > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(Failure::corrupt("the declared length is beyond what the block can hold"));
    }
    output.resize(from + length, 0);
    let target = output.get_mut(from..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, target).map(drop).map_err(Failure::corrupt)
}

fn cut() -> Failure {
    Failure::corrupt("a block is cut off")
}

/// Writes the xerial framing. Keeps the hash table of the encoder.
pub(super) struct Compressor {
    encoder: snap::raw::Encoder,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor { encoder: snap::raw::Encoder::new() }
    }
}

impl Compressor {
    pub(super) fn compress(&mut self, records: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
        output.extend_from_slice(&MAGIC);
        output.extend_from_slice(&1_i32.to_be_bytes()); // version
        output.extend_from_slice(&1_i32.to_be_bytes()); // oldest compatible version
        for block in records.chunks(BLOCK_BYTES) {
            let length_at = output.len();
            let from = length_at + 4;
            output.resize(from + snap::raw::max_compress_len(block.len()), 0);
            let target = output.get_mut(from..).unwrap_or_default();
            let written = self.encoder.compress(block, target).map_err(|error| error.to_string())?;
            output.truncate(from + written);
            if let Some(length) = output.get_mut(length_at..from) {
                length.copy_from_slice(&(written as u32).to_be_bytes());
            }
        }
        Ok(())
    }
}

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;

/// The first four bytes of the magic, where a length would stand (snappy-java PR 104).
const REPEATED_HEADER: i32 = i32::from_be_bytes(*b"\x82SNA");

/// Block size of snappy-java.
const BLOCK_BYTES: usize = 32 << 10;

/// A copy element takes at least two bytes and gives at most 64.
const EXPANSION_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(payload: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut output = Vec::new();
        decompress(payload, &mut output, 1_000_000).map(|()| output)
    }

    #[test]
    fn a_header_may_come_again_in_the_stream() {
        let mut payload = Vec::new();
        Compressor::default().compress(b"one ", &mut payload).unwrap();
        Compressor::default().compress(b"two", &mut payload).unwrap();
        assert_eq!(content(&payload).unwrap(), b"one two");
    }

    #[test]
    fn any_version_will_do() {
        let mut payload = Vec::new();
        Compressor::default().compress(b"hello", &mut payload).unwrap();
        payload[11] = 9;
        payload[15] = 9;
        assert_eq!(content(&payload).unwrap(), b"hello");
    }

    #[test]
    fn a_raw_block_is_read_too() {
        for text in [&b"hi"[..], &[b'x'; 1000]] {
            assert_eq!(content(&snap::raw::Encoder::new().compress_vec(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_declared_length_is_not_believed() {
        assert!(matches!(content(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(Failure::TooLarge)));
        assert!(matches!(content(&[0xff, 0xff, 0x30, 0]), Err(Failure::Corrupt(_))));
    }

    #[test]
    fn a_header_alone_is_empty_and_a_broken_length_is_corrupt() {
        let mut payload = Vec::new();
        Compressor::default().compress(b"", &mut payload).unwrap();
        assert_eq!(content(&payload).unwrap(), b"");
        payload.extend_from_slice(&[0xff; 4]);
        assert!(matches!(content(&payload), Err(Failure::Corrupt(_))));
    }
}
