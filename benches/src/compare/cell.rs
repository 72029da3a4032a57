//! What is copied: one kind of records, in batches of one size, by one codec.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kmirror_codec::Compression;
use kmirror_testkit::{ClusterPair, KafkaEndpoint, LogOffset, PartitionDigest, Workload, unique_topic};

use crate::cleaner;
use crate::load::{self, Load, Shape, Values, Written};

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
    /// Rows of CSV of about 110 bytes in batches of 64 KiB, compressed by lz4.
    Csv,
    /// Small binary messages with the id of a schema before them, in batches of 64 KiB, compressed by snappy.
    Telemetry,
    /// Records of 100 KB that do not compress, two in each batch.
    Blobs,
    /// A compacted topic whose cleaner has been through: keys that were written again are gone, tombstones are left, so that batches
    /// have holes and must be built anew.
    Upserts,
    /// Transactions of 500 records, of which every tenth is aborted, in batches of 16 KiB, compressed by lz4.
    Transactions,
}

/// A topic that was written, and what it costs to carry it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Preloaded {
    #[serde(skip)]
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    /// What a consumer of committed records sees.
    pub(crate) records: u64,
    /// More than the records where the logs have holes.
    pub(crate) offsets: u64,
    /// Bytes of its batches on the wire, aborted ones too.
    pub(crate) bytes: u64,
    /// What they would be without compression.
    pub(crate) bytes_decoded: u64,
    pub(crate) batch_bytes_mean: u64,
    /// Of a topic with holes, which not every mirror keeps: what a copy of it must hold, at whatever offsets.
    #[serde(skip)]
    pub(crate) digests: Option<Vec<PartitionDigest>>,
}

impl Cell {
    pub(crate) const ALL: [Cell; 9] = [
        Cell::Raw,
        Cell::Zstd,
        Cell::Lz4,
        Cell::Single,
        Cell::Csv,
        Cell::Telemetry,
        Cell::Blobs,
        Cell::Upserts,
        Cell::Transactions,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Raw => "1 KB, none, 256 KiB",
            Cell::Zstd => "JSON, zstd, 256 KiB",
            Cell::Lz4 => "JSON, lz4, 16 KiB",
            Cell::Single => "100 B, none, 1 record",
            Cell::Csv => "CSV, lz4, 64 KiB",
            Cell::Telemetry => "telemetry, snappy, 64 KiB",
            Cell::Blobs => "100 KB, none, 256 KiB",
            Cell::Upserts => "compacted, none",
            Cell::Transactions => "transactions, lz4, 16 KiB",
        }
    }

    /// The codec that a record-level mirror is told for the target, so that it stores the same.
    pub(crate) fn codec(self) -> &'static str {
        match self {
            Cell::Raw | Cell::Single | Cell::Blobs | Cell::Upserts => "none",
            Cell::Zstd => "zstd",
            Cell::Lz4 | Cell::Csv | Cell::Transactions => "lz4",
            Cell::Telemetry => "snappy",
        }
    }

    /// Writes about as many bytes as are wanted on the wire; less where each of them is more work.
    pub(crate) fn preload(
        self,
        pair: &ClusterPair,
        partitions: u32,
        gigabytes: f64,
    ) -> Result<Preloaded, Box<dyn Error>> {
        self.preload_aged(pair, partitions, gigabytes, Duration::ZERO)
    }

    /// The same with records of this age, but for the cells that a cleaner goes over.
    pub(crate) fn preload_aged(
        self,
        pair: &ClusterPair,
        partitions: u32,
        gigabytes: f64,
        record_age: Duration,
    ) -> Result<Preloaded, Box<dyn Error>> {
        let topic = unique_topic("compared");
        let bytes = (gigabytes * 1e9 / self.divisor()) as u64;
        let mut preloaded = match self {
            Cell::Transactions => transactions(&pair.source, &topic, partitions, bytes)?,
            _ => {
                let load = Load { timestamp: milliseconds_ago(record_age), ..self.load(&topic, partitions) };
                let written = load.write(pair.source.bootstrap_servers(), bytes)?;
                Preloaded::of(&topic, partitions, &written)
            }
        };
        if matches!(self, Cell::Transactions | Cell::Upserts) {
            // Its timestamp ends the segment before, and only what is not the last segment is cleaned.
            let last = FIRST_TIMESTAMP + i64::try_from(3 * preloaded.records + 1)?;
            load::close(pair.source.bootstrap_servers(), &topic, partitions, last)?;
        }
        match self {
            Cell::Upserts => {
                preloaded.bytes = cleaner::compact(pair, &topic, partitions, |now, before| now < before)?;
                preloaded.bytes_decoded = preloaded.bytes;
                preloaded.with_holes(&pair.source)
            }
            Cell::Transactions => preloaded.with_holes(&pair.source),
            _ => Ok(preloaded),
        }
    }

    pub(crate) fn load(self, topic: &str, partitions: u32) -> Load {
        let workload = Workload::new(topic).keys(100_000);
        let (workload, shape, batch_bytes) = match self {
            Cell::Raw => (workload.value_bytes(1_000, 1_000), Shape::AsTheyAre, 256 << 10),
            Cell::Zstd => (workload.json().value_bytes(200, 400), Shape::AsTheyAre, 256 << 10),
            Cell::Lz4 | Cell::Transactions => {
                (workload.json().value_bytes(200, 400), Shape::AsTheyAre, 16 << 10)
            }
            // A batch takes at least one record.
            Cell::Single => (workload.value_bytes(100, 100), Shape::AsTheyAre, 1),
            Cell::Csv => (workload.value_bytes(32, 32), Shape::Csv, 64 << 10),
            Cell::Telemetry => (workload.value_bytes(80, 200), Shape::Telemetry, 64 << 10),
            Cell::Blobs => (workload.value_bytes(100_000, 100_000), Shape::AsTheyAre, 256 << 10),
            Cell::Upserts => {
                let workload = Workload::new(topic).keys(50_000).key_skew(3).tombstone_every(20);
                let workload = workload.value_bytes(200, 200).timestamps(FIRST_TIMESTAMP, 1);
                (workload, Shape::AsTheyAre, 64 << 10)
            }
        };
        let mut configs = vec![("retention.ms".to_owned(), "-1".to_owned())];
        if self == Cell::Upserts {
            // In milliseconds of the records' own timestamps, of which each has one.
            configs.push(("segment.ms".to_owned(), "200000".to_owned()));
        }
        let values = Values::new(&workload, shape);
        let (topic, codec) = (topic.to_owned(), self.compression());
        Load {
            topic,
            partitions,
            configs,
            codec,
            batch_bytes,
            values,
            timestamp: milliseconds_ago(Duration::ZERO),
        }
    }

    fn compression(self) -> Compression {
        match self.codec() {
            "lz4" => Compression::Lz4,
            "snappy" => Compression::Snappy,
            "zstd" => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// Batches of one record are a hundred times the work of large ones, and holes are filled one by one.
    pub(crate) fn divisor(self) -> f64 {
        match self {
            Cell::Single | Cell::Transactions | Cell::Upserts => 5.0,
            _ => 1.0,
        }
    }
}

impl Preloaded {
    fn of(topic: &str, partitions: u32, written: &Written) -> Preloaded {
        Preloaded {
            topic: topic.to_owned(),
            partitions,
            records: written.records,
            offsets: written.records,
            bytes: written.bytes,
            bytes_decoded: written.bytes_decoded,
            batch_bytes_mean: written.bytes / written.batches.max(1),
            digests: None,
        }
    }

    /// Counts what is left of it.
    fn with_holes(self, source: &KafkaEndpoint) -> Result<Preloaded, Box<dyn Error>> {
        let mut offsets = 0;
        for partition in 0..i32::try_from(self.partitions)? {
            offsets += u64::try_from(source.offset(&self.topic, partition, LogOffset::Latest)?)?;
        }
        let digests = source.digests(&self.topic)?;
        let records = digests.iter().map(|partition| partition.records).sum();
        Ok(Preloaded { records, offsets, digests: Some(digests), ..self })
    }
}

/// Only a real producer has transactions; a sample tells how many records are needed, and what they are without compression.
fn transactions(
    source: &KafkaEndpoint,
    topic: &str,
    partitions: u32,
    bytes: u64,
) -> Result<Preloaded, Box<dyn Error>> {
    let records = |topic: &str| {
        let workload = Workload::new(topic).partitions(partitions).keys(100_000).json().value_bytes(200, 400);
        let workload = workload.timestamps(FIRST_TIMESTAMP, 1).topic_property("retention.ms", "-1");
        workload.batch_bytes(16 << 10).linger_ms(20).partition_run(100).transactions(500).abort_every(10)
    };
    let write = |workload: Workload| -> Result<_, Box<dyn Error>> {
        Ok(source.produce(&[workload])?.into_iter().next().ok_or("nothing was written")?)
    };
    let sample =
        |name: &str, codec: &str| write(records(&unique_topic(name)).codec(codec).records(SAMPLE_RECORDS));
    let (encoded, decoded) = (sample("sample", "lz4")?, sample("sample-decoded", "none")?);
    let count = bytes * SAMPLE_RECORDS / encoded.bytes.max(1);
    let produced = write(records(topic).codec("lz4").records(count))?;
    let written = Written {
        records: produced.records,
        batches: produced.bytes / produced.batch_bytes_mean.max(1),
        bytes: produced.bytes,
        bytes_decoded: decoded.bytes * produced.records / SAMPLE_RECORDS,
    };
    Ok(Preloaded::of(topic, partitions, &written))
}

/// Milliseconds since 1970, so long ago.
fn milliseconds_ago(age: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.saturating_sub(age).as_millis()).unwrap_or(i64::MAX)
}

const SAMPLE_RECORDS: u64 = 20_000;
const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
