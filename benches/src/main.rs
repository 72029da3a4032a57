//! Measurements of kmirror.

fn main() {}
