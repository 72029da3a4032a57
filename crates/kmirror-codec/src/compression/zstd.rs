//! Zstandard: one frame on writing, any number on reading. Contexts are kept: a fresh one costs three times as much as
//! a batch of 16 KiB.

use ::zstd::zstd_safe::{
    self, CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name,
};

use super::Failure;

#[derive(Default)]
pub(super) struct Decompressor {
    context: Option<DCtx<'static>>,
}

impl Decompressor {
    pub(super) fn decompress(
        &mut self,
        payload: &[u8],
        output: &mut Vec<u8>,
        bytes_max: usize,
        window_log_max: u32,
    ) -> Result<(), Failure> {
        let context = self.context.get_or_insert_with(DCtx::create);
        context.reset(ResetDirective::SessionAndParameters).map_err(corrupt)?;
        context.set_parameter(DParameter::WindowLogMax(window_log_max)).map_err(corrupt)?;
        let mut input = InBuffer::around(payload);
        loop {
            if output.len() > bytes_max {
                return Err(Failure::TooLarge);
            }
            output.reserve(CHUNK_BYTES.min(bytes_max + 1 - output.len()));
            let (position_before, length_before) = (input.pos(), output.len());
            let mut target = OutBuffer::around_pos(output, length_before);
            let hint = context.decompress_stream(&mut target, &mut input).map_err(corrupt)?;
            let frame_ended = hint == 0;
            if frame_ended && input.pos() == payload.len() {
                break;
            }
            // Neither taken nor given anything: the input ends within a frame.
            if input.pos() == position_before && output.len() == length_before {
                return Err(Failure::corrupt("the frame is cut off"));
            }
        }
        if output.len() > bytes_max { Err(Failure::TooLarge) } else { Ok(()) }
    }
}

#[derive(Default)]
pub(super) struct Compressor {
    context: Option<CCtx<'static>>,
}

impl Compressor {
    pub(super) fn compress(&mut self, records: &[u8], output: &mut Vec<u8>) -> Result<(), String> {
        let context = self.context.get_or_insert_with(CCtx::create);
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(name)?;
        output.reserve(zstd_safe::compress_bound(records.len()));
        context.compress2(output, records).map(drop).map_err(name)
    }
}

fn corrupt(code: usize) -> Failure {
    Failure::corrupt(get_error_name(code))
}

fn name(code: usize) -> String {
    get_error_name(code).to_string()
}

/// Kafka's default (`compression.zstd.level`).
const LEVEL: i32 = 3;

/// How much room is made at a time.
const CHUNK_BYTES: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn content(payload: &[u8], window_log_max: u32) -> Result<Vec<u8>, Failure> {
        let mut output = Vec::new();
        Decompressor::default().decompress(payload, &mut output, 10_000_000, window_log_max).map(|()| output)
    }

    #[test]
    fn several_frames_are_one_stream() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let mut compressor = Compressor::default();
        compressor.compress(b"one ", &mut one).unwrap();
        compressor.compress(b"two", &mut two).unwrap();
        assert_eq!(content(&[one, two].concat(), 27).unwrap(), b"one two");
    }

    #[test]
    fn a_larger_window_than_allowed_is_refused() {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::WindowLog(25)).unwrap();
        let mut payload = Vec::with_capacity(1000);
        let mut target = OutBuffer::around(&mut payload);
        context.compress_stream(&mut target, &mut InBuffer::around(b"hello")).unwrap();
        context.end_stream(&mut target).unwrap();
        assert_eq!(content(&payload, 25).unwrap(), b"hello");
        assert!(matches!(content(&payload, 24), Err(Failure::Corrupt(_))));
    }
}
