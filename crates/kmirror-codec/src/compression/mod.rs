//! The five codecs, as Kafka frames them. Every decompressor stops at a limit; contexts are reused.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::io::Read;

pub(crate) use self::lz4::repair_header_checksum as repair_lz4_header_checksum;
use crate::{Batch, BatchError, Compression, Limits};

/// Decompresses payloads into one buffer that it keeps.
#[derive(Default)]
pub(crate) struct Decompressor {
    output: Vec<u8>,
    zstd: zstd::Decompressor,
}

impl Decompressor {
    /// The records of `batch`, borrowed from it where they are not compressed.
    pub(crate) fn batch<'a>(&'a mut self, batch: &'a Batch, limits: &Limits) -> Result<&'a [u8], BatchError> {
        let codec = batch.header().attributes.compression()?;
        self.decompress(codec, batch.payload_slice(), batch.header().base_offset, limits)
    }

    /// The content of `payload`; `base_offset` is for the error.
    pub(crate) fn decompress<'a>(
        &'a mut self,
        codec: Compression,
        payload: &'a [u8],
        base_offset: i64,
        limits: &Limits,
    ) -> Result<&'a [u8], BatchError> {
        let bytes_max = limits.decompressed_bytes_max;
        let output = &mut self.output;
        output.clear();
        let done = match codec {
            Compression::None => return Ok(payload),
            Compression::Gzip => gzip::decompress(payload, output, bytes_max),
            Compression::Snappy => snappy::decompress(payload, output, bytes_max),
            Compression::Lz4 => lz4::decompress(payload, output, bytes_max),
            Compression::Zstd => self.zstd.decompress(payload, output, bytes_max, limits.zstd_window_log_max),
        };
        match done {
            Ok(()) => Ok(output),
            Err(Failure::TooLarge) => {
                Err(BatchError::DecompressedTooLarge { base_offset, codec, limit: bytes_max })
            }
            Err(Failure::Corrupt(problem)) => Err(BatchError::Decompression { base_offset, codec, problem }),
        }
    }
}

/// Compresses records into one buffer that it keeps.
#[derive(Default)]
pub(crate) struct Compressor {
    output: Vec<u8>,
    snappy: snappy::Compressor,
    zstd: zstd::Compressor,
}

impl Compressor {
    /// The payload of a batch with these records; the records themselves where the codec is none.
    pub(crate) fn compress<'a>(
        &'a mut self,
        codec: Compression,
        records: &'a [u8],
        base_offset: i64,
    ) -> Result<&'a [u8], BatchError> {
        let output = &mut self.output;
        output.clear();
        let done = match codec {
            Compression::None => return Ok(records),
            Compression::Gzip => gzip::compress(records, output),
            Compression::Snappy => self.snappy.compress(records, output),
            Compression::Lz4 => lz4::compress(records, output),
            Compression::Zstd => self.zstd.compress(records, output),
        };
        match done {
            Ok(()) => Ok(output),
            // Writing into memory does not fail; should a library see it otherwise, one batch fails, not the process.
            Err(problem) => Err(BatchError::Decompression { base_offset, codec, problem }),
        }
    }
}

/// Why a payload was not decompressed.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    TooLarge,
    Corrupt(String),
}

impl Failure {
    fn corrupt(problem: impl ToString) -> Failure {
        Failure::Corrupt(problem.to_string())
    }
}

/// Reads to the end, or to the limit: the buffer never holds more than one byte beyond it.
fn read_bounded(reader: impl Read, output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    let mut reader = reader.take((bytes_max as u64).saturating_add(1));
    reader.read_to_end(output).map_err(Failure::corrupt)?;
    if output.len() > bytes_max { Err(Failure::TooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut text = Vec::new();
        while text.len() < bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.extend_from_slice(format!("{{\"id\":{},\"name\":\"customer\"}}", state >> 44).as_bytes());
        }
        text.truncate(bytes);
        text
    }

    fn limits(bytes_max: usize) -> Limits {
        Limits { decompressed_bytes_max: bytes_max, ..Limits::default() }
    }

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for codec in Compression::ALL {
            for bytes in [0, 1, 100, 32 << 10, (32 << 10) + 1, 64 << 10, 65_537, 1_000_000] {
                let text = text(bytes);
                let payload = compressor.compress(codec, &text, 0).unwrap().to_vec();
                let again = decompressor.decompress(codec, &payload, 0, &limits(bytes)).unwrap();
                assert!(again == text, "{codec} {bytes}");
            }
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_an_error() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for codec in Compression::ALL.into_iter().skip(1) {
            let payload = compressor.compress(codec, &text(100_000), 0).unwrap().to_vec();
            let error = decompressor.decompress(codec, &payload, 7, &limits(99_999)).unwrap_err();
            assert_eq!(error, BatchError::DecompressedTooLarge { base_offset: 7, codec, limit: 99_999 });
        }
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        let zeros = vec![0; 50_000_000];
        for codec in Compression::ALL.into_iter().skip(1) {
            let payload = compressor.compress(codec, &zeros, 0).unwrap().to_vec();
            let error = decompressor.decompress(codec, &payload, 0, &limits(1_000_000)).unwrap_err();
            assert!(matches!(error, BatchError::DecompressedTooLarge { .. }), "{error}");
            assert!(
                decompressor.output.capacity() <= 4_000_000,
                "{codec} {}",
                decompressor.output.capacity()
            );
        }
    }

    #[test]
    fn a_cut_payload_never_passes_for_the_whole() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        let text = text(5_000);
        for codec in Compression::ALL.into_iter().skip(1) {
            let payload = compressor.compress(codec, &text, 0).unwrap().to_vec();
            // An LZ4 frame that only lacks its end mark has all its content.
            let end_mark_bytes = if codec == Compression::Lz4 { 4 } else { 0 };
            for cut in 0..payload.len() - end_mark_bytes {
                let content = decompressor.decompress(codec, &payload[..cut], 0, &limits(10_000));
                assert!(content.is_err() || content.is_ok_and(|content| content != text), "{codec} {cut}");
            }
        }
    }
}
