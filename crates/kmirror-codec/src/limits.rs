/// What reading and writing a batch may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that one payload may grow to when it is decompressed. Default 64 MiB.
    pub decompressed_bytes_max: usize,
    /// Base-2 logarithm of the largest window of a zstd frame. Default 27 (128 MiB), which zstd's highest level, 22,
    /// declares even for a few bytes; memory of a window is touched only as far as the content reaches.
    pub zstd_window_log_max: u32,
    /// Bytes of records, before compression, of one batch that is written. Default 16 MiB. A single record may be
    /// larger.
    pub written_records_bytes_max: usize,
    /// Bytes of records, before compression, after which a call of [`rewrite`](crate::rewrite()) stops with
    /// [`Rewritten::Rest`](crate::Rewritten::Rest): it bounds the memory and the time of one call, however long a hole
    /// is. Default 64 MiB, a fraction of a second.
    pub rewritten_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            decompressed_bytes_max: 64 << 20,
            zstd_window_log_max: 27,
            written_records_bytes_max: 16 << 20,
            rewritten_bytes_max: 64 << 20,
        }
    }
}
