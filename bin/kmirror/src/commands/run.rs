//! `kmirror run`: mirror until stopped, or once.

use std::time::{Duration, Instant};

use kmirror::{FlowStatus, MirrorHandle, ParkReason, PartitionState};

use crate::cli::RunArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::live::Live;
use crate::progress::{FlowsProgress, Screen};
use crate::signals::{self, HangUps};

/// Runs the command.
pub(crate) async fn run(arguments: RunArguments, screen: &Screen) -> Result<Code, Failure> {
    let mut hang_ups = HangUps::new();
    let path = arguments.config.config;
    let mirror = Config::load(&path)?.mirror(arguments.once)?;
    let begun = Instant::now();
    let live = Live::new(path, arguments.once, mirror.spawn());
    let handle = live.handle();
    let mut progress = FlowsProgress::new(screen);
    let stopped = tokio::select! {
        ended = handle.wait() => {
            let report = ended?;
            progress.finish(&report.flows, begun);
            return Ok(verdict(&report.flows));
        }
        code = signals::stop() => code,
        () = show(handle, &mut progress) => Code::Runtime,
        () = reload_on(&mut hang_ups, &live) => Code::Runtime,
    };
    let report = handle.shutdown(SHUT_DOWN_MAX).await?;
    progress.finish(&report.flows, begun);
    Ok(stopped)
}

async fn reload_on(hang_ups: &mut HangUps, live: &Live) {
    loop {
        hang_ups.next().await;
        // What became of it is in the log.
        let _ = live.reload().await;
    }
}

async fn show(handle: &MirrorHandle, progress: &mut FlowsProgress) {
    let mut tick = tokio::time::interval(SHOW_INTERVAL);
    loop {
        tick.tick().await;
        progress.show(&handle.status());
    }
}

/// A mirror that ended by itself did its work unless a partition was parked. Each is named: what stands still must not be
/// overlooked in a log.
fn verdict(flows: &[FlowStatus]) -> Code {
    let mut code = Code::Ok;
    for flow in flows {
        for partition in &flow.partitions {
            let PartitionState::Parked(parked) = &partition.state else { continue };
            eprintln!(
                "{}: {}-{} is parked: {parked}",
                flow.name, partition.target_topic, partition.partition
            );
            code =
                if parked.reason == ParkReason::Unauthorized { Code::NotAuthorized } else { Code::Runtime };
        }
    }
    code
}

const SHOW_INTERVAL: Duration = Duration::from_millis(200);
/// A clean stop takes at most this long; then it is a hard one, which loses nothing either.
const SHUT_DOWN_MAX: Duration = Duration::from_secs(4);
