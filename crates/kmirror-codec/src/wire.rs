//! Reading and writing the primitive types of a batch: big-endian integers and zigzag varints.

/// A cursor over bytes whose reads fail, by `None`, where the bytes end.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn i8(&mut self) -> Option<i8> {
        self.chunk().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.chunk().map(i64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(count)?;
        self.bytes = tail;
        Some(head)
    }

    /// A zigzag varint of at most 32 bits (`ByteUtils.readVarint`).
    pub(crate) fn varint(&mut self) -> Option<i32> {
        let raw = u32::try_from(self.raw_varint(5)?).ok()?;
        Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// A zigzag varint of at most 64 bits (`ByteUtils.readVarlong`).
    pub(crate) fn varlong(&mut self) -> Option<i64> {
        let raw = self.raw_varint(10)?;
        Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A length as varint and as many bytes; the inner `None` is null, written as length -1.
    pub(crate) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Some(None),
            length => self.bytes(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk()?;
        self.bytes = tail;
        Some(*head)
    }

    fn raw_varint(&mut self, bytes_max: u32) -> Option<u64> {
        let mut value = 0_u64;
        for index in 0..bytes_max {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            let bits = u64::from(byte & 0x7f);
            let shift = index * 7;
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends a zigzag varint; a 32-bit value takes the same bytes in both of Kafka's widths.
pub(crate) fn put_varlong(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        buffer.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    buffer.push(rest as u8);
}

/// Bytes that [`put_varlong`] appends for `value`.
pub(crate) fn varlong_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for shift in 0..63 {
            for value in [1_i64 << shift, -(1_i64 << shift), (1_i64 << shift) - 1, i64::MIN, i64::MAX] {
                let mut buffer = Vec::new();
                put_varlong(&mut buffer, value);
                assert_eq!(buffer.len(), varlong_bytes(value), "{value}");
                let mut reader = Reader::new(&buffer);
                assert_eq!(reader.varlong(), Some(value));
                assert!(reader.is_empty());
                assert_eq!(Reader::new(&buffer).varint(), i32::try_from(value).ok(), "{value}");
                assert_eq!(Reader::new(&buffer[..buffer.len() - 1]).varlong(), None);
            }
        }
    }

    #[test]
    fn varints_that_do_not_end_are_refused() {
        assert_eq!(Reader::new(&[0xff; 20]).varint(), None);
        assert_eq!(Reader::new(&[0xff; 20]).varlong(), None);
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).varint(), Some(i32::MIN));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), None);
    }
}
