//! Clusters that want to know who comes, entered in every way: by files of kmirror and by Java's, with everything that may be wrong.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use kmirror_embedded::ClusterBuilder;
use kmirror_testkit::{
    Certificates, Isolation, PASSWORD, SecuredAddresses, USER, Workload, compare_records, unique_topic,
};

use crate::kmirror::{Kmirror, await_that};
use crate::stage::{AnyCluster, Stage, on_both_kinds};

on_both_kinds!(
    enters_secured_clusters,
    says_why_it_is_not_let_in,
    a_file_of_mirrormaker_enters_them_too,
    sessions_are_renewed_while_records_flow,
);

/// A way into a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    Tls,
    MutualTls,
    /// By this mechanism, over TLS.
    Sasl(&'static str),
    /// The same without TLS.
    OpenSasl(&'static str),
}

impl Entrance {
    pub(crate) fn secure(self, builder: ClusterBuilder, certificates: &Certificates) -> ClusterBuilder {
        let (certificate, key) = &certificates.broker;
        let lifetime = Duration::from_secs(3);
        // Nobody else may do anything.
        let builder = builder.authorizer(["User:kmirror"]);
        match self {
            Entrance::Tls => builder.authorizer(["User:ANONYMOUS"]).tls(certificate, key),
            Entrance::MutualTls => builder.tls(certificate, key).tls_clients(&certificates.authority),
            Entrance::Sasl(_) => {
                builder.user(USER, PASSWORD).session_lifetime(lifetime).tls(certificate, key)
            }
            Entrance::OpenSasl(_) => builder.user(USER, PASSWORD).session_lifetime(lifetime),
        }
    }

    pub(crate) fn address(self, addresses: &SecuredAddresses) -> std::net::SocketAddr {
        match self {
            Entrance::Tls => addresses.tls,
            Entrance::MutualTls => addresses.mutual_tls,
            Entrance::Sasl(_) => addresses.sasl_tls,
            Entrance::OpenSasl(_) => addresses.sasl_plaintext,
        }
    }
}

/// A cluster that wants to know who comes. The tests come as they always do.
pub(crate) struct Secured {
    pub(crate) cluster: AnyCluster,
    /// With the files of its certificates.
    folder: PathBuf,
    address: Box<dyn Fn(Entrance) -> String>,
}

impl Secured {
    pub(crate) fn new(
        cluster: AnyCluster,
        certificates: Certificates,
        address: impl Fn(Entrance) -> String + 'static,
    ) -> Secured {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique_topic("certificates"));
        fs::create_dir_all(&folder).unwrap();
        certificates.write(&folder).unwrap();
        fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
        Secured { cluster, folder, address: Box::new(address) }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The section of this cluster in kmirror.yaml, in one line.
    fn section(&self, entrance: Entrance) -> String {
        let (address, ca) = ((self.address)(entrance), self.file("ca.pem"));
        let sasl = |mechanism: &str| {
            let password = self.file("password");
            format!("sasl: {{ mechanism: {mechanism}, username: {USER}, password_file: {password} }}")
        };
        let security = match entrance {
            Entrance::Tls => format!("tls: {{ ca_file: {ca} }}"),
            Entrance::MutualTls => {
                let (certificate, key) = (self.file("client.pem"), self.file("client.key"));
                format!("tls: {{ ca_file: {ca}, cert_file: {certificate}, key_file: {key} }}")
            }
            Entrance::Sasl(mechanism) => format!("tls: {{ ca_file: {ca} }}, {}", sasl(mechanism)),
            Entrance::OpenSasl(mechanism) => {
                format!("properties: {{ security.protocol: SASL_PLAINTEXT }}, {}", sasl(mechanism))
            }
        };
        format!("{{ bootstrap_servers: {address:?}, {security} }}")
    }
}

fn mirroring(source: &str, target: &str, topic: &str) -> Kmirror {
    Kmirror::with_config(&format!(
        "clusters:\n  east: {source}\n  west: {target}\nflows:\n  - source: east\n    target: west\n    \
         topics: {{ include: [{topic:?}] }}\n"
    ))
}

/// Copies a topic in one way and proves it, and the tests see the same on both sides.
fn copies(source: (&Secured, Entrance), target: (&Secured, Entrance)) {
    let topic = unique_topic("secured");
    source.0.cluster.produce(&[Workload::new(&topic).partitions(3).records(2_000).headers()]);
    let kmirror = mirroring(&source.0.section(source.1), &target.0.section(target.1), &topic);
    kmirror.copy_undisturbed();
    kmirror.prove();
    let read = |secured: &Secured| secured.cluster.records(&topic, Isolation::ReadCommitted);
    let copied = read(target.0);
    assert_eq!(copied.len(), 2_000);
    compare_records(&read(source.0), &copied).unwrap();
}

fn enters_secured_clusters(stage: &Stage) {
    let pairs = [
        (Entrance::MutualTls, Entrance::Sasl("SCRAM-SHA-512")),
        (Entrance::Sasl("SCRAM-SHA-256"), Entrance::Sasl("PLAIN")),
        (Entrance::Tls, Entrance::OpenSasl("SCRAM-SHA-512")),
        (Entrance::OpenSasl("PLAIN"), Entrance::MutualTls),
    ];
    let first = |entrances: (Entrance, Entrance)| (stage.secured(entrances.0), stage.secured(entrances.1));
    // Real ones are entered in every way, embedded ones in one each.
    let mut clusters = first(pairs[0]);
    for (index, (source, target)) in pairs.into_iter().enumerate() {
        if index > 0 && stage.either(true, false) {
            clusters = first((source, target));
        }
        copies((&clusters.0, source), (&clusters.1, target));
    }
}

fn says_why_it_is_not_let_in(stage: &Stage) {
    let scram = Entrance::Sasl("SCRAM-SHA-512");
    let secured = stage.secured(scram);
    let (plaintext, _) = stage.pair();
    let address = (secured.address)(scram);
    let refused = |section: String, code: i32, words: &str| {
        let other = format!("{{ bootstrap_servers: {:?} }}", plaintext.bootstrap_servers());
        let ended = mirroring(&section, &other, "orders").run(&["run", "--once"]);
        let ended = ended.with_code(code).saying(words);
        assert!(!ended.stderr().contains(PASSWORD), "{}", ended.stderr());
    };
    let section = secured.section(scram);
    fs::write(secured.folder.join("wrong"), "starlight").unwrap();
    refused(
        section.replace(&secured.file("password"), &secured.file("wrong")),
        77,
        &format!(
            "{address}: SCRAM-SHA-512: the broker refuses user {USER}: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512"
        ),
    );
    refused(
        section.replace("SCRAM-SHA-512", "OAUTHBEARER").replace("password_file", "token_file"),
        77,
        &format!("{address}: OAUTHBEARER: the broker does not offer it, but "),
    );
    refused(
        section.replace("ca.pem", "stranger.pem"),
        69,
        &format!(
            "cluster east cannot be reached: {address}: TLS: no trusted authority has signed the broker's certificate: name the authority \
             that did in tls.ca_file"
        ),
    );
    let by_name = address.replace("127.0.0.1", "localhost");
    refused(
        section.replace(&address, &by_name),
        69,
        &format!("{by_name}: TLS: the broker's certificate is for 127.0.0.1, not for localhost: "),
    );
    refused(
        section.replace(&address, &plaintext.bootstrap_servers()),
        69,
        "TLS: what answers is not TLS: this looks like a plaintext listener",
    );
    refused(format!("{{ bootstrap_servers: {address:?} }}"), 69, "does this listener expect TLS?");
    let without_sasl = section.split(", sasl:").next().map(|section| format!("{section} }}")).unwrap();
    refused(without_sasl, 69, "does this listener expect SASL?");
}

fn a_file_of_mirrormaker_enters_them_too(stage: &Stage) {
    let (mutual, scram) = (Entrance::MutualTls, Entrance::Sasl("SCRAM-SHA-256"));
    let (source, target) = (stage.secured(mutual), stage.secured(scram));
    let topic = unique_topic("secured");
    source.cluster.produce(&[Workload::new(&topic).records(500)]);
    let keystore = format!(
        "{}{}",
        fs::read_to_string(source.folder.join("client.key")).unwrap(),
        fs::read_to_string(source.folder.join("client.pem")).unwrap()
    );
    fs::write(source.folder.join("keystore.pem"), keystore).unwrap();
    let mirrormaker = Kmirror::with_file(
        "properties",
        &format!(
            "clusters = east, west\neast.bootstrap.servers = {}\nwest.bootstrap.servers = {}\neast->west.enabled = true\n\
             east->west.topics = {topic}\nreplication.factor = 1\n\
             east.security.protocol = SSL\neast.ssl.truststore.type = PEM\neast.ssl.truststore.location = {}\n\
             east.ssl.keystore.type = PEM\neast.ssl.keystore.location = {}\n\
             west.security.protocol = SASL_SSL\nwest.ssl.truststore.type = PEM\nwest.ssl.truststore.location = {}\n\
             west.sasl.mechanism = SCRAM-SHA-256\n\
             west.sasl.jaas.config = org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{USER}\" \
             password=\"{PASSWORD}\";\n",
            (source.address)(mutual),
            (target.address)(scram),
            source.file("ca.pem"),
            source.file("keystore.pem"),
            target.file("ca.pem"),
        ),
    );
    mirrormaker.copy();
    let copied = target.cluster.records(&format!("east.{topic}"), Isolation::ReadCommitted);
    let offsets_and_values = |records: Vec<kmirror_testkit::PrintedRecord>| {
        records.into_iter().map(|record| (record.offset, record.value)).collect::<Vec<_>>()
    };
    let written = source.cluster.records(&topic, Isolation::ReadCommitted);
    assert_eq!(offsets_and_values(copied), offsets_and_values(written));
}

/// Another connection in the place of one would be a take-over of every partition on it.
fn sessions_are_renewed_while_records_flow(stage: &Stage) {
    let scram = Entrance::Sasl("SCRAM-SHA-512");
    let (source, target) = (stage.secured(scram), stage.secured(scram));
    let topic = unique_topic("secured");
    source.cluster.produce(&[Workload::new(&topic).partitions(3).records(100)]);
    let kmirror = mirroring(&source.section(scram), &target.section(scram), &topic);
    let running = kmirror.start_with(&["run", "--log", "info,kmirror_client=debug"]);
    let load = source
        .cluster
        .start_load(&[Workload::new(&topic).first(100).records(u32::MAX.into()).records_per_second(500)]);
    let renewed = |address: String| {
        let log = running.log();
        let of_cluster =
            log.lines().filter(|line| line.contains("session renewed") && line.contains(&address));
        of_cluster.count()
    };
    await_that("sessions are renewed several times on both sides", || {
        [&source, &target].into_iter().all(|secured| renewed((secured.address)(scram)) >= 12)
    });
    load.stop();
    await_that("all is copied", || {
        (0..3).all(|partition| {
            let end = source.cluster.end(&topic, partition);
            end.is_some_and(|end| end > 0) && end == target.cluster.end(&topic, partition)
        })
    });
    let log = running.log();
    drop(running);
    for partition in 0..3 {
        let name = format!("partition={topic}-{partition}");
        let begun = log.lines().filter(|line| line.contains(" copying ") && line.contains(&name)).count();
        assert_eq!(begun, 1, "{name} is taken over once:\n{log}");
    }
    assert!(!log.contains("connection given up"), "{log}");
    kmirror.prove();
}
