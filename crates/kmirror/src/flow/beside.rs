//! What a flow does beside copying. Nothing of it holds up the copy, and it learns no more than what the flow lets others see.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::follow::acls::AclFollower;
use crate::follow::commit_group::CommitGroup;
use crate::follow::configs::ConfigFollower;
use crate::follow::groups::GroupFollower;
use crate::follow::mm2::{Heartbeats, OffsetSyncs};
use crate::follow::retention::LogStartFollower;
use crate::follow::whole::WholeRecorder;
use crate::ground::config::{Acls, Retention};
use crate::ground::context::FlowContext;
use crate::ground::error::Error;
use crate::state_topic::store::StateStore;

/// The tasks beside a flow. They end when this is dropped.
pub(crate) struct Beside {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Beside {
    /// Starts what the flow's configuration asks for.
    pub(crate) fn start(context: &FlowContext, state: &StateStore) -> Beside {
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        if let Some(group) = &context.flow.commit_group {
            let commits =
                CommitGroup::new(group.clone(), context.source.clone(), Arc::clone(&context.shared));
            tasks.spawn(commits.run(stop.clone()));
        }
        if context.flow.topic_configs.follow {
            let (source, target) = (context.source.clone(), context.target.clone());
            let follower = ConfigFollower::new(&context.flow, source, target, Arc::clone(&context.shared));
            tasks.spawn(follower.run(stop.clone()));
        }
        if context.flow.acls != Acls::None {
            tasks.spawn(AclFollower::new(context).run(stop.clone()));
        }
        if context.flow.mm2_topics.heartbeats {
            tasks.spawn(Heartbeats::new(&context.flow, &context.target).run(stop.clone()));
        }
        let shared = Arc::clone(&context.shared);
        if let Some(syncs) = OffsetSyncs::new(&context.flow, &context.source, &context.target, shared) {
            tasks.spawn(syncs.run(stop.clone()));
        }
        tasks.spawn(GroupFollower::new(context).run(stop.clone()));
        tasks.spawn(WholeRecorder::new(context).run(stop.clone()));
        if context.flow.retention == Retention::Follow {
            tasks.spawn(LogStartFollower::new(context, state).run(stop.clone()));
        }
        Beside { tasks, stop }
    }

    /// What a task beside the flow left undone when it panicked.
    pub(crate) fn defect(&mut self) -> Option<Error> {
        let ended = std::iter::from_fn(|| self.tasks.try_join_next());
        let panicked = ended.filter_map(Result::err).find(JoinError::is_panic)?;
        Some(Error::of_task("a task beside the flow", panicked))
    }

    /// Lets the tasks do their last work, now that the copy has ended, for a moment.
    pub(crate) async fn finish(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_MAX, ended).await;
    }
}

const FINISH_MAX: Duration = Duration::from_secs(5);
