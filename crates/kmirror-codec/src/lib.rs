//! Kafka record batches: bytes in, bytes out. No sockets, no clock, no async.
