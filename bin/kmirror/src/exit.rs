//! How the program ends: exit codes, and one clear message where something failed.

use std::fmt;
use std::ops::Range;
use std::process::ExitCode;

use kmirror::Error;
use miette::{Diagnostic, GraphicalReportHandler, LabeledSpan, NamedSource, SourceCode};

use crate::mask;
use crate::streams::errln;

/// The exit codes, which scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    Runtime = 1,
    /// What was asked for cannot be done, whatever the clusters hold.
    Usage = 2,
    /// Something is above the limit that was given.
    Threshold = 3,
    Differences = 4,
    Unreachable = 69,
    NotAuthorized = 77,
    Configuration = 78,
    Interrupted = 130,
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// Why a command failed: what was wrong, where, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    message: String,
    help: Option<String>,
    source: Option<Box<(NamedSource<String>, LabeledSpan)>>,
}

impl Failure {
    pub(crate) fn runtime(message: impl Into<String>) -> Failure {
        Failure::new(Code::Runtime, message)
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Failure {
        Failure::new(Code::Configuration, message)
    }

    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), help: None, source: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn help_text(&self) -> String {
        self.help.clone().unwrap_or_default()
    }

    /// Whether it shows a place in a file.
    pub(crate) fn has_place(&self) -> bool {
        self.source.is_some()
    }

    /// Shows where in a file it is.
    pub(crate) fn at(mut self, file: &str, text: &str, span: Range<usize>, label: &str) -> Failure {
        let start = span.start.min(text.len());
        let span =
            LabeledSpan::new(Some(label.to_owned()), start, span.end.min(text.len()).saturating_sub(start));
        self.source = Some(Box::new((NamedSource::new(file, mask::masked(text)), span)));
        self
    }

    /// The whole report, as it is printed.
    #[cfg(test)]
    pub(crate) fn rendered(&self) -> String {
        let mut text = String::new();
        let _ = GraphicalReportHandler::new().with_width(160).render_report(&mut text, self);
        text
    }

    /// Prints the message and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut text = String::new();
        if GraphicalReportHandler::new().render_report(&mut text, self).is_err() {
            text = self.message.clone();
        }
        errln!("{}", text.trim_end());
        self.code.into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match &error {
            Error::Config(_)
            | Error::WouldLoop { .. }
            | Error::StateTopicTaken { .. }
            | Error::OtherCluster { .. } => Code::Configuration,
            error if error.is_other_cluster() => Code::Configuration,
            error if error.is_unauthorized() || error.is_unauthenticated() => Code::NotAuthorized,
            error if error.is_unreachable() => Code::Unreachable,
            _ => Code::Runtime,
        };
        let failure = Failure::new(code, error.to_string());
        match code {
            Code::Configuration if error.is_other_cluster() => failure.help("check bootstrap_servers and cluster_id"),
            Code::NotAuthorized if error.is_unauthenticated() => failure.help(
                "look at `tls` and `sasl` of the cluster, and that the user is known there: brokers learn of users one after the other",
            ),
            Code::Unreachable => failure.help("check bootstrap_servers, and that the cluster runs and its listeners are reachable from here"),
            Code::NotAuthorized => failure.help("give kmirror's principal the permission that the message names"),
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| &source.0 as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source
            .as_ref()
            .map(|source| Box::new(std::iter::once(source.1.clone())) as Box<dyn Iterator<Item = _>>)
    }
}
