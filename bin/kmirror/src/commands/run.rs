//! `kmirror run` and `kmirror mm1`: mirror until stopped, or once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror::{FlowStatus, MirrorHandle, MissingReason, ParkReason, PartitionState};
use tokio::sync::mpsc;

use crate::cli::Mm1Arguments;
use crate::exit::{Code, Failure};
use crate::http::Server;
use crate::import::Imported;
use crate::live::{Asked, Live};
use crate::progress::{FlowsProgress, Screen};
use crate::signals::{self, HangUps};
use crate::source::ConfigSource;
use crate::streams::errln;

/// Runs `mm1`, or prints what would be run.
pub(crate) async fn mm1(arguments: Mm1Arguments, screen: &Screen) -> Result<Code, Failure> {
    if arguments.print_config {
        Imported::of_mm1(&arguments)?.print()?;
        return Ok(Code::Ok);
    }
    let once = arguments.once;
    run(ConfigSource::Mm1(Box::new(arguments)), once, screen).await
}

/// Runs the command.
pub(crate) async fn run(source: ConfigSource, once: bool, screen: &Screen) -> Result<Code, Failure> {
    let mut hang_ups = HangUps::new();
    let config = source.load()?;
    let http = config.http()?;
    let mirror = config.mirror(once)?;
    let server = match http {
        Some(address) => Some(Server::bind(address).await?),
        None => None,
    };
    let begun = Instant::now();
    let (live, mut asked) = Live::new(source, once, http, mirror.spawn());
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
        () = reload_on(&mut hang_ups, &mut asked, &live) => Code::Runtime,
        () = serve(server, Arc::clone(&live)) => Code::Runtime,
    };
    let report = handle.shutdown(SHUT_DOWN_MAX).await?;
    progress.finish(&report.flows, begun);
    Ok(stopped)
}

/// Reloads, one time after the other, for a signal or somebody who asks.
async fn reload_on(hang_ups: &mut HangUps, asked: &mut mpsc::Receiver<Asked>, live: &Live) {
    loop {
        tokio::select! {
            // What became of it is in the log.
            () = hang_ups.next() => drop(live.reload().await),
            Some(answer) = asked.recv() => drop(answer.send(live.reload().await)),
        }
    }
}

async fn serve(server: Option<Server>, live: Arc<Live>) {
    match server {
        Some(server) => server.serve(live).await,
        None => std::future::pending().await,
    }
}

async fn show(handle: &MirrorHandle, progress: &mut FlowsProgress) {
    let interval = progress.interval();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    loop {
        tick.tick().await;
        progress.show(&handle.status());
    }
}

/// A mirror that ended by itself did its work unless a partition was parked, or a topic was not copied. Each is named: what stands still
/// must not be overlooked in a log.
fn verdict(flows: &[FlowStatus]) -> Code {
    let mut code = Code::Ok;
    for flow in flows {
        for partition in &flow.partitions {
            let PartitionState::Parked(parked) = &partition.state else { continue };
            errln!("{}: {}-{} is parked: {parked}", flow.name, partition.target_topic, partition.partition);
            code = code_of(parked.reason);
        }
        for missing in &flow.missing {
            errln!("{missing}");
            code = match &missing.reason {
                MissingReason::Refused(parked) => code_of(parked.reason),
                _ => Code::Runtime,
            };
        }
    }
    code
}

fn code_of(reason: ParkReason) -> Code {
    if reason == ParkReason::Unauthorized { Code::NotAuthorized } else { Code::Runtime }
}

/// A clean stop takes at most this long; then it is a hard one, which loses nothing either.
const SHUT_DOWN_MAX: Duration = Duration::from_secs(4);
