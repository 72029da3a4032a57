//! Samples of the responses about topics and configurations.

use super::*;

pub(super) fn create_topics(sample: &Sample, version: i16) -> m::CreateTopicsResponse {
    use m::create_topics_response as r;
    let config =
        r::CreatableTopicConfigs::default().with_name(text(&sample.name)).with_value(sample.nullable());
    let mut topic = r::CreatableTopicResult::default()
        .with_name(text(&sample.name).into())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable());
    if version >= 7 {
        topic.topic_id = Uuid::from_u128(sample.number as u128);
    }
    if version >= 5 {
        topic.topic_config_error_code = sample.short();
        topic.num_partitions = sample.int();
        topic.replication_factor = sample.short();
        topic.configs = (sample.count != 1).then(|| sample.many(config));
        topic.unknown_tagged_fields = sample.tags(true);
    }
    m::CreateTopicsResponse::default().with_throttle_time_ms(sample.int()).with_topics(sample.many(topic))
}

pub(super) fn delete_topics(sample: &Sample, version: i16) -> m::DeleteTopicsResponse {
    use m::delete_topics_response as r;
    let mut topic = r::DeletableTopicResult::default()
        .with_name(Some(text(&sample.name).into()))
        .with_error_code(sample.short());
    if version >= 5 {
        topic.error_message = sample.nullable();
    }
    m::DeleteTopicsResponse::default().with_throttle_time_ms(sample.int()).with_responses(sample.many(topic))
}

pub(super) fn describe_configs(sample: &Sample, version: i16) -> m::DescribeConfigsResponse {
    use m::describe_configs_response as r;
    let synonym =
        r::DescribeConfigsSynonym::default().with_name(text(&sample.name)).with_value(sample.nullable());
    let mut config = r::DescribeConfigsResourceResult::default()
        .with_name(text(&sample.name))
        .with_value(sample.nullable())
        .with_read_only(true)
        .with_config_source(4)
        .with_synonyms(sample.many(synonym));
    if version >= 3 {
        config.config_type = 2;
        config.documentation = sample.nullable();
    }
    let result = r::DescribeConfigsResult::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_resource_type(2)
        .with_resource_name(text(&sample.name))
        .with_configs(sample.many(config));
    m::DescribeConfigsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_results(sample.many(result))
}

pub(super) fn create_partitions(sample: &Sample, version: i16) -> m::CreatePartitionsResponse {
    use m::create_partitions_response as r;
    let topic = r::CreatePartitionsTopicResult::default()
        .with_name(text(&sample.name).into())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_unknown_tagged_fields(sample.tags(version >= 2));
    m::CreatePartitionsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_results(sample.many(topic))
}

pub(super) fn alter_configs(sample: &Sample, version: i16) -> m::IncrementalAlterConfigsResponse {
    use m::incremental_alter_configs_response as r;
    let resource = r::AlterConfigsResourceResponse::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_resource_type(2)
        .with_resource_name(text(&sample.name))
        .with_unknown_tagged_fields(sample.tags(version >= 1));
    m::IncrementalAlterConfigsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_responses(sample.many(resource))
}

pub(super) fn describe_acls(sample: &Sample, version: i16) -> m::DescribeAclsResponse {
    use m::describe_acls_response as r;
    let acl = r::AclDescription::default()
        .with_principal(text(&sample.name))
        .with_host(text(&sample.name))
        .with_operation(3)
        .with_permission_type(3)
        .with_unknown_tagged_fields(sample.tags(version >= 2));
    let resource = r::DescribeAclsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(&sample.name))
        .with_pattern_type(3)
        .with_acls(sample.many(acl));
    m::DescribeAclsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_resources(sample.many(resource))
}

pub(super) fn create_acls(sample: &Sample, version: i16) -> m::CreateAclsResponse {
    use m::create_acls_response as r;
    let result = r::AclCreationResult::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_unknown_tagged_fields(sample.tags(version >= 2));
    m::CreateAclsResponse::default().with_throttle_time_ms(sample.int()).with_results(sample.many(result))
}

pub(super) fn delete_acls(sample: &Sample, version: i16) -> m::DeleteAclsResponse {
    use m::delete_acls_response as r;
    let deleted = r::DeleteAclsMatchingAcl::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_resource_type(2)
        .with_resource_name(text(&sample.name))
        .with_pattern_type(3)
        .with_principal(text(&sample.name))
        .with_host(text(&sample.name))
        .with_operation(3)
        .with_permission_type(3)
        .with_unknown_tagged_fields(sample.tags(version >= 2));
    let result = r::DeleteAclsFilterResult::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_matching_acls(sample.many(deleted));
    m::DeleteAclsResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_filter_results(sample.many(result))
}

pub(super) fn heartbeat(sample: &Sample, version: i16) -> m::HeartbeatResponse {
    m::HeartbeatResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_unknown_tagged_fields(sample.tags(version >= 4))
}

pub(super) fn describe_cluster(sample: &Sample, version: i16) -> m::DescribeClusterResponse {
    use m::describe_cluster_response as r;
    let mut broker = r::DescribeClusterBroker::default()
        .with_broker_id(sample.int().into())
        .with_host(text(&sample.name))
        .with_port(sample.int())
        .with_rack(sample.nullable())
        .with_unknown_tagged_fields(sample.tags(true));
    if version >= 2 {
        broker.is_fenced = true;
    }
    let response = m::DescribeClusterResponse::default()
        .with_throttle_time_ms(sample.int())
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_cluster_id(text(&sample.name))
        .with_controller_id(sample.int().into())
        .with_brokers(sample.many(broker))
        .with_cluster_authorized_operations(sample.int())
        .with_unknown_tagged_fields(sample.tags(true));
    if version >= 1 { response.with_endpoint_type(2) } else { response }
}

pub(super) fn sasl_handshake(sample: &Sample, _version: i16) -> m::SaslHandshakeResponse {
    m::SaslHandshakeResponse::default()
        .with_error_code(sample.short())
        .with_mechanisms(sample.many(text(&sample.name)))
}

pub(super) fn sasl_authenticate(sample: &Sample, version: i16) -> m::SaslAuthenticateResponse {
    m::SaslAuthenticateResponse::default()
        .with_error_code(sample.short())
        .with_error_message(sample.nullable())
        .with_auth_bytes(sample.bytes.clone().into())
        .with_session_lifetime_ms(since(version >= 1, sample.number))
        .with_unknown_tagged_fields(sample.tags(version >= 2))
}
