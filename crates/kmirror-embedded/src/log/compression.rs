//! The codecs of batch payloads, as Java clients write and read them.

use std::io::{Read, Write};

use bytes::Bytes;

/// Decompresses a payload, up to a bound that keeps a hostile one from filling the memory. `None`: it is not what it says.
pub(crate) fn decompress(codec: i16, payload: &Bytes) -> Option<Bytes> {
    let reader: Box<dyn Read + '_> = match codec {
        0 => return Some(payload.clone()),
        1 => Box::new(flate2::read::MultiGzDecoder::new(payload.as_ref())),
        2 => return xerial(payload),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(payload.as_ref())),
        4 => Box::new(zstd::stream::read::Decoder::new(payload.as_ref()).ok()?),
        _ => return None,
    };
    let mut bytes = Vec::new();
    reader.take(DECOMPRESSED_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= DECOMPRESSED_BYTES_MAX).then(|| bytes.into())
}

/// Compresses a payload, where a batch is written anew.
pub(crate) fn compress(codec: i16, payload: &[u8]) -> Option<Vec<u8>> {
    match codec {
        0 => Some(payload.to_vec()),
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(payload).ok()?;
            encoder.finish().ok()
        }
        2 => {
            let mut bytes = XERIAL_MAGIC.to_vec();
            bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
            for block in payload.chunks(XERIAL_BLOCK_BYTES) {
                let block = snap::raw::Encoder::new().compress_vec(block).ok()?;
                bytes.extend_from_slice(&u32::try_from(block.len()).ok()?.to_be_bytes());
                bytes.extend_from_slice(&block);
            }
            Some(bytes)
        }
        3 => {
            let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(payload).ok()?;
            encoder.finish().ok()
        }
        4 => zstd::stream::encode_all(payload, 0).ok(),
        _ => None,
    }
}

/// Snappy as Java frames it (`SnappyOutputStream`), or a raw block.
fn xerial(payload: &Bytes) -> Option<Bytes> {
    let Some(mut rest) = payload.strip_prefix(&XERIAL_MAGIC).and_then(|rest| rest.get(8..)) else {
        return raw_snappy(payload);
    };
    let mut bytes = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        bytes.extend_from_slice(&raw_snappy(after.get(..length)?)?);
        if bytes.len() as u64 > DECOMPRESSED_BYTES_MAX {
            return None;
        }
        rest = after.get(length..)?;
    }
    rest.is_empty().then(|| bytes.into())
}

fn raw_snappy(block: &[u8]) -> Option<Bytes> {
    if snap::raw::decompress_len(block).ok()? as u64 > DECOMPRESSED_BYTES_MAX {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(block).ok().map(Bytes::from)
}

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_BLOCK_BYTES: usize = 32 << 10;
const DECOMPRESSED_BYTES_MAX: u64 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_reads_what_it_wrote_and_refuses_what_is_cut() {
        let payload =
            Bytes::from((0..100_000_u32).flat_map(|number| (number / 7).to_be_bytes()).collect::<Vec<_>>());
        for codec in 0..5 {
            let compressed = Bytes::from(compress(codec, &payload).expect("compresses"));
            assert!(decompress(codec, &compressed).is_some_and(|read| read == payload), "codec {codec}");
            let cut = compressed.slice(..compressed.len() / 2);
            assert!(decompress(codec, &cut).is_none_or(|cut| cut != payload), "codec {codec}");
        }
        assert_eq!(decompress(5, &payload), None);
    }
}
