//! `kmirror check`: what is found at both ends before anything is copied. Changes nothing.

use kmirror::{ClusterCheck, FlowCheck, HolesBy};
use serde_json::json;

use crate::cli::{CheckArguments, Format};
use crate::config::Config;
use crate::exit::{Code, Failure};

/// Runs the command.
pub(crate) async fn run(arguments: CheckArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config.config)?.mirror(false)?;
    let checks = mirror.check().await?;
    match arguments.format {
        Format::Text => checks.iter().for_each(print),
        Format::Json => println!("{:#}", json!({ "flows": checks.iter().map(as_json).collect::<Vec<_>>() })),
    }
    Ok(if checks.iter().any(|check| check.is_same_cluster) { Code::Runtime } else { Code::Ok })
}

fn print(check: &FlowCheck) {
    for (end, cluster) in [("source", &check.source), ("target", &check.target)] {
        println!(
            "{}: {end} {} is reachable: cluster {}, {} brokers",
            check.flow, cluster.alias, cluster.cluster_id, cluster.brokers
        );
    }
    if check.is_same_cluster {
        println!("{}: both ends are the same cluster: check bootstrap_servers", check.flow);
    }
    println!("{}: offsets without records are filled by {}", check.flow, holes(check));
    println!("{}: {} partitions were copied before", check.flow, check.partitions_recorded);
}

fn holes(check: &FlowCheck) -> &'static str {
    match check.holes {
        HolesBy::Markers => "control markers",
        _ => {
            "empty transactions, which is slow: kmirror lacks ALTER on the target cluster (CLUSTER_ACTION before Kafka 3.8)"
        }
    }
}

/// Field names are stable: scripts read them.
fn as_json(check: &FlowCheck) -> serde_json::Value {
    let cluster = |cluster: &ClusterCheck| json!({ "alias": cluster.alias, "cluster_id": cluster.cluster_id, "brokers": cluster.brokers });
    json!({
        "flow": check.flow,
        "source": cluster(&check.source),
        "target": cluster(&check.target),
        "is_same_cluster": check.is_same_cluster,
        "holes": match check.holes {
            HolesBy::Markers => "markers",
            _ => "transactions",
        },
        "partitions_recorded": check.partitions_recorded,
    })
}
