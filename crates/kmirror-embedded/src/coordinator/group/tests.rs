use super::*;

/// A group, its clock, and what was answered by the number of the request.
struct Scene {
    group: Group,
    now_ms: i64,
    answers: BTreeMap<Ticket, Answer>,
}

impl Scene {
    fn new(initial_delay_ms: i64) -> Scene {
        Scene { group: Group::new(initial_delay_ms), now_ms: 0, answers: BTreeMap::new() }
    }

    fn at(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.settle();
    }

    fn settle(&mut self) {
        self.group.tick(self.now_ms);
        self.answers.extend(self.group.take_answers());
    }

    /// A dynamic member that is new; its id is its name.
    fn join_new(&mut self, ticket: Ticket, name: &str, protocols: &[&str]) {
        self.join(Join { ticket, new_member_id: name.to_owned(), ..join(protocols) });
    }

    fn rejoin(&mut self, ticket: Ticket, name: &str, protocols: &[&str]) {
        self.join(Join { ticket, member_id: name.to_owned(), ..join(protocols) });
    }

    fn join_static(&mut self, ticket: Ticket, instance: &str, id: &str, can_skip_assignment: bool) {
        let instance_id = Some(instance.to_owned());
        let new_member_id = id.to_owned();
        self.join(Join { ticket, new_member_id, instance_id, can_skip_assignment, ..join(&["range"]) });
    }

    fn join(&mut self, join: Join) {
        self.group.join(join, self.now_ms);
        self.settle();
    }

    fn sync(&mut self, ticket: Ticket, name: &str, assignments: &[(&str, &'static str)]) {
        let assignments = assignments
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), Bytes::from_static(bytes.as_bytes())));
        let generation = self.group.lasting.generation;
        let member_id = name.to_owned();
        let sync =
            Sync { ticket, member_id, generation, assignments: assignments.collect(), ..Sync::default() };
        self.group.sync(sync, self.now_ms);
        self.settle();
    }

    fn leave(&mut self, name: &str) -> Result<(), ResponseError> {
        let left = self.group.leave(&[Leave { member_id: name.to_owned(), instance_id: None }], self.now_ms);
        self.settle();
        left[0]
    }

    fn heartbeat(&mut self, name: &str) -> Result<(), ResponseError> {
        self.group.heartbeat(name, None, self.group.lasting.generation, self.now_ms)
    }

    /// Error, or generation, leader and number of members told.
    fn joined(&self, ticket: Ticket) -> Option<Result<(i32, &str, usize), ResponseError>> {
        match self.answers.get(&ticket)? {
            Answer::Join(Joined { error: Some(error), .. }) => Some(Err(*error)),
            Answer::Join(joined) => Some(Ok((joined.generation, &joined.leader, joined.members.len()))),
            other => panic!("{other:?}"),
        }
    }

    fn synced(&self, ticket: Ticket) -> Option<Result<&[u8], ResponseError>> {
        match self.answers.get(&ticket)? {
            Answer::Sync(Ok(synced)) => Some(Ok(&synced.assignment)),
            Answer::Sync(Err(error)) => Some(Err(*error)),
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> GroupState {
        self.group.state()
    }
}

fn join(protocols: &[&str]) -> Join {
    let protocol =
        |name: &&str| Protocol { name: (*name).to_owned(), metadata: Bytes::from_static(NO_TOPICS) };
    Join {
        protocol_type: "consumer".to_owned(),
        protocols: protocols.iter().map(protocol).collect(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        ..Join::default()
    }
}

/// A stable group of members "a", its leader, and "b", with the answers 1 to 5.
fn stable() -> Scene {
    let mut scene = Scene::new(0);
    scene.join_new(1, "a", &["range"]);
    scene.join_new(2, "b", &["range"]);
    scene.rejoin(3, "a", &["range"]);
    scene.sync(4, "b", &[]);
    scene.sync(5, "a", &[("a", "for a"), ("b", "for b")]);
    assert_eq!(scene.state(), GroupState::Stable);
    scene
}

#[test]
fn two_members_become_a_stable_generation() {
    let mut scene = Scene::new(0);
    scene.join_new(1, "a", &["range"]);
    assert_eq!(scene.joined(1), Some(Ok((1, "a", 1))));
    scene.join_new(2, "b", &["range"]);
    assert_eq!(scene.joined(2), None, "a has not joined again");
    assert_eq!(scene.heartbeat("a"), Err(ResponseError::RebalanceInProgress));
    scene.rejoin(3, "a", &["range"]);
    assert_eq!(scene.joined(2), Some(Ok((2, "a", 0))));
    assert_eq!(scene.joined(3), Some(Ok((2, "a", 2))));
    scene.sync(4, "b", &[]);
    assert_eq!(scene.synced(4), None, "the leader has not said");
    scene.sync(5, "a", &[("b", "for b")]);
    assert_eq!(scene.synced(4), Some(Ok(&b"for b"[..])));
    assert_eq!(scene.synced(5), Some(Ok(&b""[..])));
    assert_eq!(scene.heartbeat("b"), Ok(()));
}

#[test]
fn the_first_rebalance_waits_for_as_long_as_members_come() {
    let mut scene = Scene::new(3_000);
    scene.join_new(1, "a", &["range"]);
    scene.at(2_000);
    scene.join_new(2, "b", &["range"]);
    scene.at(5_999);
    assert_eq!(scene.joined(1), None);
    scene.at(6_000);
    assert_eq!(scene.joined(1), Some(Ok((1, "a", 2))));
}

#[test]
fn the_protocol_that_all_know_and_most_prefer_is_chosen() {
    let mut scene = Scene::new(3_000);
    for (ticket, name, protocols) in
        [(1, "a", ["x", "y", "z"]), (2, "b", ["y", "z", "w"]), (3, "c", ["z", "y", "w"])]
    {
        scene.join_new(ticket, name, &protocols);
    }
    scene.join_new(4, "d", &["v"]);
    assert_eq!(scene.joined(4), Some(Err(ResponseError::InconsistentGroupProtocol)));
    scene.at(6_000);
    assert_eq!(scene.group.protocol().1.as_deref(), Some("y"));
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut scene = stable();
    scene.join_new(6, "c", &["range"]);
    scene.at(9_000);
    assert_eq!(scene.heartbeat("b"), Err(ResponseError::RebalanceInProgress));
    scene.rejoin(7, "a", &["range"]);
    scene.at(18_000);
    assert_eq!(scene.joined(7), None);
    scene.at(19_000);
    assert_eq!(scene.joined(7), Some(Ok((3, "a", 2))), "b's session has ended");
    assert_eq!(scene.heartbeat("b"), Err(ResponseError::UnknownMemberId));
}

#[test]
fn the_rebalance_timeout_is_the_last_word() {
    let mut scene = stable();
    scene.join_new(6, "c", &["range"]);
    for now_ms in (5_000..60_000).step_by(5_000) {
        scene.at(now_ms);
        let _ = (scene.heartbeat("a"), scene.heartbeat("b"));
    }
    assert_eq!(scene.joined(6), None);
    scene.at(60_000);
    assert_eq!(scene.joined(6), Some(Ok((3, "c", 1))), "the leader has not joined: another one leads");
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut scene = stable();
    scene.join_new(6, "c", &["range"]);
    scene.rejoin(7, "a", &["range"]);
    scene.rejoin(8, "b", &["range"]);
    scene.sync(9, "b", &[]);
    scene.sync(10, "c", &[]);
    for now_ms in (5_000..60_000).step_by(5_000) {
        scene.at(now_ms);
        assert_eq!(scene.heartbeat("a"), Ok(()));
    }
    scene.at(60_000);
    assert_eq!(scene.synced(9), Some(Err(ResponseError::RebalanceInProgress)));
    assert_eq!(scene.heartbeat("a"), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
}

#[test]
fn the_last_one_to_leave_empties_the_group() {
    let mut scene = stable();
    assert_eq!(scene.leave("c"), Err(ResponseError::UnknownMemberId));
    assert_eq!(scene.state(), GroupState::Stable);
    assert_eq!(scene.leave("a"), Ok(()));
    assert_eq!(scene.state(), GroupState::PreparingRebalance);
    scene.rejoin(6, "b", &["range"]);
    assert_eq!(scene.joined(6), Some(Ok((3, "b", 1))));
    assert_eq!(scene.leave("b"), Ok(()));
    assert_eq!((scene.state(), scene.group.lasting.generation), (GroupState::Empty, 4));
    assert!(!scene.group.is_subscribed("topic"), "nobody subscribes to anything");
}

#[test]
fn an_id_that_was_given_out_holds_a_rebalance_up() {
    let mut scene = stable();
    scene.join(Join {
        ticket: 6,
        new_member_id: "c".to_owned(),
        requires_known_member_id: true,
        ..join(&["range"])
    });
    assert_eq!(scene.joined(6), Some(Err(ResponseError::MemberIdRequired)));
    assert_eq!(scene.state(), GroupState::Stable);
    scene.rejoin(7, "a", &["range"]);
    scene.rejoin(8, "b", &["range"]);
    assert_eq!(scene.joined(8), None);
    scene.at(10_000);
    assert_eq!(scene.joined(8), Some(Ok((3, "a", 0))), "the id has expired");
    scene.rejoin(9, "c", &["range"]);
    assert_eq!(scene.joined(9), Some(Err(ResponseError::UnknownMemberId)));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_old_self() {
    for can_skip_assignment in [false, true] {
        let mut scene = Scene::new(0);
        scene.join_static(1, "one", "old", can_skip_assignment);
        scene.sync(2, "old", &[("old", "mine")]);
        scene.join_static(3, "one", "new", can_skip_assignment);
        let leader = if can_skip_assignment { "new" } else { "old" };
        assert_eq!(scene.joined(3), Some(Ok((1, leader, usize::from(can_skip_assignment)))));
        assert_eq!(scene.state(), GroupState::Stable);
        scene.sync(4, "new", &[]);
        assert_eq!(scene.synced(4), Some(Ok(&b"mine"[..])));
        let fenced = scene.group.heartbeat("old", Some("one"), 1, 0);
        assert_eq!(fenced, Err(ResponseError::FencedInstanceId));
        assert_eq!(scene.heartbeat("old"), Err(ResponseError::UnknownMemberId));
        let leave = Leave { member_id: String::new(), instance_id: Some("one".to_owned()) };
        assert_eq!(scene.group.leave(&[leave], 0), [Ok(())]);
        assert_eq!(scene.state(), GroupState::Empty);
    }
}

#[test]
fn static_members_that_are_away_keep_their_place_until_their_session_ends() {
    let mut scene = Scene::new(0);
    scene.join_static(1, "one", "a", false);
    scene.join_static(2, "two", "b", false);
    scene.at(9_000);
    assert_eq!(scene.joined(2), None);
    scene.at(10_000);
    assert_eq!(scene.joined(2), Some(Ok((2, "b", 1))));
}

#[test]
fn another_coordinator_knows_what_was_stable() {
    let mut scene = stable();
    scene.join_new(6, "c", &["range"]);
    scene.group.reload(1_000);
    scene.at(1_000);
    assert_eq!(scene.joined(6), Some(Err(ResponseError::NotCoordinator)));
    assert_eq!((scene.state(), scene.heartbeat("a")), (GroupState::Stable, Ok(())));
    scene.at(11_000);
    assert_eq!(scene.heartbeat("b"), Err(ResponseError::UnknownMemberId));
    let mut scene = Scene::new(0);
    scene.join_new(1, "a", &["range"]);
    scene.group.reload(0);
    assert_eq!(
        (scene.state(), scene.heartbeat("a")),
        (GroupState::Empty, Err(ResponseError::UnknownMemberId))
    );
}

/// Who may commit: member id, generation, whether in a transaction, and what becomes of it.
#[test]
fn members_of_this_generation_commit_and_others_where_nobody_is() {
    let check = |scene: &mut Scene, id: &str, generation, is_transactional| {
        scene.group.check_commit(id, None, generation, is_transactional, 0)
    };
    let mut empty = Scene::new(0);
    assert_eq!(check(&mut empty, "", -1, false), Ok(()));
    assert_eq!(check(&mut empty, "a", 0, false), Err(ResponseError::UnknownMemberId));
    let mut scene = stable();
    for (id, generation, is_transactional, result) in [
        ("a", 2, false, Ok(())),
        ("a", 1, false, Err(ResponseError::IllegalGeneration)),
        ("a", -1, false, Err(ResponseError::IllegalGeneration)),
        ("c", 2, false, Err(ResponseError::UnknownMemberId)),
        ("", -1, false, Err(ResponseError::UnknownMemberId)),
        ("", -1, true, Ok(())),
        ("a", 1, true, Err(ResponseError::IllegalGeneration)),
    ] {
        assert_eq!(check(&mut scene, id, generation, is_transactional), result, "{id} {generation}");
    }
    scene.rejoin(6, "a", &["range"]);
    assert_eq!(check(&mut scene, "b", 2, false), Ok(()), "while members join");
    scene.rejoin(7, "b", &["range"]);
    assert_eq!(check(&mut scene, "b", 3, false), Err(ResponseError::RebalanceInProgress));
    assert_eq!(check(&mut scene, "b", 3, true), Ok(()));
}

/// A subscription of version 0 to nothing.
const NO_TOPICS: &[u8] = &[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
