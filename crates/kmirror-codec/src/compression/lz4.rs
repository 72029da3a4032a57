//! LZ4 frames, within what Kafka's own reader (`Lz4BlockInputStream`, KIP-57) understands.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Failure, read_bounded};

pub(super) fn decompress(payload: &[u8], output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    read_bounded(FrameDecoder::new(payload), output, bytes_max)
}

/// Independent blocks of 64 KiB, no block checksum, no content checksum, no content size: as `Lz4BlockOutputStream`.
pub(super) fn compress(records: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, output);
    encoder.write_all(records).map_err(|error| error.to_string())?;
    encoder.try_finish().map_err(|error| error.to_string())
}

/// Writes the right header checksum into a frame.
///
/// Producers of message format 0 hashed the magic number along with the frame descriptor (KAFKA-3160), so their
/// checksum is wrong by the LZ4 specification and has to be ignored.
pub(crate) fn repair_header_checksum(frame: &mut [u8]) {
    let Some(flags) = frame.get(MAGIC_BYTES).copied() else { return };
    let content_size_bytes = if flags & CONTENT_SIZE != 0 { 8 } else { 0 };
    let dictionary_bytes = if flags & DICTIONARY != 0 { 4 } else { 0 };
    let checksum_at = MAGIC_BYTES + 2 + content_size_bytes + dictionary_bytes;
    let Some(descriptor) = frame.get(MAGIC_BYTES..checksum_at) else { return };
    let checksum = (xxh32_short(descriptor) >> 8) as u8;
    if let Some(byte) = frame.get_mut(checksum_at) {
        *byte = checksum;
    }
}

/// XXH32 with seed 0 of fewer than 16 bytes, which is all that a frame descriptor can have.
fn xxh32_short(bytes: &[u8]) -> u32 {
    debug_assert!(bytes.len() < 16);
    let mut hash = PRIME_5.wrapping_add(bytes.len() as u32);
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME_3));
        hash = hash.rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5));
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 16)
}

const MAGIC_BYTES: usize = 4;
const CONTENT_SIZE: u8 = 1 << 3;
const DICTIONARY: u8 = 1;

const PRIME_1: u32 = 0x9e37_79b1;
const PRIME_2: u32 = 0x85eb_ca77;
const PRIME_3: u32 = 0xc2b2_ae3d;
const PRIME_4: u32 = 0x27d4_eb2f;
const PRIME_5: u32 = 0x1656_67b1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_kafka_reads() {
        let mut frame = Vec::new();
        compress(&[7; 200_000], &mut frame).unwrap();
        assert_eq!(&frame[..4], &[0x04, 0x22, 0x4d, 0x18]);
        // Version 01, independent blocks, nothing else; 64 KiB blocks; the checksum that Kafka writes for these two.
        assert_eq!(&frame[4..7], &[0x60, 0x40, 0x82]);
        assert_eq!(&frame[frame.len() - 4..], &[0; 4]);
    }

    #[test]
    fn a_wrong_header_checksum_is_repaired() {
        for content_size in [None, Some(5)] {
            let mut frame = Vec::new();
            let info = FrameInfo::new().content_size(content_size);
            let mut encoder = FrameEncoder::with_frame_info(info, &mut frame);
            encoder.write_all(b"hello").unwrap();
            encoder.finish().unwrap();
            let checksum_at = if content_size.is_some() { 14 } else { 6 };
            let right = frame.clone();
            frame[checksum_at] ^= 0x55;
            assert!(decompress(&frame, &mut Vec::new(), 100).is_err());
            repair_header_checksum(&mut frame);
            assert_eq!(frame, right);
        }
        repair_header_checksum(&mut []);
        repair_header_checksum(&mut [0x04, 0x22, 0x4d, 0x18, 0xff, 0x40]);
    }
}
