//! A long link: between the mirror and the target (the mirror is near the source), or between the source and the mirror.

mod link;

use std::error::Error;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kmirror_testkit::{ClusterPair, KafkaCluster, KafkaEndpoint, real_kafka, unique_topic};

use self::link::{Conditions, Direction, Link};
use crate::clusters;
use crate::compare::cell::{Cell, Preloaded};
use crate::compare::race::arrived;
use crate::contender::{Contender, Copy};
use crate::process::Process;
use crate::results::{Results, at_least, table};
use crate::statistics::{Spread, median};

#[derive(clap::Args, serde::Serialize)]
pub(crate) struct WanArguments {
    /// Where the mirror is: the other cluster is at the far end of the link.
    #[arg(long = "near", value_enum, default_values_t = [Near::Source, Near::Target])]
    places: Vec<Near>,
    /// Round trip times of the link.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    rtt_ms: Vec<u64>,
    /// Megabits per second of the link, in each direction.
    #[arg(long, default_value_t = 200.0)]
    megabits: f64,
    /// Bytes that a connection may have unacknowledged in each direction. If not set, what a broker's own buffers allow: 100 KiB both by
    /// `socket.receive.buffer.bytes` and by `socket.send.buffer.bytes`.
    #[arg(long, default_value_t = 102_400)]
    window: usize,
    /// What is copied.
    #[arg(long = "cell", value_enum, default_values_t = [Cell::Raw, Cell::Lz4])]
    cells: Vec<Cell>,
    /// Megabytes on the wire in each topic, for a round trip of 100 ms; more for shorter and less for longer ones.
    #[arg(long, default_value_t = 20.0)]
    megabytes: f64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// How old the records are. Brokers forget who wrote those that are older than `producer.id.expiration.ms`, so they go a batch at a
    /// time.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    record_age: Duration,
    /// How often each contender copies each topic.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// The program that is measured, and that verifies every copy.
    #[arg(long, default_value = "target/release/kmirror")]
    #[serde(skip)]
    program: String,
    /// Leaves MirrorMaker 2 out.
    #[arg(long)]
    without_mm2: bool,
    /// Where the rows (JSON) and the table (Markdown) go, as NAME.json and NAME.md.
    #[arg(long, default_value = "benches/results/wan")]
    #[serde(skip)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Near {
    Source,
    Target,
}

/// One copy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) near: Near,
    pub(crate) rtt_ms: u64,
    pub(crate) cell: String,
    pub(crate) contender: String,
    pub(crate) round: u32,
    /// Of the topic's batches on the wire of the source.
    pub(crate) bytes: u64,
    /// From when a twentieth had gone over the link until all was on the target.
    pub(crate) seconds: f64,
    /// As much of the bytes as went over the link in these seconds, for each of them.
    pub(crate) bytes_per_second: f64,
    /// Those that carried more than a hundredth of what went over the link.
    pub(crate) connections: usize,
    pub(crate) link_bytes_per_second: f64,
    /// What a connection can carry at most: a window in a round trip.
    pub(crate) connection_bytes_per_second: f64,
}

/// Two clusters, each with a link before it.
struct Ends {
    pair: ClusterPair,
    source: Far,
    target: Far,
}

/// A cluster as it is seen from the far end of its link.
struct Far {
    link: Link,
    endpoint: KafkaEndpoint,
}

impl Row {
    /// What the link and so many windows allow.
    fn ceiling(&self) -> f64 {
        self.link_bytes_per_second.min(self.connections as f64 * self.connection_bytes_per_second)
    }

    /// Of the ceiling.
    pub(crate) fn share(&self) -> f64 {
        self.bytes_per_second / self.ceiling()
    }
}

/// Copies everything over each link.
pub(crate) fn run(arguments: &WanArguments) -> Result<(), Box<dyn Error>> {
    let _turn = real_kafka("wan").ok_or("Java and Maven are needed, for the clusters")?;
    let mut contenders = vec![Contender::Kmirror];
    if !arguments.without_mm2 {
        contenders.push(Contender::Mm2Tuned);
    }
    let ends = Ends::start(arguments)?;
    let mut results = Results::new(Some(clusters::RELEASE), arguments)?;
    for rtt_ms in &arguments.rtt_ms {
        for cell in &arguments.cells {
            let gigabytes = arguments.megabytes / 1e3 * 100.0 / (*rtt_ms).max(1) as f64;
            let (pair, partitions) = (&ends.pair, arguments.partitions);
            let preloaded = cell.preload_aged(pair, partitions, gigabytes, arguments.record_age)?;
            for round in 0..arguments.rounds {
                for near in &arguments.places {
                    for contender in &contenders {
                        let copy = Crossing { near: *near, rtt_ms: *rtt_ms, cell: *cell, contender, round };
                        let row = copy.measure(arguments, &ends, &preloaded)?;
                        eprintln!("{}", row.line());
                        results.rows.push(row);
                    }
                }
                contenders.reverse();
            }
            ends.pair.source.delete_topic(&preloaded.topic)?;
        }
    }
    results.write(&arguments.out, &markdown(&results.rows))
}

/// One copy by one contender over one link.
struct Crossing<'a> {
    near: Near,
    rtt_ms: u64,
    cell: Cell,
    contender: &'a Contender,
    round: u32,
}

impl Crossing<'_> {
    fn measure(
        &self,
        arguments: &WanArguments,
        ends: &Ends,
        preloaded: &Preloaded,
    ) -> Result<Row, Box<dyn Error>> {
        let conditions = arguments.conditions(self.rtt_ms);
        let (far, direction, crossed) = match self.near {
            Near::Source => (&ends.target, Direction::ToBroker, (&ends.pair.source, &ends.target.endpoint)),
            Near::Target => (&ends.source, Direction::FromBroker, (&ends.source.endpoint, &ends.pair.target)),
        };
        far.link.set(conditions);
        let crossed = ClusterPair::at(crossed.0.clone(), crossed.1.clone());
        let copy = |pair, alias| Copy {
            pair,
            topics: &preloaded.topic,
            codec: self.cell.codec(),
            alias,
            kmirror_keys: String::new(),
        };
        let crossing = copy(&crossed, unique_topic("far"));
        let target_topic = crossing.target_topic(&preloaded.topic);
        let mut process = Process::start(self.contender.command(&crossing, &arguments.program)?)?;
        let carried = || far.link.carried(direction).iter().sum();
        let speed = follow(&mut process, &ends.pair.target, &target_topic, preloaded, carried);
        let carried = far.link.carried(direction);
        process.end()?;
        let (seconds, share) = speed.map_err(|error| format!("{}: {error}", self.contender.name()))?;
        copy(&ends.pair, crossing.alias.clone()).verify(&arguments.program)?;
        ends.pair.target.delete_topic(&target_topic)?;
        Ok(Row {
            near: self.near,
            rtt_ms: self.rtt_ms,
            cell: self.cell.name().to_owned(),
            contender: self.contender.name().to_owned(),
            round: self.round,
            bytes: preloaded.bytes,
            seconds,
            bytes_per_second: preloaded.bytes as f64 * share / seconds,
            connections: carriers(&carried),
            link_bytes_per_second: conditions.bytes_per_second,
            connection_bytes_per_second: conditions.window_bytes as f64 / conditions.round_trip.as_secs_f64(),
        })
    }
}

impl WanArguments {
    fn conditions(&self, rtt_ms: u64) -> Conditions {
        Conditions {
            round_trip: Duration::from_millis(rtt_ms.max(1)),
            bytes_per_second: self.megabits * 1e6 / 8.0,
            window_bytes: self.window.max(1),
        }
    }
}

impl Ends {
    fn start(arguments: &WanArguments) -> Result<Ends, Box<dyn Error>> {
        let (source, source_far) = start_far(arguments.conditions(1))?;
        let (target, target_far) = start_far(arguments.conditions(1))?;
        Ok(Ends { pair: ClusterPair::of(source, target), source: source_far, target: target_far })
    }
}

/// A cluster that tells who comes by the link to come again by the link.
fn start_far(conditions: Conditions) -> Result<(KafkaCluster, Far), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let cluster = clusters::builder().far_listener(address.port()).start()?;
    let broker = cluster.node(1)?.far_address().ok_or("the cluster has no far listener")?;
    let endpoint = KafkaEndpoint::new(cluster.jars().clone(), address.to_string());
    Ok((cluster, Far { link: Link::start(listener, broker, conditions)?, endpoint }))
}

/// The seconds from when a twentieth had gone over the link, since by then everybody has started, until all was on the target; and
/// which share of what went over it went in these.
fn follow(
    process: &mut Process,
    target: &KafkaEndpoint,
    topic: &str,
    preloaded: &Preloaded,
    carried: impl Fn() -> u64,
) -> Result<(f64, f64), Box<dyn Error>> {
    let mut began = None;
    loop {
        thread::sleep(INTERVAL);
        process.cpu()?;
        if began.is_none() && carried() * 20 >= preloaded.bytes {
            began = Some((process.elapsed(), carried()));
        }
        let arrived = arrived(target, topic, preloaded.partitions);
        let elapsed = process.elapsed();
        if arrived >= preloaded.records {
            let (since, before) = began.ok_or("all was there before anything went over the link")?;
            let share = 1.0 - before as f64 / carried() as f64;
            return Ok(((elapsed - since).as_secs_f64(), share));
        }
        if elapsed > PATIENCE {
            return Err(format!("{arrived} of {} records within {PATIENCE:?}", preloaded.records).into());
        }
    }
}

/// How many connections data went over; others carried questions and answers.
fn carriers(carried: &[u64]) -> usize {
    let all: u64 = carried.iter().sum();
    carried.iter().filter(|bytes| **bytes * 100 > all).count().max(1)
}

impl Row {
    fn line(&self) -> String {
        let Row { near, rtt_ms, cell, contender, seconds, connections, .. } = self;
        format!(
            "near the {}, {rtt_ms} ms, {cell}: {contender}: {:.2} MB/s in {seconds:.1} s by {connections} connections, {:.0} % of {:.2} MB/s",
            near.name(),
            self.bytes_per_second / 1e6,
            self.share() * 100.0,
            self.ceiling() / 1e6,
        )
    }
}

fn markdown(rows: &[Row]) -> String {
    let mut kinds: Vec<&Row> = Vec::new();
    for row in rows {
        if !kinds.iter().any(|kind| is_alike(kind, row)) {
            kinds.push(row);
        }
    }
    let columns = [
        "mirror near",
        "round trip",
        "topic",
        "mirror",
        "MB/s",
        "connections",
        "of what they allow",
        "of the link",
    ];
    let lines = kinds.into_iter().map(|kind| {
        let all = |value: &dyn Fn(&Row) -> f64| {
            rows.iter().filter(|row| is_alike(kind, row)).map(value).collect::<Vec<f64>>()
        };
        vec![
            kind.near.name().to_owned(),
            format!("{} ms", kind.rtt_ms),
            kind.cell.clone(),
            kind.contender.clone(),
            Spread::of(all(&|row| row.bytes_per_second / 1e6)).text(2),
            format!("{:.0}", median(all(&|row| row.connections as f64))),
            format!("{:.0} %", median(all(&Row::share)) * 100.0),
            format!("{:.0} %", median(all(&|row| row.bytes_per_second / row.link_bytes_per_second)) * 100.0),
        ]
    });
    format!(
        "A proxy delays each direction by half a round trip, shares the link's bandwidth among all connections, and lets each of them have a \
         window of bytes unacknowledged; it loses nothing and starts at full speed. What they allow is the link's bandwidth, or a window in \
         each round trip for each connection that carried more than 1 % of the data. Bytes are the source's; every copy was verified by its \
         content.\n\n{}\n{}",
        table(&columns, lines),
        findings(rows)
    )
}

/// What is wanted of kmirror at 100 ms, beside what was found: more connections allow more, so what others reach stands beside it.
fn findings(rows: &[Row]) -> String {
    let mut lines = String::new();
    let mut of_kmirror: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| row.rtt_ms == 100 && row.contender == "kmirror") {
        if !of_kmirror.iter().any(|known| is_alike(known, row)) {
            of_kmirror.push(row);
        }
    }
    for kmirror in of_kmirror {
        let alike = |contender: &str| -> Vec<&Row> {
            let wanted = Row { contender: contender.to_owned(), ..kmirror.clone() };
            rows.iter().filter(|row| is_alike(row, &wanted)).collect()
        };
        let speed = |rows: &[&Row]| median(rows.iter().map(|row| row.bytes_per_second / 1e6));
        let own = alike("kmirror");
        let share = median(own.iter().map(|row| row.share() * 100.0));
        let what = format!(
            "mirror near the {}, 100 ms, {}: {:.1} MB/s by connections: {}; of what they allow",
            kmirror.near.name(),
            kmirror.cell,
            speed(&own),
            median(own.iter().map(|row| row.connections as f64)),
        );
        let others = alike(Contender::Mm2Tuned.name());
        let beside = match others.is_empty() {
            true => String::new(),
            false => format!(" ({}: {:.1} MB/s)", Contender::Mm2Tuned.name(), speed(&others)),
        };
        let _ = writeln!(lines, "- {}{beside}", at_least(&what, share, 90.0, "%"));
    }
    lines
}

impl Near {
    fn name(self) -> &'static str {
        match self {
            Near::Source => "source",
            Near::Target => "target",
        }
    }
}

fn is_alike(one: &Row, other: &Row) -> bool {
    let key = |row: &Row| (row.near, row.rtt_ms, row.cell.clone(), row.contender.clone());
    key(one) == key(other)
}

const INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes_per_second: f64, connections: usize) -> Row {
        Row {
            near: Near::Source,
            rtt_ms: 100,
            cell: "c".to_owned(),
            contender: "kmirror".to_owned(),
            round: 0,
            bytes: 1,
            seconds: 1.0,
            bytes_per_second,
            connections,
            link_bytes_per_second: 25e6,
            connection_bytes_per_second: 1e6,
        }
    }

    #[test]
    fn the_ceiling_is_the_link_or_the_windows() {
        assert_eq!((row(5e6, 10).share(), row(5e6, 100).share()), (0.5, 0.2));
        assert_eq!(carriers(&[10, 99_000, 2_000, 900]), 2);
        assert_eq!(carriers(&[]), 1);
    }

    #[test]
    fn rows_of_a_kind_become_one_line() {
        let text = markdown(&[row(5e6, 10), row(7e6, 10)]);
        assert!(
            text.contains("| source | 100 ms | c | kmirror | 6.00 (5.00–7.00) | 10 | 60 % | 24 % |"),
            "{text}"
        );
        assert!(text.contains("6.0 MB/s by connections: 10; of what they allow: 60.00 %"), "{text}");
    }
}
