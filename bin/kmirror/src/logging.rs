//! Logs go to stderr, above the progress bars where there are any.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::progress::Screen;

/// Installs the subscriber. A filter that cannot be read is replaced by the default, with a word about it.
pub(crate) fn install(filter: Option<&str>, screen: &Screen) {
    let (filter, problem) = match filter.map(EnvFilter::try_new) {
        None => (EnvFilter::new(DEFAULT_FILTER), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT_FILTER), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(ScreenWriter(screen.clone()))
        .init();
    if let Some(error) = problem {
        tracing::warn!("the log filter is not valid ({error}); using {DEFAULT_FILTER}");
    }
}

#[derive(Clone)]
struct ScreenWriter(Screen);

impl<'a> MakeWriter<'a> for ScreenWriter {
    type Writer = ScreenWriter;

    fn make_writer(&'a self) -> ScreenWriter {
        self.clone()
    }
}

impl Write for ScreenWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that nobody takes is lost: the work goes on.
        let _ = self.0.above(|| io::stderr().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = io::stderr().flush();
        Ok(())
    }
}

const DEFAULT_FILTER: &str = "info";
