//! What a client needs to enter a secured network: one of each for all its connections.

use std::sync::Arc;

use crate::config::ClientConfig;
use crate::sasl::Sasl;
use crate::tls::Tls;

pub(crate) struct Security {
    pub(crate) tls: Option<Tls>,
    pub(crate) sasl: Option<Arc<Sasl>>,
}

impl Security {
    pub(crate) fn new(config: &ClientConfig) -> Security {
        Security {
            tls: config.tls.as_ref().map(|tls| Tls::new(&config.alias, tls)),
            sasl: config.sasl.as_ref().map(|sasl| Arc::new(Sasl::new(&config.alias, sasl))),
        }
    }
}
