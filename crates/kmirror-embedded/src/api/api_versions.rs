//! ApiVersions (`ApiVersionManager`, KIP-511): what is offered. An unknown version is answered in the oldest layout.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::{Context, SERVED, text};
use crate::coordinator::transactions::TransactionVersion;
use crate::profile::Profile;

pub(super) fn handle(_: ApiVersionsRequest, context: &mut Context<'_>) -> ApiVersionsResponse {
    let profile = context.state.profile;
    let offered = SERVED.iter().copied().filter_map(|api| {
        let (min, max) = profile.versions(api)?;
        // Old librdkafka looks for Produce 0 (KAFKA-18659).
        let min = if api == ApiKey::Produce { 0 } else { min };
        Some(ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max))
    });
    let response = ApiVersionsResponse::default().with_api_keys(offered.collect());
    if context.version < 3 || profile.transaction_version() == TransactionVersion::One {
        return response;
    }
    let name = || text("transaction.version");
    response
        .with_finalized_features_epoch(1)
        .with_supported_features(vec![
            SupportedFeatureKey::default().with_name(name()).with_min_version(0).with_max_version(2),
        ])
        .with_finalized_features(vec![
            FinalizedFeatureKey::default()
                .with_name(name())
                .with_min_version_level(2)
                .with_max_version_level(2),
        ])
}

/// The answer to a version that is not known, with those that are: a client tries the largest of them next.
pub(super) fn unsupported(profile: Profile) -> ApiVersionsResponse {
    let own = ApiVersion::default()
        .with_api_key(ApiKey::ApiVersions as i16)
        .with_max_version(profile.versions(ApiKey::ApiVersions).map_or(0, |(_, max)| max));
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(vec![own])
}
