//! The kmirror engine: an embeddable Kafka replicator that keeps bytes and offsets.
