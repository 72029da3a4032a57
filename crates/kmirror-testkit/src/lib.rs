//! For kmirror's own tests and benches: real Kafka from its jars, Java tools, workloads.
