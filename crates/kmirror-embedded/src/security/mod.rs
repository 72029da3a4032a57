//! Who somebody is, and what he may do.

pub(crate) mod acl;
pub(crate) mod sasl;
pub(crate) mod scram;
pub(crate) mod tls;

pub(crate) use acl::{Authorizer, Principal};
pub(crate) use sasl::{Authentication, Session, Users};
pub(crate) use tls::TlsProfile;
