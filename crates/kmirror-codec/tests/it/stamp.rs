use bytes::Bytes;
use kmirror_codec::{
    Attributes, BATCH_HEADER_BYTES, Batch, BatchHeader, Compression, Stamp, TimestampType, stamp,
};
use proptest::prelude::*;

use crate::support::dense;

/// A batch with any header and any payload, its checksum right.
fn any_batch() -> impl Strategy<Value = Batch> {
    // Sizes are drawn by their magnitude, from 0 bytes to 32 MiB.
    let payload = (0_u32..=25, any::<u32>(), any::<[u8; 16]>()).prop_map(|(magnitude, within, bytes)| {
        let length = (1_usize << magnitude) - 1 + within as usize % (1 << magnitude);
        let mut payload = vec![bytes[0]; length.min(32 << 20)];
        let at = payload.len() / 2;
        for (place, byte) in payload.iter_mut().skip(at).zip(bytes) {
            *place = byte;
        }
        payload
    });
    let fields = (0_i64..i64::MAX / 2, any::<i32>(), any::<i16>(), 0_i32..i32::MAX, any::<[i64; 3]>());
    let producer = (any::<i16>(), any::<i32>());
    (payload, fields, producer).prop_map(|(payload, fields, (producer_epoch, base_sequence))| {
        let (base_offset, partition_leader_epoch, attributes, last_offset_delta, [base, max, producer_id]) =
            fields;
        let mut header = BatchHeader {
            base_offset,
            batch_length: (payload.len() + 49) as i32,
            partition_leader_epoch,
            magic: 2,
            crc: 0,
            attributes: Attributes(attributes),
            last_offset_delta,
            base_timestamp: base,
            max_timestamp: max,
            producer_id,
            producer_epoch,
            base_sequence,
            records_count: last_offset_delta / 2,
        };
        header.crc = crc32c::crc32c_append(crc32c::crc32c(&header.encode()[21..]), &payload);
        Batch::parse(Bytes::from([&header.encode()[..], &payload].concat())).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn the_carried_checksum_is_the_hash(
        batch in any_batch(), producer_id: i64, producer_epoch: i16, base_sequence: i32
    ) {
        batch.verify_crc().unwrap();
        let header = stamp(&batch, &Stamp { producer_id, producer_epoch, base_sequence });
        let stamped = Batch::parse(Bytes::from([&header[..], &batch.payload()].concat())).unwrap();
        prop_assert_eq!(stamped.verify_crc(), Ok(()));
        prop_assert_eq!(stamped.header(), &BatchHeader {
            base_offset: 0,
            partition_leader_epoch: -1,
            attributes: Attributes(batch.header().attributes.0 & !0b111_1000),
            crc: stamped.header().crc,
            producer_id,
            producer_epoch,
            base_sequence,
            ..*batch.header()
        });
    }
}

#[test]
fn damage_before_the_stamp_is_seen_after_it() {
    let whole = dense(7, 10, Compression::None);
    let mut bytes = whole.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Batch::parse(Bytes::from(bytes)).unwrap();
    let header = stamp(&damaged, &Stamp { producer_id: 1, producer_epoch: 2, base_sequence: 3 });
    let stamped = Batch::parse(Bytes::from([&header[..], &damaged.payload()].concat())).unwrap();
    assert!(stamped.verify_crc().is_err());
}

#[test]
fn flags_of_the_source_are_not_sent() {
    let attributes = Attributes::new(Compression::None, TimestampType::LogAppendTime)
        .with_transactional(true)
        .with_control(true)
        .with_delete_horizon(true);
    let whole = dense(7, 10, Compression::None);
    let header = BatchHeader { attributes, ..*whole.header() }.encode();
    let batch = Batch::parse(Bytes::from([&header[..], &whole.payload()].concat())).unwrap();
    let stamped = stamp(&batch, &Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 });
    assert_eq!(stamped.len(), BATCH_HEADER_BYTES);
    assert_eq!(BatchHeader::parse(&stamped).unwrap().attributes, Attributes(0));
}
