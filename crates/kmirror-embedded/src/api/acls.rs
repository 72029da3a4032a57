//! DescribeAcls, CreateAcls, DeleteAcls (`AclApis`, `AclControlManager`).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    ApiKey, CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Context, text};
use crate::security::acl::{Acl, CLUSTER_NAME, Filter, Operation, Pattern, PatternFilter, ResourceType};

type Refusal = (ResponseError, String);

pub(super) fn describe(request: DescribeAclsRequest, context: &mut Context<'_>) -> DescribeAclsResponse {
    let found = check(context, Operation::Describe).and_then(|()| {
        filter(&Wanted {
            resource_type: request.resource_type_filter,
            name: request.resource_name_filter.as_ref(),
            pattern: if context.version == 0 { LITERAL } else { request.pattern_type_filter },
            principal: request.principal_filter.as_ref(),
            host: request.host_filter.as_ref(),
            operation: request.operation,
            permission: request.permission_type,
        })
    });
    let filter = match found {
        Ok(filter) => filter,
        Err((error, message)) => {
            return DescribeAclsResponse::default()
                .with_error_code(error.code())
                .with_error_message(Some(text(message)));
        }
    };
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    for acl in context.state.authorizer.matching(&filter) {
        let (pattern_type, name) = pattern_of(acl);
        let entry = AclDescription::default()
            .with_principal(text(acl.principal.clone()))
            .with_host(text(acl.host.clone()))
            .with_operation(acl.operation as i8)
            .with_permission_type(permission(acl));
        let is_same = |resource: &&mut DescribeAclsResource| {
            (resource.resource_type, resource.pattern_type) == (acl.resource_type as i8, pattern_type)
                && resource.resource_name.as_str() == name
        };
        match resources.iter_mut().find(is_same) {
            Some(resource) => resource.acls.push(entry),
            None => resources.push(
                DescribeAclsResource::default()
                    .with_resource_type(acl.resource_type as i8)
                    .with_resource_name(text(name))
                    .with_pattern_type(pattern_type)
                    .with_acls(vec![entry]),
            ),
        }
    }
    DescribeAclsResponse::default().with_resources(resources)
}

pub(super) fn create(request: CreateAclsRequest, context: &mut Context<'_>) -> CreateAclsResponse {
    let version = context.version;
    let allowed = check(context, Operation::Alter).and_then(|()| injected(context)).and_then(|()| {
        // What only filters may have is not even an entry, and costs the whole request (`ResourcePattern`, `AccessControlEntry`).
        let is_for_filters = |creation: &AclCreation| {
            creation.operation == ANY || version > 0 && matches!(creation.resource_pattern_type, ANY | MATCH)
        };
        match request.creations.iter().any(is_for_filters) {
            true => {
                Err((ResponseError::UnknownServerError, "patternType must not be ANY or MATCH".to_owned()))
            }
            false => Ok(()),
        }
    });
    let results = request.creations.into_iter().map(|creation| {
        context.state.changes.note(ApiKey::CreateAcls, &creation.resource_name);
        let created = allowed.clone().and_then(|()| entry(&creation, version));
        match created {
            Ok(acl) => {
                context.state.authorizer.acls.insert(acl);
                AclCreationResult::default()
            }
            Err((error, message)) => AclCreationResult::default()
                .with_error_code(error.code())
                .with_error_message(Some(text(message))),
        }
    });
    CreateAclsResponse::default().with_results(results.collect())
}

pub(super) fn delete(request: DeleteAclsRequest, context: &mut Context<'_>) -> DeleteAclsResponse {
    let allowed = check(context, Operation::Alter).and_then(|()| injected(context));
    let results = request.filters.into_iter().map(|wanted| {
        let name = wanted.resource_name_filter.as_ref().map_or("", |name| name.as_str());
        context.state.changes.note(ApiKey::DeleteAcls, name);
        let filter = allowed.clone().and_then(|()| deleted(&wanted, context.version));
        match filter {
            Ok(filter) => {
                let matching: Vec<Acl> = context.state.authorizer.matching(&filter).cloned().collect();
                context.state.authorizer.acls.retain(|acl| !matching.contains(acl));
                DeleteAclsFilterResult::default()
                    .with_matching_acls(matching.iter().map(matching_acl).collect())
            }
            Err((error, message)) => DeleteAclsFilterResult::default()
                .with_error_code(error.code())
                .with_error_message(Some(text(message))),
        }
    });
    DeleteAclsResponse::default().with_filter_results(results.collect())
}

/// Whether lists are kept at all, and this principal may see or change them.
fn check(context: &Context<'_>, operation: Operation) -> Result<(), Refusal> {
    if !context.state.authorizer.is_on {
        return Err((ResponseError::SecurityDisabled, "No Authorizer is configured.".to_owned()));
    }
    if !context.may(operation, ResourceType::Cluster, CLUSTER_NAME) {
        return Err((ResponseError::ClusterAuthorizationFailed, "Cluster authorization failed.".to_owned()));
    }
    Ok(())
}

fn injected(context: &Context<'_>) -> Result<(), Refusal> {
    context.injected.map_or(Ok(()), |error| Err((error, "injected".to_owned())))
}

/// The filters of both requests, in their codes.
struct Wanted<'a> {
    resource_type: i8,
    name: Option<&'a StrBytes>,
    pattern: i8,
    principal: Option<&'a StrBytes>,
    host: Option<&'a StrBytes>,
    operation: i8,
    permission: i8,
}

fn filter(wanted: &Wanted<'_>) -> Result<Filter, Refusal> {
    let unknown = |what: &str| {
        (ResponseError::InvalidRequest, format!("The AclBindingFilter contains UNKNOWN elements: {what}"))
    };
    let owned = |text: Option<&StrBytes>| text.map(ToString::to_string);
    Ok(Filter {
        resource_type: any_or(wanted.resource_type, ResourceType::from_code)
            .ok_or_else(|| unknown("resource type"))?,
        name: owned(wanted.name),
        pattern: match wanted.pattern {
            ANY => PatternFilter::Any,
            MATCH => PatternFilter::Match,
            LITERAL => PatternFilter::Literal,
            PREFIXED => PatternFilter::Prefixed,
            _ => return Err(unknown("pattern type")),
        },
        principal: owned(wanted.principal),
        host: owned(wanted.host),
        operation: any_or(wanted.operation, Operation::from_code).ok_or_else(|| unknown("operation"))?,
        allows: any_or(wanted.permission, allows).ok_or_else(|| unknown("permission type"))?,
    })
}

fn deleted(wanted: &DeleteAclsFilter, version: i16) -> Result<Filter, Refusal> {
    filter(&Wanted {
        resource_type: wanted.resource_type_filter,
        name: wanted.resource_name_filter.as_ref(),
        pattern: if version == 0 { LITERAL } else { wanted.pattern_type_filter },
        principal: wanted.principal_filter.as_ref(),
        host: wanted.host_filter.as_ref(),
        operation: wanted.operation,
        permission: wanted.permission_type,
    })
}

/// `AclApis.handleCreateAcls` and `AclControlManager.validateNewAcl`.
fn entry(creation: &AclCreation, version: i16) -> Result<Acl, Refusal> {
    let invalid = |message: String| (ResponseError::InvalidRequest, message);
    let name = creation.resource_name.to_string();
    let resource_type = ResourceType::from_code(creation.resource_type)
        .ok_or_else(|| invalid("Invalid resourceType".to_owned()))?;
    if resource_type == ResourceType::Cluster && name != CLUSTER_NAME {
        return Err(invalid(format!("The only valid name for the CLUSTER resource is {CLUSTER_NAME}")));
    }
    if name.is_empty() {
        return Err(invalid("Invalid empty resource name".to_owned()));
    }
    let pattern = match creation.resource_pattern_type {
        _ if version == 0 => Pattern::Literal(name),
        LITERAL => Pattern::Literal(name),
        PREFIXED => Pattern::Prefixed(name),
        _ => return Err(invalid("Invalid patternType".to_owned())),
    };
    if !creation.principal.contains(':') {
        return Err(invalid(format!(
            "Could not parse principal from `{}` (no colon is present separating the principal type from the principal name)",
            creation.principal
        )));
    }
    Ok(Acl {
        resource_type,
        pattern,
        principal: creation.principal.to_string(),
        host: creation.host.to_string(),
        operation: Operation::from_code(creation.operation)
            .ok_or_else(|| invalid("Invalid operation".to_owned()))?,
        allows: allows(creation.permission_type)
            .ok_or_else(|| invalid("Invalid permissionType".to_owned()))?,
    })
}

/// `Some(None)` for ANY, `None` for a code without a meaning.
fn any_or<T>(code: i8, from_code: impl Fn(i8) -> Option<T>) -> Option<Option<T>> {
    if code == ANY { Some(None) } else { from_code(code).map(Some) }
}

fn allows(code: i8) -> Option<bool> {
    match code {
        DENY => Some(false),
        ALLOW => Some(true),
        _ => None,
    }
}

fn matching_acl(acl: &Acl) -> DeleteAclsMatchingAcl {
    let (pattern_type, name) = pattern_of(acl);
    DeleteAclsMatchingAcl::default()
        .with_resource_type(acl.resource_type as i8)
        .with_resource_name(text(name))
        .with_pattern_type(pattern_type)
        .with_principal(text(acl.principal.clone()))
        .with_host(text(acl.host.clone()))
        .with_operation(acl.operation as i8)
        .with_permission_type(permission(acl))
}

fn pattern_of(acl: &Acl) -> (i8, &str) {
    match &acl.pattern {
        Pattern::Literal(name) => (LITERAL, name),
        Pattern::Prefixed(name) => (PREFIXED, name),
    }
}

fn permission(acl: &Acl) -> i8 {
    if acl.allows { ALLOW } else { DENY }
}

/// `PatternType` and, for ANY, the other enums of lists.
const ANY: i8 = 1;
const MATCH: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
/// `AclPermissionType`.
const DENY: i8 = 2;
const ALLOW: i8 = 3;
