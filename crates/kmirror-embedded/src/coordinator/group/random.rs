//! Members that do anything at any time: whoever asks is answered once, and a group that nobody cares for empties itself.

use super::*;

/// A sequence of numbers without a pattern that matters (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

/// Requests that were sent, and what was answered.
#[derive(Default)]
struct Ledger {
    open: BTreeSet<Ticket>,
    last: Ticket,
    /// Every id that was ever told.
    ids: Vec<String>,
    generation: i32,
}

impl Ledger {
    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        self.open.insert(self.last);
        self.last
    }

    fn settle(&mut self, group: &mut Group, seed: u64) {
        for (ticket, answer) in group.take_answers() {
            assert!(self.open.remove(&ticket), "seed {seed}: {ticket} is answered twice");
            if let Answer::Join(Joined {
                error: None | Some(ResponseError::MemberIdRequired),
                member_id,
                ..
            }) = answer
            {
                self.ids.push(member_id);
            }
        }
        let generation = group.generation();
        assert!(generation >= self.generation, "seed {seed}: generation {generation} comes again");
        self.generation = generation;
    }
}

#[test]
fn whoever_asks_is_answered_once_and_a_group_that_nobody_cares_for_is_empty() {
    for seed in 0..2_000 {
        play(seed);
    }
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let mut group = Group::new(*random.one_of(&[0, 500]));
    let mut ledger = Ledger { ids: vec!["nobody".to_owned()], ..Ledger::default() };
    let mut now_ms = 0;
    for _ in 0..60 {
        now_ms += *random.one_of(&[0, 0, 1, 400, 400, 3_000]);
        group.tick(now_ms);
        act(&mut group, &mut ledger, &mut random, now_ms);
        group.tick(now_ms);
        ledger.settle(&mut group, seed);
        let is_empty = group.members().is_empty();
        assert!(group.state() != GroupState::Stable || !is_empty, "seed {seed}: stable without members");
        assert!(group.state() != GroupState::Empty || is_empty, "seed {seed}: empty with members");
        let leads = group.members().iter().any(|member| group.is_leader(&member.id));
        assert!(is_empty || leads, "seed {seed}: nobody leads");
    }
    // A member whose join was never answered is given up after five minutes.
    group.tick(now_ms + 1_000_000);
    ledger.settle(&mut group, seed);
    assert_eq!(ledger.open, BTreeSet::new(), "seed {seed}: never answered");
    assert_eq!((group.state(), group.next_deadline_ms()), (GroupState::Empty, None), "seed {seed}");
}

fn act(group: &mut Group, ledger: &mut Ledger, random: &mut Random, now_ms: i64) {
    let (member_id, instance_id) = match group.members() {
        [] => (random.one_of(&ledger.ids).clone(), None),
        members if random.below(4) > 0 => {
            let member = random.one_of(members);
            (member.id.clone(), member.instance_id.clone())
        }
        _ => (random.one_of(&ledger.ids).clone(), random.one_of(&[None, Some("one")]).map(str::to_owned)),
    };
    let new_instance_id = random.one_of(&[None, Some("one"), Some("two")]).map(str::to_owned);
    let generation = group.generation() - i32::from(random.below(8) == 0);
    match random.below(10) {
        0..5 => {
            let is_new = random.below(3) == 0;
            let ticket = ledger.ticket();
            let protocol = |name: &str| Protocol {
                name: name.to_owned(),
                metadata: Bytes::copy_from_slice(name.as_bytes()),
            };
            let join = Join {
                ticket,
                member_id: if is_new { String::new() } else { member_id },
                new_member_id: format!("member-{ticket}"),
                instance_id: if is_new { new_instance_id } else { instance_id },
                session_timeout_ms: 6_000,
                rebalance_timeout_ms: *random.one_of(&[0, 1_000, 10_000]),
                protocol_type: "consumer".to_owned(),
                protocols: random
                    .one_of(&[vec!["a"], vec!["a", "b"], vec!["b", "a"]])
                    .iter()
                    .map(|name| protocol(name))
                    .collect(),
                requires_known_member_id: random.below(2) == 0,
                can_skip_assignment: random.below(2) == 0,
                ..Join::default()
            };
            group.join(join, now_ms);
        }
        5 | 6 => {
            let ticket = ledger.ticket();
            group.sync(Sync { ticket, member_id, instance_id, generation, ..Sync::default() }, now_ms);
        }
        7 => drop(group.heartbeat(&member_id, instance_id.as_deref(), generation, now_ms)),
        8 => drop(group.leave(&[Leave { member_id, instance_id }], now_ms)),
        _ if random.below(5) == 0 => {
            group.reload(now_ms);
            ledger.generation = 0;
        }
        _ => drop(group.check_commit(&member_id, instance_id.as_deref(), generation, false, now_ms)),
    }
}
