//! Writes to stdout and stderr. Whoever reads them may go away, and a device may be full: neither is a reason to panic.

use std::fmt;
use std::io::{self, Write};
use std::process;

/// Prints to stdout.
macro_rules! out {
    ($($text:tt)*) => { $crate::streams::to_stdout(format_args!($($text)*)) };
}

/// Prints a line to stdout.
macro_rules! outln {
    ($($text:tt)*) => { $crate::streams::to_stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to stderr.
macro_rules! errln {
    ($($text:tt)*) => { $crate::streams::to_stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, out, outln};

/// Ends the program where stdout takes no more: nobody gets the rest of the result.
pub(crate) fn to_stdout(text: fmt::Arguments<'_>) {
    let Err(error) = io::stdout().lock().write_fmt(text) else { return };
    if error.kind() != io::ErrorKind::BrokenPipe {
        errln!("cannot write to stdout: {error}");
        process::exit(CANNOT_WRITE);
    }
    // Who has read enough is told nothing. It is no success either: what was to be judged may not have been looked at.
    process::exit(CLOSED_PIPE);
}

/// What stderr does not take is lost: the work goes on.
pub(crate) fn to_stderr(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// A runtime error, as any other.
const CANNOT_WRITE: i32 = 1;
/// As shells report a program that SIGPIPE has ended.
const CLOSED_PIPE: i32 = 141;
