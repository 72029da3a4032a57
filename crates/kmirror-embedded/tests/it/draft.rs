//! Batches of every kind, right and wrong, byte by byte.

use bytes::{BufMut, Bytes, BytesMut};

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) base_offset: i64,
    pub(crate) magic: i8,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) timestamp: i64,
    pub(crate) producer: (i64, i16, i32),
    pub(crate) count: i32,
    pub(crate) keys: bool,
    pub(crate) deltas: Vec<u8>,
    pub(crate) value_bytes: usize,
    pub(crate) breaks_crc: bool,
}

impl Draft {
    pub(crate) fn new() -> Draft {
        Draft {
            base_offset: 0,
            magic: 2,
            attributes: 0,
            last_offset_delta: 2,
            timestamp: 1_700_000_000_000,
            producer: (-1, -1, -1),
            count: 3,
            keys: true,
            deltas: vec![0, 1, 2],
            value_bytes: 5,
            breaks_crc: false,
        }
    }

    pub(crate) fn sequenced(id: i64, epoch: i16, sequence: i32) -> Draft {
        Draft { producer: (id, epoch, sequence), ..Draft::new() }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let payload = self.compressed();
        let mut bytes = BytesMut::new();
        bytes.put_i64(self.base_offset);
        bytes.put_i32((49 + payload.len()) as i32);
        bytes.put_i32(-1);
        bytes.put_i8(self.magic);
        bytes.put_u32(0);
        bytes.put_i16(self.attributes);
        bytes.put_i32(self.last_offset_delta);
        bytes.put_i64(self.timestamp);
        bytes.put_i64(self.timestamp);
        bytes.put_i64(self.producer.0);
        bytes.put_i16(self.producer.1);
        bytes.put_i32(self.producer.2);
        bytes.put_i32(self.count);
        bytes.put_slice(&payload);
        let crc = crc32c::crc32c(&bytes[21..]) ^ u32::from(self.breaks_crc);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    }

    /// Records whose offset deltas are below 64, so that each fits a byte of a varint.
    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        for delta in &self.deltas {
            let mut body = vec![0, 0, delta << 1];
            if self.keys {
                body.extend_from_slice(&[6, b'k', b'e', b'y']);
            } else {
                body.push(1);
            }
            varint(&mut body, self.value_bytes);
            body.extend(std::iter::repeat_n(b'v', self.value_bytes));
            body.push(0);
            varint(&mut payload, body.len());
            payload.extend_from_slice(&body);
        }
        payload
    }

    fn compressed(&self) -> Vec<u8> {
        let payload = self.payload();
        match self.attributes & 7 {
            4 => zstd::stream::encode_all(&payload[..], 0).unwrap(),
            _ => payload,
        }
    }
}

/// A length as a zigzag varint.
fn varint(bytes: &mut Vec<u8>, length: usize) {
    let mut value = length << 1;
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
