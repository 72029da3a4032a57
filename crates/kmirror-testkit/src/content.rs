use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

/// What a [`crate::Workload`] says, for writers other than the Java producer: for the same options it gives the same records as
/// `testdata/java/Workload.java`, byte for byte.
#[derive(Clone, Debug)]
pub struct WorkloadContent {
    options: HashMap<String, String>,
}

/// A record of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadRecord {
    /// Its partition.
    pub partition: i32,
    /// Milliseconds since 1970; nothing means the clock's time, less the workload's [age](WorkloadContent::age).
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Keys and values of its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl WorkloadContent {
    pub(crate) fn new(options: &[(String, String)]) -> WorkloadContent {
        WorkloadContent { options: options.iter().cloned().collect() }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.text("topic", "")
    }

    /// The number of its partitions.
    pub fn partitions(&self) -> u64 {
        self.number("partitions", 1).max(1)
    }

    /// Configuration of the topic, if it is created.
    pub fn topic_properties(&self) -> Vec<(&str, &str)> {
        let options = self.options.iter();
        options.filter_map(|(name, value)| Some((name.strip_prefix("topic.")?, value.as_str()))).collect()
    }

    /// The name of the codec.
    pub fn codec(&self) -> &str {
        self.text("codec", "none")
    }

    /// The limit of a batch in bytes.
    pub fn batch_bytes(&self) -> u64 {
        self.number("producer.batch.size", self.number("batch_bytes", 16_384))
    }

    /// The index of the first record.
    pub fn first(&self) -> u64 {
        self.number("first", 0)
    }

    /// The number of records.
    pub fn records(&self) -> u64 {
        self.number("records", 0)
    }

    /// Records of a transaction, and which one of how many is aborted; 0 for none.
    pub fn transactions(&self) -> (u64, u64) {
        (self.number("transaction_records", 0), self.number("abort_every", 0))
    }

    /// The pace; 0 for as fast as it goes.
    pub fn records_per_second(&self) -> u64 {
        self.number("records_per_second", 0)
    }

    /// How old a record is when it is written, where its timestamp is the clock's.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.number("age_ms", 0))
    }

    /// The record with this index.
    pub fn record(&self, index: u64) -> WorkloadRecord {
        let seed = self.number("seed", 1);
        let mut random = SplittableRandom(seed.wrapping_mul(GOLDEN_GAMMA).wrapping_add(index));
        let run = self.number("partition_run", 1).max(1);
        let partition = self.number("partition", index / run % self.partitions());
        let lone_key_every = self.number("lone_key_every", 0);
        let (key, value) = if lone_key_every > 0 {
            if random.long_below(lone_key_every) == 0 {
                (Some(format!("lone-{index}").into_bytes()), Some(self.value(&mut random, index)))
            } else {
                let key = random.long_below(self.number("keys", 0).max(1));
                (Some(format!("key-{key}").into_bytes()), Some(Vec::new()))
            }
        } else {
            let key = self.key(&mut random, index);
            let is_tombstone = self.is_nth("tombstone_every", index);
            (key, (!is_tombstone).then(|| self.value(&mut random, index)))
        };
        let has_headers = lone_key_every == 0 && self.number("headers", 0) > 0;
        WorkloadRecord {
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            timestamp: self.timestamp(index),
            key,
            value,
            headers: if has_headers { headers(&mut random, index) } else { Vec::new() },
        }
    }

    fn timestamp(&self, index: u64) -> Option<i64> {
        let first: i64 = self.options.get("timestamp")?.parse().ok()?;
        let step = self.number("timestamp_step_ms", 1);
        first.checked_add_unsigned(index.checked_mul(step)?)
    }

    fn key(&self, random: &mut SplittableRandom, index: u64) -> Option<Vec<u8>> {
        let keys = self.number("keys", 0);
        let choice = random.double().powf(self.number("key_skew", 1) as f64);
        if keys == 0 || self.is_nth("null_key_every", index) {
            return None;
        }
        Some(format!("key-{}", (choice * keys as f64) as u64).into_bytes())
    }

    fn value(&self, random: &mut SplittableRandom, index: u64) -> Vec<u8> {
        let limit = |name| u32::try_from(self.number(name, 100)).unwrap_or(u32::MAX);
        let (min, max) = (limit("value_bytes_min"), limit("value_bytes_max"));
        let size = min.saturating_add(random.int_below(max.saturating_sub(min).saturating_add(1)));
        if self.text("values", "random") == "json" {
            json(random, index, size as usize)
        } else {
            random.bytes(size as usize)
        }
    }

    fn is_nth(&self, option: &str, index: u64) -> bool {
        let n = self.number(option, 0);
        n > 0 && index % n == n - 1
    }

    fn text<'a>(&'a self, name: &str, otherwise: &'a str) -> &'a str {
        self.options.get(name).map_or(otherwise, String::as_str)
    }

    fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.options.get(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise)
    }
}

/// The headers that replicators lose: a repeated key, a null, an empty value, an empty key, bytes that are no text.
fn headers(random: &mut SplittableRandom, index: u64) -> Vec<(String, Option<Vec<u8>>)> {
    let header = |key: &str, value: Option<Vec<u8>>| (key.to_owned(), value);
    match index % 4 {
        0 => vec![
            header("trace", Some(format!("id-{index}").into_bytes())),
            header("trace", Some(b"again".to_vec())),
            header("trace", None),
        ],
        1 => vec![
            header("empty", Some(Vec::new())),
            header("", Some(b"key is empty".to_vec())),
            header("null", None),
        ],
        2 => vec![
            header("bytes", Some(vec![0xC3, 0x28, 0, 0xFF])),
            header("gr\u{f6}\u{df}e", Some(random.bytes(9))),
        ],
        _ => Vec::new(),
    }
}

/// Like a service's log.
fn json(random: &mut SplittableRandom, index: u64, size: usize) -> Vec<u8> {
    let mut json = format!("{{\"index\":{index}");
    while json.len() < size.saturating_sub(1) {
        let field = random.one_of(&FIELDS);
        let _ = match random.int_below(3) {
            0 => write!(json, ",\"{field}\":\"{}\"", random.one_of(&WORDS)),
            1 => write!(json, ",\"{field}\":{}", random.int_below(1_000_000)),
            _ => write!(json, ",\"{field}\":\"{:x}\"", random.long()),
        };
    }
    let mut json = json.into_bytes();
    json.resize(size.saturating_sub(1), 0);
    json.push(b'}');
    json
}

/// `java.util.SplittableRandom`, whose numbers are part of its specification only in so far as nobody dares to change them.
struct SplittableRandom(u64);

impl SplittableRandom {
    fn seed(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        self.0
    }

    fn long(&mut self) -> u64 {
        let mut mixed = self.seed();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn int(&mut self) -> u32 {
        let mut mixed = self.seed();
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0x62A9_D9ED_7997_05F5);
        ((mixed ^ (mixed >> 28)).wrapping_mul(0xCB24_D0A5_C88C_35B3) >> 32) as u32
    }

    fn double(&mut self) -> f64 {
        (self.long() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `nextInt(bound)`: numbers of an incomplete last range are thrown away.
    fn int_below(&mut self, bound: u32) -> u32 {
        if bound.is_power_of_two() {
            return self.int() & (bound - 1);
        }
        loop {
            let number = self.int() >> 1;
            let below = number.checked_rem(bound).unwrap_or_default();
            if number - below <= (i32::MAX as u32).saturating_sub(bound.saturating_sub(1)) {
                return below;
            }
        }
    }

    /// `nextLong(bound)`.
    fn long_below(&mut self, bound: u64) -> u64 {
        if bound.is_power_of_two() {
            return self.long() & (bound - 1);
        }
        loop {
            let number = self.long() >> 1;
            let below = number.checked_rem(bound).unwrap_or_default();
            if number - below <= (i64::MAX as u64).saturating_sub(bound.saturating_sub(1)) {
                return below;
            }
        }
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        let index = self.int_below(u32::try_from(words.len()).unwrap_or(u32::MAX));
        words.get(index as usize).copied().unwrap_or_default()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        for chunk in bytes.chunks_mut(8) {
            let word = self.long().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(byte, random)| *byte = random);
        }
        bytes
    }
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
const FIELDS: [&str; 16] = [
    "service",
    "level",
    "request_id",
    "user",
    "duration_us",
    "status",
    "region",
    "path",
    "trace",
    "bytes_sent",
    "host",
    "attempt",
    "cache",
    "tenant",
    "session",
    "query",
];
const WORDS: [&str; 14] = [
    "checkout",
    "information",
    "warning",
    "eu-central-1",
    "us-east-2",
    "GET",
    "POST",
    "/api/v2/orders",
    "/api/v2/payments/confirm",
    "hit",
    "miss",
    "completed",
    "timeout while calling upstream",
    "retry",
];
