//! Access control lists.

use std::fmt;
use std::str::FromStr;

use kafka_protocol::messages as m;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;

use crate::client::Client;
use crate::error::ClientError;
use crate::ids::to_wire;
use crate::wire::Api;

/// One entry of the access control lists (`AclBinding`): who may, or may not, do what with which resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclEntry {
    /// The kind of resource.
    pub resource_type: AclResourceType,
    /// Which names `resource_name` means.
    pub pattern_type: AclPatternType,
    /// A name, `*` for all, or the beginning of names.
    pub resource_name: String,
    /// Whose requests: `User:name`, or `User:*` for everybody's.
    pub principal: String,
    /// From where: an address, or `*` for anywhere.
    pub host: String,
    /// What is allowed or denied.
    pub operation: AclOperation,
    /// Whether it is allowed or denied.
    pub permission: AclPermission,
}

/// Kinds of resources (`ResourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AclResourceType {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster; its name is `kafka-cluster`.
    Cluster,
    /// A transactional id.
    TransactionalId,
    /// A delegation token.
    DelegationToken,
    /// A user, whose tokens somebody else may manage.
    User,
    /// Something else, by its number in the protocol.
    Other(i8),
}

/// Which resources a name means (`PatternType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AclPatternType {
    /// The one with this name; `*` stands for all.
    Literal,
    /// Those whose names begin with this.
    Prefixed,
    /// Something else, by its number in the protocol.
    Other(i8),
}

/// What is allowed or denied (`AclOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AclOperation {
    /// Anything.
    All,
    /// Fetch, and join a group.
    Read,
    /// Produce.
    Write,
    /// Create a topic.
    Create,
    /// Delete a topic, its records, or a group.
    Delete,
    /// Add partitions; on the cluster, change access control lists.
    Alter,
    /// See that it is there.
    Describe,
    /// What only brokers do.
    ClusterAction,
    /// See configurations.
    DescribeConfigs,
    /// Change configurations.
    AlterConfigs,
    /// Produce with sequences.
    IdempotentWrite,
    /// Create delegation tokens for a user.
    CreateTokens,
    /// See a user's delegation tokens.
    DescribeTokens,
    /// Take part in a two-phase commit.
    TwoPhaseCommit,
    /// Something else, by its number in the protocol.
    Other(i8),
}

/// Whether something is allowed or denied (`AclPermissionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AclPermission {
    /// It is denied, whatever else is allowed.
    Deny,
    /// It is allowed.
    Allow,
    /// Something else, by its number in the protocol.
    Other(i8),
}

/// One result per entry, in the order of the call.
pub type AclResults = Vec<Result<(), ClientError>>;

impl Client {
    /// All entries of the cluster. Needs DESCRIBE on the cluster.
    ///
    /// # Errors
    /// Those of any call, and those of the broker: `SECURITY_DISABLED` where the cluster has no authorizer.
    pub async fn describe_acls(&self) -> Result<Vec<AclEntry>, ClientError> {
        let request = m::DescribeAclsRequest::default()
            .with_resource_type_filter(ANY)
            .with_resource_name_filter(None)
            .with_pattern_type_filter(ANY)
            .with_principal_filter(None)
            .with_host_filter(None)
            .with_operation(ANY)
            .with_permission_type(ANY);
        let response = self.call_any(request).await?;
        let message = response.error_message.as_ref().map(|message| message.as_str());
        ClientError::check(response.error_code, m::DescribeAclsRequest::NAME, self.alias(), message)?;
        let mut entries = Vec::new();
        for resource in response.resources {
            entries.extend(resource.acls.into_iter().map(|acl| AclEntry {
                resource_type: AclResourceType::from_wire(resource.resource_type),
                pattern_type: AclPatternType::from_wire(resource.pattern_type),
                resource_name: resource.resource_name.as_str().to_owned(),
                principal: acl.principal.as_str().to_owned(),
                host: acl.host.as_str().to_owned(),
                operation: AclOperation::from_wire(acl.operation),
                permission: AclPermission::from_wire(acl.permission_type),
            }));
        }
        Ok(entries)
    }

    /// Adds entries. One that is there already is no error. Needs ALTER on the cluster.
    ///
    /// # Errors
    /// Those of any call. The fate of each entry is in its result.
    pub async fn create_acls(&self, entries: &[AclEntry]) -> Result<AclResults, ClientError> {
        let creations = entries.iter().map(AclEntry::for_creation).collect();
        let response = self.call_any(m::CreateAclsRequest::default().with_creations(creations)).await?;
        let api = m::CreateAclsRequest::NAME;
        self.one_each(api, entries, response.results.len())?;
        let results = response.results.into_iter().zip(entries).map(|(result, entry)| {
            let message = result.error_message.as_ref().map(|message| message.as_str());
            ClientError::check(result.error_code, api, &entry.resource_name, message)
        });
        Ok(results.collect())
    }

    /// Removes exactly these entries. One that is not there is no error. Needs ALTER on the cluster.
    ///
    /// # Errors
    /// Those of any call. The fate of each entry is in its result.
    pub async fn delete_acls(&self, entries: &[AclEntry]) -> Result<AclResults, ClientError> {
        let filters = entries.iter().map(AclEntry::for_deletion).collect();
        let response = self.call_any(m::DeleteAclsRequest::default().with_filters(filters)).await?;
        let api = m::DeleteAclsRequest::NAME;
        self.one_each(api, entries, response.filter_results.len())?;
        let results = response.filter_results.into_iter().zip(entries).map(|(result, entry)| {
            let message = result.error_message.as_ref().map(|message| message.as_str());
            ClientError::check(result.error_code, api, &entry.resource_name, message)?;
            result.matching_acls.iter().try_for_each(|deleted| {
                let message = deleted.error_message.as_ref().map(|message| message.as_str());
                ClientError::check(deleted.error_code, api, &entry.resource_name, message)
            })
        });
        Ok(results.collect())
    }

    /// Results carry no names: they are told apart by their places alone.
    fn one_each(&self, api: &'static str, asked: &[AclEntry], answered: usize) -> Result<(), ClientError> {
        if asked.len() == answered {
            return Ok(());
        }
        let problem = format!("{answered} results for {} entries", asked.len());
        Err(ClientError::invalid_response(&self.alias().into(), api, problem))
    }
}

impl AclEntry {
    fn for_creation(&self) -> AclCreation {
        AclCreation::default()
            .with_resource_type(self.resource_type.to_wire())
            .with_resource_name(to_wire(&self.resource_name))
            .with_resource_pattern_type(self.pattern_type.to_wire())
            .with_principal(to_wire(&self.principal))
            .with_host(to_wire(&self.host))
            .with_operation(self.operation.to_wire())
            .with_permission_type(self.permission.to_wire())
    }

    /// A filter that nothing but this entry passes.
    fn for_deletion(&self) -> DeleteAclsFilter {
        DeleteAclsFilter::default()
            .with_resource_type_filter(self.resource_type.to_wire())
            .with_resource_name_filter(Some(to_wire(&self.resource_name)))
            .with_pattern_type_filter(self.pattern_type.to_wire())
            .with_principal_filter(Some(to_wire(&self.principal)))
            .with_host_filter(Some(to_wire(&self.host)))
            .with_operation(self.operation.to_wire())
            .with_permission_type(self.permission.to_wire())
    }
}

/// What is said of an entry: `ALLOW READ for User:alice from * on TOPIC orders`.
impl fmt::Display for AclEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AclEntry { permission, operation, principal, host, resource_type, resource_name, .. } = self;
        write!(
            formatter,
            "{permission} {operation} for {principal} from {host} on {resource_type} {resource_name}"
        )?;
        match self.pattern_type {
            AclPatternType::Literal => Ok(()),
            pattern_type => write!(formatter, " ({pattern_type})"),
        }
    }
}

/// A word that is none of Kafka's for a kind of resource, a pattern, an operation or a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no word of access control lists")]
pub struct InvalidAclWord(String);

/// Both ways between an enum and its numbers in the protocol, and Kafka's words for them.
macro_rules! codes {
    ($($name:ident { $($variant:ident = $code:literal $word:literal),+ })+) => {$(
        impl $name {
            fn from_wire(code: i8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            pub(crate) fn to_wire(self) -> i8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(code) => code,
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidAclWord;

            fn from_str(word: &str) -> Result<Self, InvalidAclWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    word => Err(InvalidAclWord(word.to_owned())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => formatter.write_str($word),)+
                    Self::Other(code) => write!(formatter, "UNKNOWN({code})"),
                }
            }
        }
    )+};
}

codes! {
    AclResourceType {
        Topic = 2 "TOPIC", Group = 3 "GROUP", Cluster = 4 "CLUSTER", TransactionalId = 5 "TRANSACTIONAL_ID",
        DelegationToken = 6 "DELEGATION_TOKEN", User = 7 "USER"
    }
    AclPatternType { Literal = 3 "LITERAL", Prefixed = 4 "PREFIXED" }
    AclOperation {
        All = 2 "ALL", Read = 3 "READ", Write = 4 "WRITE", Create = 5 "CREATE", Delete = 6 "DELETE", Alter = 7 "ALTER",
        Describe = 8 "DESCRIBE", ClusterAction = 9 "CLUSTER_ACTION", DescribeConfigs = 10 "DESCRIBE_CONFIGS",
        AlterConfigs = 11 "ALTER_CONFIGS", IdempotentWrite = 12 "IDEMPOTENT_WRITE", CreateTokens = 13 "CREATE_TOKENS",
        DescribeTokens = 14 "DESCRIBE_TOKENS", TwoPhaseCommit = 15 "TWO_PHASE_COMMIT"
    }
    AclPermission { Deny = 2 "DENY", Allow = 3 "ALLOW" }
}

/// What a filter says where everything passes; the same number in all four enums.
const ANY: i8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_word_and_back() {
        for code in 2..=15 {
            let operation = AclOperation::from_wire(code);
            assert_eq!(operation.to_wire(), code);
            assert_eq!(operation.to_string().parse(), Ok(operation));
        }
        assert_eq!(AclOperation::from_wire(99).to_string(), "UNKNOWN(99)");
        assert!("UNKNOWN(99)".parse::<AclOperation>().is_err());
        let entry = AclEntry {
            resource_type: AclResourceType::Topic,
            pattern_type: AclPatternType::Prefixed,
            resource_name: "orders".to_owned(),
            principal: "User:alice".to_owned(),
            host: "*".to_owned(),
            operation: AclOperation::DescribeConfigs,
            permission: AclPermission::Deny,
        };
        assert_eq!(
            entry.to_string(),
            "DENY DESCRIBE_CONFIGS for User:alice from * on TOPIC orders (PREFIXED)"
        );
    }
}
