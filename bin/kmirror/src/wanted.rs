//! What a command line asks for by name: a name that there is not is an error, and no empty answer.

use std::collections::BTreeSet;

use crate::exit::{Code, Failure};
use crate::files::problem;

/// Whether all of these are known. `what`: `topic`, `group`.
pub(crate) fn check<'a>(
    what: &str,
    wanted: &[String],
    known: impl IntoIterator<Item = &'a str>,
) -> Result<(), Failure> {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let Some(unknown) = wanted.iter().find(|name| !known.contains(name.as_str())) else { return Ok(()) };
    let known: Vec<&str> = known.into_iter().collect();
    let suggestion = problem::suggestion(unknown, &known);
    Err(Failure::new(Code::Usage, format!("no flow has a {what} {unknown:?}{suggestion}")))
}
