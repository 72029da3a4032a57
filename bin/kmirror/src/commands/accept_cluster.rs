//! `kmirror accept-cluster`: takes the clusters that answer now for those that the aliases name.

use crate::cli::ConfigArguments;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::streams::outln;

/// Runs the command.
pub(crate) async fn run(arguments: ConfigArguments) -> Result<Code, Failure> {
    let mirror = Config::load(&arguments.config)?.mirror(false)?;
    for accepted in mirror.connect().await?.accept_clusters().await? {
        for (end, (before, now)) in [("source", &accepted.source), ("target", &accepted.target)] {
            let change = match before {
                Some(before) if before == now => "as before".to_owned(),
                Some(before) => format!("it was {before}"),
                None => "nothing was recorded".to_owned(),
            };
            outln!("{}: the {end} is the cluster {now} ({change})", accepted.flow);
        }
    }
    Ok(Code::Ok)
}
