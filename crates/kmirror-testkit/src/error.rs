use std::path::PathBuf;
use std::time::Duration;

/// Why the testkit could not do what a test asked for.
#[derive(Debug, thiserror::Error)]
pub enum TestkitError {
    /// A file or folder of the testkit, all of them below `target/kafka` and `testdata`, could not be used.
    #[error("{}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        error: std::io::Error,
    },
    /// A program could not be started at all: it is not installed, or not on the path.
    #[error("cannot start `{program}`: {error}")]
    Program {
        /// The program's name.
        program: String,
        /// What the operating system said.
        #[source]
        error: std::io::Error,
    },
    /// Certificates could not be made.
    #[error("certificates: {0}")]
    Certificates(String),
    /// A program ran and failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    Failed {
        /// The command, shortened.
        command: String,
        /// Exit status or signal.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what} not within {patience:?}{details}")]
    Late {
        /// What was awaited.
        what: String,
        /// How long it was awaited.
        patience: Duration,
        /// What was seen instead, or nothing.
        details: String,
    },
    /// A node of a cluster ended by itself.
    #[error("node {node_id} of the cluster ended by itself ({status}); the end of its log:\n{log}")]
    NodeEnded {
        /// The node's `node.id`.
        node_id: usize,
        /// Exit status or signal.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The test named a node that the cluster does not have, or one in the wrong state.
    #[error("node {node_id}: {problem}")]
    Node {
        /// The node's `node.id`.
        node_id: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// No free port was found for a node.
    #[error("no free port on 127.0.0.1 for a node")]
    NoFreePort,
    /// A Java program printed a line that the testkit does not understand.
    #[error("unexpected output of {program}: {line:?}")]
    Output {
        /// The program.
        program: &'static str,
        /// The line.
        line: String,
    },
    /// Two sequences of records differ.
    #[error("record {index} differs:\n  source {source_record}\n  target {target_record}")]
    Different {
        /// Index in both sequences, from 0.
        index: usize,
        /// The record of the source, or `nothing`.
        source_record: String,
        /// The record of the target, or `nothing`.
        target_record: String,
    },
}

impl TestkitError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> TestkitError {
        let path = path.into();
        move |error| TestkitError::File { path, error }
    }

    pub(crate) fn program(program: impl Into<String>) -> impl FnOnce(std::io::Error) -> TestkitError {
        let program = program.into();
        move |error| TestkitError::Program { program, error }
    }
}
