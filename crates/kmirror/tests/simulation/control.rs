//! What a schedule changes on its source beside records: it follows to the copies, and to nothing else.

use kmirror_embedded::{Acl, EmbeddedCluster, Operation, Pattern, ResourceType};

use crate::logs::{PARTITIONS, THEIRS, TOPICS};
use crate::random::Random;

/// A group commits, a setting changes, or an access control entry comes or goes.
pub(crate) fn change(source: &EmbeddedCluster, random: &mut Random) {
    let is_theirs = random.one_in(4);
    let topic = if is_theirs { THEIRS } else { random.pick(&TOPICS) };
    match random.below(3) {
        0 => {
            let (topic, partition) = if is_theirs { (THEIRS, 0) } else { random.pick(&PARTITIONS) };
            let group = random.pick(&["readers", "billing"]);
            // Not every world has a topic that is theirs.
            let Ok(log) = source.log(topic, partition) else { return };
            let offset = log.start + random.below((log.high_watermark - log.start + 1) as u64) as i64;
            source.commit_offsets(group, topic, partition, offset).unwrap();
        }
        1 => {
            // Long enough for whatever is written here.
            let days = 100 + random.below(100);
            drop(source.alter_topic(topic, &[("retention.ms", &(days * 86_400_000).to_string())]));
        }
        _ => {
            let entry = entry(topic, random);
            if random.one_in(3) { source.remove_acl(&entry) } else { source.add_acl(entry) }
        }
    }
}

/// An entry of a topic, or one of all topics that limits others.
fn entry(topic: &str, random: &mut Random) -> Acl {
    let limits_all = random.one_in(4);
    Acl {
        resource_type: ResourceType::Topic,
        pattern: Pattern::Literal(if limits_all { "*" } else { topic }.to_owned()),
        principal: random.pick(&["User:ann", "User:bob"]).to_owned(),
        host: "*".to_owned(),
        operation: Operation::Read,
        allows: !limits_all,
    }
}
