//! `kmirror demo`: two clusters in this process, a workload, a mirror, and the proof, with nothing installed.

mod view;
mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, VerifyOptions, VerifyReport};
use kmirror_embedded::{EmbeddedCluster, EmbeddedError};
use tokio::time::interval;

use crate::cli::DemoArguments;
use crate::exit::{Code, Failure};
use crate::progress::Screen;
use crate::signals;
use crate::streams::{errln, outln};
use view::View;
use workload::{GROUP, ORDERS, PAYMENTS, Workload};

/// Runs the command.
pub(crate) async fn run(arguments: DemoArguments, screen: &Screen) -> Result<Code, Failure> {
    let begun = Instant::now();
    let demo = Demo::start().await?;
    errln!(
        "source at {}, target at {}: any Kafka client may look",
        demo.source.bootstrap_servers(),
        demo.target.bootstrap_servers()
    );
    let mut workload = Workload::new(arguments.rate);
    let mut view = View::new(screen, begun);
    let mut handle = demo.mirror()?.spawn();
    let stopped = {
        let watched = demo.show(&mut handle, &mut view, arguments.faults);
        tokio::select! {
            written = workload.run(&demo.source) => return Err(embedded(written)),
            failed = watched => return Err(failed),
            code = signals::stop() => code,
            () = tokio::time::sleep(arguments.duration) => Code::Ok,
        }
    };
    demo.heal()?;
    let report = demo.prove(handle, &mut view).await?;
    outln!(
        "wrote {} records, {} of them in transactions that were aborted",
        workload.records,
        workload.aborted
    );
    outln!(
        "compared {} partitions: {} records are equal, offset for offset, key, value, headers and timestamp",
        report.partitions.len(),
        report.records_equal()
    );
    let expired: u64 = report.partitions.iter().map(|partition| partition.records_expired).sum();
    if expired > 0 {
        outln!(
            "{expired} records are on the source only: the target keeps {} MiB of a partition",
            PARTITION_BYTES_MAX >> 20
        );
    }
    outln!("{}", demo.group_line());
    if !report.verdict().is_bad() {
        return Ok(stopped);
    }
    outln!("{} differences", report.differences_count());
    Ok(Code::Differences)
}

struct Demo {
    source: EmbeddedCluster,
    target: EmbeddedCluster,
}

impl Demo {
    async fn start() -> Result<Demo, Failure> {
        let cluster = async || {
            EmbeddedCluster::builder()
                .brokers(3)
                .partition_bytes_max(PARTITION_BYTES_MAX)
                .start()
                .await
                .map_err(embedded)
        };
        let demo = Demo { source: cluster().await?, target: cluster().await? };
        Workload::prepare(&demo.source, PARTITION_BYTES_MAX / 2).map_err(embedded)?;
        Ok(demo)
    }

    fn mirror(&self) -> Result<Mirror, Failure> {
        let cluster = |cluster: &EmbeddedCluster| {
            ClusterConfig::new(cluster.bootstrap_servers().split(',').map(str::to_owned))
        };
        let mut flow = Flow::new("east", "west").topics([".*"]);
        flow.metadata_refresh_interval = Duration::from_millis(500);
        flow.groups_interval = Duration::from_secs(1);
        Mirror::builder()
            .cluster("east", cluster(&self.source))
            .cluster("west", cluster(&self.target))
            .flow(flow)
            .build()
            .map_err(|error| Failure::configuration(error.to_string()))
    }

    /// Shows the flow until it fails; breaks something every now and then, if that is asked for.
    async fn show(&self, handle: &mut MirrorHandle, view: &mut View, faults: bool) -> Failure {
        while !view.has_first_record() {
            view.show(&handle.status());
            tokio::time::sleep(FIRST_RECORD_INTERVAL).await;
        }
        let mut tick = interval(SHOW_INTERVAL);
        let mut fault = interval(FAULT_INTERVAL);
        fault.tick().await;
        let mut round = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => view.show(&handle.status()),
                _ = fault.tick(), if faults => {
                    round += 1;
                    if let Err(failure) = self.break_something(round, handle) {
                        return failure;
                    }
                }
            }
        }
    }

    fn break_something(&self, round: i32, handle: &mut MirrorHandle) -> Result<(), Failure> {
        let broker = 1 + round % 3;
        self.heal()?;
        match round % 4 {
            0 => {
                errln!("fault: the mirror is killed, and another one started");
                *handle = self.mirror()?.spawn();
            }
            1 => {
                errln!("fault: broker {broker} of the target stops");
                self.target.stop_broker(broker).map_err(embedded)?;
            }
            2 => {
                errln!("fault: broker {broker} leads orders-0 and payments-1 of the source now");
                self.source.move_leader(ORDERS, 0, broker).map_err(embedded)?;
                self.source.move_leader(PAYMENTS, 1, broker).map_err(embedded)?;
            }
            _ => {
                errln!("fault: broker {broker} of the source stops");
                self.source.stop_broker(broker).map_err(embedded)?;
            }
        }
        Ok(())
    }

    /// Where the group stands on both sides.
    fn group_line(&self) -> String {
        let places = |cluster: &EmbeddedCluster| {
            let committed = cluster.committed_offsets(GROUP).into_iter();
            let places =
                committed.map(|((topic, partition), offset)| format!("{topic}-{partition} at {offset}"));
            places.collect::<Vec<_>>().join(", ")
        };
        let (source, target) = (places(&self.source), places(&self.target));
        match source == target {
            true => format!("group {GROUP} stands at the same offsets on both sides: {source}"),
            false => format!("group {GROUP} stands at {source} on the source, and at {target} on the target"),
        }
    }

    /// All brokers are up again.
    fn heal(&self) -> Result<(), Failure> {
        for broker in 1..=3 {
            self.source.start_broker(broker).map_err(embedded)?;
            self.target.start_broker(broker).map_err(embedded)?;
        }
        Ok(())
    }

    /// Waits until everything has arrived, stops the mirror, and compares.
    async fn prove(&self, handle: MirrorHandle, view: &mut View) -> Result<VerifyReport, Failure> {
        handle.caught_up(CATCH_UP_MAX).await?;
        // What `caught_up` goes by is what the fetchers saw last.
        tokio::time::sleep(SETTLE).await;
        handle.caught_up(CATCH_UP_MAX).await?;
        let report = handle.shutdown(SHUT_DOWN_MAX).await?;
        view.finish(&report.flows);
        Ok(self.mirror()?.connect().await?.verify(&VerifyOptions::default(), Arc::default()).await?)
    }
}

fn embedded(error: EmbeddedError) -> Failure {
    Failure::runtime(format!("the embedded cluster: {error}"))
}

const PARTITION_BYTES_MAX: usize = 64 << 20;
const FIRST_RECORD_INTERVAL: Duration = Duration::from_millis(10);
const SHOW_INTERVAL: Duration = Duration::from_millis(200);
const FAULT_INTERVAL: Duration = Duration::from_millis(1_500);
const CATCH_UP_MAX: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_millis(600);
const SHUT_DOWN_MAX: Duration = Duration::from_secs(10);
