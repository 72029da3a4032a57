//! What is copied: one kind of records, in batches of one size, by one codec.

use std::error::Error;

use kmirror_testkit::{KafkaEndpoint, Workload, unique_topic};

/// A kind of topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    /// Records of 1 KB that do not compress, in batches of 256 KiB: all cost is per byte.
    Raw,
    /// Lines of JSON in batches of 256 KiB, compressed by zstd: whoever decodes pays for the codec twice.
    Zstd,
    /// Lines of JSON in batches of 16 KiB, compressed by lz4: the default of many producers.
    Lz4,
    /// One record of 100 bytes in each batch: the worst case of whoever passes batches through.
    Single,
}

/// A topic that was written, and what it costs to carry it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Preloaded {
    #[serde(skip)]
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) records: u64,
    /// Bytes of its batches on the wire.
    pub(crate) bytes: u64,
    /// What they would be without compression.
    pub(crate) bytes_decoded: u64,
    pub(crate) batch_bytes_mean: u64,
}

impl Cell {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Raw => "1 KB, none, 256 KiB",
            Cell::Zstd => "JSON, zstd, 256 KiB",
            Cell::Lz4 => "JSON, lz4, 16 KiB",
            Cell::Single => "100 B, none, 1 record",
        }
    }

    /// The codec that a record-level mirror is told for the target, so that it stores the same.
    pub(crate) fn codec(self) -> &'static str {
        match self {
            Cell::Raw | Cell::Single => "none",
            Cell::Zstd => "zstd",
            Cell::Lz4 => "lz4",
        }
    }

    /// Writes about as many bytes as are wanted on the wire; less where each batch costs a round.
    pub(crate) fn preload(
        self,
        source: &KafkaEndpoint,
        partitions: u32,
        gigabytes: f64,
    ) -> Result<Preloaded, Box<dyn Error>> {
        let wanted = if self == Cell::Single { gigabytes / SINGLE_PART } else { gigabytes } * 1e9;
        let written = |workload: Workload| -> Result<_, Box<dyn Error>> {
            Ok(source.produce(&[workload])?.into_iter().next().ok_or("nothing was written")?)
        };
        let sample_records = if self == Cell::Single { 2_000 } else { 20_000 };
        let records = |topic: &str| self.records(topic).partitions(partitions).records(sample_records);
        let sample = written(records(&unique_topic("sample")).codec(self.codec()))?;
        let decoded = written(records(&unique_topic("sample-decoded")).codec("none"))?;
        let count = (wanted / sample.bytes.max(1) as f64 * sample.records as f64).ceil() as u64;
        let topic = unique_topic("compared");
        let produced = written(records(&topic).codec(self.codec()).records(count))?;
        let decoded_per_record = decoded.bytes as f64 / decoded.records.max(1) as f64;
        Ok(Preloaded {
            topic,
            partitions,
            records: produced.records,
            bytes: produced.bytes,
            bytes_decoded: (decoded_per_record * produced.records as f64) as u64,
            batch_bytes_mean: produced.batch_bytes_mean,
        })
    }

    fn records(self, topic: &str) -> Workload {
        let workload = Workload::new(topic).keys(100_000).producer_property("buffer.memory", "67108864");
        match self {
            Cell::Raw => workload.value_bytes(1_000, 1_000).batch_bytes(256 << 10).linger_ms(2_000),
            Cell::Zstd => workload.json().value_bytes(200, 400).batch_bytes(256 << 10).linger_ms(2_000),
            Cell::Lz4 => workload.json().value_bytes(200, 400).batch_bytes(16 << 10).linger_ms(2_000),
            // A batch is closed by the first record that does not fit, and it always takes one.
            Cell::Single => workload.value_bytes(100, 100).batch_bytes(1).linger_ms(0),
        }
    }
}

/// Batches of one record are a hundred times the work of large ones.
const SINGLE_PART: f64 = 20.0;
