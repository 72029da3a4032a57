//! Where the clients of a cluster find a key, and in which order: the layers of `MirrorMakerConfig` and of the connectors.

/// The aliases of a source and a target.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) source: String,
    pub(super) target: String,
}

impl Pair {
    /// A key of this flow alone.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}->{}.{key}", self.source, self.target)
    }
}

/// Every ordered pair.
pub(super) fn pairs(aliases: &[String]) -> Vec<Pair> {
    let pairs = aliases.iter().flat_map(|source| aliases.iter().map(move |target| (source, target)));
    pairs
        .filter(|(source, target)| source != target)
        .map(|(source, target)| Pair { source: source.clone(), target: target.clone() })
        .collect()
}

/// Where the source's consumer of a flow finds a key (`MirrorSourceConfig.sourceConsumerConfig`), the first of which counts.
pub(super) fn consumer_layer(pair: &Pair, name: &str) -> Vec<String> {
    layer(pair, &pair.source, ["source.consumer.", "consumer.", "consumer.", "source.cluster."], name)
}

/// The same of the producer that writes to the target: the worker's, with what a flow overrides.
fn producer_layer(pair: &Pair, name: &str) -> Vec<String> {
    layer(
        pair,
        &pair.target,
        ["producer.override.", "producer.", "target.producer.", "target.cluster."],
        name,
    )
}

fn layer(pair: &Pair, alias: &str, [first, of_cluster, later, last]: [&str; 4], name: &str) -> Vec<String> {
    let of_pair = |prefix: &str| pair.key(&format!("{prefix}{name}"));
    let mut keys = vec![of_pair(first), format!("{alias}.{of_cluster}{name}")];
    // A key of a connection is copied to each kind of client. Others are not, but nothing else can be meant by them.
    keys.extend([format!("{alias}.{name}"), name.to_owned()]);
    keys.extend([of_pair(later), of_pair(last)]);
    keys
}

/// Where the clients of a cluster find a key, by flow.
pub(super) fn client_layers(alias: &str, flows: &[Pair], name: &str) -> Vec<Vec<String>> {
    let layers = flows.iter().filter_map(|pair| match (pair.source == alias, pair.target == alias) {
        (true, _) => Some(consumer_layer(pair, name)),
        (_, true) => Some(producer_layer(pair, name)),
        _ => None,
    });
    let layers: Vec<_> = layers.collect();
    match layers.is_empty() {
        true => vec![vec![format!("{alias}.{name}"), name.to_owned()]],
        false => layers,
    }
}
