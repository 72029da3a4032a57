//! `kmirror demo`: two clusters in this process, a workload, a mirror, and the proof, with nothing installed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kmirror::{ClusterConfig, Flow, Mirror, MirrorHandle, VerifyOptions, VerifyReport};
use kmirror_embedded::{Codec, EmbeddedCluster, EmbeddedError, KeyValue};
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::DemoArguments;
use crate::exit::{Code, Failure};
use crate::progress::{FlowsProgress, Screen};
use crate::signals;

/// Runs the command.
pub(crate) async fn run(arguments: DemoArguments, screen: &Screen) -> Result<Code, Failure> {
    let demo = Demo::start().await?;
    eprintln!(
        "source at {}, target at {}: any Kafka client may look",
        demo.source.bootstrap_servers(),
        demo.target.bootstrap_servers()
    );
    let begun = Instant::now();
    let mut workload = Workload::new(arguments.rate);
    let mut progress = FlowsProgress::new(screen);
    let mut handle = demo.mirror()?.spawn();
    let stopped = {
        let watched = demo.show(&mut handle, &mut progress, arguments.faults);
        tokio::select! {
            written = workload.run(&demo.source) => return Err(embedded(written)),
            failed = watched => return Err(failed),
            code = signals::stop() => code,
            () = tokio::time::sleep(arguments.duration) => Code::Ok,
        }
    };
    demo.heal()?;
    let report = demo.prove(handle, &mut progress, begun).await?;
    println!(
        "wrote {} records, {} of them in transactions that were aborted",
        workload.records, workload.aborted
    );
    println!(
        "compared {} partitions: {} records are equal, offset for offset, key, value, headers and timestamp",
        report.partitions.len(),
        report.records_equal()
    );
    if report.is_equal() {
        return Ok(stopped);
    }
    println!("{} differences", report.differences_count());
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
        demo.source.create_topic("orders", 3, &[]).map_err(embedded)?;
        demo.source.create_topic("payments", 2, &[]).map_err(embedded)?;
        demo.source.create_topic("prices", 1, &[("cleanup.policy", "compact")]).map_err(embedded)?;
        Ok(demo)
    }

    fn mirror(&self) -> Result<Mirror, Failure> {
        let cluster = |cluster: &EmbeddedCluster| {
            ClusterConfig::new(cluster.bootstrap_servers().split(',').map(str::to_owned))
        };
        let mut flow = Flow::new("east", "west").topics([".*"]);
        flow.metadata_refresh_interval = Duration::from_millis(500);
        Mirror::builder()
            .cluster("east", cluster(&self.source))
            .cluster("west", cluster(&self.target))
            .flow(flow)
            .build()
            .map_err(|error| Failure::configuration(error.to_string()))
    }

    /// Shows the flow until it fails; breaks something every now and then, if that is asked for.
    async fn show(&self, handle: &mut MirrorHandle, progress: &mut FlowsProgress, faults: bool) -> Failure {
        let mut tick = interval(SHOW_INTERVAL);
        let mut fault = interval(FAULT_INTERVAL);
        fault.tick().await;
        let mut round = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => progress.show(&handle.status()),
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
                eprintln!("fault: the mirror is killed, and another one started");
                *handle = self.mirror()?.spawn();
            }
            1 => {
                eprintln!("fault: broker {broker} of the target stops");
                self.target.stop_broker(broker).map_err(embedded)?;
            }
            2 => {
                eprintln!("fault: broker {broker} leads orders-0 and payments-1 of the source now");
                self.source.move_leader("orders", 0, broker).map_err(embedded)?;
                self.source.move_leader("payments", 1, broker).map_err(embedded)?;
            }
            _ => {
                eprintln!("fault: broker {broker} of the source stops");
                self.source.stop_broker(broker).map_err(embedded)?;
            }
        }
        Ok(())
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
    async fn prove(
        &self,
        handle: MirrorHandle,
        progress: &mut FlowsProgress,
        begun: Instant,
    ) -> Result<VerifyReport, Failure> {
        handle.caught_up(CATCH_UP_MAX).await?;
        // What `caught_up` goes by is what the fetchers saw last.
        tokio::time::sleep(SETTLE).await;
        handle.caught_up(CATCH_UP_MAX).await?;
        let report = handle.shutdown(SHUT_DOWN_MAX).await?;
        progress.finish(&report.flows, begun);
        Ok(self.mirror()?.verify(&VerifyOptions::default(), Arc::default()).await?)
    }
}

/// What is written meanwhile.
struct Workload {
    rate: u32,
    records: u64,
    aborted: u64,
    batches: u64,
}

impl Workload {
    fn new(rate: u32) -> Workload {
        Workload { rate, records: 0, aborted: 0, batches: 0 }
    }

    /// Writes until something is refused.
    async fn run(&mut self, cluster: &EmbeddedCluster) -> EmbeddedError {
        let mut tick = interval(Duration::from_secs(1) * BATCH_RECORDS / self.rate.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tick.tick().await;
            if let Err(error) = self.write(cluster) {
                return error;
            }
        }
    }

    fn write(&mut self, cluster: &EmbeddedCluster) -> Result<(), EmbeddedError> {
        let batch = self.batches;
        self.batches += 1;
        let texts: Vec<_> = (0..u64::from(BATCH_RECORDS))
            .map(|index| {
                let number = self.records + index;
                (
                    format!("key-{}", number % 97),
                    format!("{{\"number\":{number},\"amount\":{}}}", number * 7919 % 10_007),
                )
            })
            .collect();
        let records: Vec<KeyValue<'_>> =
            texts.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
        let codecs = [Codec::Lz4, Codec::Zstd, Codec::None, Codec::Gzip, Codec::Snappy];
        let codec = codecs.get(batch as usize % codecs.len()).copied().unwrap_or_default();
        let partition = |count: u64| (batch / 4 % count) as i32;
        match batch % 4 {
            0 | 2 => cluster.write("orders", partition(3), codec, &records)?,
            1 => {
                let commit = batch % 40 != 1;
                self.aborted += if commit { 0 } else { u64::from(BATCH_RECORDS) };
                cluster.write_transaction("payments", partition(2), codec, &records, commit)?
            }
            _ => cluster.write("prices", 0, codec, &records)?,
        };
        self.records += u64::from(BATCH_RECORDS);
        // The cleaner comes by now and then.
        if batch % 400 == 399 {
            let end = cluster.log("prices", 0)?.end;
            cluster.clean("prices", 0, end - i64::from(BATCH_RECORDS) * 4)?;
        }
        Ok(())
    }
}

fn embedded(error: EmbeddedError) -> Failure {
    Failure::runtime(format!("the embedded cluster: {error}"))
}

const BATCH_RECORDS: u32 = 20;
const PARTITION_BYTES_MAX: usize = 64 << 20;
const SHOW_INTERVAL: Duration = Duration::from_millis(200);
const FAULT_INTERVAL: Duration = Duration::from_millis(1_500);
const CATCH_UP_MAX: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_millis(600);
const SHUT_DOWN_MAX: Duration = Duration::from_secs(10);
