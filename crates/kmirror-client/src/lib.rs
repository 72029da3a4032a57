//! One Kafka cluster over the wire: connections, metadata, fetch, produce, admin.
