//! Kafka record batches: bytes in, bytes out.
//!
//! This crate opens no socket and no file, reads no clock, starts no thread and knows no async. It does not know what a
//! topic is, keeps nothing between two batches but reusable buffers ([`Workspace`]), and writes no log line.
//!
//! The route of a batch through it: [`split()`] cuts a Fetch response into batches, [`plan()`] decides from the header
//! alone, and then either [`stamp()`] gives the batch a new header, its payload untouched and unread, or [`rewrite()`]
//! decodes it and encodes it again as dense batches that a broker takes. [`decompress()`] and [`Records`] read records.
//!
//! Everything that comes from outside is checked before it is used, and nothing here panics on it.

mod batch;
mod batch_builder;
mod compression;
mod crc;
mod error;
mod header;
mod legacy;
mod limits;
mod marker;
mod merge;
mod plan;
mod record;
mod rewrite;
mod split;
mod stamp;
mod wire;
mod workspace;

pub use batch::Batch;
pub use batch_builder::{BatchBuilder, NewRecord};
pub use error::BatchError;
pub use header::{Attributes, BATCH_HEADER_BYTES, BatchHeader, Compression, TimestampType};
pub use legacy::LegacyBatch;
pub use limits::Limits;
pub use marker::{Marker, parse_marker};
pub use merge::Merge;
pub use plan::{GapReason, HoleFill, Plan, PlanContext, RewriteReason, Timestamps, plan};
pub use record::{Headers, RecordRef, Records};
pub use rewrite::{RewriteRequest, Rewritten, rewrite};
pub use split::{Entry, Split, Truncated, split};
pub use stamp::{Stamp, stamp};
pub use workspace::{Workspace, decompress};
