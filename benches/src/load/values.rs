//! What records hold: a function of the seed and the index alone.

use std::fmt::Write as _;

use kmirror_testkit::{Workload, WorkloadContent, WorkloadRecord};

/// Records of a workload, with values in this shape.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    content: WorkloadContent,
    shape: Shape,
}

/// What becomes of the bytes that a workload gives for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// They stay.
    AsTheyAre,
    /// A row of about 110 characters, as of a taxi's trips.
    Csv,
    /// A small binary message behind the five bytes by which a schema is found (Confluent's framing): as many readings of a device as
    /// there are bytes, most of them close to the one before.
    Telemetry,
}

impl Values {
    pub(crate) fn new(workload: &Workload, shape: Shape) -> Values {
        Values { content: workload.content(), shape }
    }

    pub(crate) fn record(&self, index: u64) -> WorkloadRecord {
        let record = self.content.record(index);
        let value = record.value.map(|bytes| match self.shape {
            Shape::AsTheyAre => bytes,
            Shape::Csv => csv(&bytes, index),
            Shape::Telemetry => telemetry(&bytes, index),
        });
        WorkloadRecord { value, ..record }
    }
}

fn csv(random: &[u8], index: u64) -> Vec<u8> {
    let mut random = random.iter().map(|byte| u64::from(*byte)).cycle();
    let mut below = |limit: u64| (random.next().unwrap_or(0) << 8 | random.next().unwrap_or(0)) % limit;
    let (hour, minute, second) = (index / 3_600 % 24, index / 60 % 60, index % 60);
    let (distance, fare, tip) = (below(1_500), 300 + below(5_000), below(900));
    let mut row = String::with_capacity(128);
    let _ = write!(
        row,
        "{vendor},2024-03-14 {hour:02}:{minute:02}:{second:02},2024-03-14 {hour:02}:{end:02}:{second:02},{passengers}.0,{}.{:02},1.0,N,{},{},{},{}.{:02},2.5,0.5,{}.{:02},0.0,1.0,{}.{:02},2.5,0.0",
        distance / 100,
        distance % 100,
        below(263) + 1,
        below(263) + 1,
        below(4) + 1,
        fare / 100,
        fare % 100,
        tip / 100,
        tip % 100,
        (fare + tip + 400) / 100,
        (fare + tip + 400) % 100,
        vendor = below(2) + 1,
        end = (minute + below(30)) % 60,
        passengers = below(4) + 1,
    );
    row.into_bytes()
}

fn telemetry(random: &[u8], index: u64) -> Vec<u8> {
    let mut message = Vec::with_capacity(random.len());
    message.push(0);
    message.extend_from_slice(&SCHEMA_ID.to_be_bytes());
    message.extend_from_slice(&(index % DEVICES).to_be_bytes());
    message.extend_from_slice(&(FIRST_TIME + index).to_be_bytes());
    let mut reading: u8 = 100;
    for byte in random.iter().skip(message.len()) {
        // Every fourth reading moves, by a few steps.
        reading = reading.wrapping_add(if byte % 4 == 0 { byte >> 6 } else { 0 });
        message.push(reading);
    }
    message
}

const SCHEMA_ID: u32 = 4_711;
const DEVICES: u64 = 1_000;
const FIRST_TIME: u64 = 1_700_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn values(shape: Shape, least: u32, most: u32) -> Values {
        Values::new(&Workload::new("t").keys(10).value_bytes(least, most), shape)
    }

    #[test]
    fn a_row_has_nineteen_columns_and_the_length_of_one() {
        let rows = values(Shape::Csv, 32, 32);
        for index in [0, 1, 86_399, 1_000_000] {
            let row = String::from_utf8(rows.record(index).value.unwrap()).unwrap();
            assert_eq!(row.split(',').count(), 19, "{row}");
            assert!((80..=125).contains(&row.len()), "{row}");
        }
        assert_ne!(rows.record(0), rows.record(1));
        assert_eq!(rows.record(7), rows.record(7));
    }

    #[test]
    fn a_message_names_its_schema_and_has_the_length_that_was_asked_for() {
        let messages = values(Shape::Telemetry, 80, 200);
        for index in 0..100 {
            let message = messages.record(index).value.unwrap();
            assert_eq!(&message[..5], &[0, 0, 0, 0x12, 0x67]);
            assert!((80..=200).contains(&message.len()), "{}", message.len());
        }
    }
}
