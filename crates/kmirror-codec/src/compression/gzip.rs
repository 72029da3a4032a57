//! Gzip, as `java.util.zip` writes and reads it: a stream may have several members.

use std::io::Write;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Failure, read_bounded};

pub(super) fn decompress(payload: &[u8], output: &mut Vec<u8>, bytes_max: usize) -> Result<(), Failure> {
    read_bounded(MultiGzDecoder::new(payload), output, bytes_max)
}

pub(super) fn compress(records: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
    let mut encoder = GzEncoder::new(output, flate2::Compression::default());
    encoder.write_all(records).and_then(|()| encoder.try_finish()).map_err(|error| error.to_string())
}

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
    }
}
