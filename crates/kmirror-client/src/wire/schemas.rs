//! The layouts of the responses that this crate reads, one table per API, as in Kafka's
//! `clients/src/main/resources/common/message/*Response.json` (release 4.1).
//!
//! Only what a walk needs: sizes, counts, versions and tags. Nullability and UTF-8 are left to the decoder.

/// The layout of a message.
pub(crate) struct Schema {
    /// The first version with compact lengths and tagged fields.
    pub(super) flexible_since: i16,
    pub(super) fields: &'static [Field],
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    since: i16,
    until: i16,
    pub(super) tag: Option<u32>,
}

pub(super) enum Kind {
    /// A number, a boolean or a UUID of this many bytes.
    Fixed(usize),
    String,
    Bytes,
    Array(&'static Kind),
    Struct(&'static [Field]),
}

impl Field {
    pub(super) fn exists_in(&self, version: i16) -> bool {
        (self.since..=self.until).contains(&version)
    }

    const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }

    const fn tagged(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, since: 0, until: i16::MAX, tag: None }
}

const fn int8(name: &'static str) -> Field {
    field(name, Kind::Fixed(1))
}

const fn int16(name: &'static str) -> Field {
    field(name, Kind::Fixed(2))
}

const fn int32(name: &'static str) -> Field {
    field(name, Kind::Fixed(4))
}

const fn int64(name: &'static str) -> Field {
    field(name, Kind::Fixed(8))
}

const fn uuid(name: &'static str) -> Field {
    field(name, Kind::Fixed(16))
}

const fn string(name: &'static str) -> Field {
    field(name, Kind::String)
}

const fn array(name: &'static str, element: &'static Kind) -> Field {
    field(name, Kind::Array(element))
}

const THROTTLE_TIME: Field = int32("throttle_time_ms");
const ERROR_CODE: Field = int16("error_code");
const ERROR_MESSAGE: Field = string("error_message");
const INT32: Kind = Kind::Fixed(4);

pub(super) const PRODUCE: Schema = Schema {
    flexible_since: 9,
    fields: &[
        array("responses", &PRODUCE_TOPIC),
        THROTTLE_TIME,
        array("node_endpoints", &NODE_ENDPOINT).since(10).tagged(0),
    ],
};
const PRODUCE_TOPIC: Kind = Kind::Struct(&[
    string("name").until(12),
    uuid("topic_id").since(13),
    array("partition_responses", &PRODUCE_PARTITION),
]);
const PRODUCE_PARTITION: Kind = Kind::Struct(&[
    int32("index"),
    ERROR_CODE,
    int64("base_offset"),
    int64("log_append_time_ms"),
    int64("log_start_offset").since(5),
    array("record_errors", &RECORD_ERROR).since(8),
    ERROR_MESSAGE.since(8),
    field("current_leader", LEADER_AND_EPOCH).since(10).tagged(0),
]);
const RECORD_ERROR: Kind = Kind::Struct(&[int32("batch_index"), string("batch_index_error_message")]);
const LEADER_AND_EPOCH: Kind = Kind::Struct(&[int32("leader_id"), int32("leader_epoch")]);
const NODE_ENDPOINT: Kind = Kind::Struct(&[int32("node_id"), string("host"), int32("port"), string("rack")]);

pub(super) const FETCH: Schema = Schema {
    flexible_since: 12,
    fields: &[
        THROTTLE_TIME,
        ERROR_CODE.since(7),
        int32("session_id").since(7),
        array("responses", &FETCH_TOPIC),
        array("node_endpoints", &NODE_ENDPOINT).since(16).tagged(0),
    ],
};
const FETCH_TOPIC: Kind = Kind::Struct(&[
    string("topic").until(12),
    uuid("topic_id").since(13),
    array("partitions", &FETCH_PARTITION),
]);
const FETCH_PARTITION: Kind = Kind::Struct(&[
    int32("partition_index"),
    ERROR_CODE,
    int64("high_watermark"),
    int64("last_stable_offset"),
    int64("log_start_offset").since(5),
    array("aborted_transactions", &ABORTED_TRANSACTION),
    int32("preferred_read_replica").since(11),
    field("records", Kind::Bytes),
    field("diverging_epoch", Kind::Struct(&[int32("epoch"), int64("end_offset")])).since(12).tagged(0),
    field("current_leader", LEADER_AND_EPOCH).since(12).tagged(1),
    field("snapshot_id", Kind::Struct(&[int64("end_offset"), int32("epoch")])).since(12).tagged(2),
]);
const ABORTED_TRANSACTION: Kind = Kind::Struct(&[int64("producer_id"), int64("first_offset")]);

pub(super) const LIST_OFFSETS: Schema =
    Schema { flexible_since: 6, fields: &[THROTTLE_TIME.since(2), array("topics", &LIST_OFFSETS_TOPIC)] };
const LIST_OFFSETS_TOPIC: Kind =
    Kind::Struct(&[string("name"), array("partitions", &LIST_OFFSETS_PARTITION)]);
const LIST_OFFSETS_PARTITION: Kind = Kind::Struct(&[
    int32("partition_index"),
    ERROR_CODE,
    int64("timestamp"),
    int64("offset"),
    int32("leader_epoch").since(4),
]);

pub(super) const METADATA: Schema = Schema {
    flexible_since: 9,
    fields: &[
        THROTTLE_TIME.since(3),
        array("brokers", &METADATA_BROKER),
        string("cluster_id").since(2),
        int32("controller_id").since(1),
        array("topics", &METADATA_TOPIC),
        int32("cluster_authorized_operations").since(8).until(10),
        ERROR_CODE.since(13),
    ],
};
const METADATA_BROKER: Kind =
    Kind::Struct(&[int32("node_id"), string("host"), int32("port"), string("rack").since(1)]);
const METADATA_TOPIC: Kind = Kind::Struct(&[
    ERROR_CODE,
    string("name"),
    uuid("topic_id").since(10),
    int8("is_internal").since(1),
    array("partitions", &METADATA_PARTITION),
    int32("topic_authorized_operations").since(8),
]);
const METADATA_PARTITION: Kind = Kind::Struct(&[
    ERROR_CODE,
    int32("partition_index"),
    int32("leader_id"),
    int32("leader_epoch").since(7),
    array("replica_nodes", &INT32),
    array("isr_nodes", &INT32),
    array("offline_replicas", &INT32).since(5),
]);

pub(super) const OFFSET_COMMIT: Schema =
    Schema { flexible_since: 8, fields: &[THROTTLE_TIME.since(3), array("topics", &COMMITTED_TOPIC)] };
const COMMITTED_TOPIC: Kind = Kind::Struct(&[string("name"), array("partitions", &COMMITTED_PARTITION)]);
const COMMITTED_PARTITION: Kind = Kind::Struct(&[int32("partition_index"), ERROR_CODE]);

pub(super) const OFFSET_FETCH: Schema = Schema {
    flexible_since: 6,
    fields: &[
        THROTTLE_TIME.since(3),
        array("topics", &FETCHED_OFFSETS_TOPIC).until(7),
        ERROR_CODE.since(2).until(7),
        array("groups", &FETCHED_OFFSETS_GROUP).since(8),
    ],
};
const FETCHED_OFFSETS_GROUP: Kind =
    Kind::Struct(&[string("group_id"), array("topics", &FETCHED_OFFSETS_TOPIC), ERROR_CODE]);
const FETCHED_OFFSETS_TOPIC: Kind =
    Kind::Struct(&[string("name"), array("partitions", &FETCHED_OFFSETS_PARTITION)]);
const FETCHED_OFFSETS_PARTITION: Kind = Kind::Struct(&[
    int32("partition_index"),
    int64("committed_offset"),
    int32("committed_leader_epoch").since(5),
    string("metadata"),
    ERROR_CODE,
]);

pub(super) const LIST_GROUPS: Schema = Schema {
    flexible_since: 3,
    fields: &[THROTTLE_TIME.since(1), ERROR_CODE, array("groups", &LISTED_GROUP)],
};
const LISTED_GROUP: Kind = Kind::Struct(&[
    string("group_id"),
    string("protocol_type"),
    string("group_state").since(4),
    string("group_type").since(5),
]);

pub(super) const FIND_COORDINATOR: Schema = Schema {
    flexible_since: 3,
    fields: &[
        THROTTLE_TIME.since(1),
        ERROR_CODE.until(3),
        ERROR_MESSAGE.since(1).until(3),
        int32("node_id").until(3),
        string("host").until(3),
        int32("port").until(3),
        array("coordinators", &COORDINATOR).since(4),
    ],
};
const COORDINATOR: Kind = Kind::Struct(&[
    string("key"),
    int32("node_id"),
    string("host"),
    int32("port"),
    ERROR_CODE,
    ERROR_MESSAGE,
]);

pub(super) const ADD_PARTITIONS_TO_TXN: Schema =
    Schema { flexible_since: 3, fields: &[THROTTLE_TIME, array("results_by_topic", &ADDED_TOPIC)] };
const ADDED_TOPIC: Kind = Kind::Struct(&[string("name"), array("results_by_partition", &ADDED_PARTITION)]);
const ADDED_PARTITION: Kind = Kind::Struct(&[int32("partition_index"), ERROR_CODE]);

pub(super) const END_TXN: Schema = Schema { flexible_since: 3, fields: &[THROTTLE_TIME, ERROR_CODE] };

pub(super) const API_VERSIONS: Schema = Schema {
    flexible_since: 3,
    fields: &[
        ERROR_CODE,
        array("api_keys", &API_VERSION),
        THROTTLE_TIME.since(1),
        array("supported_features", &FEATURE).since(3).tagged(0),
        int64("finalized_features_epoch").since(3).tagged(1),
        array("finalized_features", &FEATURE).since(3).tagged(2),
        int8("zk_migration_ready").since(3).tagged(3),
    ],
};
const API_VERSION: Kind = Kind::Struct(&[int16("api_key"), int16("min_version"), int16("max_version")]);
const FEATURE: Kind = Kind::Struct(&[string("name"), int16("one_level"), int16("other_level")]);

pub(super) const CREATE_TOPICS: Schema =
    Schema { flexible_since: 5, fields: &[THROTTLE_TIME.since(2), array("topics", &CREATED_TOPIC)] };
const CREATED_TOPIC: Kind = Kind::Struct(&[
    string("name"),
    uuid("topic_id").since(7),
    ERROR_CODE,
    ERROR_MESSAGE.since(1),
    int16("topic_config_error_code").since(5).tagged(0),
    int32("num_partitions").since(5),
    int16("replication_factor").since(5),
    array("configs", &CREATED_TOPIC_CONFIG).since(5),
]);
const CREATED_TOPIC_CONFIG: Kind = Kind::Struct(&[
    string("name"),
    string("value"),
    int8("read_only"),
    int8("config_source"),
    int8("is_sensitive"),
]);

pub(super) const DELETE_TOPICS: Schema =
    Schema { flexible_since: 4, fields: &[THROTTLE_TIME.since(1), array("responses", &DELETED_TOPIC)] };
const DELETED_TOPIC: Kind =
    Kind::Struct(&[string("name"), uuid("topic_id").since(6), ERROR_CODE, ERROR_MESSAGE.since(5)]);

pub(super) const DELETE_RECORDS: Schema =
    Schema { flexible_since: 2, fields: &[THROTTLE_TIME, array("topics", &DELETE_RECORDS_TOPIC)] };
const DELETE_RECORDS_TOPIC: Kind =
    Kind::Struct(&[string("name"), array("partitions", &DELETE_RECORDS_PARTITION)]);
const DELETE_RECORDS_PARTITION: Kind =
    Kind::Struct(&[int32("partition_index"), int64("low_watermark"), ERROR_CODE]);

pub(super) const INIT_PRODUCER_ID: Schema = Schema {
    flexible_since: 2,
    fields: &[THROTTLE_TIME, ERROR_CODE, int64("producer_id"), int16("producer_epoch")],
};

pub(super) const OFFSET_FOR_LEADER_EPOCH: Schema =
    Schema { flexible_since: 4, fields: &[THROTTLE_TIME.since(2), array("topics", &EPOCH_TOPIC)] };
const EPOCH_TOPIC: Kind = Kind::Struct(&[string("topic"), array("partitions", &EPOCH_PARTITION)]);
const EPOCH_PARTITION: Kind =
    Kind::Struct(&[ERROR_CODE, int32("partition"), int32("leader_epoch").since(1), int64("end_offset")]);

pub(super) const WRITE_TXN_MARKERS: Schema =
    Schema { flexible_since: 1, fields: &[array("markers", &MARKER)] };
const MARKER: Kind = Kind::Struct(&[int64("producer_id"), array("topics", &MARKER_TOPIC)]);
const MARKER_TOPIC: Kind = Kind::Struct(&[string("name"), array("partitions", &MARKER_PARTITION)]);
const MARKER_PARTITION: Kind = Kind::Struct(&[int32("partition_index"), ERROR_CODE]);

pub(super) const DESCRIBE_ACLS: Schema = Schema {
    flexible_since: 2,
    fields: &[THROTTLE_TIME, ERROR_CODE, ERROR_MESSAGE, array("resources", &ACL_RESOURCE)],
};
const ACL_RESOURCE: Kind = Kind::Struct(&[
    int8("resource_type"),
    string("resource_name"),
    int8("pattern_type"),
    array("acls", &ACL),
]);
const ACL: Kind =
    Kind::Struct(&[string("principal"), string("host"), int8("operation"), int8("permission_type")]);

pub(super) const CREATE_ACLS: Schema =
    Schema { flexible_since: 2, fields: &[THROTTLE_TIME, array("results", &CREATED_ACL)] };
const CREATED_ACL: Kind = Kind::Struct(&[ERROR_CODE, ERROR_MESSAGE]);

pub(super) const DELETE_ACLS: Schema =
    Schema { flexible_since: 2, fields: &[THROTTLE_TIME, array("filter_results", &ACL_FILTER_RESULT)] };
const ACL_FILTER_RESULT: Kind =
    Kind::Struct(&[ERROR_CODE, ERROR_MESSAGE, array("matching_acls", &DELETED_ACL)]);
const DELETED_ACL: Kind = Kind::Struct(&[
    ERROR_CODE,
    ERROR_MESSAGE,
    int8("resource_type"),
    string("resource_name"),
    int8("pattern_type"),
    string("principal"),
    string("host"),
    int8("operation"),
    int8("permission_type"),
]);

pub(super) const DESCRIBE_CONFIGS: Schema =
    Schema { flexible_since: 4, fields: &[THROTTLE_TIME, array("results", &CONFIG_RESOURCE)] };
const CONFIG_RESOURCE: Kind = Kind::Struct(&[
    ERROR_CODE,
    ERROR_MESSAGE,
    int8("resource_type"),
    string("resource_name"),
    array("configs", &CONFIG),
]);
const CONFIG: Kind = Kind::Struct(&[
    string("name"),
    string("value"),
    int8("read_only"),
    int8("config_source").since(1),
    int8("is_sensitive"),
    array("synonyms", &CONFIG_SYNONYM).since(1),
    int8("config_type").since(3),
    string("documentation").since(3),
]);
const CONFIG_SYNONYM: Kind = Kind::Struct(&[string("name"), string("value"), int8("source")]);

/// It never became flexible.
pub(super) const SASL_HANDSHAKE: Schema =
    Schema { flexible_since: i16::MAX, fields: &[ERROR_CODE, array("mechanisms", &Kind::String)] };

pub(super) const SASL_AUTHENTICATE: Schema = Schema {
    flexible_since: 2,
    fields: &[
        ERROR_CODE,
        ERROR_MESSAGE,
        field("auth_bytes", Kind::Bytes),
        int64("session_lifetime_ms").since(1),
    ],
};

pub(super) const CREATE_PARTITIONS: Schema =
    Schema { flexible_since: 2, fields: &[THROTTLE_TIME, array("results", &CREATED_PARTITIONS)] };
const CREATED_PARTITIONS: Kind = Kind::Struct(&[string("name"), ERROR_CODE, ERROR_MESSAGE]);

pub(super) const INCREMENTAL_ALTER_CONFIGS: Schema =
    Schema { flexible_since: 1, fields: &[THROTTLE_TIME, array("responses", &ALTERED_RESOURCE)] };
const ALTERED_RESOURCE: Kind =
    Kind::Struct(&[ERROR_CODE, ERROR_MESSAGE, int8("resource_type"), string("resource_name")]);

pub(super) const DESCRIBE_PRODUCERS: Schema =
    Schema { flexible_since: 0, fields: &[THROTTLE_TIME, array("topics", &PRODUCERS_TOPIC)] };
const PRODUCERS_TOPIC: Kind = Kind::Struct(&[string("name"), array("partitions", &PRODUCERS_PARTITION)]);
const PRODUCERS_PARTITION: Kind = Kind::Struct(&[
    int32("partition_index"),
    ERROR_CODE,
    ERROR_MESSAGE,
    array("active_producers", &PRODUCER),
]);
const PRODUCER: Kind = Kind::Struct(&[
    int64("producer_id"),
    int32("producer_epoch"),
    int32("last_sequence"),
    int64("last_timestamp"),
    int32("coordinator_epoch"),
    int64("current_txn_start_offset"),
]);

pub(super) const HEARTBEAT: Schema = Schema { flexible_since: 4, fields: &[THROTTLE_TIME, ERROR_CODE] };

pub(super) const DESCRIBE_CLUSTER: Schema = Schema {
    flexible_since: 0,
    fields: &[
        THROTTLE_TIME,
        ERROR_CODE,
        ERROR_MESSAGE,
        int8("endpoint_type").since(1),
        string("cluster_id"),
        int32("controller_id"),
        array("brokers", &CLUSTER_BROKER),
        int32("cluster_authorized_operations"),
    ],
};
const CLUSTER_BROKER: Kind = Kind::Struct(&[
    int32("broker_id"),
    string("host"),
    int32("port"),
    string("rack"),
    int8("is_fenced").since(2),
]);
