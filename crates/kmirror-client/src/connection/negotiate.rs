//! Which version of each API two sides have in common (ApiVersions, KIP-35, KIP-511).

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::link::Link;
use crate::error::ClientError;
use crate::error_codes::KafkaError;
use crate::wire::Api;

/// The versions that one broker speaks.
#[derive(Debug)]
pub(crate) struct ApiVersions {
    ranges: HashMap<i16, (i16, i16)>,
}

impl ApiVersions {
    /// Asks the broker at the other end of `link`.
    pub(super) async fn ask(link: &Link) -> Result<Self, ClientError> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("kmirror"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let response = match link.call(request, 3).await {
            // A broker that does not know version 3 answers in the layout of version 0, which the decoder of version 3
            // refuses or, where it does not, reads the error of: KIP-511.
            Err(ClientError::InvalidResponse { .. }) => Self::ask_version_0(link).await?,
            Ok(response) if is_unsupported_version(&response) => Self::ask_version_0(link).await?,
            other => other?,
        };
        ClientError::check(response.error_code, ApiVersionsRequest::NAME, link.address(), None)?;
        Ok(Self::from(&response))
    }

    async fn ask_version_0(link: &Link) -> Result<ApiVersionsResponse, ClientError> {
        link.call(ApiVersionsRequest::default(), 0).await
    }

    /// The highest version of `A` that both sides speak.
    ///
    /// An intersection and never the broker's maximum alone: 4.x still lists Produce 0 to 2, which it does not serve,
    /// for the sake of old clients (KAFKA-18659).
    pub(crate) fn version<A: Api>(&self, broker: &Arc<str>) -> Result<i16, ClientError> {
        let unsupported = |detail: String| ClientError::Unsupported {
            api: A::NAME,
            broker: broker.clone(),
            detail: detail.into(),
        };
        let (ours_min, ours_max) = A::VERSIONS;
        let Some(&(theirs_min, theirs_max)) = self.ranges.get(&A::KEY) else {
            return Err(unsupported(String::new()));
        };
        let (min, max) = (ours_min.max(theirs_min), ours_max.min(theirs_max));
        if min > max {
            return Err(unsupported(format!(
                "it speaks versions {theirs_min} to {theirs_max}, kmirror {ours_min} to {ours_max}"
            )));
        }
        Ok(max)
    }
}

impl From<&ApiVersionsResponse> for ApiVersions {
    fn from(response: &ApiVersionsResponse) -> Self {
        let ranges = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        Self { ranges: ranges.collect() }
    }
}

fn is_unsupported_version(response: &ApiVersionsResponse) -> bool {
    KafkaError::from_code(response.error_code) == Some(KafkaError::UNSUPPORTED_VERSION)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{DescribeProducersRequest, FetchRequest, ProduceRequest};

    use super::*;

    fn versions(ranges: &[(i16, (i16, i16))]) -> ApiVersions {
        ApiVersions { ranges: ranges.iter().copied().collect() }
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        let broker: Arc<str> = "a:9092".into();
        let of_4 = versions(&[(0, (0, 13)), (1, (4, 99))]);
        assert_eq!(of_4.version::<ProduceRequest>(&broker).unwrap(), 13);
        assert_eq!(of_4.version::<FetchRequest>(&broker).unwrap(), 18);
        let of_2_1 = versions(&[(0, (0, 7)), (1, (0, 10))]);
        assert_eq!(of_2_1.version::<ProduceRequest>(&broker).unwrap(), 7);
        assert_eq!(of_2_1.version::<FetchRequest>(&broker).unwrap(), 10);
    }

    #[test]
    fn a_missing_api_names_the_broker() {
        let broker: Arc<str> = "a:9092".into();
        let error = versions(&[]).version::<DescribeProducersRequest>(&broker).unwrap_err();
        assert_eq!(error.to_string(), "a:9092 does not support DescribeProducers");
        let error = versions(&[(1, (0, 3))]).version::<FetchRequest>(&broker).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a:9092 does not support Fetch: it speaks versions 0 to 3, kmirror 7 to 18"
        );
    }
}
