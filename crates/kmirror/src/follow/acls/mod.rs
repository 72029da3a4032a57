//! Access control lists: who may use a topic, a group or a transactional id on the source may use it on the target, as far as the
//! flow's rules go.

mod added;
mod changes;
mod follower;
mod guard;
mod judge;
mod limits;
#[cfg(test)]
mod oracle;
mod record;
mod views;

use kmirror_client::Client;

pub(crate) use self::follower::AclFollower;
pub(crate) use self::judge::{AclStep, CopiedTopics, Judgement};
pub(crate) use self::views::NotCopied;
use crate::ground::config::Flow;
use crate::ground::selection::GroupMatcher;
use crate::logs::records;

/// What would be changed now on the target, where these topics are copied.
pub(crate) async fn plan(
    flow: &Flow,
    groups: GroupMatcher,
    topics: &CopiedTopics,
    source: &Client,
    target: &Client,
) -> Result<Judgement, NotCopied> {
    let rules = judge::AclRules::new(flow, groups);
    let views = views::read(source, target).await?;
    let mut added = added::Added::new(flow, source, target);
    let records = follower::known(&rules, &mut added, source).await?;
    let lists = judge::Lists {
        topics,
        source: &views.source,
        target: &views.target,
        records: &records,
        now_ms: records::now_ms(),
    };
    Ok(judge::judge(&rules, lists, &|_| false))
}
