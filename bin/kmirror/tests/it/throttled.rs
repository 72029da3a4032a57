//! Quotas: a broker that throttles answers a fetch at once and without any partition (KIP-219).

use crate::scene::Scene;
use crate::stage::{Stage, on_both_kinds};

on_both_kinds!(clusters_that_throttle_are_waited_for,);

fn clusters_that_throttle_are_waited_for(stage: &Stage) {
    let (source, target) = (stage.cluster(), stage.cluster());
    let scene = Scene::between(&source, &target, "throttled", "");
    scene.write(200);
    let throttle = || [&source, &target].into_iter().for_each(|cluster| cluster.throttle_reads(4_000));
    throttle();
    let ended = scene.kmirror().run(&["run", "--once"]).with_code(0);
    throttle();
    scene.kmirror().prove();
    throttle();
    let lineage = scene.kmirror().run(&["lineage"]).with_code(0);
    assert!(lineage.stdout().contains(&scene.topic));
    // What is recorded of a copy is read before anything else is known of it.
    scene.write(200);
    throttle();
    let again = scene.kmirror().run(&["run", "--once"]).with_code(0);
    assert!(
        [ended.stderr(), again.stderr()].concat().contains("a quota throttles what is read"),
        "it says why it waits"
    );
    assert_eq!(scene.target_end(), 400);
}
