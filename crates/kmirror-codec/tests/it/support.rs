//! Seeded random numbers, owned records, and short ways to build and read batches.

use kmirror_codec::{
    Batch, BatchBuilder, BatchError, Compression, Limits, NewRecord, RecordRef, Records, Workspace,
    decompress,
};

/// SplitMix64: small, seeded, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        // Few different bytes, so that codecs have something to do.
        let draw =
            |random: &mut Random| random.next().to_le_bytes().map(|byte| ALPHABET[usize::from(byte & 7)]);
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| draw(self)).collect();
        bytes.truncate(count);
        bytes
    }

    fn nullable(&mut self, bytes_max: u64) -> Option<Vec<u8>> {
        let count = self.below(bytes_max + 1) as usize;
        (!self.chance(5)).then(|| self.bytes(count))
    }
}

const ALPHABET: &[u8; 8] = b"abcdef\0\xff";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRecord {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    pub(crate) fn plain(offset: i64, key: &str, value: &str) -> OwnedRecord {
        let (key, value) = (Some(key.into()), Some(value.into()));
        OwnedRecord { offset, timestamp: 1000 + offset, key, value, headers: Vec::new() }
    }

    pub(crate) fn random(random: &mut Random, offset: i64, value_bytes_max: u64) -> OwnedRecord {
        let timestamp = match random.below(20) {
            0 => i64::MAX,
            1 => i64::MIN,
            2 => -1,
            _ => 1_700_000_000_000 + random.below(1000) as i64 - 500,
        };
        let headers = if random.chance(3) { random.below(4) } else { 0 };
        OwnedRecord {
            offset,
            timestamp,
            key: random.nullable(10),
            value: random.nullable(value_bytes_max),
            headers: (0..headers).map(|_| (random.bytes(2), random.nullable(8))).collect(),
        }
    }

    pub(crate) fn of(record: &RecordRef<'_>) -> OwnedRecord {
        OwnedRecord {
            offset: record.offset,
            timestamp: record.stored_timestamp,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: record
                .headers()
                .map(|header| header.map(|(key, value)| (key.into(), value.map(Into::into))).unwrap())
                .collect(),
        }
    }

    pub(crate) fn push_to(&self, builder: &mut BatchBuilder) -> Result<(), BatchError> {
        let headers: Vec<_> = self.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        builder.push(&NewRecord {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }
}

/// A batch from `base_offset` to the last record.
pub(crate) fn batch(base_offset: i64, records: &[OwnedRecord], compression: Compression) -> Batch {
    let mut builder = BatchBuilder::new(base_offset);
    for record in records {
        record.push_to(&mut builder).unwrap();
    }
    builder.build(compression, &mut Workspace::new()).unwrap()
}

/// A dense batch of `count` small records from `base_offset` on.
pub(crate) fn dense(base_offset: i64, count: i64, compression: Compression) -> Batch {
    let records: Vec<_> =
        (0..count).map(|i| OwnedRecord::plain(base_offset + i, &format!("key-{i}"), "a value")).collect();
    batch(base_offset, &records, compression)
}

/// All records with their stored timestamps.
pub(crate) fn read(batch: &Batch) -> Result<Vec<OwnedRecord>, BatchError> {
    let mut workspace = Workspace::new();
    let payload = decompress(batch, &Limits::default(), &mut workspace)?;
    Records::new(batch.header(), payload)
        .map(|record| record.map(|record| OwnedRecord::of(&record)))
        .collect()
}
