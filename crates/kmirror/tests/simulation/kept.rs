//! Schedules that were cut down when something went wrong in them, and what that was.

use std::time::Duration;

use kmirror_embedded::{ApiKey, FaultKind, ResponseError};

use crate::run::{once, side_by_side};
use crate::schedule::Side::{Source, Target};
use crate::schedule::What::{
    Add, Clean, Control, Cut, ExpireProducers, Freeze, Inject, Kill, LoseBatches, LoseTail, PauseBroker,
    SendReaders, StopBroker, Write,
};
use crate::schedule::{Kinds, Schedule, Step, What};

/// A partition that was forgotten on the way, an owner that was late: each of these has failed once.
#[test]
fn what_once_went_wrong_goes_right() {
    let kinds = Kinds::from_environment();
    let (borne, left_out): (Vec<_>, Vec<_>) = kept().into_iter().partition(|(_, kind, _)| kinds.has(kind));
    left_out
        .iter()
        .for_each(|(name, kind, _)| println!("{name}: left out, for the engine does not bear {kind} yet"));
    let ended = side_by_side(0..borne.len() as u64, |index| once(&borne[index as usize].2, false));
    let failed = borne.iter().zip(ended).filter_map(|((name, ..), ended)| Some((name, ended.err()?)));
    assert_eq!(failed.collect::<Vec<_>>(), []);
}

/// Each with what it shows, and the kind of steps that it takes (`LEFT_OUT`).
fn kept() -> Vec<(&'static str, &'static str, Schedule)> {
    vec![
        ("a fetcher that waits for a connection spins", "", spinning_fetcher()),
        ("a slow source during a take-over parks a healthy partition", "", slow_source_parks()),
        ("what a slow source shows late is lost", "", slow_source_loses()),
        ("what the target's cleaner removed is taken for markers", "", cleaned_target()),
        ("a late marker parks a compacted log", "", late_marker()),
        ("what the source's cleaner removed behind a displaced batch parks", "", cleaned_source()),
        ("a run that begins within a batch verifies as different", "", displaced_batch()),
        ("what was read before a cleaner came is taken for what follows it", "", cleaned_in_flight()),
        ("a run is recorded for what the target has lost by then", "", late_record()),
        ("what is answered as the repeat of another owner's batch is lost", "", mistaken_repeat()),
        ("a setting that fails for a moment parks a healthy partition", "", failing_setting()),
        ("what was in flight when producers were forgotten parks", "ExpireProducers", forgotten_producer()),
    ]
}

fn spinning_fetcher() -> Schedule {
    let fault = FaultKind::Error(ResponseError::RequestTimedOut);
    let hang_up = FaultKind::HangUpAfter;
    of(
        60,
        1,
        30_000,
        [
            (31, Inject { side: Source, fault, api: ApiKey::Fetch, skip: 2, times: 1 }),
            (143, LoseBatches { side: Target, partition: 3, broker: 2, batches: 1 }),
            (157, Inject { side: Target, fault: hang_up, api: ApiKey::ListOffsets, skip: 1, times: 2 }),
            (187, Write { partition: 0, seed: 14_771_895_584_182_677_053 }),
            (189, Cut { mirror: 0, side: Target, late_ms: None }),
            (257, Write { partition: 2, seed: 15_758_228_808_721_260_898 }),
            (271, Write { partition: 0, seed: 9_837_380_368_432_994_288 }),
        ],
    )
}

fn slow_source_parks() -> Schedule {
    of(
        6,
        2,
        1_000,
        [
            (0, Write { partition: 1, seed: 9_711_068_538_610_044_473 }),
            (
                101,
                Inject { side: Source, fault: FaultKind::NoRecords, api: ApiKey::Fetch, skip: 3, times: 100 },
            ),
            (149, Add),
            (230, Freeze { mirror: 0, ms: 700 }),
        ],
    )
}

fn slow_source_loses() -> Schedule {
    of(
        187,
        1,
        1_000,
        [
            (102, Write { partition: 0, seed: 3_810_595_862_028_550_302 }),
            (
                102,
                Inject {
                    side: Target,
                    fault: FaultKind::Silence,
                    api: ApiKey::ListOffsets,
                    skip: 0,
                    times: 2,
                },
            ),
            (130, Write { partition: 1, seed: 12_212_961_013_774_695_802 }),
            (135, Write { partition: 2, seed: 1_595_736_000_066_484_580 }),
            (210, Add),
            (246, Write { partition: 0, seed: 14_722_094_061_866_008_277 }),
            (
                251,
                Inject { side: Source, fault: FaultKind::NoRecords, api: ApiKey::Fetch, skip: 2, times: 100 },
            ),
            (278, Freeze { mirror: 2, ms: 3_000 }),
        ],
    )
}

fn cleaned_target() -> Schedule {
    of(
        1726,
        1,
        1_000,
        [
            (3, Write { partition: 3, seed: 11_948_253_456_044_481_252 }),
            (5, Add),
            (9, Write { partition: 1, seed: 1_668_475_051_778_458_159 }),
            (51, Kill { mirror: 2, again_ms: Some(1) }),
            (177, Write { partition: 3, seed: 9_423_198_621_247_579_655 }),
            (179, Write { partition: 3, seed: 14_956_090_260_402_356_859 }),
            (211, Clean { side: Target, left: 0 }),
            (318, Kill { mirror: 2, again_ms: None }),
        ],
    )
}

fn late_marker() -> Schedule {
    let (late, later) =
        (FaultKind::Delay(Duration::from_millis(188)), FaultKind::Delay(Duration::from_millis(151)));
    of(
        4799,
        2,
        1_000,
        [
            (0, Write { partition: 1, seed: 2_531_555_286_575_030_808 }),
            (7, Write { partition: 0, seed: 5_383_633_693_556_363_104 }),
            (20, Add),
            (87, Write { partition: 3, seed: 8_863_193_598_178_373_562 }),
            (87, Write { partition: 2, seed: 6_166_249_654_845_036_767 }),
            (94, Inject { side: Target, fault: late, api: ApiKey::WriteTxnMarkers, skip: 2, times: 1 }),
            (107, Write { partition: 2, seed: 17_590_964_199_442_457_610 }),
            (148, Inject { side: Target, fault: later, api: ApiKey::Produce, skip: 0, times: 5 }),
            (206, Kill { mirror: 0, again_ms: Some(4) }),
            (228, Write { partition: 3, seed: 15_832_645_615_957_295_636 }),
            (320, Cut { mirror: 0, side: Target, late_ms: Some(100) }),
        ],
    )
}

fn cleaned_source() -> Schedule {
    let steps = [
        (5, Write { partition: 3, seed: 13_844_475_581_170_220_326 }),
        (44, Write { partition: 2, seed: 18_028_674_529_768_505_577 }),
        (64, Write { partition: 3, seed: 3_318_774_098_709_143_979 }),
        (114, Write { partition: 3, seed: 16_749_857_283_848_877_167 }),
        (124, Clean { side: Source, left: 2 }),
        (351, LoseTail { side: Target, partition: 1, broker: 1, ms: 7 }),
    ];
    Schedule { record_age: TWO_DAYS, ..of(10492, 2, 30_000, steps) }
}

fn displaced_batch() -> Schedule {
    let steps = [
        (0, Write { partition: 3, seed: 13_320_734_775_612_034_051 }),
        (0, Write { partition: 3, seed: 11_669_725_556_643_483_295 }),
        (5, Write { partition: 3, seed: 2_053_392_833_721_710_092 }),
        (44, Write { partition: 2, seed: 18_028_674_529_768_505_577 }),
        (49, Write { partition: 3, seed: 16_400_547_021_908_654_295 }),
        (49, Write { partition: 3, seed: 12_360_147_970_685_477_822 }),
        (49, Clean { side: Source, left: 0 }),
        (64, Write { partition: 3, seed: 3_318_774_098_709_143_979 }),
        (88, Write { partition: 3, seed: 4_539_969_910_853_149_564 }),
        (124, Write { partition: 3, seed: 7_387_087_211_720_517_424 }),
        (124, Clean { side: Source, left: 2 }),
        (351, LoseTail { side: Target, partition: 1, broker: 1, ms: 7 }),
    ];
    Schedule { record_age: TWO_DAYS, ..of(10492, 2, 30_000, steps) }
}

fn cleaned_in_flight() -> Schedule {
    of(
        16743,
        2,
        1_000,
        [
            (18, Write { partition: 3, seed: 1_729_703_205_920_768_964 }),
            (19, Kill { mirror: 0, again_ms: Some(8) }),
            (28, Write { partition: 3, seed: 12_378_565_048_873_110_117 }),
            (35, Write { partition: 3, seed: 4_578_359_827_269_727_969 }),
            (35, Kill { mirror: 0, again_ms: Some(9) }),
            (70, StopBroker { side: Target, broker: 2, ms: 11 }),
            (100, Write { partition: 3, seed: 10_060_200_940_923_493_948 }),
            (117, Freeze { mirror: 0, ms: 700 }),
            (160, Write { partition: 3, seed: 15_668_708_288_594_945_347 }),
            (160, Clean { side: Source, left: 1 }),
            (211, Write { partition: 3, seed: 17_592_314_064_367_484_631 }),
            (212, Write { partition: 1, seed: 3_827_100_935_985_860_158 }),
            (213, Write { partition: 3, seed: 18_093_295_526_400_130_661 }),
            (213, Write { partition: 3, seed: 11_632_917_199_072_061_980 }),
            (215, Clean { side: Source, left: 1 }),
            (286, Kill { mirror: 1, again_ms: Some(7) }),
        ],
    )
}

fn late_record() -> Schedule {
    let slow = FaultKind::Delay(Duration::from_millis(21));
    of(
        18105,
        2,
        5_000,
        [
            (0, Write { partition: 2, seed: 13_623_393_069_712_596_677 }),
            (0, Write { partition: 2, seed: 3_736_589_764_510_792_520 }),
            (7, Write { partition: 3, seed: 16_177_806_920_900_647_111 }),
            (18, Freeze { mirror: 1, ms: 100 }),
            (44, Inject { side: Target, fault: slow, api: ApiKey::Produce, skip: 0, times: 3 }),
            (57, Add),
            (74, Kill { mirror: 1, again_ms: Some(0) }),
            (104, Cut { mirror: 0, side: Target, late_ms: Some(20) }),
            (169, Write { partition: 1, seed: 5_952_332_992_184_559_441 }),
            (254, Write { partition: 3, seed: 9_851_459_327_323_118_180 }),
            (304, LoseBatches { side: Target, partition: 3, broker: 1, batches: 3 }),
        ],
    )
}

fn forgotten_producer() -> Schedule {
    let fault = FaultKind::Error(ResponseError::FencedLeaderEpoch);
    of(
        166,
        1,
        5_000,
        [
            (1, PauseBroker { side: Target, broker: 1, ms: 12 }),
            (35, StopBroker { side: Target, broker: 2, ms: 6 }),
            (67, Inject { side: Target, fault, api: ApiKey::Produce, skip: 1, times: 2 }),
            (98, ExpireProducers { partition: 3 }),
            (134, Write { partition: 0, seed: 6_732_614_463_737_137 }),
            (136, Write { partition: 3, seed: 16_271_635_674_245_146_376 }),
            (136, Write { partition: 3, seed: 8_683_513_668_957_279_089 }),
            (168, Write { partition: 2, seed: 409_415_093_328_450_373 }),
            (170, LoseBatches { side: Target, partition: 1, broker: 2, batches: 3 }),
        ],
    )
}

fn mistaken_repeat() -> Schedule {
    let steps = [
        (6, Write { partition: 2, seed: 7_945_116_839_111_881_271 }),
        (38, Write { partition: 3, seed: 1_975_728_075_596_483_953 }),
        (40, Add),
        (70, Write { partition: 2, seed: 9_486_881_413_287_626_014 }),
        (72, Write { partition: 0, seed: 15_266_756_170_317_166_136 }),
        (75, Write { partition: 2, seed: 1_106_718_046_894_809_406 }),
        (77, Write { partition: 3, seed: 9_312_371_617_059_073_602 }),
        (121, Write { partition: 3, seed: 11_660_145_783_734_778_912 }),
        (121, Cut { mirror: 1, side: Target, late_ms: Some(500) }),
        (144, Write { partition: 3, seed: 6_905_154_290_706_938_436 }),
        (145, Write { partition: 3, seed: 3_682_930_686_062_553_496 }),
        (180, Clean { side: Source, left: 5 }),
        (219, Cut { mirror: 0, side: Target, late_ms: Some(0) }),
        (318, Freeze { mirror: 1, ms: 20 }),
    ];
    Schedule { record_age: TWO_DAYS, ..of(132_447, 2, 5_000, steps) }
}

fn failing_setting() -> Schedule {
    let (broken, hang_up) = (FaultKind::Garbage, FaultKind::HangUpBefore);
    let alter = ApiKey::IncrementalAlterConfigs;
    let steps = [
        (87, Add),
        (121, Inject { side: Target, fault: broken, api: alter, skip: 1, times: 1 }),
        (223, Control { seed: 3_087_138_006_274_752_921 }),
        (241, Freeze { mirror: 0, ms: 20 }),
        (258, Control { seed: 16_968_092_886_191_970_749 }),
        (260, Inject { side: Target, fault: hang_up, api: ApiKey::OffsetForLeaderEpoch, skip: 1, times: 1 }),
        (290, SendReaders { side: Target, broker: 2, ms: 3_000 }),
    ];
    Schedule { has_control: true, ..of(4_000_496, 1, 30_000, steps) }
}

fn of(
    seed: u64,
    mirrors: usize,
    request_timeout_ms: u64,
    steps: impl IntoIterator<Item = (u64, What)>,
) -> Schedule {
    Schedule {
        seed,
        mirrors,
        record_age: Duration::ZERO,
        has_theirs: false,
        has_control: false,
        request_timeout: Duration::from_millis(request_timeout_ms),
        steps: steps.into_iter().map(|(at_ms, what)| Step { at_ms, what }).collect(),
    }
}

/// Old enough to go one batch at a time.
const TWO_DAYS: Duration = Duration::from_secs(2 * 86_400);
