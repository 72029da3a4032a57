//! What members of the protocol type `consumer` subscribe to (`ConsumerProtocolSubscription`, whose version 0 begins all others).

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};

/// The topics of a subscription. `None`: it cannot be read.
pub(super) fn topics(mut metadata: Bytes) -> Option<BTreeSet<String>> {
    metadata.try_get_i16().ok()?;
    let count = metadata.try_get_i32().ok()?;
    (0..count).map(|_| topic(&mut metadata)).collect()
}

fn topic(metadata: &mut Bytes) -> Option<String> {
    let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
    if metadata.remaining() < length {
        return None;
    }
    String::from_utf8(metadata.split_to(length).to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_or_not_at_all() {
        let whole = Bytes::from_static(b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x02bcrest");
        assert_eq!(topics(whole.clone()), Some(BTreeSet::from(["a".to_owned(), "bc".to_owned()])));
        assert_eq!(topics(whole.slice(..12)), None);
        assert_eq!(topics(Bytes::from_static(b"\x00\x00\x7f\xff\xff\xff")), None);
        assert_eq!(topics(Bytes::from_static(b"\x00\x00\x00\x00\x00\x01\xff\xff")), None);
    }
}
