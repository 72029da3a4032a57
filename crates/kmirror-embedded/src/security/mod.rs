//! Who somebody is, and what he may do.

pub(crate) mod acl;
pub(crate) mod sasl;
pub(crate) mod scram;

pub(crate) use acl::{Authorizer, Principal};
pub(crate) use sasl::{Authentication, Users};
