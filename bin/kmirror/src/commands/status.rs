//! `kmirror status`: how each partition is, by the running process or by both clusters. Changes nothing.

use std::net::SocketAddr;

use crate::cli::{StatusArguments, TableFormat};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::http::client;
use crate::output;
use crate::status::Status;
use crate::streams::errln;
use crate::wanted;

/// Runs the command.
pub(crate) async fn run(arguments: StatusArguments) -> Result<Code, Failure> {
    let StatusArguments { partitions: arguments, direct } = arguments;
    let config = Config::load(&arguments.config.config)?;
    let address = config.http()?.filter(|_| !direct);
    let running = match address {
        Some(address) if arguments.max_age.is_some() => {
            errln!("asking both clusters, and not {address}: a process does not know how old records are");
            None
        }
        Some(address) => from_process(address).await,
        None => None,
    };
    let mut status = match running {
        Some(status) => status,
        None => Status::of_clusters(&config.mirror(false)?.connect().await?.lags().await?),
    };
    let known = status.partitions.iter().map(|row| row.source_topic.as_str());
    wanted::check("topic", &arguments.topics, known)?;
    status.partitions.retain(|row| arguments.selects(&row.source_topic));
    match arguments.format {
        TableFormat::Json | TableFormat::Yaml => output::print_whole(&status, arguments.format)?,
        TableFormat::Text | TableFormat::Csv => {
            output::print("partitions", &status.partitions, arguments.format)?
        }
    }
    Ok(arguments.judge(status.partitions.iter().map(|row| (row.lag, row.age_seconds))))
}

async fn from_process(address: SocketAddr) -> Option<Status> {
    match client::status(address).await {
        Ok(status) => {
            errln!("from the mirror that answers at {address}");
            Some(status)
        }
        Err(problem) => {
            errln!("no mirror answers at {address} ({problem}): asking both clusters");
            None
        }
    }
}
