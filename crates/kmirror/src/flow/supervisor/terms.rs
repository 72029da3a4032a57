//! What the flow copies changes while it runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::info;

use super::Supervisor;
use crate::ground::context::Terms;

impl Supervisor {
    /// Lets go of the topics that are not selected any more, and looks for those that are now. All others go on.
    pub(super) async fn on_terms(&mut self, terms: Terms) {
        let topics = terms.selected.topics.clone();
        let is_other = terms.selection != self.discovery.terms.selection;
        self.discovery.terms = terms;
        if !is_other {
            return;
        }
        let left = self.table.iter().filter(|(_, entry)| !topics.matches(&entry.source.topic));
        let left: Vec<_> =
            left.map(|(key, entry)| (key, entry.source.topic.clone(), entry.target.topic.clone())).collect();
        for (key, _, target) in &left {
            self.release(*key).await;
            self.held.remove(target);
            self.unowned.remove(target);
            self.context.shared.disown(target);
        }
        let left: BTreeSet<Arc<str>> = left.into_iter().map(|(_, topic, _)| topic).collect();
        for topic in left {
            info!(flow = self.context.flow.name(), %topic, "not copied any more: the flow's filter leaves it out");
            self.table.forget(&topic);
        }
        self.context.shared.retain(|topic| topics.matches(topic));
        self.gone.retain(|topic| topics.matches(topic));
        self.deletions.retain(|topic| topics.matches(topic));
        self.look();
    }
}
