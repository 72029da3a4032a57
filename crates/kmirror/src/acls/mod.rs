//! Access control lists: who may use a topic, a group or a transactional id on the source may use it on the target, as far as the
//! flow's rules go.

mod added;
mod follower;
mod judge;
mod views;

pub(crate) use follower::AclFollower;
