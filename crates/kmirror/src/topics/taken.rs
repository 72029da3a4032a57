//! Topics of the target that an earlier flow of the mirror writes already.

use std::collections::BTreeMap;

use super::{TopicPair, TopicPairs};
use crate::ground::context::Terms;
use crate::ground::park::{ParkReason, Parked};

/// Refuses those of these topics that are new to the flow and that an earlier one copies to under the same name, by what is known of its
/// source now: two flows in one topic would write between each other's records.
pub(crate) fn refuse_taken(terms: &Terms, pairs: &mut TopicPairs, is_new: impl Fn(&TopicPair) -> bool) {
    let taken = taken(terms);
    let (refused, copied) = std::mem::take(&mut pairs.copied)
        .into_iter()
        .partition::<Vec<_>, _>(|pair| is_new(pair) && taken.contains_key(&*pair.target));
    pairs.copied = copied;
    pairs.refused.extend(refused.into_iter().filter_map(|pair| {
        let (flow, topic) = taken.get(&*pair.target)?;
        let problem = format!(
            "the flow {flow} copies its topic {topic:?} to {:?} on the target as well, and it comes first; topics can only be merged with \
             `offsets: mapped`",
            pair.target
        );
        Some(pair.refused(Parked::new(ParkReason::Rejected, problem)))
    }));
}

/// The topics that earlier flows write on the same target: by which flow, and from which topic.
fn taken(terms: &Terms) -> BTreeMap<String, (String, String)> {
    let mut taken = BTreeMap::new();
    let Some(own) = terms.routes.get(terms.route) else { return taken };
    let earlier = terms.routes.iter().zip(terms.sources.iter()).take(terms.route);
    for (route, source) in earlier.filter(|(route, _)| route.target == own.target) {
        for topic in source.metadata().topics.keys().filter(|topic| route.takes(topic)) {
            let name = route.naming.target_topic(&route.source_alias, topic);
            taken.entry(name).or_insert_with(|| (route.name.clone(), topic.to_string()));
        }
    }
    taken
}
