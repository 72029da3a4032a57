//! Members of a group, what they do, and what they are told: with names instead of ids, so that two clusters can be compared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::wire::Wire;

/// Somebody with a connection of his own.
pub(crate) struct Actor {
    wire: Wire,
    pub(crate) id: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) generation: i32,
    pub(crate) join_version: i16,
    pub(crate) protocol_type: &'static str,
    pub(crate) protocols: Vec<&'static str>,
    /// What it subscribes to.
    pub(crate) topics: Vec<String>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
}

/// A group and a topic of two partitions on one cluster.
pub(crate) struct Scene<'a> {
    coordinator: String,
    pub(crate) topic: String,
    pub(crate) group: String,
    actors: BTreeMap<&'static str, Actor>,
    ids: BTreeMap<String, &'static str>,
    /// Whom the last join named as the leader.
    pub(crate) leader: &'static str,
    /// Whether that is told: where a leader leaves, Kafka takes another one by the hash of its random id.
    pub(crate) tells_leader: bool,
    pass: &'a (dyn Fn(Duration) + Sync),
    pub(crate) answers: Vec<String>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        address: &str,
        topic: &str,
        group: &str,
        pass: &'a (dyn Fn(Duration) + Sync),
    ) -> Scene<'a> {
        Scene {
            coordinator: coordinator(address, group),
            topic: topic.to_owned(),
            group: group.to_owned(),
            actors: BTreeMap::new(),
            ids: BTreeMap::new(),
            leader: "nobody",
            tells_leader: true,
            pass,
            answers: Vec::new(),
        }
    }

    pub(crate) fn actor(&mut self, name: &'static str) -> &mut Actor {
        let topics = vec![self.topic.clone()];
        let coordinator = &self.coordinator;
        self.actors.entry(name).or_insert_with(|| Actor {
            wire: Wire::connect(coordinator),
            id: String::new(),
            instance: None,
            generation: -1,
            join_version: 9,
            protocol_type: "consumer",
            protocols: vec!["range"],
            topics,
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
        })
    }

    /// Joins as far as it takes to be a member, which is not told.
    pub(crate) fn enter(&mut self, name: &'static str) {
        let told = self.answers.len();
        if self.actor(name).id.is_empty() && self.actor(name).instance.is_none() {
            self.join(name);
        }
        self.join(name);
        self.answers.truncate(told);
    }

    /// A stable group of members, the first of which leads it.
    pub(crate) fn stable(&mut self, names: &[&'static str]) {
        let told = self.answers.len();
        for (index, name) in names.iter().enumerate() {
            if self.actor(name).instance.is_none() {
                self.join(name);
            }
            self.begin_join(name);
            if index > 0 {
                self.until("PreparingRebalance");
            }
            names[..index].iter().for_each(|name| self.begin_join(name));
            names[..=index].iter().for_each(|name| self.end_join(name));
            self.sync(names[0], names);
            names[1..=index].iter().for_each(|name| self.sync(name, &[]));
        }
        self.answers.truncate(told);
    }

    pub(crate) fn join(&mut self, name: &'static str) {
        self.begin_join(name);
        self.end_join(name);
    }

    pub(crate) fn begin_join(&mut self, name: &'static str) {
        let group = group_id(&self.group);
        let actor = self.actor(name);
        let metadata = subscription(&actor.topics);
        let protocols = actor.protocols.iter().map(|protocol| {
            let protocol = JoinGroupRequestProtocol::default().with_name(text(protocol));
            protocol.with_metadata(metadata.clone())
        });
        let request = JoinGroupRequest::default()
            .with_group_id(group)
            .with_session_timeout_ms(actor.session_timeout_ms)
            .with_rebalance_timeout_ms(actor.rebalance_timeout_ms)
            .with_member_id(text(&actor.id))
            .with_group_instance_id(actor.instance.map(text))
            .with_protocol_type(text(actor.protocol_type))
            .with_protocols(protocols.collect());
        let version = actor.join_version;
        actor.wire.send(version, &request).unwrap();
    }

    pub(crate) fn end_join(&mut self, name: &'static str) {
        let actor = self.actor(name);
        let version = actor.join_version;
        let joined = actor.wire.receive::<JoinGroupRequest>(version).unwrap();
        let id = joined.member_id.to_string();
        if joined.error_code == 0 || joined.error_code == 79 {
            (actor.id, actor.generation) = (id.clone(), joined.generation_id);
            self.ids.insert(id, name);
        }
        if joined.error_code != 0 {
            return self.tell(format!("join {name}: {}", joined.error_code));
        }
        self.leader = self.ids.get(joined.leader.as_str()).copied().unwrap_or("somebody");
        let protocol = joined.protocol_name.unwrap_or_default();
        let skips = if joined.skip_assignment { ", nothing to assign" } else { "" };
        let (members, leader) = (joined.members.len(), self.leader);
        let of_leader = format!(", {members} members for leader {leader}{skips}");
        let of_leader = if self.tells_leader { of_leader.as_str() } else { "" };
        let generation = joined.generation_id;
        self.tell(format!("join {name}: generation {generation} of {}{of_leader}", protocol.as_str()));
    }

    pub(crate) fn sync(&mut self, name: &'static str, assigned: &[&'static str]) {
        self.begin_sync(name, assigned);
        self.end_sync(name);
    }

    pub(crate) fn begin_sync(&mut self, name: &'static str, assigned: &[&'static str]) {
        self.begin_sync_as(name, assigned, 5, Some("consumer"), Some("range"));
    }

    pub(crate) fn begin_sync_as(
        &mut self,
        name: &'static str,
        assigned: &[&'static str],
        version: i16,
        protocol_type: Option<&str>,
        protocol_name: Option<&str>,
    ) {
        let group = group_id(&self.group);
        let assignments: Vec<_> = assigned
            .iter()
            .map(|name| {
                let assignment = Bytes::from(format!("for {name}"));
                SyncGroupRequestAssignment::default()
                    .with_member_id(text(&self.actor(name).id))
                    .with_assignment(assignment)
            })
            .collect();
        let actor = self.actor(name);
        let request = SyncGroupRequest::default()
            .with_group_id(group)
            .with_generation_id(actor.generation)
            .with_member_id(text(&actor.id))
            .with_group_instance_id(actor.instance.map(text))
            .with_protocol_type(protocol_type.map(text))
            .with_protocol_name(protocol_name.map(text))
            .with_assignments(assignments);
        actor.wire.send(version, &request).unwrap();
    }

    pub(crate) fn end_sync(&mut self, name: &'static str) {
        let synced = self.actor(name).wire.receive::<SyncGroupRequest>(5).unwrap();
        let assignment = String::from_utf8_lossy(&synced.assignment).into_owned();
        match synced.error_code {
            0 => self.tell(format!("sync {name}: {assignment:?}")),
            code => self.tell(format!("sync {name}: {code}")),
        }
    }

    pub(crate) fn heartbeat(&mut self, name: &'static str) {
        let group = group_id(&self.group);
        let actor = self.actor(name);
        let request = HeartbeatRequest::default()
            .with_group_id(group)
            .with_generation_id(actor.generation)
            .with_member_id(text(&actor.id))
            .with_group_instance_id(actor.instance.map(text));
        let code = actor.wire.call(4, &request).error_code;
        self.tell(format!("heartbeat {name}: {code}"));
    }

    pub(crate) fn leave(&mut self, name: &'static str) {
        let group = group_id(&self.group);
        let actor = self.actor(name);
        let member = MemberIdentity::default()
            .with_member_id(text(&actor.id))
            .with_group_instance_id(actor.instance.map(text));
        let left =
            actor.wire.call(5, &LeaveGroupRequest::default().with_group_id(group).with_members(vec![member]));
        let codes: Vec<_> = left.members.iter().map(|member| member.error_code).collect();
        self.tell(format!("leave {name}: {} {codes:?}", left.error_code));
    }

    pub(crate) fn leave_alone(&mut self, name: &'static str) {
        let group = group_id(&self.group);
        let actor = self.actor(name);
        let request = LeaveGroupRequest::default().with_group_id(group).with_member_id(text(&actor.id));
        let code = actor.wire.call(2, &request).error_code;
        self.tell(format!("leave {name}: {code}"));
    }

    /// Commits as this member, by the version of OffsetCommit.
    pub(crate) fn commit(
        &mut self,
        name: &'static str,
        version: i16,
        topic: &str,
        number: i32,
        metadata: &str,
    ) {
        let group = group_id(&self.group);
        let actor = self.actor(name);
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(number)
            .with_committed_offset(42)
            .with_committed_metadata(Some(text(metadata)));
        let named =
            OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group)
            .with_generation_id_or_member_epoch(actor.generation)
            .with_member_id(text(&actor.id))
            .with_group_instance_id(actor.instance.map(text))
            .with_topics(vec![named]);
        let code = actor.wire.call(version, &request).topics[0].partitions[0].error_code;
        self.tell(format!("commit {name}: {code}"));
    }

    /// Commits to the first partition, as most do.
    pub(crate) fn commits(&mut self, name: &'static str) {
        let topic = self.topic.clone();
        self.commit(name, 9, &topic, 0, "a note");
    }

    /// What is committed for both partitions, or for all.
    pub(crate) fn fetch(&mut self, version: i16, all: bool) {
        let topic = self.topic.clone();
        let group = group_id(&self.group);
        let wire = &mut self.actor("admin").wire;
        let mut found = Vec::new();
        let error = if version >= 8 {
            let named = OffsetFetchRequestTopics::default()
                .with_name(topic_name(&topic))
                .with_partition_indexes(vec![0, 1]);
            let topics = (!all).then(|| vec![named]);
            let wanted = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
            let fetched = wire.call(version, &OffsetFetchRequest::default().with_groups(vec![wanted]));
            for one in fetched.groups[0].topics.iter().flat_map(|topic| &topic.partitions) {
                found.push((one.partition_index, one.error_code, one.committed_offset, one.metadata.clone()));
            }
            fetched.groups[0].error_code
        } else {
            let named = OffsetFetchRequestTopic::default().with_name(topic_name(&topic));
            let topics = (!all).then(|| vec![named.with_partition_indexes(vec![0, 1])]);
            let fetched =
                wire.call(version, &OffsetFetchRequest::default().with_group_id(group).with_topics(topics));
            for one in fetched.topics.iter().flat_map(|topic| &topic.partitions) {
                found.push((one.partition_index, one.error_code, one.committed_offset, one.metadata.clone()));
            }
            fetched.error_code
        };
        let found: Vec<_> = found
            .iter()
            .map(|(number, code, offset, metadata)| {
                format!("{number}: {code} {offset} {:?}", metadata.as_ref().map(|text| text.as_str()))
            })
            .collect();
        self.tell(format!("fetch {version}: {error} [{}]", found.join(", ")));
    }

    pub(crate) fn delete(&mut self) {
        let group = group_id(&self.group);
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group]);
        let code = self.actor("admin").wire.call(2, &request).results[0].error_code;
        self.tell(format!("delete: {code}"));
    }

    pub(crate) fn delete_offset(&mut self, topic: &str) {
        let partition = OffsetDeleteRequestPartition::default();
        let named =
            OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request =
            OffsetDeleteRequest::default().with_group_id(group_id(&self.group)).with_topics(vec![named]);
        let deleted = self.actor("admin").wire.call(0, &request);
        let codes: Vec<_> = deleted.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
        self.tell(format!("delete offset: {} {codes:?}", deleted.error_code));
    }

    pub(crate) fn describe(&mut self, version: i16) {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&self.group)]);
        let Some(described) = self.actor("admin").wire.try_call(version, &request) else {
            self.actors.remove("admin");
            return self.tell(format!("describe {version}: not offered"));
        };
        let group = &described.groups[0];
        let members: Vec<_> = group
            .members
            .iter()
            .map(|member| {
                let name = self.ids.get(member.member_id.as_str()).copied().unwrap_or("somebody");
                let assignment = String::from_utf8_lossy(&member.member_assignment);
                let has_metadata = !member.member_metadata.is_empty();
                format!("{name} of {}: {assignment:?} {has_metadata}", member.client_id.as_str())
            })
            .collect();
        let mut members = members;
        members.sort();
        let told = format!(
            "describe {version}: {} {} {:?} {:?} [{}]{}",
            group.error_code,
            group.group_state.as_str(),
            group.protocol_type.as_str(),
            group.protocol_data.as_str(),
            members.join(", "),
            group
                .error_message
                .as_ref()
                .map_or(String::new(), |text| format!(" {}", text.replace(&self.group, "G")))
        );
        self.tell(told);
    }

    /// What may be done with the group, as bits.
    pub(crate) fn operations(&mut self) {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![group_id(&self.group)])
            .with_include_authorized_operations(true);
        let described = self.actor("admin").wire.call(5, &request);
        let told = format!("operations: {}", described.groups[0].authorized_operations);
        self.tell(told);
    }

    pub(crate) fn list(&mut self, states: &[&str], types: &[&str]) {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|kind| text(kind)).collect());
        let listed = self.actor("admin").wire.call(5, &request);
        let ours = listed.groups.iter().find(|group| group.group_id.as_str() == self.group);
        let told = ours.map_or("not there".to_owned(), |group| {
            format!(
                "{:?} {} {}",
                group.protocol_type.as_str(),
                group.group_state.as_str(),
                group.group_type.to_lowercase()
            )
        });
        self.tell(format!("list: {} {told}", listed.error_code));
    }

    /// Waits until the group is in a state: what somebody has sent over another connection has arrived then.
    pub(crate) fn until(&mut self, state: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let request = DescribeGroupsRequest::default().with_groups(vec![group_id(&self.group)]);
            let described = self.actor("admin").wire.call(5, &request);
            if described.groups[0].group_state.as_str() == state {
                return;
            }
            let found = described.groups[0].group_state.as_str();
            let last = self.answers.iter().rev().take(12).rev().collect::<Vec<_>>();
            assert!(
                Instant::now() < deadline,
                "{state} and not {found} on {} after {last:#?}",
                self.coordinator
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everybody connects to another broker.
    pub(crate) fn connect_to(&mut self, address: &str) {
        self.coordinator = address.to_owned();
        self.actors.values_mut().for_each(|actor| actor.wire = Wire::connect(address));
    }

    pub(crate) fn coordinator(&self) -> &str {
        &self.coordinator
    }

    pub(crate) fn pass(&self, time: Duration) {
        (self.pass)(time);
    }

    fn tell(&mut self, told: String) {
        self.answers.push(told);
    }
}

/// The address of a group's coordinator. A cluster that has had no group yet takes a moment.
pub(crate) fn coordinator(address: &str, group: &str) -> String {
    let mut wire = Wire::connect(address);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
        let found = &wire.call(4, &request).coordinators[0];
        let address = format!("{}:{}", found.host.as_str(), found.port);
        if found.error_code == 0 && is_loaded(&address, group) {
            return address;
        }
        assert!(Instant::now() < deadline, "no coordinator: {}", found.error_code);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_loaded(coordinator: &str, group: &str) -> bool {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    Wire::connect(coordinator).call(5, &request).groups[0].error_code == 0
}

fn subscription(topics: &[String]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
