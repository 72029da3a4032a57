//! Gzip, as `java.util.zip` writes and reads it: a stream may have several members, and what follows the last one is nobody's
//! (`GZIPInputStream.readTrailer` takes what is no header for the end).

use std::io::Write;

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::{Failure, read_bounded};

pub(super) fn decompress(payload: &[u8], output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    let mut rest = payload;
    loop {
        let mut member = GzDecoder::new(rest);
        read_bounded(&mut member, output, bytes_max)?;
        rest = member.into_inner();
        if !rest.starts_with(MEMBER) {
            return Ok(());
        }
    }
}

pub(super) fn compress(records: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    let mut encoder = GzEncoder::new(output, flate2::Compression::default());
    encoder.write_all(records).and_then(|()| encoder.try_finish()).map_err(|error| error.to_string())
}

/// How each member begins: a magic number and the one method of compression (RFC 1952).
const MEMBER: &[u8] = &[0x1f, 0x8b, 8];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_members_are_one_stream() {
        let mut payload = Vec::new();
        compress(b"one ", &mut payload).unwrap();
        compress(b"two", &mut payload).unwrap();
        let mut output = Vec::new();
        decompress(&payload, &mut output, 100).unwrap();
        assert_eq!(output, b"one two");
        let mut output = Vec::new();
        assert!(matches!(decompress(&payload, &mut output, 5), Err(Failure::TooLarge)), "all of them count");
    }

    #[test]
    fn what_follows_the_last_member_is_nobodys() {
        for junk in [&[0; 40][..], b"junk", &[0x1f, 0x8b], &[0x1f, 0x8b, 0]] {
            let mut payload = Vec::new();
            compress(b"all", &mut payload).unwrap();
            payload.extend_from_slice(junk);
            let mut output = Vec::new();
            decompress(&payload, &mut output, 100).unwrap();
            assert_eq!(output, b"all", "{junk:?}");
        }
        let mut cut = Vec::new();
        compress(b"one", &mut cut).unwrap();
        cut.extend_from_slice(MEMBER);
        assert!(decompress(&cut, &mut Vec::new(), 100).is_err(), "a member that is cut off is damaged");
    }
}
