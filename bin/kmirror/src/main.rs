//! Command line of kmirror.

fn main() {}
