//! `kmirror check`: what is found at both ends before anything is copied. Changes nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use kmirror::{ClusterCheck, Finding, FindingKind, FlowCheck, HolesBy, Severity};
use serde_json::json;

use super::config;
use crate::cli::{CheckArguments, Format};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::streams::outln;

/// Runs the command.
pub(crate) async fn run(arguments: CheckArguments) -> Result<Code, Failure> {
    let path = &arguments.config.config;
    if arguments.no_connect {
        return config::check(path);
    }
    let checks = checked(path, &arguments.principal, arguments.wait).await?;
    match arguments.format {
        Format::Text => checks.iter().for_each(print),
        Format::Json => outln!("{:#}", json!({ "flows": checks.iter().map(as_json).collect::<Vec<_>>() })),
    }
    Ok(verdict(&checks, arguments.deny_warnings))
}

/// A cluster that cannot be reached yet is tried again for so long.
async fn checked(path: &Path, principal: &str, wait: Duration) -> Result<Vec<FlowCheck>, Failure> {
    let (mirror, begun) = (Config::load(path)?.mirror(false)?, Instant::now());
    loop {
        match mirror.connect().await?.check(principal).await {
            Err(error) if error.is_unreachable() && begun.elapsed() < wait => {
                tracing::info!(%error, "waiting for the clusters");
                tokio::time::sleep(TRY_PAUSE).await;
            }
            checked => return Ok(checked?),
        }
    }
}

/// What is to be changed first decides the code.
fn verdict(checks: &[FlowCheck], deny_warnings: bool) -> Code {
    let findings = || checks.iter().flat_map(|check| &check.findings);
    let has_error =
        |kind| findings().any(|finding| finding.severity == Severity::Error && finding.kind == kind);
    if has_error(FindingKind::Reachability) {
        Code::Unreachable
    } else if has_error(FindingKind::Configuration) || checks.iter().any(|check| check.is_same_cluster) {
        Code::Configuration
    } else if has_error(FindingKind::Permission) {
        Code::NotAuthorized
    } else if has_error(FindingKind::Logs) || deny_warnings && findings().next().is_some() {
        Code::Runtime
    } else {
        Code::Ok
    }
}

fn print(check: &FlowCheck) {
    for (end, cluster) in [("source", &check.source), ("target", &check.target)] {
        outln!(
            "{}: {end} {} is reachable: cluster {}, {} brokers",
            check.flow,
            cluster.alias,
            cluster.cluster_id,
            cluster.brokers
        );
    }
    if check.is_same_cluster {
        outln!(
            "{}: both ends are the same cluster: check bootstrap_servers. A stretch cluster needs no mirror",
            check.flow
        );
    }
    outln!("{}: offsets without records are filled by {}", check.flow, holes(check));
    outln!("{}: {} partitions were copied before", check.flow, check.partitions_recorded);
    for finding in &check.findings {
        let Finding { severity, cluster, subject, problem, advice, .. } = finding;
        outln!("{}: {severity}: {cluster}: {subject}: {problem}; {advice}", check.flow);
        if let Some(command) = &finding.command {
            outln!("  {command}");
        }
    }
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
    let finding = |finding: &Finding| {
        json!({
            "severity": finding.severity.to_string(),
            "kind": finding.kind.to_string(),
            "cluster": finding.cluster,
            "subject": finding.subject,
            "problem": finding.problem,
            "advice": finding.advice,
            "command": finding.command,
        })
    };
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
        "findings": check.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

const TRY_PAUSE: Duration = Duration::from_secs(1);
