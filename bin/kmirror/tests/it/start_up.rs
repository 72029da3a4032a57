//! What both logs may look like when a mirror starts, or while it runs: each situation has one outcome, without an operator.

use kmirror_testkit::{Isolation, Workload, compare_records, unique_topic};

use crate::kmirror::{Kmirror, await_that};
use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(
    a_target_that_is_fresh_behind_or_equal_is_copied_to_the_end,
    an_append_whose_answer_was_lost_with_the_process_is_not_repeated,
    records_that_expired_while_nobody_ran_park_the_partition,
    records_that_expired_while_it_stood_still_park_the_partition,
    expired_records_are_skipped_where_the_policy_says_so,
    a_source_that_ends_before_what_was_copied_parks_the_partition,
    a_source_topic_created_again_while_nobody_ran_parks_the_partition,
    a_longer_source_topic_created_again_is_noticed_without_the_state,
    a_source_topic_created_again_under_a_running_mirror_parks_the_partition,
    a_source_topic_created_again_is_copied_behind_the_old_where_the_policy_says_so,
    a_target_topic_deleted_while_nobody_ran_is_copied_anew,
    a_target_topic_created_again_under_a_running_mirror_parks_until_a_restart,
    somebody_elses_records_before_the_first_start_park_the_partition,
    somebody_elses_records_while_nobody_ran_park_the_partition,
    somebody_elses_records_under_a_running_mirror_park_the_partition,
    copying_goes_on_behind_somebody_elses_records_where_the_policy_says_so,
    partitions_that_the_target_lacks_park_until_they_are_added,
    a_target_with_more_partitions_is_copied_to,
    partitions_added_to_the_source_are_copied_from_their_first_record,
    another_source_cluster_behind_the_same_flow_parks_the_partition,
    an_exact_copy_whose_state_was_lost_or_damaged_goes_on_by_its_log,
    a_shifted_copy_whose_state_was_lost_or_damaged_parks_the_partition,
);

/// Looks for leaders, topics and changed limits often enough for a test.
const ATTENTIVE: &str = "metadata_refresh_interval: 300ms\nparked_retry_interval: 500ms";

fn a_target_that_is_fresh_behind_or_equal_is_copied_to_the_end(stage: &Stage) {
    let scene = Scene::new(stage, "behind", "");
    let transactions = |workload: Workload| workload.records(90).transactions(10).abort_every(3);
    scene.write_with(transactions);
    scene.copies();
    scene.write_with(transactions);
    scene.copies();
    let before = scene.target_end();
    scene.copies();
    assert_eq!(scene.target_end(), before, "nothing new, nothing written");
}

fn an_append_whose_answer_was_lost_with_the_process_is_not_repeated(stage: &Stage) {
    let scene = Scene::copied(stage, "answer-lost", "");
    if !scene.target.has_nodes() {
        return;
    }
    let mut mirror = scene.kmirror().start();
    // It has its connections before the broker stands still.
    scene.write(10);
    scene.await_copied();
    scene.target.pause(1);
    scene.write(40);
    // Sent, since nothing keeps it back, and not executed, since the broker stands still.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    mirror.kill();
    scene.target.resume(1);
    await_that("the broker executes what it was sent", || scene.target_end() == 150);
    scene.copies();
    assert_eq!(scene.on_target().len(), 150);
}

fn records_that_expired_while_nobody_ran_park_the_partition(stage: &Stage) {
    let scene = Scene::copied(stage, "expired", "");
    scene.write(100);
    scene.source.delete_records(&scene.topic, 0, 150);
    scene.parks("RecordsExpired", &["offsets [100, 150)", "on_expired: skip"]);
}

fn records_that_expired_while_it_stood_still_park_the_partition(stage: &Stage) {
    let scene = Scene::copied(stage, "expired-running", "");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    mirror.signal("STOP");
    // It has asked for more already, and that request gets the first record: before there are others.
    scene.write(1);
    std::thread::sleep(std::time::Duration::from_millis(500));
    scene.write(99);
    scene.source.delete_records(&scene.topic, 0, 150);
    mirror.signal("CONT");
    scene.parks_running(&mut mirror, "RecordsExpired", &["150) of the source expired"]);
    let range = format!("offsets [{}, 150)", scene.target_end());
    assert!(mirror.log().contains(&range), "{}", mirror.log());
}

fn expired_records_are_skipped_where_the_policy_says_so(stage: &Stage) {
    let scene = Scene::copied(stage, "skipped", "on_expired: skip");
    scene.write(100);
    scene.source.delete_records(&scene.topic, 0, 150);
    scene.kmirror().run(&["run", "--once"]).with_code(0).saying("first=100 end=150");
    let offsets: Vec<i64> = scene.on_target().iter().map(|record| record.offset).collect();
    assert_eq!(offsets, Vec::from_iter((0..100).chain(150..200)));
    scene.kmirror().prove();
}

fn a_source_that_ends_before_what_was_copied_parks_the_partition(stage: &Stage) {
    // Without the state, only the logs are left to tell.
    let mut scene = Scene::copied(stage, "shorter", "");
    scene.source.delete_topic(&scene.topic);
    scene.write(40);
    scene.lose_state();
    scene.parks("SourceTruncated", &["offsets [40, 100)"]);
}

fn a_source_topic_created_again_while_nobody_ran_parks_the_partition(stage: &Stage) {
    // Shorter than what was copied, or longer: the second hides what is missing from who only looks at offsets.
    for records in [40, 250] {
        let scene = Scene::copied(stage, "created-again", "");
        scene.source.delete_topic(&scene.topic);
        scene.write(records);
        let holds = format!("holds [0, {records})");
        scene.parks("SourceRecreated", &["offsets [0, 100)", &holds, "on_recreated: restart"]);
    }
}

fn a_longer_source_topic_created_again_is_noticed_without_the_state(stage: &Stage) {
    let mut scene = Scene::copied(stage, "created-again-longer", "");
    scene.source.delete_topic(&scene.topic);
    scene.write_with(|workload| workload.records(250).seed(7));
    scene.lose_state();
    scene.parks("TargetDiverged", &["up to 100"]);
}

fn a_source_topic_created_again_under_a_running_mirror_parks_the_partition(stage: &Stage) {
    let scene = Scene::copied(stage, "created-again-running", ATTENTIVE);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.delete_topic(&scene.topic);
    scene.write(250);
    scene.parks_running(&mut mirror, "SourceRecreated", &["offsets [0, 100)"]);
    assert_eq!(scene.target_end(), 100);
}

fn a_source_topic_created_again_is_copied_behind_the_old_where_the_policy_says_so(stage: &Stage) {
    for running in [false, true] {
        let settings = format!("on_recreated: restart\n{ATTENTIVE}");
        let scene = Scene::copied(stage, "restarted", &settings);
        let mirror = running.then(|| scene.kmirror().start());
        let old = scene.on_target();
        scene.source.delete_topic(&scene.topic);
        scene.write_with(|workload| workload.records(30).seed(9));
        if mirror.is_none() {
            scene.kmirror().copy();
        }
        await_that("the new topic is copied", || scene.target_end() == 130);
        drop(mirror);
        scene.kmirror().prove();
        let mut expected = scene.on_source();
        expected.iter_mut().for_each(|record| record.offset += 100);
        compare_records(&[old, expected].concat(), &scene.on_target()).unwrap();
        // And it stays there: the state says where the new topic begins.
        scene.write(10);
        scene.kmirror().copy();
        scene.kmirror().prove();
        assert_eq!(scene.target_end(), 140);
    }
}

fn a_target_topic_deleted_while_nobody_ran_is_copied_anew(stage: &Stage) {
    let scene = Scene::copied(stage, "target-deleted", "");
    scene.target.delete_topic(&scene.topic);
    scene.copies();
    scene.target.delete_topic(&scene.topic);
    scene.target.create_topic(&scene.topic, 1, &[]);
    scene.copies();
}

fn a_target_topic_created_again_under_a_running_mirror_parks_until_a_restart(stage: &Stage) {
    let scene = Scene::copied(stage, "target-created-again", ATTENTIVE);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.target.delete_topic(&scene.topic);
    scene.target.create_topic(&scene.topic, 1, &[]);
    scene.write(20);
    scene.parks_running(&mut mirror, "TargetRecreated", &["up to 100", "restart kmirror"]);
    assert_eq!(scene.target_end(), 0);
    mirror.kill();
    scene.copies();
}

fn somebody_elses_records_before_the_first_start_park_the_partition(stage: &Stage) {
    let scene = Scene::new(stage, "foreign-before", "");
    scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
    scene.write(100);
    scene.parks("TargetDiverged", &["did not write", "the batch at offset"]);
}

fn somebody_elses_records_while_nobody_ran_park_the_partition(stage: &Stage) {
    let scene = Scene::copied(stage, "foreign-between", "");
    scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
    scene.write(100);
    scene.parks("TargetDiverged", &["did not write", "the batch at offset 100 ", "on_diverged: shift"]);
}

fn somebody_elses_records_under_a_running_mirror_park_the_partition(stage: &Stage) {
    let scene = Scene::copied(stage, "foreign-during", ATTENTIVE);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
    scene.write(100);
    scene.parks_running(&mut mirror, "TargetDiverged", &["did not write", "the batch at offset 100 "]);
}

fn copying_goes_on_behind_somebody_elses_records_where_the_policy_says_so(stage: &Stage) {
    for running in [false, true] {
        let settings = format!("on_diverged: shift\n{ATTENTIVE}");
        let scene = Scene::copied(stage, "shifted", &settings);
        let mirror = running.then(|| scene.kmirror().start());
        if let Some(mut mirror) = mirror {
            mirror.says(&["copying", &scene.topic]);
            scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
            scene.write(50);
            await_that("the rest is copied", || scene.target_end() == 180);
            // Perhaps before the shift is recorded: then the next take-over finds it.
            mirror.kill();
        } else {
            scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
            scene.write(50);
        }
        scene.kmirror().copy();
        scene.kmirror().prove();
        let (source, target) = (scene.on_source(), scene.on_target());
        let mut moved = source.clone();
        moved[100..].iter_mut().for_each(|record| record.offset += 30);
        let ours = [&target[..100], &target[130..]].concat();
        compare_records(&moved, &ours).unwrap();
        scene.write(10);
        scene.kmirror().copy();
        scene.kmirror().prove();
        assert_eq!(scene.target_end(), 190);
    }
}

fn partitions_that_the_target_lacks_park_until_they_are_added(stage: &Stage) {
    let mut scene = Scene::new(stage, "fewer-partitions", ATTENTIVE);
    scene.target.create_topic(scene.neighbour(), 1, &[]);
    scene.target.create_topic(&scene.topic, 1, &[]);
    scene.write_with(|workload| workload.partitions(3).records(90));
    let lacking = "the source topic has 3 partitions, the target topic only 1";
    let plan = |scene: &Scene| scene.kmirror().run(&["plan"]).with_code(0).stdout();
    assert!(!plan(&scene).contains("park"), "they would be added: {}", plan(&scene));
    scene.set(&format!("create_topics: false\n{ATTENTIVE}"));
    assert!(plan(&scene).contains(lacking), "{}", plan(&scene));
    scene.kmirror().run(&["run", "--once"]).with_code(1).saying(lacking).saying("Rejected");
    assert_eq!(scene.on_target().len(), 30, "what is there is copied");
    let mut mirror = scene.kmirror().start();
    mirror.says(&["ERROR", &format!("{}-2", scene.topic), "Rejected"]);
    scene.target.add_partitions(&scene.topic, 3);
    await_that("the partitions that were added are copied", || {
        (1..3).all(|partition| scene.target.end(&scene.topic, partition) == Some(30))
    });
    drop(mirror);
    scene.copies();
}

fn a_target_with_more_partitions_is_copied_to(stage: &Stage) {
    let scene = Scene::new(stage, "more-partitions", "");
    scene.target.create_topic(&scene.topic, 4, &[]);
    scene.write_with(|workload| workload.partitions(2).records(60));
    scene.copies();
}

fn partitions_added_to_the_source_are_copied_from_their_first_record(stage: &Stage) {
    let scene = Scene::copied(stage, "grown", ATTENTIVE);
    let mut mirror = scene.kmirror().start();
    mirror.says(&["copying", &scene.topic]);
    scene.source.add_partitions(&scene.topic, 2);
    scene.write_with(|workload| workload.partitions(2).records(50));
    await_that("the new partition is copied", || scene.target.end(&scene.topic, 1) == Some(25));
    drop(mirror);
    scene.copies();
}

fn another_source_cluster_behind_the_same_flow_parks_the_partition(stage: &Stage) {
    let (source, target) = stage.pair();
    let (topic, state) = (unique_topic("other-cluster"), unique_topic("__state"));
    let more = format!("    state_topic: {state}\n");
    source.produce(&[Workload::new(&topic).records(100)]);
    Kmirror::mirroring(&source, &target, &[&topic], &more).copy();
    let other = stage.cluster();
    other.produce(&[Workload::new(&topic).records(300)]);
    let turned = Kmirror::mirroring(&other, &target, &[&topic], &more);
    turned.run(&["run", "--once"]).with_code(78).saying("bootstrap_servers");
    turned.run(&["accept-cluster"]).with_code(0);
    let ended = turned.run(&["run", "--once"]).with_code(1);
    ended.saying("is parked: SourceRecreated").saying("up to offset 100").saying("bootstrap_servers");
    let copied = target.records(&topic, Isolation::ReadUncommitted);
    compare_records(&source.records(&topic, Isolation::ReadCommitted), &copied).unwrap();
}

fn an_exact_copy_whose_state_was_lost_or_damaged_goes_on_by_its_log(stage: &Stage) {
    let mut scene = Scene::copied(stage, "state-lost", "");
    scene.lose_state();
    scene.write(20);
    scene.copies();
    scene.damage_state();
    scene.write(20);
    scene.kmirror().run(&["run", "--once"]).with_code(0).saying("is not understood");
    scene.copies();
}

fn a_shifted_copy_whose_state_was_lost_or_damaged_parks_the_partition(stage: &Stage) {
    let mut scene = Scene::new(stage, "shifted-state-lost", "offsets: shifted");
    scene.target.produce(&[Workload::new(&scene.topic).records(30)]);
    scene.write(100);
    scene.kmirror().copy();
    scene.damage_state();
    scene.write(20);
    scene.parks("TargetDiverged", &["is not understood", "shifted", "ends at 130"]);
    scene.lose_state();
    scene.parks_without_state("TargetDiverged", &["up to offset 130", "was lost"]);
}
