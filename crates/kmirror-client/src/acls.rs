//! Access control lists.

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

/// Both ways between an enum and its numbers in the protocol.
macro_rules! codes {
    ($($name:ident { $($variant:ident = $code:literal),+ })+) => {$(
        impl $name {
            fn from_wire(code: i8) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            fn to_wire(self) -> i8 {
                match self {
                    $(Self::$variant => $code,)+
                    Self::Other(code) => code,
                }
            }
        }
    )+};
}

codes! {
    AclResourceType { Topic = 2, Group = 3 }
    AclPatternType { Literal = 3, Prefixed = 4 }
    AclOperation { All = 2, Read = 3, Write = 4 }
    AclPermission { Deny = 2, Allow = 3 }
}

/// What a filter says where everything passes; the same number in all four enums.
const ANY: i8 = 1;
